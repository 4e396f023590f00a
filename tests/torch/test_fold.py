"""Numbers that follow from the code alone are known to the Graph."""

import numpy as np
import pytest
import torch
from torch import nn

from evenflow.graph.moments import Moments
from evenflow.graph.propagate import propagate
from evenflow.torch.buffers import remade_buffers

from ..tracing import graph_of


class Model(nn.Module):
    """With a parameter, so that it can be traced."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(6))


def known(function, *args, model=None):
    """What a function's result is known to be; None where it is not."""
    model = model or Model()
    model.forward = lambda *given: function(*given)
    graph = graph_of(model, *args)
    return graph.values.get(graph.outputs[0])


def test_positions_and_masks_are_known():
    def mask(x):
        places = torch.arange(x.shape[1])
        return (places[None, :] <= places[:, None]).expand(x.shape[0], -1, -1)

    found = known(mask, torch.randn(4, 6))
    np.testing.assert_array_equal(found, np.broadcast_to(np.tri(6, dtype=bool), (4, 6, 6)))


def test_what_repeats_along_an_axis_is_told_as_expanded():
    def mask(tokens):
        places = torch.arange(tokens.shape[1])
        causal = places[None, :] <= places[:, None]
        return causal & (tokens >= 0)[:, None, :]

    found = known(mask, torch.ones(4, 6, dtype=torch.long))
    np.testing.assert_array_equal(found, np.broadcast_to(np.tri(6, dtype=bool), (4, 6, 6)))
    assert found.strides == (0, 6, 1)
    padded = known(mask, torch.arange(24).reshape(4, 6) - 3)
    assert padded.strides[0] != 0


def test_constants_of_the_code_are_known():
    found = known(lambda x: torch.tensor([1.0, 2.0]) * 3, torch.randn(4, 6))
    np.testing.assert_array_equal(found, [3, 6])


def test_what_depends_on_data_is_not_known():
    assert known(lambda x: x + torch.arange(6), torch.randn(4, 6)) is None


def test_what_is_drawn_or_left_unset_is_not_known():
    for make in (torch.rand, torch.empty):
        assert known(lambda x, make=make: make(3) * 2, torch.randn(4, 6)) is None


def test_indices_that_were_passed_are_known():
    tokens = torch.tensor([[1, 2, 3]])
    np.testing.assert_array_equal(known(lambda ids: ids + 1, tokens), [[2, 3, 4]])


def test_a_mask_that_was_passed_is_known():
    mask = nn.Transformer.generate_square_subsequent_mask(3)
    np.testing.assert_array_equal(known(lambda m: m + 0, mask), mask.numpy())
    assert known(lambda m: m + 0, torch.randn(3, 3)) is None


def test_a_mask_without_numbers_hides_nothing():
    model = Model()
    model.forward = lambda attention_mask: attention_mask == 1
    model.to("meta")
    graph = graph_of(model, torch.zeros(2, 3, dtype=torch.long, device="meta"))
    np.testing.assert_array_equal(graph.values[graph.outputs[0]], np.ones((2, 3), dtype=bool))


def test_a_frozen_table_is_known_and_a_learnt_one_is_not():
    model = Model()
    model.table = nn.Parameter(torch.arange(8.0), requires_grad=False)
    found = known(lambda x: model.table[:3], torch.randn(4, 6), model=model)
    np.testing.assert_array_equal(found, [0, 1, 2])
    model.table.requires_grad_()
    assert known(lambda x: model.table[:3], torch.randn(4, 6), model=model) is None


def test_writes_in_place_change_what_is_known():
    def written(x):
        mask = torch.zeros(4)
        before = mask + 1
        mask[:2] = 5.0
        return before, mask * 1

    model = Model()
    model.forward = written
    graph = graph_of(model, torch.randn(4, 6))
    before, after = (graph.values[name] for name in graph.outputs)
    np.testing.assert_array_equal(before, [1, 1, 1, 1])
    np.testing.assert_array_equal(after, [5, 5, 0, 0])


def test_what_data_was_written_to_is_not_known():
    def written(x):
        held = torch.zeros(6)
        held[:3] = x[0, :3]
        return held * 1

    assert known(written, torch.randn(4, 6)) is None


def test_the_model_keeps_its_buffers():
    model = Model()
    model.register_buffer("count", torch.zeros(1))

    def counted(x):
        model.count.add_(1)
        return x * model.scale

    known(counted, torch.randn(4, 6), model=model)
    assert model.count.item() == 0


class Rotary(nn.Module):
    """Remakes its table, as modules for the meta device do."""

    def __init__(self):
        super().__init__()
        self.register_buffer("table", torch.empty(4), persistent=False)
        self.reset_buffers()

    def reset_buffers(self):
        self.table.copy_(torch.arange(4.0))


def test_buffers_on_the_meta_device_are_remade_beside_the_model():
    with torch.device("meta"):
        model = nn.ModuleDict({"rotary": Rotary()})
    found = remade_buffers(model)
    torch.testing.assert_close(found["rotary.table"], torch.arange(4.0))
    assert model["rotary"].table.is_meta


def test_rotary_tables_of_a_model_on_the_meta_device_are_known():
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        num_hidden_layers=1,
        hidden_size=32,
        num_attention_heads=2,
        intermediate_size=64,
        vocab_size=50,
    )
    with torch.device("meta"):
        model = transformers.LlamaModel(config)
    graph = graph_of(model, input_ids=torch.zeros(2, 8, dtype=torch.long, device="meta"))
    turned = [n for n in graph.nodes if n.activation and n.activation.name.startswith("(cos")]
    expected = np.cos(np.outer(np.arange(8), 10000.0 ** -(np.arange(0, 16, 2) / 16)))
    np.testing.assert_allclose(graph.values[turned[0].name][0, :, :8], expected, atol=1e-5)


def test_known_numbers_have_moments_and_no_gradient():
    class Shifted(Model):
        def forward(self, x):
            return x * self.scale + torch.arange(6) / 6

    graph = graph_of(Shifted(), torch.randn(4, 6))
    found = propagate(graph, {"scale": Moments.constant(1.0, (6,))})
    (div,) = (name for name in graph.values if name.startswith("div"))
    assert found.forward[div].mean == pytest.approx(15 / 36)
    assert found.forward[graph.outputs[0]].second == pytest.approx(1 + 55 / 216)
    assert div not in found.backward


def test_integers_that_are_multiplied_have_moments():
    class Stretched(Model):
        def forward(self, x):
            return x * self.scale[:, None] * torch.arange(4)

    graph = graph_of(Stretched(), torch.randn(6, 4))
    derived = propagate(graph, {"scale": Moments.constant(1.0, (6,))})
    assert not derived.obstacles_forward
    assert derived.forward[graph.outputs[0]].second == pytest.approx(14 / 4)


def test_a_frozen_table_is_what_it_is():
    class Placed(Model):
        def __init__(self):
            super().__init__()
            places = torch.linspace(0, 1, 8)[:, None] * torch.ones(6)
            self.table = nn.Parameter(places, requires_grad=False)

        def forward(self, x):
            return x * self.scale + self.table

    graph = graph_of(Placed(), torch.randn(4, 8, 6))
    given = {"table": Moments.independent(0.5, 0.4, (8, 6)), "scale": Moments.constant(1.0, (6,))}
    found = propagate(graph, given).forward["table"]
    assert found.mean == pytest.approx(0.5)
    assert found.second == pytest.approx(float(np.mean(np.linspace(0, 1, 8) ** 2)))
    assert found.pairs[0, -1] == pytest.approx(found.second)  # all units are alike
