"""Buffers after ``to_empty``: remade by their modules' own means, or named."""

import pytest
import torch
from torch import nn

import evenflow as ef


class Rotary(nn.Module):
    def __init__(self, reset):
        super().__init__()
        self.register_buffer("table", torch.arange(4.0), persistent=False)
        if reset:
            self.reset_parameters = lambda: self.table.copy_(torch.arange(4.0))


class Masked(nn.Module):
    """A buffer beside a parameter: ``reset_parameters`` would write the parameter too."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))
        self.register_buffer("mask", torch.ones(3))

    def reset_parameters(self):
        self.weight.data.normal_()
        self.mask.fill_(1.0)


def emptied(make):
    with torch.device("meta"):
        model = make()
    model.to_empty(device="cpu")
    with torch.no_grad():
        for buffer in model.buffers():
            buffer.fill_(7)
    return model


def test_running_statistics_and_rotary_tables_come_back():
    model = emptied(lambda: nn.Sequential(nn.BatchNorm1d(3), Rotary(True)))
    state = torch.get_rng_state()
    buffers = ef.restore_buffers_(model)
    assert buffers.left == ()
    assert buffers.restored == (
        "0.running_mean", "0.running_var", "0.num_batches_tracked", "1.table"
    )  # fmt: skip
    assert model[1].table.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert model[0].running_var.tolist() == [1.0, 1.0, 1.0]
    assert torch.equal(state, torch.get_rng_state())


def test_what_has_no_means_is_named_and_left():
    model = emptied(lambda: nn.Sequential(Rotary(False), Masked()))
    before = model[1].weight.detach().clone()
    buffers = ef.restore_buffers_(model)
    assert buffers == ((), ("0.table", "1.mask"))
    assert model[0].table.tolist() == [7.0] * 4
    assert torch.equal(model[1].weight, before)


def test_methods_that_want_arguments_are_not_called():
    model = nn.Sequential(Rotary(False))
    model[0].reset_parameters = lambda size: pytest.fail("called")
    assert ef.restore_buffers_(model).left == ("0.table",)


def test_rotary_tables_of_transformers():
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, vocab_size=5,
    )  # fmt: skip
    model = emptied(lambda: transformers.LlamaModel(config))
    buffers = ef.restore_buffers_(model)
    assert buffers.left == ()
    expected = dict(transformers.LlamaModel(config).named_buffers())
    assert all(torch.equal(b, expected[n]) for n, b in model.named_buffers())
