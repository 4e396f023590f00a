"""Single rules at their thresholds, on Records made by hand."""

import math

import pytest

from evenflow.diagnose import Finding, diagnose
from evenflow.record.record import LossRecord, Record

from .records import chain, layer, record, statistics, weight


def only(code: str, given: Record) -> list[Finding]:
    (outcome,) = diagnose(given, select=[code]).outcomes
    assert outcome.skipped == ""
    return list(outcome.findings)


def levels(code: str, given: Record) -> list[str]:
    return [finding.level for finding in only(code, given)]


def fall(factor: float, layers: int = 5) -> list[float]:
    return [factor ** -(i / (layers - 1)) for i in range(layers)]


@pytest.mark.parametrize(
    ("factor", "expected"),
    [(20, []), (40, ["note"]), (1.9e5, ["note"]), (3e5, ["warning"]), (2e12, ["error"])],
)
def test_vanishing_forward_levels(factor, expected):
    assert levels("EF101", chain(fall(factor))) == expected


@pytest.mark.parametrize(
    ("factor", "expected"), [(20, []), (40, ["note"]), (2e4, ["warning"]), (2e8, ["error"])]
)
def test_exploding_levels(factor, expected):
    rise = fall(1 / factor)
    assert levels("EF102", chain(rise)) == expected
    assert levels("EF202", chain([1.0] * 5, gradients=rise[::-1])) == expected


@pytest.mark.parametrize(
    ("factor", "expected"),
    [(20, []), (40, ["note"]), (2e6, ["note"]), (2e7, ["warning"]), (2e12, ["error"])],
)
def test_vanishing_backward_levels(factor, expected):
    assert levels("EF201", chain([1.0] * 5, gradients=fall(factor)[::-1])) == expected


def test_what_is_lost_is_put_down_to_the_larger_part():
    """The signal is second moment times share: one of the two rules speaks, never both."""
    second, share = fall(1e5), [0.9 * s for s in fall(1e3)]
    mixed = chain(second, shares=share)
    assert levels("EF101", mixed) == ["warning"]
    assert only("EF105", mixed) == []
    mixed = chain(fall(1e3), shares=[0.9 * s for s in fall(1e5)])
    assert only("EF101", mixed) == []
    assert levels("EF105", mixed) == ["warning"]


def test_an_output_layer_of_zeros_sends_no_gradient_yet():
    (outcome,) = diagnose(chain([1.0] * 4, gradients=[0.0] * 4), select=["EF201"]).outcomes
    assert "output layer may start at zero" in outcome.skipped


def test_a_gradient_before_a_normalisation_is_taken_with_its_scale():
    """x is 1e-6 before the norm and its gradient 1e6 times larger: nothing explodes."""

    def normed(second: float, gradient: float) -> Record:
        layers = [layer("a", inputs=("x",), second=second, gradient=gradient)]
        for i, op in enumerate(("linear", "linear", "linear", "layer_norm", "linear")):
            layers.append(layer(f"n{i}", op, (layers[-1].node,)))
        weights = [weight(f"{each.node}.w", each.node) for each in layers if each.op == "linear"]
        return record(layers, weights)

    assert only("EF202", normed(second=1e-9, gradient=1e9)) == []
    assert levels("EF202", normed(second=1.0, gradient=1e9)) == ["warning"]
    assert levels("EF201", normed(second=1.0, gradient=1e-9)) == ["warning"]


@pytest.mark.parametrize(
    ("op", "share", "expected"),
    [
        ("tanh", 0.5, []),
        ("tanh", 0.6, ["warning"]),
        ("tanh", 0.95, ["error"]),
        ("logistic", 0.4, []),
        ("logistic", 0.6, ["warning"]),
        ("relu", 0.9, []),
        ("elu", 0.99, ["warning"]),
    ],
)
def test_saturation_levels(op, share, expected):
    found = record([layer("act", op, ("x",), saturated_share=share)])
    assert levels("EF103", found) == expected


def test_saturation_is_told_once_for_all_layers():
    acts = [layer(f"a{i}", "tanh", ("x",), saturated_share=s) for i, s in enumerate((0.6, 0.8, 0))]
    (finding,) = only("EF103", record(acts))
    assert (finding.where, finding.others) == ("a1", ("a0",))
    assert finding.expected == "about 7%, as under pre-activations of variance 1"


def test_an_activation_of_the_users_own_has_no_curve():
    own = [layer("act", "tanh", ("x",), activation="x / (1 + |x|³)", saturated_share=0.99)]
    assert only("EF103", record(own)) == []


@pytest.mark.parametrize(
    ("dead", "units", "expected"),
    [
        (0.6, 256, []),
        (0.8, 256, ["warning"]),
        (1.0, 256, ["error"]),
        (0.8, 16, []),
        (1.0, 4, ["error"]),
    ],
)
def test_dead_levels(dead, units, expected):
    found = record([layer("act", "relu", ("x",), dead_share=dead, shape=(64, units))])
    assert levels("EF104", found) == expected


def test_mean_shift_wants_many_units_on_one_side():
    def shifted(mean: float, units: int = 64) -> Record:
        layers = [
            layer("fc", inputs=("x",), forward=statistics(1.0, mean=mean), shape=(64, units)),
            layer("act", "relu", ("fc",)),
        ]
        return record(layers, [weight("w", "fc")])

    assert only("EF106", shifted(0.5)) == []
    assert levels("EF106", shifted(-0.95)) == ["warning"]
    assert only("EF106", shifted(0.95, units=1)) == []


def test_a_mask_of_minus_infinity_is_no_fault():
    layers = [
        layer("scores", inputs=("x",)),
        layer("masked", "masked_fill", ("scores",), forward=statistics(nonfinite=100)),
        layer("softmax", "softmax", ("masked",)),
    ]
    assert only("EF107", record(layers)) == []
    spoilt = layer("softmax", "softmax", ("masked",), forward=statistics(nonfinite=8))
    (finding,) = only("EF107", record([*layers[:2], spoilt]))
    assert finding.where == "masked"
    assert finding.others == ("softmax",)


def test_a_gradient_that_is_nan_is_told_at_its_source():
    layers = [
        layer("fc", inputs=("x",), backward=statistics(nonfinite=5)),
        layer("norm", "norm", ("fc",), backward=statistics(nonfinite=1)),
        layer("head", inputs=("norm",)),
    ]
    (finding,) = only("EF204", record(layers))
    assert (finding.where, finding.others) == ("norm", ("fc",))


def test_zero_gradients_behind_a_zero_gate_are_waiting():
    still = statistics(0.0)
    zero = statistics(0.0, minimum=0.0, maximum=0.0)
    layers = [
        layer("a", inputs=("x",)),
        layer("b", inputs=("a",)),
        layer("c", inputs=("b",)),
    ]
    stuck = weight("a.w", "a", gradient=still)
    gate = weight("b.w", "b", values=zero)
    assert only("EF203", record(layers, [stuck, gate])) == []
    assert levels("EF203", record(layers, [stuck, weight("b.w", "b")])) == ["warning"]
    elsewhere = weight("g", role="other", values=zero, layers=("select",))
    assert only("EF203", record(layers, [stuck, elsewhere])) == []
    before = weight("c.w", "c", gradient=still)
    assert levels("EF203", record(layers, [before, gate])) == ["warning"]


def test_zero_biases_and_their_gradients_are_healthy():
    bias = weight("b", "fc", role="bias", values=statistics(0.0, minimum=0.0, maximum=0.0),
                  gradient=statistics(0.0), shape=(64,))  # fmt: skip
    given = record([layer("fc", inputs=("x",))], [bias])
    for code in ("EF203", "EF302", "EF303", "EF304", "EF306"):
        assert only(code, given) == []


@pytest.mark.parametrize(
    ("largest", "expected"), [(3e8, ["error"]), (4e-41, ["error"]), (0.0, []), (3.0, [])]
)
def test_memory_that_was_never_written(largest, expected):
    w = weight("w", "fc", values=statistics(1.0, minimum=-largest, maximum=largest))
    assert levels("EF306", record([layer("fc", inputs=("x",))], [w])) == expected


@pytest.mark.parametrize(
    ("mean", "variance", "found"),
    [(0.5, 1 / 12, True), (0.0, 1 / 12, False), (0.002, 1 / 64, False), (0.05, 1 / 64, True)],
)
def test_weights_with_a_mean(mean, variance, found):
    w = weight("w", "fc", values=statistics(variance + mean**2, mean=mean))
    assert levels("EF308", record([layer("fc", inputs=("x",))], [w])) == ["warning"] * found


@pytest.mark.parametrize(
    ("share", "shape", "expected"),
    [
        (0.0, (64, 64), []),
        (2 / 64, (64, 64), ["warning"]),
        (1.0, (64, 64), ["error"]),
        (1.0, (64, 1), []),
    ],
)
def test_equal_rows(share, shape, expected):
    w = weight("w", "fc", shape=shape, row_duplicates=share)
    assert levels("EF303", record([layer("fc", inputs=("x",))], [w])) == expected


def loss(kind: str, value: float, chance: float, final: str = "") -> Record:
    return record([layer("fc", inputs=("x",))], loss=LossRecord(value, kind, chance, final, 10))


LOG10 = math.log(10)


@pytest.mark.parametrize(
    ("kind", "value", "chance", "expected"),
    [
        ("cross_entropy", LOG10, LOG10, []),
        ("cross_entropy", LOG10 + 1.5, LOG10, []),
        ("cross_entropy", 6.0, LOG10, ["warning"]),
        ("cross_entropy", 60.0, LOG10, ["error"]),
        ("cross_entropy", 0.1, LOG10, ["warning"]),
        ("cross_entropy", math.nan, LOG10, ["error"]),
        ("bce_logits", 0.8, math.log(2), []),
        ("mse", 1.9, 1.0, []),
        ("mse", 40_000.0, 25.0, ["error"]),
        ("mse", 0.05, 1.0, []),
    ],
)
def test_the_loss_against_chance(kind, value, chance, expected):
    assert levels("EF401", loss(kind, value, chance)) == expected


def test_a_loss_without_a_known_chance_is_skipped():
    (outcome,) = diagnose(loss("mse", 1.0, math.nan), select=["EF401"]).outcomes
    assert outcome.skipped == "what guessing would cost is not known for the loss mse"
    (outcome,) = diagnose(loss("custom", 1.0, 1.0), select=["EF401"]).outcomes
    assert "no loss was given whose kind is known" in outcome.skipped


@pytest.mark.parametrize(
    ("kind", "final", "value", "expected"),
    [
        ("cross_entropy", "softmax", 2.3, ["error"]),
        ("cross_entropy", "log_softmax", 2.3, ["note"]),
        ("cross_entropy", "logistic", 2.3, ["warning"]),
        ("cross_entropy", "relu", 2.3, ["warning"]),
        ("cross_entropy", "tanh", 2.3, ["warning"]),
        ("cross_entropy", "", 2.3, []),
        ("cross_entropy", "gelu", 2.3, []),
        ("bce_logits", "logistic", 0.7, ["error"]),
        ("bce_logits", "softmax", 0.7, ["error"]),
        ("bce_logits", "log_softmax", 0.7, ["error"]),
        ("bce_logits", "relu", 0.7, ["warning"]),
        ("bce_logits", "", 0.7, []),
        ("bce", "logistic", 0.7, []),
        ("nll", "log_softmax", 2.3, []),
        ("nll", "softmax", -0.1, ["error"]),
        ("nll", "", -0.1, ["error"]),
        ("nll", "", 2.3, []),
        ("mse", "relu", 1.0, []),
    ],
)
def test_the_output_activation_against_the_loss(kind, final, value, expected):
    assert levels("EF402", loss(kind, value, LOG10, final)) == expected


def fed(op: str = "linear", **statistic: float) -> Record:
    x = statistics(**statistic)
    return record([layer("fc", op, ("x",))], [weight("w", "fc")], inputs={"x": x})


@pytest.mark.parametrize(
    ("mean", "sd", "expected"),
    [(0.0, 1.0, []), (0.3, 0.4, []), (0.5, 0.25, ["note"]), (2000.0, 10.0, ["warning"])],
)
def test_inputs_not_centred(mean, sd, expected):
    assert levels("EF501", fed(second=sd**2 + mean**2, mean=mean)) == expected


def test_only_a_grave_offset_explains_anything():
    (note,) = only("EF501", fed(second=0.3125, mean=0.5))
    assert note.explains == ()


@pytest.mark.parametrize(
    ("rms", "expected"),
    [(1.0, []), (0.3, []), (9.0, []), (140.0, ["warning"]), (1e-3, ["warning"])],
)
def test_inputs_not_scaled(rms, expected):
    assert levels("EF502", fed(second=rms**2)) == expected


def test_inputs_that_the_model_scales_itself_are_its_own_affair():
    for op in ("batch_norm", "div", "embedding"):
        given = record([layer("first", op, ("x",)), layer("fc", inputs=("first",))],
                       [weight("w", "fc")], inputs={"x": statistics(140.0**2)})  # fmt: skip
        assert only("EF502", given) == []


def test_constant_inputs_are_masks():
    assert only("EF501", fed(second=1.0, mean=1.0)) == []
