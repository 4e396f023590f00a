"""Parts written into a tensor are derived as what they are: tensors side by side."""

import pytest
import torch
from torch import nn

from evenflow.torch.derive import derive


class Keys(nn.Module):
    """Two maps side by side, written into an empty tensor or joined."""

    def __init__(self, way):
        super().__init__()
        self.wide, self.narrow = nn.Linear(64, 48), nn.Linear(64, 16)
        self.way = way

    def forward(self, x):
        a, b = self.wide(x), 3 * self.narrow(x)
        if self.way == "joined":
            return torch.tanh(torch.cat([a, b], dim=-1))
        y = x.new_empty(*x.shape[:-1], 64)
        y[..., 48:] = b
        y[..., :48] = a
        return torch.tanh(y)


class Over(nn.Module):
    """A part of what is known written over."""

    def __init__(self, way):
        super().__init__()
        self.map, self.part = nn.Linear(64, 64), nn.Linear(64, 16)
        self.way = way

    def forward(self, x):
        y, b = self.map(x), 3 * self.part(x)
        if self.way == "joined":
            return torch.tanh(torch.cat([y[..., :8], b, y[..., 24:]], dim=-1))
        y = y.clone()
        y[..., 8:24] = b
        return torch.tanh(y)


class Unknown(nn.Module):
    """An empty tensor that is not filled."""

    def __init__(self):
        super().__init__()
        self.part = nn.Linear(64, 16)

    def forward(self, x):
        y = torch.empty_like(x)
        y[..., :16] = self.part(x)
        return y


@pytest.mark.parametrize("network", [Keys, Over])
def test_writes_are_concatenations(network):
    found = []
    for way in ("written", "joined"):
        torch.manual_seed(0)
        report = derive(network(way), torch.randn(8, 5, 64))
        derived = report.derivation
        assert not derived.obstacles_forward
        assert not derived.sampled
        (given,) = derived.graph.inputs
        found.append((derived.forward[derived.graph.outputs[0]], derived.backward[given]))
    for written, joined in zip(*found, strict=True):
        assert written.second == pytest.approx(joined.second, rel=0.02)


def test_what_was_never_written_stays_unknown():
    derived = derive(Unknown(), torch.randn(8, 64)).derivation
    assert derived.obstacles_forward
