"""Weights drawn by a scheme of torch's own, where a sound network needs more than the default."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from tests.bank.faults import matrices
from tests.bank.setups import Setup
from torch import nn

Draw = Callable[[torch.Tensor], object]


def drawn(draw: Draw, network: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    """``network`` with all matrices drawn by ``draw``, and biases of zero."""

    def make() -> nn.Module:
        model = network()
        with torch.no_grad():
            for weight in matrices(model):
                draw(weight)
            for name, parameter in model.named_parameters():
                if name.endswith("bias"):
                    parameter.zero_()
        return model

    return make


def with_weights(draw: Draw, of: Setup) -> Setup:
    """A setup with weights of a scheme's own."""
    return replace(of, network=drawn(draw, of.network))


he = partial(nn.init.kaiming_normal_, nonlinearity="relu")
xavier = nn.init.xavier_uniform_
orthogonal = nn.init.orthogonal_
