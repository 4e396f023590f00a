"""Blocks of different size keep the squared norm of an example, on real networks."""

import re

import pytest
import torch
from torch import nn

import evenflow as ef

SCALED = "blocks keep their squared norm"
DRAWS = 24


def norms(model, x, ends, seed):
    """Squared norms of an example, and of its gradient, at the outputs of modules."""
    kept = []
    hooks = [end.register_forward_hook(lambda _m, _i, o: kept.append(o)) for end in ends]
    out = model(x)
    for hook in hooks:
        hook.remove()
    generator = torch.Generator().manual_seed(seed)
    cotangent = torch.randn(out.shape, generator=generator)
    gradients = torch.autograd.grad(out, kept, cotangent)
    return [[float(t.detach().square().sum() / len(x)) for t in ts] for ts in (kept, gradients)]


def ranges(model, x, ends):
    """Highest over lowest of mean squared norms over draws of a plan, both ways; and the plan."""
    plan = ef.plan(model, x)
    totals = torch.zeros(2, len(ends), dtype=torch.float64)
    for seed in range(DRAWS):
        plan.apply_(model, seed)
        batch = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))
        totals += torch.tensor(norms(model, batch, ends, seed), dtype=torch.float64)
    return [float(t.max() / t.min()) for t in totals], plan


def price(plan):
    number = r"×([0-9.e+-]+)"
    (found,) = (
        match
        for note in plan.notes
        if (match := re.search(rf"an example ranges {number}.* its gradient {number}", note))
    )
    return float(found[1]), float(found[2])


def pooled():
    layers, channels = [], 3
    for width in (48, 96, 96):
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        channels = width
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(384, 64), nn.ReLU(), nn.Linear(64, 5))
    return model, torch.zeros(8, 3, 16, 16)


def averaged():
    model = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10),
    )  # fmt: skip
    return model, torch.zeros(8, 1, 28, 28)


@pytest.mark.parametrize("build", [pooled, averaged])
def test_networks_that_pool_are_level_both_ways_at_the_price_that_the_plan_names(build):
    model, x = build()
    ends = [m for m in model if isinstance(m, (nn.Conv2d, nn.Linear))][:-1]
    (forward, backward), plan = ranges(model, x, ends)
    said = price(plan)
    assert said[0] < 1.05 * 4
    assert said[1] < 1.05 * 16
    assert 1 / 1.5 < forward / said[0] < 1.5
    assert 1 / 1.5 < backward / said[1] < 1.5
    assert SCALED in plan["0.weight"].why


def test_a_stack_of_gated_units_is_level():
    layers = [layer for _ in range(6) for layer in (nn.Linear(64, 128), nn.GLU())]
    model = nn.Sequential(*layers, nn.Linear(64, 5))
    (forward, backward), plan = ranges(model, torch.zeros(32, 64), list(model)[:-1:2])
    assert forward < 4
    assert backward < 4
    assert SCALED in plan["2.weight"].why


def test_what_is_level_is_left_alone():
    layers = [layer for _ in range(10) for layer in (nn.Linear(64, 64), nn.ReLU())]
    plan = ef.plan(nn.Sequential(*layers, nn.Linear(64, 5)), torch.zeros(4, 64))
    assert not any(SCALED in entry.why for entry in plan.entries.values())
    assert max(price(plan)) < 1.1


def test_what_normalisations_hold_is_said_and_priced():
    layers, channels = [], 3
    for width in (8, 16, 16, 16):
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
        layers += [nn.MaxPool2d(2)]
        channels = width
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(64, 5))
    plan = ef.plan(model, torch.zeros(8, 3, 32, 32))
    assert price(plan)[0] == pytest.approx(8 * 32**2 / (16 * 4**2))
    assert any("normalisations hold the level of elements" in note for note in plan.notes)
    assert plan["1.weight"].distribution == ef.Constant(1.0)


def test_an_input_that_joins_later_changes_no_weight():
    class Edges(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(16, 16) for _ in range(4))

        def forward(self, x, edges):
            for layer in self.layers:
                x = torch.relu(edges @ layer(x))
            return x

    plan = ef.plan(Edges(), (torch.zeros(2, 40, 16), torch.zeros(2, 40, 40)))
    assert not any(SCALED in entry.why for entry in plan.entries.values())


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_stacks_of_recurrent_cells_are_level_both_ways(kind):
    """Layers as modules of their own, drawn as the plan of the whole says."""
    units, steps, depth = 64, 12, 5
    stack = kind(units, units, num_layers=depth, batch_first=True)
    plan = ef.plan(stack, torch.zeros(4, steps, units))
    layers = [kind(units, units, batch_first=True) for _ in range(depth)]
    totals = torch.zeros(2, depth, dtype=torch.float64)
    for seed in range(4):
        plan.apply_(stack, seed)
        x = torch.randn(8, steps, units, generator=torch.Generator().manual_seed(seed))
        kept = []
        for place, layer in enumerate(layers):
            for name, tensor in layer.named_parameters():
                tensor.data.copy_(stack.get_parameter(name.replace("_l0", f"_l{place}")))
            x = layer(x)[0]
            kept.append(x)
        gradients = torch.autograd.grad(x, kept, torch.randn_like(x))
        for row, tensors in enumerate((kept, gradients)):
            totals[row] += torch.tensor([float(t.detach().square().sum()) for t in tensors])
    forward, backward = (float(t.max() / t.min()) for t in totals)
    assert forward < 4
    assert backward < 6  # a white cotangent loses on its first layers what slow ones do not
