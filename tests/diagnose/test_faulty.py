"""Faulty networks: the root cause is found, leads, and names the place."""

import math

import numpy as np
import pytest

from evenflow.diagnose import Diagnosis, Finding, diagnose

from .networks import (
    Value,
    glorot,
    he,
    heuristic,
    lecun,
    mlp,
    normal,
    start,
    uniform,
)

SEEDS = range(3)


def constant(value: float):
    return lambda rng, n, m: np.full((m, n), value)


def rand(rng, n, m):
    """What torch.rand gives where torch.randn was meant."""
    return rng.uniform(0, 1, (m, n))


def tiled(rng, n, m):
    """A quarter of the rows, four times over."""
    return np.tile(he(rng, n, m // 4), (4, 1)) if m % 4 == 0 else he(rng, n, m)


def swapped(rng, n, m):
    return rng.normal(0, math.sqrt(2 / m), (m, n))


def truncated(rng, n, m):
    """He's σ before a cut at two of them."""
    z = rng.normal(size=4 * n * m)
    z = z[np.abs(z) < 2][: n * m]
    return math.sqrt(2 / n) * z.reshape(m, n)


big = [he, he, normal(lambda n, m: 200 / n), he, he]
FAULTS = {
    # name: (network, code of the root cause, level, place, what it is told to look like)
    "the old heuristic at depth": (
        lambda s: mlp(s, 30, activation="tanh", init=heuristic),
        ("EF301", "error", "fc0.weight", "old heuristic"),
    ),
    "ReLU's gain forgotten at depth": (
        lambda s: mlp(s, 30, init=lecun),
        ("EF301", "warning", "fc1.weight", "without the activation's gain"),
    ),
    "gain applied twice": (
        lambda s: mlp(s, 15, init=normal(lambda n, m: 4 / n)),
        ("EF301", "error", "fc1.weight", "applied twice"),
    ),
    "standard normal weights": (
        lambda s: mlp(s, 5, init=normal(lambda n, m: 1.0)),
        ("EF301", "error", "fc0.weight", "deviation of 1,"),
    ),
    "standard normal weights, tanh": (
        lambda s: mlp(s, 5, activation="tanh", init=normal(lambda n, m: 1.0)),
        ("EF301", "warning", "fc0.weight", "deviation of 1,"),
    ),
    "a bound used as a standard deviation": (
        lambda s: mlp(s, 12, init=normal(lambda n, m: 6 / n)),
        ("EF301", "error", "fc0.weight", "bound used as a standard deviation"),
    ),
    "a variance used as a standard deviation": (
        lambda s: mlp(s, 5, init=normal(lambda n, m: 1 / n**2), activation="tanh"),
        ("EF301", "warning", "fc0.weight", "variance used as a standard deviation"),
    ),
    "a standard deviation used as a bound": (
        lambda s: mlp(s, 16, init=uniform(lambda n, m: 2 / (3 * n))),
        ("EF301", "warning", "fc1.weight", "used as a uniform distribution's bound"),
    ),
    "logistic units at depth": (
        lambda s: mlp(s, 8, activation="logistic", init=glorot),
        ("EF105", "warning", "fc1", "1/"),
    ),
    "weights drawn from [0, 1)": (
        lambda s: mlp(s, 4, init=rand),
        ("EF308", "error", "fc0.weight", "beside a standard deviation of 0.2"),
    ),
    "constant weights": (
        lambda s: mlp(s, 4, init=[he, constant(0.1), he, he, he]),
        ("EF302", "error", "fc1.weight", "0.1"),
    ),
    "all weights zero": (
        lambda s: mlp(s, 4, init=constant(0.0)),
        ("EF302", "error", "fc0.weight", "are 0"),
    ),
    "rows repeated": (
        lambda s: mlp(s, 4, init=tiled),
        ("EF303", "error", "fc0.weight", "100%"),
    ),
    "dead biases": (
        lambda s: mlp(s, 4, bias=-20.0),
        ("EF106", "error", "fc0", "mean of -20"),
    ),
    "pixels of 0 to 255 into tanh": (
        lambda s: mlp(s, 4, activation="tanh", init=glorot, scale=128.0, shift=128.0),
        ("EF502", "error", "x", "root mean square"),
    ),
}


def root(diagnosis: Diagnosis) -> Finding:
    return diagnosis.findings[0]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", FAULTS)
def test_the_root_cause_leads(name, seed):
    build, (code, level, where, told) = FAULTS[name]
    finding = root(diagnose(build(seed)))
    assert (finding.code, finding.level) == (code, level)
    assert finding.where == where
    assert told in finding.measured
    assert finding.follows == ""


@pytest.mark.parametrize("seed", SEEDS)
def test_vanishing_is_told_once_with_its_rate(seed):
    """30 tanh layers under U(±1/√n): the second moment falls to a third in each."""
    diagnosis = diagnose(mlp(seed, 30, activation="tanh", init=heuristic))
    codes = [(f.code, f.follows) for f in diagnosis.findings]
    assert codes == [("EF301", ""), ("EF101", "EF301"), ("EF201", "EF301")]
    cause, forward, backward = diagnosis.findings
    assert len(cause.others) == 29  # all hidden layers; the output layer may be small
    for finding in (forward, backward):
        rate = float(finding.measured.split("×")[1].split(" each")[0])
        assert rate == pytest.approx(1 / 3, rel=0.1)


def test_one_layer_at_fault_is_the_place():
    """One weight of ten million times too little variance, in an otherwise sound network."""
    inits = [he] * 3 + [normal(lambda n, m: 2e-7 / n)] + [he] * 5
    diagnosis = diagnose(mlp(0, 8, init=inits))
    assert [(f.code, f.where) for f in diagnosis.findings[:2]] == [
        ("EF301", "fc3.weight"),
        ("EF101", "fc3"),
    ]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_other_axis_is_recognised(seed):
    """Fan-out for fan-in where widths alternate: half of the layers are 8 times too large."""
    widths = [512, 64] * 3
    findings = diagnose(mlp(seed, init=swapped, widths=widths)).findings
    found = [f for f in findings if f.code == "EF301"]
    assert all("fan-out in the place of fan-in" in f.measured for f in found)
    named = [{f.where, *f.others} for f in found]
    large, small = sorted(named, key=lambda names: "fc1.weight" not in names)
    assert large >= {"fc1.weight", "fc3.weight", "fc5.weight"}
    assert small >= {"fc2.weight", "fc4.weight"}


def test_a_truncation_not_reckoned_with():
    diagnosis = diagnose(mlp(0, 6, init=truncated))
    assert [(f.code, f.level) for f in diagnosis.findings] == [("EF307", "note")]
    kept = 0.8796
    sigma = math.sqrt(2 / 64)
    measured = float(root(diagnosis).measured.rsplit(" ", 1)[1])
    assert measured == pytest.approx(sigma * kept, rel=0.02)
    expected = float(root(diagnosis).expected.split(",")[0])
    assert expected == pytest.approx(sigma, rel=0.02)


def test_a_truncation_at_depth_is_as_grave_as_what_follows():
    diagnosis = diagnose(mlp(0, 60, width=64, init=truncated))
    assert (root(diagnosis).code, root(diagnosis).level) == ("EF307", "warning")
    assert "EF101" in [f.code for f in diagnosis.findings if f.follows == "EF307"]


def test_gradients_explode_while_tanh_hides_it():
    """σ_w² = 6: activations stay bounded, gradients grow with χ₁ per layer."""
    diagnosis = diagnose(mlp(1, 40, activation="tanh", init=normal(lambda n, m: 6 / n)))
    assert "EF202" in [f.code for f in diagnosis.at_or_above("warning")]
    assert "EF102" not in [f.code for f in diagnosis.findings]


def test_bounded_units_saturate():
    record = mlp(0, 3, activation="tanh", init=[normal(lambda n, m: 400 / n)] + [glorot] * 3)
    findings = {f.code: f for f in diagnose(record).findings}
    assert findings["EF103"].where == "act0"
    assert findings["EF103"].level == "error"
    assert "fc0.weight" in findings["EF301"].where


def test_a_normalisation_forgives_scale_but_not_epsilon():
    """Before layer norm a factor 1e-2 a layer is nothing; a variance under its ε is not."""
    small = normal(lambda n, m: 1e-2 / n)
    assert not diagnose(mlp(0, 5, init=small, norm=True)).at_or_above("warning")
    net, x, labels = start(0)
    h: Value = x
    for i in range(5):
        h = net.activate(f"act{i}", net.linear(f"fc{i}", h, 128, small), "relu")
    h = net.layer_norm("norm", h)
    record = net.record(x, net.linear("head", h, 10, lecun), labels)
    assert "EF101" in [f.code for f in diagnose(record).at_or_above("warning")]


def test_collapse_before_a_layer_norm_is_seen():
    """Layer norm puts the scale right, but not what examples have in common."""
    net, x, labels = start(0)
    h: Value = x
    for i in range(8):
        h = net.activate(f"act{i}", net.linear(f"fc{i}", h, 128, glorot), "logistic")
    h = net.layer_norm("norm", h)
    record = net.record(x, net.linear("head", h, 10, lecun), labels)
    finding = root(diagnose(record))
    assert (finding.code, finding.level) == ("EF105", "warning")


def test_a_residual_stream_that_doubles():
    """Unscaled branches without normalisation: the stream doubles in each of 30 blocks."""
    net, x, labels = start(0)
    h = net.linear("stem", x, 128, lecun)
    for i in range(30):
        h = net.plus(f"sum{i}", h, net.linear(f"branch{i}", h, 128, lecun))
    record = net.record(x, net.linear("head", h, 10, lecun), labels)
    finding = root(diagnose(record))
    assert (finding.code, finding.level) == ("EF102", "error")
    assert float(finding.measured.split("×")[1].split(" each")[0]) == pytest.approx(2, rel=0.05)


def test_clones_side_by_side_and_on_end():
    net, x, labels = start(0)
    copy = he(net.rng, 64, 64)

    def cloned(rng, n, m):
        return copy

    left, right = net.linear("left", x, 64, cloned), net.linear("right", x, 64, cloned)
    h = net.activate("act", net.plus("sum", left, right), "relu")
    h = net.activate("act2", net.linear("later", h, 64, cloned), "relu")
    record = net.record(x, net.linear("head", h, 10, lecun), labels)
    findings = [f for f in diagnose(record).findings if f.code == "EF304"]
    assert [(f.level, f.where) for f in findings] == [
        ("warning", "right.weight"),
        ("note", "later.weight"),
    ]


@pytest.mark.filterwarnings("ignore:invalid value")
def test_nan_is_traced_to_where_it_came_from():
    def broken(rng, n, m):
        w = he(rng, n, m)
        w[3, 5] = np.nan
        return w

    diagnosis = diagnose(mlp(0, 3, init=[he, broken, he, he]))
    assert [(f.code, f.where, f.follows) for f in diagnosis.findings[:4]] == [
        ("EF305", "fc1.weight", ""),
        ("EF107", "fc1", "EF305"),
        ("EF204", "head", "EF305"),
        ("EF401", "model", "EF305"),
    ]
    assert not any("failed" in outcome.skipped for outcome in diagnosis.outcomes)


@pytest.mark.filterwarnings("ignore:invalid value")
def test_nan_in_the_batch():
    net, x, labels = start(0)
    x.data[0, 0] = np.nan
    h = net.activate("act", net.linear("fc", x, 64, he), "relu")
    record = net.record(x, net.linear("head", h, 10, lecun), labels)
    assert root(diagnose(record)).code == "EF503"


def test_a_network_cut_in_two_by_a_detach():
    net, x, labels = start(0)
    before = net.linear("before", x, 64, he)
    cut = Value("cut", "detach", before.data, (before,), None)
    net.add_value(cut)
    h = net.activate("act", net.linear("after", cut, 64, he), "relu")
    record = net.record(x, net.linear("head", h, 10, lecun), labels)
    finding = root(diagnose(record))
    assert (finding.code, finding.level, finding.where) == ("EF203", "error", "before.weight")
    assert finding.others == ("before.bias",)


def test_an_output_that_the_loss_does_not_use_is_no_cut():
    net, x, labels = start(0)
    h = net.activate("act", net.linear("fc", x, 64, he), "relu")
    net.linear("pooler", h, 64, lecun)
    record = net.record(x, net.linear("head", h, 10, lecun), labels)
    assert diagnose(record).findings == ()


def test_a_parameter_never_read_is_a_note():
    net, x, labels = start(0)
    h = net.activate("act", net.linear("fc", x, 64, he), "relu")
    logits = net.linear("head", h, 10, lecun)
    net.parameters["spare"] = (np.ones((4, 4), dtype=np.float32), "unused", [])
    assert [
        (f.code, f.level, f.where) for f in diagnose(net.record(x, logits, labels)).findings
    ] == [("EF203", "note", "spare")]


def test_frozen_parameters_are_left_alone():
    net, x, labels = start(0)
    h = net.activate("act", net.linear("fc", x, 64, constant(0.1)), "relu")
    logits = net.linear("head", h, 10, lecun)
    net.trainable["fc.weight"] = False
    codes = [f.code for f in diagnose(net.record(x, logits, labels)).findings]
    assert "EF302" not in codes
