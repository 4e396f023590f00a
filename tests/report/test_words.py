import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from evenflow.report.words import figure, many, percent, printable, shape, short, times


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (0.031, "0.0310"),
        (1.0, "1.00"),
        (-12.54, "-12.5"),
        (999.4, "999"),
        (999.6, "1000"),
        (4096.0, "4096"),
        (99999.0, "99999"),
        (100000.0, "1.00e5"),
        (0.000999, "9.99e-4"),
        (1.234e-7, "1.23e-7"),
        (float("nan"), "–"),
        (float("inf"), "∞"),
        (float("-inf"), "−∞"),
    ],
)
def test_figure_says_three_digits(value, said):
    assert figure(value) == said


@given(st.floats(-1e308, 1e308, allow_subnormal=False))
def test_figure_is_within_half_a_unit_of_the_third_digit(value):
    assume(value != 0)
    assert math.isclose(float(figure(value)), value, rel_tol=0.0051)


@pytest.mark.parametrize(
    ("share", "said"),
    [(0, "0 %"), (0.001, "<1 %"), (0.5, "50 %"), (1, "100 %"), (-0.001, "0 %"), (math.nan, "–")],
)
def test_percent(share, said):
    assert percent(share) == said


@pytest.mark.parametrize(
    ("ratio", "said"),
    [
        (1.0, "stays level (×1.00)"),
        (0.5, "stays level (×0.500)"),
        (0.25, "shrinks 4.00-fold"),
        (107.0, "grows 107-fold"),
        (0.0, "is lost on the way"),
        (math.inf, "is lost on the way"),
        (math.nan, "is lost on the way"),
    ],
)
def test_times_names_what_a_ratio_means(ratio, said):
    assert times(ratio) == said


def test_many_and_shape():
    assert [many(1, "rule"), many(0, "rule"), many(2, "rule")] == ["1 rule", "0 rules", "2 rules"]
    assert [shape((3, 4)), shape(())] == ["3 × 4", "scalar"]


@given(st.text(alphabet=st.characters(codec=None)))
def test_printable_leaves_nothing_that_a_terminal_would_act_on(text):
    assert printable(text).isprintable()


def test_printable_escapes_control_sequences_and_changes_of_direction():
    assert printable("\x1b[31mred\u202e\udcff a\n b") == r"\x1b[31mred\u202e\udcff a b"
    assert printable("E[x²] = ½ · σ") == "E[x²] = ½ · σ"


@given(st.text(), st.integers(3, 40))
def test_short_keeps_both_ends(text, limit):
    line, cut = printable(text), short(text, limit)
    assert len(cut) <= limit
    if len(line) > limit:
        head, _, tail = cut.rpartition("…")
        assert line.startswith(head)
        assert line.endswith(tail)
    else:
        assert cut == line
