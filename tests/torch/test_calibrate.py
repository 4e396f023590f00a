"""Calibration: every layer meets the plan's own second moment, and nothing else moves."""

import re

import pytest
import torch
from torch import nn

import evenflow as ef
from evenflow.errors import InputError
from evenflow.torch.inputs import Call
from evenflow.torch.noise import noise_like, noise_rows

WIDTH, DEPTH = 128, 12


def stack(activation: type[nn.Module]) -> nn.Sequential:
    return nn.Sequential(
        *[m for _ in range(DEPTH) for m in (nn.Linear(WIDTH, WIDTH), activation())]
    )


def seconds(model: nn.Sequential, x: torch.Tensor) -> list[float]:
    found = []
    with torch.no_grad():
        for module in model:
            x = module(x)
            if isinstance(module, nn.Linear):
                found.append(float(x.double().square().mean()))
    return found


def planned(model: nn.Sequential, rows: torch.Tensor) -> list[float]:
    """What the calculus says of the calibrated plan before it is corrected."""
    from evenflow.graph.propagate import propagate
    from evenflow.planning.build import build_plan
    from evenflow.torch.calibrate import planned_moments
    from evenflow.torch.names import ModelParameters
    from evenflow.torch.trace import trace
    from evenflow.torch.weights import input_moments

    parameters, call = ModelParameters(model), Call.of(rows)
    graph = trace(call, parameters).graph
    plan = build_plan(graph, "auto", calibrated=True)
    found = propagate(graph, planned_moments(plan, graph, parameters), input_moments(graph, call))
    return [found.forward[n.name].second for n in graph.nodes if n.op == "linear"]


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh, nn.SiLU])
def test_every_layer_meets_the_plan(activation: type[nn.Module]) -> None:
    model, x = stack(activation), torch.empty(4, WIDTH, device="meta")
    plan = ef.init_(model, x, seed=3, calibrate="noise")
    call = Call.of(x)
    rows = noise_like(call, torch.device("cpu"), 3, noise_rows(call)).args[0]
    expected = planned(model, rows)
    assert seconds(model, rows) == pytest.approx(expected, rel=1e-3)
    fresh = torch.randn(512, WIDTH, generator=torch.Generator().manual_seed(99))
    low, high = 0.9, 1.1
    for note in plan.notes:
        if found := re.search(r"last layer at ([\d.e+-]+) to ([\d.e+-]+) times", note):
            low, high = float(found[1]), float(found[2])
    ratios = [a / b for a, b in zip(seconds(model, fresh), expected, strict=True)]
    assert all(low <= r <= high for r in ratios)


def test_the_returned_plan_gives_the_same_weights_again() -> None:
    model, x = stack(nn.GELU), torch.randn(64, WIDTH)
    plan = ef.init_(model, x, seed=5, calibrate=x)
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    plan.apply_(model)
    assert all(torch.equal(kept[name], value) for name, value in model.state_dict().items())


def test_a_batch_with_nan_changes_nothing() -> None:
    model, x = stack(nn.Tanh), torch.full((8, WIDTH), float("nan"))
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(InputError, match="NaN"):
        ef.init_(model, x, calibrate=x)
    assert all(torch.equal(kept[name], value) for name, value in model.state_dict().items())


def test_noise_needs_a_floating_point_input() -> None:
    model = nn.Sequential(nn.Embedding(10, 8), nn.Linear(8, 2))
    with pytest.raises(InputError, match="floating-point input"):
        ef.init_(model, torch.zeros(4, 3, dtype=torch.long), calibrate="noise")


def test_unknown_calibration_is_refused() -> None:
    with pytest.raises(InputError, match='"noise" or a batch'):
        ef.init_(stack(nn.Tanh), torch.randn(2, WIDTH), calibrate="nois")


def test_meta_models_are_planned_but_not_calibrated() -> None:
    with torch.device("meta"):
        model = stack(nn.Tanh)
    x = torch.empty(4, WIDTH, device="meta")
    assert len(ef.plan(model, x)) == 2 * DEPTH
    with pytest.raises(InputError, match="meta device"):
        ef.init_(model, x, calibrate="noise")


def test_weight_normalised_layers_are_left_as_planned() -> None:
    """Rescaling a direction changes nothing, so the plan must not say that it was calibrated."""
    layers = [nn.utils.parametrizations.weight_norm(nn.Linear(64, 64)), nn.Tanh()]
    model, x = nn.Sequential(*layers, nn.Linear(64, 4)), torch.randn(128, 64)
    plan = ef.init_(model, x, calibrate=x)
    calibrated = {name for name, entry in plan.entries.items() if "calibrated" in entry.why}
    assert calibrated == {"2.weight"}
    assert not ef.check(model, x).diagnosis.findings
