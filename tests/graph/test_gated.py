"""Gated linear units against torch, over draws of the layer in front."""

import numpy as np
import pytest
import torch
from torch import nn

from evenflow.graph.moments import Moments
from evenflow.graph.propagate import propagate

from ..tracing import traced


@pytest.mark.parametrize("dim", [-1, 1])
def test_values_and_gradients(dim):
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(64, 80), nn.GLU(dim)), torch.randn(20, 30, 64)
    trace, _ = traced(model, x)
    known = {
        "0.weight": Moments.independent(0.0, 2 / 64, (80, 64)),
        "0.bias": Moments.constant(0.0, (80,)),
    }
    said = propagate(trace.graph, known)
    found = []
    for _ in range(20):
        z = (2**0.5 * torch.randn(20, 30, 80)).requires_grad_()
        y = torch.nn.functional.glu(z, dim)
        (g,) = torch.autograd.grad(y, z, torch.randn_like(y))
        found.append([y.square().mean().item(), g.square().mean().item()])
    values, gradients = np.mean(found, axis=0)
    (output,) = trace.graph.outputs
    assert said.forward[output].second == pytest.approx(values, rel=0.02)
    assert said.backward["linear"].second == pytest.approx(gradients, rel=0.02)
