"""How the loss is made of the network's output, read off the loss's own graph of gradients."""

from __future__ import annotations

import re

import torch

from evenflow.record.run import Ending

_LOSSES = (
    "nll_loss",
    "mse_loss",
    "binary_cross_entropy",
    "smooth_l1_loss",
    "huber_loss",
    "l1_loss",
    "kl_div",
    "ctc_loss",
)
_WEIGHTED = ("addmm", "mm", "bmm", "convolution", "native_layer_norm", "native_batch_norm")
_MEAN = 1
"""Reduction to the mean, as the graph of gradients keeps it."""
_MOST = 24
"""Operations that are looked at, from the loss towards the network."""


def ending_of(loss: torch.Tensor) -> Ending:
    """The loss's kind, and the operations between it and the last weight, the last first."""
    node = loss.grad_fn
    kind, before, mean = "", list[str](), False
    for _ in range(_MOST):
        if node is None:
            break
        name = _plain(node.name())
        if name.startswith(_WEIGHTED) or "accumulate" in name:
            break
        known = next((loss for loss in _LOSSES if name.startswith(loss)), "")
        if known and not kind:
            kind = name if name.endswith("with_logits") else known
            mean = node is loss.grad_fn and getattr(node, "_saved_reduction", 0) == _MEAN
        elif kind:
            before.append(name)
        node = next((each for each, _ in node.next_functions if each is not None), None)
    return Ending(kind, tuple(before), mean)


def _plain(name: str) -> str:
    """ "LogSoftmaxBackward0" → "log_softmax"."""
    stem = re.sub(r"Backward\d*$", "", name.rpartition("::")[2])
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", stem).lower()
