"""Unrolled scans are found, and sampled as a whole."""

import numpy as np
import pytest
import torch
from torch import nn

from evenflow.graph.moments import Moments
from evenflow.graph.propagate import propagate
from evenflow.graph.recurrent.recurrences import Recurrence, recurrences
from evenflow.graph.recurrent.units import units
from evenflow.torch.execute import run
from evenflow.torch.inputs import Call
from evenflow.torch.sampling import sampling
from evenflow.torch.weights import input_moments, parameter_moments

from ..tracing import graph_of, traced

WIDTH, LENGTH = 96, 12


class Scan(nn.Module):
    """h_t = a·h_{t−1} + b_t, a between 0 and 1 and the same at every moment."""

    def __init__(self):
        super().__init__()
        self.inside = nn.Linear(48, WIDTH)
        self.decay = nn.Parameter(torch.zeros(WIDTH))
        self.outside = nn.Linear(WIDTH, 32)

    def reset(self):
        self.inside.reset_parameters()
        self.outside.reset_parameters()
        nn.init.normal_(self.decay, 1.0, 1.0)

    def forward(self, x):
        kept = torch.sigmoid(self.decay)
        b = self.inside(x)
        h = torch.zeros_like(b[:, 0])
        steps = []
        for t in range(LENGTH):
            h = kept * h + b[:, t]
            steps.append(h)
        return self.outside(torch.stack(steps, 1))


class NormedScan(Scan):
    """With a norm, written out, of what enters the scan."""

    def forward(self, x):
        return super().forward(x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))


class Whole(nn.Module):
    def __init__(self, scan=Scan):
        super().__init__()
        self.scan = scan()
        self.first = nn.Linear(48, 48)

    def forward(self, x):
        return self.scan(self.first(x))


class Highway(nn.Module):
    """Much the same sums and products, of another gate each time."""

    def __init__(self):
        super().__init__()
        self.gates = nn.ModuleList(nn.Linear(16, 16) for _ in range(5))

    def forward(self, x):
        for gate in self.gates:
            x = torch.sigmoid(gate(x)) * x + torch.tanh(gate(x))
        return x


def test_a_scan_is_found_from_its_inputs_to_its_results():
    graph = graph_of(Whole(), torch.randn(3, LENGTH, 48))
    (scan,) = recurrences(graph)
    ops = [node.op for node in scan.nodes]
    assert ops.count("add") == LENGTH
    assert ops.count("stack") == 1
    assert "linear" not in ops
    assert {"linear_1", "scan.decay"} <= scan.boundary().keys()
    assert [node.name for node in scan.before] == ["linear_1"]
    assert "linear" in scan.roots()


def test_units_come_in_an_order_in_which_they_can_be_derived():
    graph = graph_of(Whole(), torch.randn(3, LENGTH, 48))
    ready = {*graph.inputs, *graph.parameters}
    for unit in units(graph, list(recurrences(graph))):
        nodes = unit.nodes if isinstance(unit, Recurrence) else (unit,)
        for node in nodes:
            assert {name for _, name in node.refs()} <= ready
            ready.add(node.name)
    assert {node.name for node in graph.nodes} <= ready


def test_gates_of_their_own_are_no_scan():
    assert not list(recurrences(graph_of(Highway(), torch.randn(3, 16))))


def test_moments_of_a_scan_are_those_of_real_ones(monkeypatch):
    torch.manual_seed(0)
    model, x = Whole(), torch.randn(16, LENGTH, 48)
    trace, parameters = traced(model, x)
    forward, backward, known = {}, {}, []

    def look(name, value):
        if not value.requires_grad:
            return value
        forward.setdefault(name, []).append(value.detach().square().mean().item())
        value.register_hook(
            lambda g: backward.setdefault(name, []).append(g.square().mean().item())
        )
        return value

    for _ in range(30):
        model.scan.reset()
        known.append(parameter_moments(trace.graph, parameters))
        y = run(trace, parameters, Call((x,), {}), look)
        y.backward(torch.randn_like(y))
    given = input_moments(trace.graph, Call((x,), {}))
    weights = {name: Moments(*mean_of(each[name] for each in known)) for name in known[0]}
    said = propagate(trace.graph, weights, given, sample=sampling())
    monkeypatch.setattr("evenflow.torch.sampled_scan._MOST", 10)
    by_steps = propagate(trace.graph, weights, given, sample=sampling())
    (last,) = [n for n in trace.graph.nodes if n.op == "stack"]
    assert "'stack' of a scan in scan" in said.sampled[last.name]
    assert "linear" not in said.sampled
    errors = {True: [], False: []}
    for node in trace.graph.nodes:
        for derived, found in ((said.forward, forward), (said.backward, backward)):
            if node.name in found and node.name in derived and np.mean(found[node.name]) > 0:
                ratio = derived[node.name].second / np.mean(found[node.name])
                errors[node.name in said.sampled].append(abs(np.log(ratio) / 2))
    assert np.median(errors[True]) < 0.03
    assert max(errors[True] + errors[False]) < 0.15
    # what single steps would say: that decay and state are independent
    wrong = by_steps.forward[last.name].second / np.mean(forward[last.name])
    assert abs(np.log(wrong) / 2) > 0.12


def mean_of(moments):
    """Mean, pairs and axes over draws."""
    each = list(moments)
    pairs = np.mean([m.pairs for m in each], axis=0)
    return float(np.mean([m.mean for m in each])), pairs, each[0].axes


def test_a_scan_behind_a_norm_that_is_written_out_is_sampled():
    trace, parameters = traced(Whole(NormedScan), torch.randn(16, LENGTH, 48))
    assert "standardise" in [node.op for node in trace.graph.nodes]
    known = parameter_moments(trace.graph, parameters)
    said = propagate(trace.graph, known, sample=sampling(tensors=parameters.tensors))
    (last,) = [n for n in trace.graph.nodes if n.op == "stack"]
    assert "of a scan" in said.sampled[last.name]


def test_a_scan_that_cannot_be_sampled_is_derived_step_by_step(monkeypatch):
    model, x = Whole(), torch.randn(16, LENGTH, 48)
    trace, parameters = traced(model, x)
    monkeypatch.setattr("evenflow.torch.sampled_scan._MOST", 10)
    known = parameter_moments(trace.graph, parameters)
    said = propagate(trace.graph, known, sample=sampling(tensors=parameters.tensors))
    assert said.sampled.keys() <= {"sigmoid"}
    assert not said.obstacles_forward
    assert said.backward.keys() >= {"scan.decay", "x"}


@pytest.mark.parametrize("name", ["gelu", "tanh"])
def test_an_activation_runs_and_has_its_slope(name):
    from evenflow.theory.activations import find
    from evenflow.torch.pointwise import pointwise

    x = torch.linspace(-3, 3, 50, dtype=torch.float64).requires_grad_()
    expected = getattr(torch.nn.functional, name)(x)
    (slope,) = torch.autograd.grad(expected.sum(), x)
    found = pointwise(find(name), x)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(torch.autograd.grad(found.sum(), x)[0], slope)


class Selective(nn.Module):
    """h_t = a·h_{t−1} + b_t·x_t with b_t common to all channels, as in state-space blocks."""

    def __init__(self, *, mixing):
        super().__init__()
        self.decay = nn.Parameter(torch.randn(1536))
        self.rates = nn.Linear(1536, 1)
        self.mixing = mixing

    def forward(self, x):
        kept, rates = torch.sigmoid(self.decay), self.rates(x)
        h = torch.zeros_like(x[:, 0])
        steps = []
        for t in range(LENGTH):
            h = kept * h + rates[:, t] * x[:, t]
            h = h + h.mean(-1, keepdim=True) if self.mixing else h
            steps.append(h)
        return torch.stack(steps, 1)


def thin_and_whole(monkeypatch, model):
    trace, parameters = traced(model, torch.randn(4, LENGTH, 1536))
    weights = parameter_moments(trace.graph, parameters)
    sample = sampling(tensors=parameters.tensors)
    whole = propagate(trace.graph, weights, sample=sample)
    monkeypatch.setattr("evenflow.torch.thinned._ENOUGH", 2**16)
    return trace.graph, whole, propagate(trace.graph, weights, sample=sample)


def test_a_large_scan_is_sampled_on_some_of_its_channels(monkeypatch):
    graph, whole, thin = thin_and_whole(monkeypatch, Selective(mixing=False))
    scanned = [name for name in thin.sampled if name in whole.forward]
    assert graph.outputs[0] in scanned
    for name in scanned:
        assert thin.forward[name].shape == whole.forward[name].shape == graph.shape(name)
        assert thin.forward[name].second == pytest.approx(whole.forward[name].second, rel=0.3)
    sums = [name for name in whole.backward if "linear" in name or name == "rates.weight"]
    assert len(sums) > 1
    for name in [*sums, *graph.inputs, "decay"]:
        assert thin.backward[name].shape == graph.shape(name)
        assert thin.backward[name].second == pytest.approx(whole.backward[name].second, rel=0.3)
    assert thin.forward[graph.outputs[0]].second != whole.forward[graph.outputs[0]].second


def test_a_scan_that_mixes_its_channels_is_sampled_on_all_of_them(monkeypatch):
    graph, whole, thin = thin_and_whole(monkeypatch, Selective(mixing=True))
    output = graph.outputs[0]
    assert thin.forward[output].second == whole.forward[output].second
