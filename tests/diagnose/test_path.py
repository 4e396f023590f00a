"""The signal's path: what is alive at each cut, and trends along it."""

import math

import pytest

from evenflow.diagnose.path import alone, path
from evenflow.diagnose.trend import trend
from evenflow.diagnose.words import figure, times

from .records import chain, layer, record, statistics, weight


def test_cuts_lie_behind_hidden_layers():
    way = path(chain([1.0, 0.5, 0.25], gradients=[4.0, 2.0, 1.0]))
    assert [cut.name for cut in way.free] == ["fc0", "fc1", "fc2"]
    assert [cut.second for cut in way.free] == [1.0, 0.5, 0.25]
    assert [cut.share for cut in way.free] == pytest.approx([0.9] * 3)
    assert [cut.gradient for cut in way.free] == [4 * 4096, 2 * 4096, 4096]
    assert way.normalised == ()


def test_a_cut_sees_what_the_next_layer_reads():
    """tanh brings 400 back to 0.9: what counts is what enters the next layer."""
    layers = [
        layer("fc", inputs=("x",), second=400.0),
        layer("act", "tanh", ("fc",), second=0.9),
        layer("head", inputs=("act",)),
    ]
    way = path(record(layers, [weight("w", "fc"), weight("h", "head")]))
    assert [(cut.name, cut.second) for cut in way.free] == [("fc", 0.9)]


def test_the_strongest_of_what_is_alive_counts():
    layers = [
        layer("stem", inputs=("x",), second=2.0),
        layer("branch", inputs=("stem",), second=1e-12, gradient=1e-12),
        layer("sum", "add", ("stem", "branch"), second=2.0),
        layer("head", inputs=("sum",)),
    ]
    weights = [weight(f"{n}.w", n) for n in ("stem", "branch", "head")]
    way = path(record(layers, weights))
    assert [(cut.name, cut.second) for cut in way.free] == [("stem", 2.0), ("branch", 2.0)]
    assert alone(record(layers, weights)) == {"stem", "sum", "head"}


def test_what_lies_before_a_normalisation_is_kept_apart():
    layers = [
        layer("a", inputs=("x",)),
        layer("norm", "layer_norm", ("a",)),
        layer("b", inputs=("norm",)),
        layer("c", inputs=("b",)),
    ]
    way = path(record(layers, [weight(f"{n}.w", n) for n in "abc"]))
    assert [cut.name for cut in way.free] == ["a", "b"]
    assert way.normalised == ()
    later = [
        *layers[:1],
        layers[2].__class__(**{**vars(layers[2]), "inputs": ("a",)}),
        layer("norm", "layer_norm", ("b",)),
        layer("c", inputs=("norm",)),
    ]
    way = path(record(later, [weight(f"{n}.w", n) for n in "abc"]))
    assert [cut.name for cut in way.normalised] == ["a"]
    assert [cut.name for cut in way.free] == ["b"]


@pytest.mark.parametrize(("root", "join"), [("rsqrt", "mul"), ("linalg_vector_norm", "div")])
def test_a_normalisation_written_out_by_hand_counts_as_one(root, join):
    layers = [
        layer("a", inputs=("x",)),
        layer("size", root, ("a",)),
        layer("normed", join, ("a", "size")),
        layer("b", inputs=("a",)),
        layer("size2", root, ("b",)),
        layer("normed2", join, ("b", "size2")),
        layer("c", inputs=("normed2",)),
    ]
    way = path(record(layers, [weight(f"{n}.w", n) for n in "abc"]))
    assert [cut.name for cut in way.normalised] == ["a"]
    assert [cut.name for cut in way.free] == ["b"]


def test_masks_and_position_codes_are_not_the_signal():
    layers = [
        layer("positions", "embedding", (), second=50.0),
        layer("mask", "where", ("m",), second=1e9, gradient=None),
        layer("a", inputs=("x",), second=1.0),
        layer("sum", "add", ("a", "positions", "mask"), second=1.0),
        layer("b", inputs=("sum",)),
        layer("again", "add", ("b", "positions", "mask")),
    ]
    way = path(record(layers, [weight("a.w", "a"), weight("b.w", "b")]))
    assert [cut.second for cut in way.free] == [1.0]


def test_without_gradients_all_that_rests_on_an_input_counts():
    layers = [
        layer("a", inputs=("x",), gradient=None),
        layer("b", inputs=("a",), gradient=None),
    ]
    (cut,) = path(record(layers, [weight("a.w", "a"), weight("b.w", "b")])).free
    assert math.isnan(cut.gradient)


def test_one_example_has_no_share():
    layers = [
        layer("a", inputs=("x",), forward=statistics(correlation=math.nan)),
        layer("b", inputs=("a",)),
    ]
    (cut,) = path(record(layers, [weight("a.w", "a"), weight("b.w", "b")])).free
    assert math.isnan(cut.share)


def test_a_steady_trend_starts_at_its_first_step():
    steady = trend(list("abcd"), [1.0, 0.5, 0.25, 0.125])
    assert steady.ratio == 1 / 8
    assert steady.rate == pytest.approx(0.5)
    assert steady.start == "b"
    assert "1/8 of what it was, over 4 layers, ×0.5 each" in steady.describe("it")


def test_a_sudden_step_is_its_own_place():
    assert trend(list("abcde"), [1.0, 0.9, 1e-6, 9e-7, 8e-7]).start == "c"


def test_two_layers_make_no_trend():
    assert trend(["a", "b"], [1.0, 1e-20]).ratio == 1
    assert trend([], []).ratio == 1
    assert trend(list("abc"), [0.0, 1.0, 1.0]).ratio == 1
    assert trend(list("abcd"), [1.0, math.nan, 0.5, 0.25]).names == ("a", "c", "d")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.0, "0"),
        (1.0, "1"),
        (0.0312, "0.0312"),
        (12.53, "12.5"),
        (640.2, "640"),
        (99999.0, "99999"),
        (1.23e-7, "1.2e-7"),
        (-2.5e9, "-2.5e9"),
        (20.0, "20"),
        (300.0, "300"),
        (math.nan, "nan"),
        (math.inf, "inf"),
    ],
)
def test_figures(value, said):
    assert figure(value) == said


def test_times():
    assert times(17.0) == "17 times"
    assert times(1 / 6) == "1/6 of"
    assert times(0.0) == "nothing of"
