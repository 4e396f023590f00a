"""Wrong fan or gain: every classic mistake is recognised by its number, right scales are not."""

import math

import numpy as np
import pytest

from evenflow.diagnose import diagnose
from evenflow.diagnose.mistakes import misfits
from evenflow.record.record import WeightRecord

from .records import chain, layer, record, weight

CONV = (128, 64, 3, 3)
"""64 channels to 128, nine taps: true fans 576 and 1152."""


def conv(second: float, **more) -> WeightRecord:
    return weight(
        "w",
        "fc",
        second,
        CONV,
        **{"role": "conv", "gain_forward": 1.0, "gain_backward": 1.0, **more},
    )


def look(given: WeightRecord) -> str | None:
    """What the weight's scale is said to look like; None where it is left alone."""
    found = misfits([given])
    return found[0].looks_like if found else None


@pytest.mark.parametrize(
    "second",
    [1 / 576, 2 / 576, 2 / (576 + 1152), 4 / (576 + 1152), 25 / 9 / 576, 1.2 / 576, 0.8 / 576],
)
def test_right_scales_before_a_first_layer(second):
    assert look(conv(second)) is None


@pytest.mark.parametrize("second", [2 / 64, 4 / 128, 2 / 64 * 1.3, 2 / 64 / 1.3])
def test_right_scales_behind_relu(second):
    assert look(weight("w", second=second)) is None


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (conv(1 / (3 * 576)), "old heuristic U(±1/√n), PyTorch's default: a third"),
        (conv(1 / (3 * 1152)), "old heuristic U(±1/√n), PyTorch's default, on the weight's other"),
        (conv(1 / 64), "without the receptive field"),
        (conv(2 / (64 + 128)), "without the receptive field"),
        (conv(2 / 64), "without the receptive field"),
        (weight("w", "fc", 6 / 256, (256, 256)), "bound used as a standard deviation"),
        (conv(1 / 576**2), "a variance used as a standard deviation"),
        (conv(math.sqrt(1 / 576)), "a standard deviation used as a variance"),
        (weight("w", "fc", 4 / 256, (256, 256)), "gain applied twice"),
        (conv(1.0), "fixed standard deviation of 1,"),
        (conv(0.01**2), "fixed standard deviation of 0.01,"),
        (weight("w", "fc", 2.02 / 512, (512, 64)), "fan-out in the place of fan-in"),
        (weight("w", "fc", 1.01 / 256, (256, 256)), "1/fan-in without the activation's gain"),
        (weight("w", "fc", 2 / (64 + 128), (128, 64)), "Glorot's scheme without"),
        (weight("w", "fc", 2 / (3 * 256), (256, 256), kurtosis=1.8), "used as a uniform"),
        # A transposed convolution 64 -> 256, k4 s2: true fans 256 and 4096, by shape 4096 and 1024.
        (
            weight("w", "fc", 1 / 4096 / 3, (64, 256, 4, 4), role="conv_transpose",
                   fan_in=256, fan_out=4096),
            "old heuristic U(±1/√n), PyTorch's default, with fans read off the weight's shape",
        ),
        # A packed weight of three blocks of (256, 256), taken for one of (768, 256).
        (
            weight("w", "fc", 2 / (256 + 2048), (2048, 256), fan_in=256, fan_out=256,
                   gain_forward=1.0, gain_backward=1.0),
            "fans read off the weight's shape",
        ),
    ],
)  # fmt: skip
def test_mistakes_are_recognised(given, words):
    found = look(given)
    assert found is not None
    assert words in found


def test_orthogonal_weights_are_right_and_exact():
    """An orthogonal (512, 64) has E[w²] = g²/512 to the last digit; random draws only come near."""
    assert look(weight("w", "fc", 2 / 512, (512, 64))) is None
    assert look(weight("w", "fc", 2.02 / 512, (512, 64))) == (
        "fan-out in the place of fan-in, or a weight stored on its other axis"
    )


def test_a_scale_of_no_known_kind_has_no_name():
    assert look(conv(0.037)) == ""


@pytest.mark.parametrize("seed", range(20))
def test_sampling_noise_is_no_mistake(seed):
    """He's normal weights, drawn: 4096 of them never look wrong."""
    w = np.random.default_rng(seed).normal(0, math.sqrt(2 / 64), 4096)
    assert look(weight("w", second=float((w**2).mean()))) is None


def test_few_elements_only_confirm_what_larger_weights_show():
    small = weight("small", "a", 1 / (3 * 16) * 1.1, (8, 16), gain_forward=0.5)
    large = weight("large", "b", 1 / (3 * 256), (256, 256))
    assert look(small) is None
    assert [m.weight.name for m in misfits([small, large])] == ["small", "large"]
    assert look(weight("w", "fc", 40.0, (8, 16))) == ""


def test_tanh_in_its_bend_needs_no_gain():
    """At q = 1, E_f = 0.394 and E_b = 0.464: Glorot's plain scheme is what its author meant."""
    tanh = {"gain_forward": 0.394, "gain_backward": 0.464}
    assert look(weight("w", second=1 / 64, **tanh)) is None
    assert look(weight("w", second=25 / 9 / 64, **tanh)) is None


def scale_findings(*weights: WeightRecord, **more):
    faint = chain([1.0] * len(weights), **more)
    return [f for f in diagnose(record(faint.layers, weights)).findings if f.code == "EF301"]


def test_customary_scales_are_told_only_where_something_follows():
    default = [weight(f"fc{i}.weight", f"fc{i}", 1 / (3 * 64), kurtosis=1.8) for i in range(4)]
    assert scale_findings(*default) == []
    fading = chain([6.0**-i for i in range(4)])
    (finding,) = (f for f in diagnose(record(fading.layers, default)).findings if f.code == "EF301")
    assert finding.level == "note"
    assert finding.explains[:2] == ("EF101", "EF105")


def test_a_known_mistake_is_a_note_by_itself():
    wrong = weight("fc1.weight", "fc1", 2.02 / 512, (512, 64))
    (finding,) = scale_findings(weight("fc0.weight", "fc0"), wrong, weight("fc2.weight", "fc2"))
    assert (finding.level, finding.where) == ("note", "fc1.weight")
    assert "fan-in 64, fan-out 512" in finding.measured
    assert "multiply the standard deviation by" in finding.remedy


def test_a_hundred_times_too_much_is_a_warning():
    (finding,) = scale_findings(weight("fc0.weight", "fc0", 300 / 64), weight("b", "fc1"))
    assert finding.level == "warning"


def test_small_output_layers_and_branches_are_healthy():
    assert scale_findings(weight("a", "fc0"), weight("head.weight", "head", 1e-6)) == []
    layers = [
        layer("a", inputs=("x",)),
        layer("b", inputs=("a",)),
        layer("sum", "add", ("a", "b")),
        layer("head", inputs=("sum",)),
    ]
    weights = [weight("a.w", "a"), weight("b.w", "b", 1e-7), weight("head.w", "head")]
    assert diagnose(record(layers, weights), select=["EF301"]).findings == ()


def test_what_a_normalisation_follows_may_have_any_scale():
    layers = [
        layer("a", inputs=("x",)),
        layer("norm", "batch_norm", ("a",)),
        layer("b", inputs=("norm",)),
        layer("head", inputs=("b",)),
    ]
    for second in (1e-6, 0.1, 10.0):
        weights = [weight("a.w", "a", second), weight("b.w", "b"), weight("head.w", "head")]
        assert diagnose(record(layers, weights), select=["EF301"]).findings == ()


def test_far_too_large_weights_inside_a_normalised_network_are_told():
    """Standard normal queries and keys: nothing after the softmax puts that right."""
    layers = [
        layer("q", inputs=("x",)),
        layer("attention", "scaled_dot_product_attention", ("q",)),
        layer("out", inputs=("attention",)),
        layer("norm", "layer_norm", ("out",)),
        layer("head", inputs=("norm",)),
    ]
    weights = [weight("q.w", "q", 1.0), weight("out.w", "out"), weight("head.w", "head")]
    (finding,) = diagnose(record(layers, weights), select=["EF301"]).findings
    assert finding.where == "q.w"
