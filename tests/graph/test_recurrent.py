"""Recurrent layers through time: against torch's own, over draws of weights and inputs."""

import numpy as np
import pytest
import torch
from torch import nn

from evenflow.errors import NoRuleError
from evenflow.graph.algebra.layout import averaged
from evenflow.graph.graph import Graph, Node, Ref
from evenflow.graph.moments import Moments
from evenflow.graph.numbers.measured import measured
from evenflow.graph.propagate import propagate
from evenflow.graph.recurrent.cells import CELLS
from evenflow.graph.recurrent.through_time import Layer, Processes, kernel, run
from evenflow.graph.rules import RULES, Step
from evenflow.torch.execute import run as execute
from evenflow.torch.inputs import Call
from evenflow.torch.weights import input_moments, parameter_moments

from ..tracing import traced

WIDTH, LENGTH, BATCH, DRAWS = 96, 10, 12, 14


class Whole(nn.Module):
    """All that a recurrent layer gives, as one tensor, through different scales."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        output, state = self.layer(x)
        state = state if isinstance(state, tuple) else (state,)
        return output * 1.0, *(2.0 * s for s in state)


LAYERS = {
    "LSTM": lambda: nn.LSTM(WIDTH, WIDTH, batch_first=True),
    "LSTM, time first, 2 layers": lambda: nn.LSTM(48, WIDTH, 2),
    "LSTM, both ways": lambda: nn.LSTM(48, WIDTH, 2, batch_first=True, bidirectional=True),
    "GRU": lambda: nn.GRU(48, WIDTH, batch_first=True),
    "GRU, both ways, dropout": lambda: nn.GRU(48, WIDTH, 2, bidirectional=True, dropout=0.3),
    "tanh": lambda: nn.RNN(48, WIDTH, 2, batch_first=True),
    "ReLU, no biases": lambda: nn.RNN(48, WIDTH, nonlinearity="relu", bias=False),
}


def input_of(layer):
    shape = (BATCH, LENGTH) if layer.batch_first else (LENGTH, BATCH)
    # Each example has something of its own all along.
    own = torch.randn(*[1 if n == LENGTH else n for n in shape], layer.input_size)
    return torch.randn(*shape, layer.input_size) + 0.7 * own


def enlarged(layer):
    """Weights larger than torch's default, so that gates open and close."""
    layer.reset_parameters()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter *= 1.5


def square(x):
    return x.detach().square().mean().item()


def assert_level(derived, measured, slack=0.0, rel=0.015):
    """Within three standard errors of the mean over draws, and a little."""
    values = np.array(list(measured))
    error = values.std() / len(values) ** 0.5
    assert abs(derived - values.mean()) < 3 * error + rel * values.mean() + slack


@pytest.mark.parametrize("name", LAYERS)
def test_values_gradients_and_shared_parts(name):
    torch.manual_seed(0)
    model = Whole(LAYERS[name]())
    call = Call((input_of(model.layer),), {})
    trace, parameters = traced(model, *call.args)
    enlarged(model.layer)
    said = propagate(
        trace.graph, parameter_moments(trace.graph, parameters), input_moments(trace.graph, call)
    )
    assert not said.obstacles_forward
    assert not said.obstacles_backward
    found = {}

    def keep(name, value):
        found.setdefault(name, []).append(value)
        return value

    gradients = {}
    for _ in range(DRAWS):
        enlarged(model.layer)
        x = call.args[0].detach().requires_grad_()
        outputs = execute(trace, parameters, Call((x,), {}), keep)
        wanted = [x, *model.parameters()]
        cotangents = [torch.randn_like(output) for output in outputs]
        for place, g in enumerate(torch.autograd.grad(outputs, wanted, cotangents)):
            gradients.setdefault(place, []).append(square(g))
    for node in trace.graph.nodes:
        if node.op == "getitem":
            assert_level(said.forward[node.name].second, map(square, found[node.name]))
    roles = ("examples", "positions") if model.layer.batch_first else ("positions", "examples")
    outputs = [measured(y.detach().numpy(), (*roles, "units")) for y in found["getitem"]]
    ours = said.forward["getitem"]
    assert_level(ours.shared_examples, [y.shared_examples for y in outputs], 0.02 * ours.second)
    means = [averaged(y, [roles.index("positions")], keep=False).second for y in (ours, *outputs)]
    assert_level(means[0], means[1:], 0.02 * means[0])
    names = [next(iter(trace.graph.inputs)), *parameters.names]
    for place, value in enumerate(names):
        assert_level(said.backward[value].second, gradients[place], rel=0.03)


def test_a_first_state_counts():
    """A GRU of closed gates keeps its first state: z → 1 by a large bias."""
    layer = Layer(CELLS["gru"], 50, 0.0, 8.0, 0.0, 0.0)
    still = np.zeros((2, 5, 5))
    course = run(layer, still, np.array([[1.0, 0.25]]))
    covariance = kernel(course.hidden())
    assert covariance[0, -1, 0] == pytest.approx(1.0, abs=0.05)
    assert covariance[1, -1, 0] == pytest.approx(0.25, abs=0.05)


def test_a_linear_recursion_has_its_closed_form():
    """h_t = U h_{t−1} + x_t, ReLU twice as large replaced by its mean field: q_t = u/2·q + v/2."""
    layer = Layer(CELLS["rnn_relu"], 100, 0.008, 0.0, 0.0, 0.0)
    arriving = np.stack([np.eye(30), np.zeros((30, 30))])
    course = run(layer, arriving, np.zeros((1, 2)))
    found = np.diagonal(kernel(course.hidden()[:, 1:])[0])
    expected, q = [], 0.0
    for _ in range(30):
        q = (0.8 * q + 1.0) / 2
        expected.append(q)
    np.testing.assert_allclose(found, expected, rtol=0.06)
    assert np.mean(found) == pytest.approx(np.mean(expected), rel=0.01)


def test_processes_have_the_covariance_that_they_are_given():
    generator = np.random.default_rng(0)
    root = generator.standard_normal((6, 6))
    same = root @ root.T
    other = 0.5 * same
    processes = Processes(6, (20000,), generator)
    values = np.stack([processes.next(np.stack([same, other])[:, t, : t + 1]) for t in range(6)], 1)
    np.testing.assert_allclose(kernel(values), np.stack([same, other]), atol=0.05 * same.max())


def test_two_equal_examples_stay_equal():
    """A covariance of rank one: nothing is divided by zero."""
    processes = Processes(3, (10,), np.random.default_rng(0))
    ones = np.ones((2, 3))
    for t in range(3):
        values = processes.next(ones[:, : t + 1])
        np.testing.assert_allclose(values[0], values[1])


def test_a_long_sequence_costs_no_more_and_agrees_with_a_shorter_one():
    shapes = {"w": (96, 16), "u": (96, 32), "b": (96,), "d": (96,)}
    parameters = tuple(Ref(name) for name in shapes)
    known = {n: Moments.independent(0.0, 1 / 96, shape) for n, shape in shapes.items()}

    def derived(length):
        values = known | {
            "x": Moments.independent(0.0, 1.0, (4, length, 16)),
            "h": Moments.constant(0.0, (1, 4, 32)),
        }
        arguments = {"input": Ref("x"), "hx": Ref("h"), "params": parameters}
        plain = {"has_biases": True, "num_layers": 1, "batch_first": True}
        several = ((4, length, 32), (1, 4, 32))
        node = Node("r", "gru", arguments | plain, several[0], shapes=several)
        graph = Graph({n: m.shape for n, m in values.items()}, {}, (node,), ("r",))
        step = Step(graph, node, values, {})
        cotangent = (Moments.independent(0.0, 1.0, several[0]), None)
        return RULES["gru"].forward(step)[0], RULES["gru"].backward(step, cotangent)["w"]

    (short, short_gradient), (long, long_gradient) = derived(64), derived(5000)
    assert long.shape == (4, 5000, 32)
    assert long.second == pytest.approx(short.second, rel=0.03)
    assert long_gradient.second / short_gradient.second == pytest.approx(5000 / 64, rel=0.05)


def test_one_moment_of_a_cell():
    torch.manual_seed(0)
    cell = nn.LSTMCell(48, WIDTH)
    seconds = {"h": [], "c": [], "dx": [], "dh": [], "dc": []}
    for _ in range(DRAWS):
        cell.reset_parameters()
        given = [torch.randn(64, n).requires_grad_() for n in (48, WIDTH, WIDTH)]
        h, c = cell(given[0], (given[1], given[2]))
        g = torch.autograd.grad((h, c), given, (torch.randn_like(h), torch.randn_like(c)))
        for name, value in zip(seconds, (h, c, *g), strict=True):
            seconds[name].append(square(value))
    bound = 1 / (3 * WIDTH)
    shapes = {"w_ih": (4 * WIDTH, 48), "w_hh": (4 * WIDTH, WIDTH)} | dict.fromkeys(
        ("b_ih", "b_hh"), (4 * WIDTH,)
    )
    values = {n: Moments.independent(0.0, bound, s) for n, s in shapes.items()}
    states = {n: Moments.independent(0.0, 1.0, (64, WIDTH)) for n in ("h0", "c0")}
    known = values | states | {"x": Moments.independent(0.0, 1.0, (64, 48))}
    arguments = {name: Ref(name) for name in shapes} | {"input": Ref("x")}
    arguments["hx"] = (Ref("h0"), Ref("c0"))
    node = Node("cell", "lstm_cell", arguments, (64, WIDTH), shapes=((64, WIDTH),) * 2)
    graph = Graph({n: m.shape for n, m in known.items()}, {}, (node,), ("cell",))
    step = Step(graph, node, known, {})
    h, c = RULES["lstm_cell"].forward(step)
    back = RULES["lstm_cell"].backward(step, (states["h0"], states["c0"]))
    ours = {"h": h, "c": c, "dx": back["x"], "dh": back["h0"], "dc": back["c0"]}
    for name, values in seconds.items():
        assert ours[name].second == pytest.approx(np.mean(values), rel=0.04), name


def test_packed_sequences_and_projections_are_refused():
    model = Whole(nn.LSTM(16, 32, proj_size=8)).to("meta")
    trace, _ = traced(model, torch.empty(3, 4, 16, device="meta"))
    (node,) = (n for n in trace.graph.nodes if n.op == "lstm")
    known = {name: Moments.independent(shape=trace.graph.shape(name)) for _, name in node.refs()}
    with pytest.raises(NoRuleError, match="projection"):
        RULES["lstm"].forward(Step(trace.graph, node, known, {}))
    packed = Node("r", "lstm", {"data": Ref("x")}, (3, 8))
    with pytest.raises(NoRuleError, match="packed"):
        RULES["lstm"].forward(Step(trace.graph, packed, known, {}))
