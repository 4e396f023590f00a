"""ef.check on real models: no crash, no false alarm, nothing changed, and predictions that hold."""

import copy
import math
import statistics
from collections.abc import Callable

import pytest
import torch
from torch import nn

import evenflow as ef
from evenflow.errors import InputError

from ..zoo import ZOO, Case


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("build", ZOO.values(), ids=ZOO)
def test_models_known_to_train_are_left_in_peace(build: Callable[[], Case]) -> None:
    model, inputs, target, loss = build()
    report = ef.check(model, inputs, target, loss)
    assert report.record.trace == "export"
    assert report.record.layers
    alarms = report.diagnosis.at_or_above("warning")
    assert not alarms, [(f.code, f.where, f.measured) for f in alarms]
    for layer in report.record.layers:
        assert math.isfinite(layer.predicted_forward) or layer.obstacle


def tanh_stack(depth: int, width: int = 128) -> nn.Sequential:
    layers = [m for _ in range(depth) for m in (nn.Linear(width, width), nn.Tanh())]
    return nn.Sequential(*layers, nn.Linear(width, 10))


def test_predictions_hold_on_a_deep_network() -> None:
    model, x = tanh_stack(12, 256), torch.randn(256, 256)
    ef.init_(model, x, seed=0)
    layers = ef.check(model, x).record.layers
    forward = [abs(math.log(a.forward.second_moment / a.predicted_forward)) for a in layers]
    backward = [
        abs(math.log(a.backward.second_moment / a.predicted_backward))
        for a in layers
        if a.backward is not None
    ]
    assert statistics.median(forward) < 0.03
    assert len(backward) == len(layers)
    assert statistics.median(backward) < 0.08


def test_the_model_is_left_as_it_was_found() -> None:
    model = nn.Sequential(
        nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(16, 3)
    )
    model[0].weight.requires_grad_(False)
    model[4].weight.grad = torch.ones(3, 16)
    model[1].eval()
    before = copy.deepcopy(model.state_dict())
    state = torch.random.get_rng_state()
    ef.check(model, torch.randn(32, 8, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not model[0].weight.requires_grad
    assert model[0].weight.grad is None
    assert torch.equal(model[4].weight.grad, torch.ones(3, 16))
    assert model[0].training
    assert not model[1].training
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (lambda m: nn.init.constant_(m[4].weight, 0.1), "EF302"),
        (lambda m: m[6].load_state_dict(m[4].state_dict()), "EF304"),
        (lambda m: m[4].weight.data.mul_(float("nan")), "EF305"),
    ],
)
def test_planted_faults_are_named(fault: Callable[[nn.Sequential], object], code: str) -> None:
    model, x = tanh_stack(6), torch.randn(128, 128)
    ef.init_(model, x, seed=0)
    with torch.no_grad():
        fault(model)
    found = ef.check(model, x, torch.randint(0, 10, (128,)), "cross_entropy").diagnosis.findings
    assert code in {finding.code for finding in found}


def test_an_exploded_network_is_measured_without_a_warning() -> None:
    """Warnings are errors here: infinite pre-activations must not reach an activation's slope."""
    layers = [m for _ in range(60) for m in (nn.Linear(64, 64), nn.ReLU())]
    model = nn.Sequential(*layers)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for layer in model[::2]:
            layer.weight.normal_(0, 10, generator=generator)
    report = ef.check(model, torch.randn(16, 64, generator=generator))
    assert any(f.level == "error" for f in report.diagnosis.findings)


def test_a_model_that_cannot_be_exported_is_walked() -> None:
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(8, 8)
            self.act = nn.Tanh()
            self.outer = nn.Linear(8, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = self.act(self.inner(x))
            return self.outer(h if float(h.sum()) > 0 else -h)

    report = ef.check(Branching(), torch.randn(16, 8))
    assert report.record.trace.startswith("module walk")
    rows = {layer.layer: layer for layer in report.record.layers}
    assert set(rows) == {"inner", "act", "outer"}
    assert rows["act"].backward is not None
    assert rows["act"].activation == "tanh"


@pytest.mark.parametrize(
    ("inputs", "target", "loss", "message"),
    [
        (torch.randn(4, 9), None, None, "cannot be called"),
        (torch.randn(4, 8), torch.zeros(4), None, "go together"),
        (torch.randn(4, 8), torch.zeros(4), "mse?", "no loss"),
        (torch.randn(4, 8), torch.zeros(3, dtype=torch.long), "cross_entropy", "cannot be taken"),
        (torch.full((4, 8), float("nan")), None, None, "32 of 32 values"),
        (torch.randn(0, 8), None, None, "empty"),
        ("text", None, None, "a tensor, a tuple or a mapping"),
    ],
)
def test_bad_input_gets_one_clear_message(
    inputs: object, target: torch.Tensor | None, loss: str | None, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        ef.check(nn.Linear(8, 3), inputs, target, loss)
