"""Tracing: names, places and values in the Graph, and a model that is left as it was found."""

import numpy as np
import pytest
import torch
from torch import nn

from evenflow.errors import InputError
from evenflow.graph.graph import Ref
from evenflow.graph.propagate import propagate
from evenflow.torch.inputs import Call
from evenflow.torch.names import ModelParameters
from evenflow.torch.trace import trace
from evenflow.torch.weights import input_moments, parameter_moments

from ..tracing import graph_of, traced


class Nested(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 8), nn.Tanh())
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        h = self.body(x)
        return self.head(h * 0.5)


def test_operations_have_their_names_layers_and_lines():
    graph = graph_of(Nested(), torch.zeros(3, 8))
    linear, tanh, head = graph.nodes
    assert (linear.op, linear.layer, linear.shape, linear.dtype) == (
        "linear",
        "body.0",
        (3, 8),
        "float32",
    )
    assert linear.arguments == {
        "input": Ref("x"),
        "weight": Ref("body.0.weight"),
        "bias": Ref("body.0.bias"),
    }
    assert (tanh.op, tanh.layer) == ("activation", "")  # the scaled tanh is the model's own
    assert tanh.activation.name == "(tanh(x) · 0.5)"
    assert tanh.source.startswith("test_trace.py:")
    assert head.arguments["input"] == Ref(tanh.name)
    assert graph.outputs == (head.name,)
    assert graph.inputs == {"x": (3, 8)}
    assert graph.input_dtypes == {"x": "float32"}


def test_parameters_and_buffers_are_described():
    graph = graph_of(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)), torch.zeros(3, 4))
    weight, mean = graph.parameters["0.weight"], graph.parameters["1.running_mean"]
    assert (weight.shape, weight.dtype, weight.trainable, weight.buffer) == (
        (4, 4),
        "float32",
        True,
        False,
    )
    assert mean.buffer
    assert weight.moments is None


def test_in_place_operations_have_the_same_name():
    graph = graph_of(nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True)), torch.zeros(3, 4))
    assert graph.nodes[-1].activation.name == "relu"


def test_arguments_that_were_left_out_are_filled_in():
    conv = graph_of(nn.Conv2d(3, 4, 3), torch.zeros(1, 3, 8, 8)).nodes[0]
    assert conv.arguments["dilation"] == (1, 1)
    assert conv.arguments["groups"] == 1


def test_the_parts_of_a_result_are_read_by_name_and_index():
    class Split(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 6)

        def forward(self, x):
            return self.linear(x).split([4, 2], -1)[1]

    _, split, _, part = graph_of(Split(), torch.zeros(3, 4)).nodes
    assert split.shapes == ((3, 4), (3, 2))
    assert part.arguments == {"input": Ref(split.name), "index": 1}
    assert part.shape == (3, 2)


def test_assertions_are_no_operations():
    class Asserting(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, x):
            return self.linear(x.to(torch.float32))

    graph = graph_of(Asserting(), torch.zeros(3, 4))
    assert [node.op for node in graph.nodes] == ["to", "linear"]


def test_constants_carry_their_own_moments():
    class Shifted(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 2)

        def forward(self, x):
            return self.linear(x) * torch.tensor([2.0, 4.0])

    trace, parameters = traced(Shifted(), torch.zeros(3, 4))
    (constant,) = (p for p in trace.graph.parameters.values() if p.moments)
    assert constant.moments.mean == 3.0
    assert constant.moments.pairs.tolist() == [10.0, 8.0]  # 2² and 4², 2·4
    found = propagate(trace.graph, parameter_moments(trace.graph, parameters))
    out, before = found.forward[trace.graph.outputs[0]], found.forward["linear"]
    assert out.second == pytest.approx(10 * before.second)


def test_a_model_on_the_meta_device_is_traced_without_memory():
    with torch.device("meta"):
        model, x = nn.Linear(50_000, 50_000), torch.zeros(8, 50_000)
    graph = graph_of(model, x)
    assert graph.shape("linear") == (8, 50_000)


class Keywords(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, first, second=None, flag=True, *, third=None):
        y = self.linear(first)
        return (y + second.mean() if flag else y) + (0 if third is None else third)


def test_inputs_of_every_form_keep_their_own_moments():
    big, shifted = torch.full((3, 4), 10.0), torch.full((3, 4), -1.0)
    trace, _ = traced(Keywords(), third=shifted, flag=True, first=torch.zeros(3, 4), second=big)
    call = Call((), {"third": shifted, "flag": True, "first": torch.zeros(3, 4), "second": big})
    found = input_moments(trace.graph, call)
    assert {name: m.mean for name, m in found.items()} == {
        "third": -1.0,
        "first": 0.0,
        "second": 10.0,
    }
    assert found["second"].pairs == pytest.approx(np.full((2, 2), 100.0))


def test_integers_and_tensors_without_values_have_no_measured_moments():
    graph = graph_of(nn.Embedding(4, 4), torch.zeros(3, dtype=torch.long))
    assert input_moments(graph, Call((torch.zeros(3, dtype=torch.long),), {})) == {}
    graph = graph_of(nn.Linear(4, 4), torch.zeros(3, 4))
    meta = Call((torch.zeros(3, 4, device="meta"),), {})
    (found,) = input_moments(graph, meta).values()
    assert found.pairs.tolist() == [[1.0, 0.0], [0.0, 0.0]]
    assert [axis[0].role for axis in found.axes] == ["examples", "units"]


def test_neighbouring_pixels_are_told_from_strangers():
    graph = graph_of(nn.Conv2d(1, 2, 3), torch.zeros(4, 1, 12, 12))
    rows = torch.arange(12.0).sub(5.5).sign().expand(4, 1, 12, 12)  # one half −1, the other +1
    found = input_moments(graph, Call((rows,), {}))["input"]
    assert found.shape == (4, 1, 12, 12)
    across = found.pairs[0, :, :]
    assert across[3] == pytest.approx(across[0])  # down a column nothing changes
    assert across[0, :7] == pytest.approx((1 - 2 * np.arange(7) / np.arange(12, 5, -1)).clip(-1))


def test_a_model_on_the_meta_device_has_what_its_own_initialisers_would_draw():
    with torch.device("meta"):
        trace, parameters = traced(nn.Linear(4, 4), torch.zeros(3, 4))
    found = parameter_moments(trace.graph, parameters)
    assert {name: m.second for name, m in found.items()} == pytest.approx(
        {"weight": 1 / 12, "bias": 1 / 12}
    )
    assert not propagate(trace.graph, found).obstacles_forward


def test_measured_moments_of_parameters():
    model = nn.Linear(4, 4)
    with torch.no_grad():
        model.weight.fill_(-0.5)
        model.bias.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    trace, parameters = traced(model, torch.zeros(3, 4))
    found = parameter_moments(trace.graph, parameters)
    assert found["weight"].pairs == pytest.approx(np.full((2, 2), 0.25))
    assert found["bias"].mean == 2.5
    assert found["bias"].pairs == pytest.approx(np.array([7.5, 6.25]))


def test_a_model_without_parameters_is_refused():
    with pytest.raises(InputError, match="no parameters") as error:
        traced(nn.ReLU(), torch.zeros(3))
    assert error.value.where == "ReLU"


@pytest.mark.parametrize("dtype", [torch.long, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("layer", [nn.Linear(8, 8), nn.Conv1d(8, 8, 3)], ids=["linear", "conv"])
def test_inputs_of_another_type_are_told(layer, dtype):
    x = torch.zeros(3, 8, 8, dtype=dtype)
    with pytest.raises(InputError, match=r"values where its weight is float32|cannot be called"):
        traced(nn.Sequential(layer), x)


@pytest.mark.parametrize(
    "call",
    [
        Call((torch.zeros(3, 5),), {}),
        Call((), {}),
        Call((torch.zeros(3, 8), torch.zeros(3, 8)), {}),
        Call((), {"no_such": torch.zeros(3, 8)}),
    ],
    ids=["shape", "none", "too many", "unknown name"],
)
def test_inputs_that_do_not_fit_are_told(call):
    with pytest.raises(InputError, match="cannot be called with inputs of shape") as error:
        trace(call, ModelParameters(Nested()))
    assert error.value.where == "Nested"


def state(model):
    return (
        {name: tensor.clone() for name, tensor in model.state_dict().items()},
        [module.training for module in model.modules()],
        [(p.grad, p.requires_grad, p._version) for p in model.parameters()],
        torch.random.get_rng_state().tolist(),
        [len(module._forward_hooks) for module in model.modules()],
    )


class Failing(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.norm = nn.Linear(4, 4), nn.BatchNorm1d(4)

    def forward(self, x):
        h = self.norm(self.linear(x)) + torch.rand(4)
        if h.sum() > 1e9:  # undecidable: walked
            return h
        raise ValueError("no")


@pytest.mark.parametrize("kind", ["exported", "walked", "failing"])
def test_the_model_is_left_as_it_was_found(kind):
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 4))
    if kind != "exported":
        model.append(Undecided() if kind == "walked" else Failing())
    model[0].eval()
    model[0].bias.requires_grad_(False)
    model[3].weight.grad = torch.ones(4, 4)
    before = state(model)
    if kind == "failing":
        with pytest.raises(InputError, match="ValueError: no"):
            traced(model, torch.ones(3, 4))
    else:
        traced(model, torch.ones(3, 4))
    torch.testing.assert_close(state(model), before)


class Undecided(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


def test_nothing_is_printed(capfd):
    traced(nn.Sequential(nn.Linear(4, 4), Undecided()), torch.ones(3, 4))
    traced(nn.Sequential(nn.LSTM(4, 4)), torch.ones(3, 2, 4))
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""
