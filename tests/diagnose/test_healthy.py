"""Healthy networks: no rule says more than a note."""

import numpy as np
import pytest

from evenflow.diagnose import Diagnosis, diagnose

from .networks import (
    Network,
    Value,
    glorot,
    he,
    heuristic,
    lecun,
    mlp,
    normal,
    residual,
    start,
)

SEEDS = range(3)
zeros = normal(lambda n, m: 0.0)
gpt = normal(lambda n, m: 0.02**2)


def loud(diagnosis: Diagnosis) -> list[str]:
    return [f"{f.code} {f.where}: {f.measured}" for f in diagnosis.at_or_above("warning")]


HEALTHY = {
    "relu, He": lambda seed: mlp(seed, 10),
    "relu, He, 30 layers": lambda seed: mlp(seed, 30),
    "relu, Glorot": lambda seed: mlp(seed, 5, init=glorot),
    "relu, PyTorch's default": lambda seed: mlp(seed, 3, init=heuristic),
    "tanh, Glorot, 30 layers": lambda seed: mlp(seed, 30, activation="tanh", init=glorot),
    "tanh, the paper's heuristic": lambda seed: mlp(seed, 5, activation="tanh", init=heuristic),
    "selu, LeCun": lambda seed: mlp(seed, 20, activation="selu", init=lecun),
    "gelu, He": lambda seed: mlp(seed, 6, activation="gelu"),
    "softsign, Glorot": lambda seed: mlp(seed, 10, activation="softsign", init=glorot),
    "one logistic layer": lambda seed: mlp(seed, 1, activation="logistic", init=glorot),
    "no hidden layer": lambda seed: mlp(seed, 0, init=lecun),
    "a head of zeros": lambda seed: mlp(seed, 6, head=zeros),
    "images in [0, 1]": lambda seed: mlp(seed, 4, shift=0.5, scale=0.25),
    "widths up and down": lambda seed: mlp(seed, widths=[256, 32, 8, 32, 256]),
    "layer norm, heuristic": lambda seed: mlp(seed, 15, init=heuristic, norm=True),
    "layer norm, N(0, 0.02²)": lambda seed: mlp(seed, 15, init=gpt, norm=True),
    "residual": lambda seed: residual(seed),
    "residual, last layers zero": lambda seed: residual(seed, last=zeros),
    "residual, layer scale 1e-6": lambda seed: residual(seed, gamma=1e-6),
    "residual, ReZero without norm": lambda seed: residual(seed, gamma=0.0, norm=False),
    "residual, N(0, 0.02²)": lambda seed: residual(seed, last=gpt),
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", HEALTHY)
def test_no_alarm(name, seed):
    diagnosis = diagnose(HEALTHY[name](seed))
    assert loud(diagnosis) == []
    assert not any("failed" in outcome.skipped for outcome in diagnosis.outcomes)


@pytest.mark.parametrize("name", ["relu, He", "residual", "layer norm, heuristic"])
def test_not_even_a_note(name):
    assert diagnose(HEALTHY[name](0)).findings == ()


def test_a_skip_past_weak_layers_keeps_the_signal():
    """The branch loses a factor 1e8, but a stream runs beside it."""
    net, x, labels = start(0)
    stem = net.linear("stem", x, 128, lecun)
    h: Value = stem
    for i in range(10):
        h = net.activate(f"act{i}", net.linear(f"fc{i}", h, 128, heuristic), "relu")
    logits = net.linear("head", net.plus("sum", stem, h), 10, lecun)
    assert loud(diagnose(net.record(x, logits, labels))) == []


def test_an_adapter_that_starts_at_zero():
    net, x, labels = start(1)
    body = net.activate("act", net.linear("body", x, 128, he), "relu")
    frozen = net.linear("out", body, 10, lecun)
    down = net.linear("down", x, 8, lecun)
    up = net.linear("up", down, 10, zeros)
    record = net.record(x, net.plus("sum", frozen, up), labels)
    down_weight = next(w for w in record.weights if w.name == "down.weight")
    assert down_weight.gradient is not None
    assert down_weight.gradient.second_moment == 0
    assert loud(diagnose(record)) == []


def test_the_numpy_gradients_are_right():
    """The networks of these tests are themselves tested, by finite differences."""

    def build(nudge: float) -> tuple[float, Network]:
        net, x, labels = start(2, batch=8, inputs=6)
        h = net.activate("act", net.layer_norm("n", net.linear("a", x, 5, lecun)), "tanh")
        weight = net.parameters["a.weight"][0]
        if nudge:
            fresh, y, _ = start(2, batch=8, inputs=6)
            moved = weight.astype(np.float64)
            moved[1, 2] += nudge
            z = Value("a", "linear", y.data @ moved.T)
            h = fresh.activate("act", fresh.layer_norm("n", z), "tanh")
            fresh.rng = np.random.default_rng(9)
            out = fresh.linear("b", h, 10, lecun)
            loss = fresh.record(y, out, labels).loss
            assert loss is not None
            return loss.value, fresh
        net.rng = np.random.default_rng(9)
        out = net.linear("b", h, 10, lecun)
        loss = net.record(x, out, labels).loss
        assert loss is not None
        return loss.value, net

    _, net = build(0.0)
    up, down = build(1e-2)[0], build(-1e-2)[0]
    assert net.gradients["a.weight"][1, 2] == pytest.approx((up - down) / 2e-2, rel=1e-2)
