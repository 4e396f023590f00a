"""The sampler of PyTorch models: runs the operations that no rule covers."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from evenflow.graph.rules.registry import Rule
from evenflow.graph.sampler import Sampler
from evenflow.torch import sampled_scan
from evenflow.torch.sampled import Trial, backward, forward


def sampling(seed: int = 0, tensors: Mapping[str, torch.Tensor] | None = None) -> Sampler:
    """What stands in for rules; ``seed`` fixes all that is random in it.

    ``tensors`` are the model's parameters by name. Scans use those whose Moments are the ones that
    are being derived; what else is needed is drawn.
    """
    own = tensors or {}
    return Sampler(
        Rule(
            forward=lambda step: forward(Trial.of(step), seed),
            backward=lambda step, cotangent: backward(Trial.of(step), cotangent, seed),
        ),
        forward=lambda scan, step: sampled_scan.forward(scan, step, seed, own),
        backward=lambda scan, step, arriving: sampled_scan.backward(
            scan, step, arriving, seed, own
        ),
    )
