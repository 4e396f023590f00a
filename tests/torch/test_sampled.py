"""Operations without a rule: sampled, marked, as the real operation does, the same each time."""

import numpy as np
import pytest
import torch
from torch import nn

from evenflow.errors import NoRuleError
from evenflow.graph import rules
from evenflow.graph.moments import Moments
from evenflow.graph.numbers.measured import measured
from evenflow.graph.propagate import propagate
from evenflow.torch.inputs import Call
from evenflow.torch.sampling import sampling
from evenflow.torch.weights import input_moments, parameter_moments

from ..tracing import traced

WIDTH = 96


class Behind(nn.Module):
    """A function of a linear layer's output."""

    def __init__(self, function):
        super().__init__()
        self.linear = nn.Linear(64, WIDTH)
        self.function = function

    def forward(self, x):
        return self.function(self.linear(x))


def derived(model, x, **options):
    trace, parameters = traced(model, x)
    known = parameter_moments(trace.graph, parameters)
    given = input_moments(trace.graph, Call((x,), {}))
    return trace.graph, propagate(trace.graph, known, given, sample=sampling(), **options)


@pytest.fixture
def without_rules(monkeypatch):
    """As if these operations had no rule."""

    def forget(*operations):
        for operation in operations:
            monkeypatch.delitem(rules.RULES, operation, raising=False)

    return forget


FUNCTIONS = {
    "sort": lambda z: torch.sort(z, -1).values,
    "cumsum": lambda z: torch.cumsum(z, 1),
    "logsumexp": lambda z: torch.logsumexp(z, -1, keepdim=True),
    "gather": lambda z: torch.gather(z, -1, torch.topk(z, 5, -1).indices),
    "where": lambda z: torch.where(z.roll(1, 1) > 0.2, z, z * 0.1),
    "fft_irfft": lambda z: torch.fft.irfft(torch.fft.rfft(z, norm="ortho").conj(), norm="ortho"),
    "cummax": lambda z: torch.cummax(z, -1).values,
    "nan_to_num_": lambda z: torch.ops.aten.nan_to_num_(z * 2),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_sampled_moments_are_those_of_the_operation(name, without_rules):
    without_rules(name.rstrip("_"), "gt", "topk")
    torch.manual_seed(0)
    x = torch.randn(48, 12, 64)
    model = Behind(FUNCTIONS[name])
    graph, said = derived(model, x)
    assert not said.obstacles_forward
    assert not said.obstacles_backward
    assert [name.rstrip("_") in text for text in said.sampled.values()][-1]

    forward, backward = said.forward[graph.outputs[0]], said.backward["linear"]
    results, gradients = zip(*(real(model, x) for _ in range(12)), strict=True)
    each = [measured(y.numpy(), ("examples", "positions", "units")) for y in results]
    second = np.mean([found.second for found in each])
    shared = np.mean([found.shared_positions for found in each])
    assert forward.second == pytest.approx(second, rel=0.05)
    assert forward.mean == pytest.approx(np.mean([f.mean for f in each]), abs=0.05 * second**0.5)
    assert forward.shared_positions == pytest.approx(shared, abs=0.05 * second)
    assert backward.second == pytest.approx(np.mean(gradients), rel=0.05)


def real(model, x):
    """The function's value behind freshly drawn weights, and its gradient's second moment."""
    model.linear.reset_parameters()
    z = model.linear(x).detach().requires_grad_()
    y = model.function(z)
    y.backward(torch.randn(y.shape))
    return y.detach(), z.grad.square().mean().item()


def test_two_derivations_are_the_same():
    x = torch.randn(8, 4, 64)
    model = Behind(lambda z: torch.cummax(z, -1).values)
    (_, first), (_, second) = derived(model, x), derived(model, x)
    assert first.sampled.keys() == second.sampled.keys() == {"cummax"}
    assert first.forward["getitem"].second == second.forward["getitem"].second
    assert first.backward["linear"].second == second.backward["linear"].second


def test_no_generator_of_the_callers_is_moved():
    x, model = torch.randn(8, 4, 64), Behind(lambda z: torch.cummax(z, -1).values)
    torch.manual_seed(3)
    expected = torch.rand(())
    torch.manual_seed(3)
    derived(model, x)
    assert torch.rand(()) == expected


def test_strict_names_operation_module_and_line():
    class Ranked(nn.Module):
        def forward(self, x):
            return torch.cummax(x, -1).values

    model = nn.Sequential(nn.Linear(64, WIDTH), Ranked())
    with pytest.raises(NoRuleError, match=r"'cummax' in 1 \(test_sampled.py:\d+\)"):
        derived(model, torch.randn(8, 64), strict=True)


def test_strict_is_content_with_rules():
    _, said = derived(Behind(torch.tanh), torch.randn(8, 64), strict=True)
    assert not said.sampled


def test_large_tensors_are_shortened_where_the_operation_works_one_by_one():
    """2048 × 1024 × 96 elements: examples and positions are cut, units are not."""
    model = Behind(lambda z: torch.cummax(z, -1).values).to("meta")
    trace, _ = traced(model, torch.empty(2048, 1024, 64, device="meta"))
    known = {"linear.weight": moments((WIDTH, 64), 1 / 64), "linear.bias": moments((WIDTH,), 0.0)}
    said = propagate(trace.graph, known, sample=sampling())
    assert not said.obstacles_forward
    found = said.forward["getitem"]
    assert found.shape == (2048, 1024, WIDTH)
    assert said.backward["linear"].shape == (2048, 1024, WIDTH)
    largest = torch.randn(4096, WIDTH, generator=torch.Generator().manual_seed(0)).cummax(-1)
    expected = largest.values.square().mean().item()
    assert found.second == pytest.approx(expected, rel=0.03)


def test_an_axis_that_is_mixed_is_not_shortened(without_rules):
    """A sum over 4096 units is not that of 16 of them."""
    without_rules("cumsum")
    model = nn.Sequential(nn.Linear(4, 4096), Cumulative()).to("meta")
    trace, _ = traced(model, torch.empty(400, 4, device="meta"))
    known = {"0.weight": moments((4096, 4), 0.25), "0.bias": moments((4096,), 0.0)}
    said = propagate(trace.graph, known, sample=sampling())
    assert said.forward[trace.graph.outputs[0]].second == pytest.approx(2048, rel=0.1)
    assert said.forward[trace.graph.outputs[0]].shape == (400, 4096)


class Cumulative(nn.Module):
    def forward(self, x):
        return torch.cumsum(x, 1)


def moments(shape, second):
    return Moments.independent(0.0, second, shape)


def test_what_cannot_be_run_stays_an_obstacle():
    model = Behind(lambda z: torch.log(-z.abs() - 1))
    _, said = derived(model, torch.randn(8, 64))
    assert any("sampling fails" in reason for reason in said.obstacles_forward.values())


class Spectral(nn.Module):
    """A map of frequencies by complex weights."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(WIDTH, WIDTH, 5, dtype=torch.cfloat) * 0.05)

    def forward(self, x):
        found = torch.einsum("bif,iof->bof", torch.fft.rfft(x)[..., :5], self.weight)
        return torch.fft.irfft(found, n=x.shape[-1])


def test_complex_weights_are_drawn_by_their_size():
    torch.manual_seed(0)
    model, x = Spectral(), torch.randn(8, WIDTH, 16, requires_grad=True)
    graph, found = derived(model, x.detach())
    output = model(x)
    output.backward(torch.randn(output.shape))
    for said, real in (
        (found.forward[graph.outputs[0]], output),
        (found.backward[next(iter(graph.inputs))], x.grad),
    ):
        assert said.second == pytest.approx(float(real.detach().square().mean()), rel=0.1)
