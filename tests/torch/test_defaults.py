"""What modules' own initialisers would draw, told on the meta device, against what they do draw."""

import pytest
import torch
from torch import nn

from evenflow.torch.defaults import default_moments
from evenflow.torch.names import ModelParameters


class Truncated(nn.Module):
    """A custom initialiser: truncated normal, a part of it zero."""

    def __init__(self, bound):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(400, 300))
        self.bound = bound
        self.reset_parameters()

    def reset_parameters(self):
        nn.init.trunc_normal_(self.weight, 0.1, 0.5, -self.bound, self.bound)
        with torch.no_grad():
            self.weight[:100].zero_()


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(300, 400))
        self.reset_parameters()

    def reset_parameters(self):
        nn.init.orthogonal_(self.weight, gain=3.0)
        with torch.no_grad():
            self.weight.mul_(0.5).add_(0.25)


MODULES = {
    "linear": lambda: nn.Linear(300, 200),
    "convolution": lambda: nn.Conv2d(16, 32, 5),
    "embedding with padding": lambda: nn.Embedding(200, 64, padding_idx=0),
    "attention": lambda: nn.MultiheadAttention(64, 4),
    "lstm": lambda: nn.LSTM(40, 80, num_layers=2),
    "norms": lambda: nn.Sequential(nn.LayerNorm(8), nn.BatchNorm1d(8), nn.GroupNorm(2, 8)),
    "transformer layer": lambda: nn.TransformerEncoderLayer(64, 4),
    "truncated": lambda: Truncated(1.2),
    "truncated narrowly": lambda: Truncated(0.05),
    "orthogonal": Scaled,
}


def of(model):
    return default_moments(model, {**dict(model.named_parameters()), **dict(model.named_buffers())})


@pytest.mark.parametrize("name", MODULES)
def test_defaults_are_what_is_drawn(name):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        real = MODULES[name]()
    with torch.device("meta"):
        told = of(MODULES[name]())
    for each, tensor in real.state_dict().items():
        if not tensor.is_floating_point():
            continue
        scatter = tensor.std().item() / tensor.numel() ** 0.5 if tensor.numel() > 1 else 0.0
        assert told[each].mean == pytest.approx(tensor.mean().item(), abs=4 * scatter + 1e-7)
        second = tensor.double().square().mean().item()
        assert told[each].second == pytest.approx(second, rel=6 / tensor.numel() ** 0.5, abs=1e-9)


def test_a_parameter_that_no_initialiser_writes_is_left_out():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3))
            self.linear = nn.Linear(3, 3)

    with torch.device("meta"):
        assert of(Own()).keys() == {"linear.weight", "linear.bias"}


def test_marks_of_a_transformers_model_are_left_as_found():
    from transformers import BertConfig, BertModel

    config = BertConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, vocab_size=50)
    with torch.device("meta"):
        model = BertModel(config)
    mark = "_is_hf_initialized"

    def marks():
        return [vars(each).get(mark) for each in [*model.modules(), *model.parameters()]]

    before = marks()
    assert of(model)["encoder.layer.0.attention.self.query.weight"].second == pytest.approx(4e-4)
    assert marks() == before


def test_tensors_that_have_values_keep_them():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4, device="meta"), nn.BatchNorm1d(4))
    model[2].running_mean.fill_(3.0)
    before = {name: t.clone() for name, t in model.state_dict().items() if not t.is_meta}
    state = torch.random.get_rng_state()
    assert of(model).keys() == {"1.weight", "1.bias"}
    assert torch.equal(torch.random.get_rng_state(), state)
    for name, tensor in before.items():
        assert torch.equal(model.state_dict()[name], tensor)


class Decays(nn.Module):
    """Logarithms of 1, 2, 3 …, and rates that are drawn and then worked out."""

    def __init__(self):
        super().__init__()
        self.decay = nn.Parameter(torch.empty(40, 8))
        self.rate = nn.Linear(8, 40)
        self.never = nn.Parameter(torch.empty(3))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self):
        counted = torch.arange(1, 9, dtype=torch.float32, device=self.decay.device)
        self.decay.copy_(counted.log().expand(40, -1))
        step = torch.exp(torch.rand(40, device=self.decay.device) * 4 - 7)
        self.rate.bias.copy_(step + torch.log(-torch.expm1(-step)))


def test_what_an_initialiser_computes_is_computed_in_memory():
    torch.manual_seed(0)
    with torch.device("meta"):
        model = nn.Sequential(Decays(), Decays())
    parameters = ModelParameters(model)
    assert not {"0.decay", "0.rate.bias", "0.never"} & parameters.laws.keys()
    values = parameters.values
    assert values.keys() == {f"{i}.{name}" for i in (0, 1) for name in ("decay", "rate.bias")}
    torch.testing.assert_close(values["1.decay"][3].exp(), torch.arange(1.0, 9.0))
    assert values["0.rate.bias"].max() < -2.9
    assert all(tensor.is_meta for tensor in model.parameters())


def test_nothing_large_is_made_in_memory(monkeypatch):
    monkeypatch.setattr("evenflow.torch.computed._MOST", 100)
    with torch.device("meta"):
        model = nn.Sequential(Decays())
    assert not ModelParameters(model).values


class Own(nn.Module):
    """Biases by an initialiser of one's own."""

    def __init__(self):
        super().__init__()
        self.turned, self.cut = nn.Parameter(torch.empty(64)), nn.Parameter(torch.empty(64))
        self.normal, self.packed = nn.Parameter(torch.empty(64)), nn.Parameter(torch.empty(64))
        self.reset_parameters()

    def reset_parameters(self):
        nn.init.uniform_(self.turned, -1.0, 3.0)
        nn.init.trunc_normal_(self.cut, 0.0, 1.0, 0.0, 2.0)
        nn.init.normal_(self.normal)
        with torch.no_grad():
            self.turned.mul_(-0.5).add_(1.0)
            self.packed.uniform_()[:32].zero_()


def test_vectors_have_the_law_that_is_written():
    with torch.device("meta"):
        told = of(Own())
    assert told["turned"].at_nodes.min() == pytest.approx(-0.5, abs=1e-3)
    assert told["turned"].at_nodes.max() == pytest.approx(1.5, abs=1e-3)
    assert told["cut"].at_nodes.min() == pytest.approx(0.0, abs=2e-3)
    assert told["cut"].at_nodes.max() == pytest.approx(2.0, abs=2e-3)
    assert told["normal"].law is None
    assert told["packed"].law is None
