"""``ef.gain`` of torch callables and modules agrees with the catalogue and refuses what is none."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

import evenflow as ef
from evenflow.errors import ActivationError


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (torch.tanh, "tanh"),
        (nn.GELU(), "gelu"),
        (nn.GELU(approximate="tanh"), "gelu_tanh"),
        (nn.functional.silu, "silu"),
        (nn.ReLU(inplace=True), "relu"),
        (lambda x: x / (1 + x.abs()), "softsign"),
        (nn.PReLU(), "prelu"),
        (nn.Sequential(nn.Softplus(), nn.Identity()), "softplus"),
    ],
)
@pytest.mark.parametrize("q", [0.3, 2.0])
def test_torch_activations_have_the_catalogue_s_gains(
    given: Callable[[torch.Tensor], torch.Tensor], name: str, q: float
) -> None:
    ours, theirs = ef.gain(given, q=q, mean=0.1), ef.gain(name, q=q, mean=0.1)
    for field in ("mean", "second", "forward", "backward", "chi", "q_slope"):
        assert getattr(ours, field) == pytest.approx(getattr(theirs, field), rel=1e-7), field


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda x: x * float("nan"), "NaN|finite"),
        (lambda x: x.sum(), "shape"),
        (lambda x: torch.complex(x, x), "complex|real"),
        (lambda x: torch.exp(x * x), "grow|exist"),
    ],
)
def test_what_is_no_activation_is_refused(
    given: Callable[[torch.Tensor], torch.Tensor], message: str
) -> None:
    with pytest.raises(ActivationError, match=message):
        ef.gain(given)


def test_a_module_is_left_as_it_was() -> None:
    module = nn.PReLU()
    ef.gain(module)
    assert module.weight.dtype == torch.float32
    assert module.weight.grad is None
