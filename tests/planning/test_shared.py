"""One residual block used again and again: what it adds, it adds to what it has added before."""

import torch
from torch import nn

import evenflow as ef

WIDTH, TIMES = 128, 6


class Again(nn.Module):
    def __init__(self):
        super().__init__()
        self.block = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh(), nn.Linear(WIDTH, WIDTH))

    def forward(self, x):
        for _ in range(TIMES):
            x = x + self.block(x)
        return x


def test_a_shared_block_is_scaled_by_what_its_uses_add_together():
    model, x = Again(), torch.randn(64, WIDTH)
    plan = ef.plan(model, x)
    plan.apply_(model, seed=0)
    with torch.no_grad():
        grown = model(x).square().mean() / x.square().mean()
    derived = ef.derive(model, x, plan)
    told = derived.forward[derived.graph.outputs[0]].second
    assert 1.5 < told < 2.2  # each of L uses adds 1/L of the stream, so less than e altogether
    assert abs(float(grown) / told - 1) < 0.15
