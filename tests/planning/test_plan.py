"""The Plan as a value: shown, edited, cut down, compared."""

import pytest

from evenflow.errors import InputError, PlanError
from evenflow.planning.distributions import Blocks, Constant, Normal, Uniform
from evenflow.planning.plan import Entry, Plan, rows


def plan():
    weight = Entry((4, 4), Uniform(0.5), "linear: fans (4, 4), Var W = 2/(n_in + n_out)")
    bias = Entry((4,), Constant(0.0), "bias: zero, so that it moves no mean")
    layers = {
        f"layers.{index}.{kind}": entry
        for index in range(3)
        for kind, entry in (("weight", weight), ("bias", bias))
    }
    head = {"head.weight": Entry((2, 4), None, "left as found: frozen")}
    return Plan("glorot", layers | head, ("note one",))


def test_it_prints_as_a_table_that_groups_repeated_layers():
    assert str(plan()) == (
        "Plan · scheme glorot · 7 parameters\n"
        "\n"
        "layers.*.weight (×3)  U(±0.5)        linear: fans (4, 4), Var W = 2/(n_in + n_out)\n"
        "layers.*.bias (×3)    zeros          bias: zero, so that it moves no mean\n"
        "head.weight           left as found  left as found: frozen\n"
        "\n"
        "• note one"
    )


def test_only_numbers_that_are_a_whole_part_of_a_name_are_grouped():
    entry = Entry((1,), Constant(0.0), "bias")
    names = ("0.bias", "7.bias", "conv1.bias", "conv2.bias")
    text = str(Plan("auto", dict.fromkeys(names, entry)))
    assert "*.bias (×2)" in text
    assert "conv1.bias" in text
    assert "conv2.bias" in text


def test_an_empty_plan_prints():
    assert str(Plan("auto", {})) == "Plan · scheme auto · 0 parameters\n"


def test_rows_name_every_parameter():
    assert rows(plan())[-1] == ("head.weight", "left as found", "left as found: frozen")
    assert len(rows(plan())) == len(plan()) == 7
    assert list(plan())[:2] == ["layers.0.weight", "layers.0.bias"]


def test_one_parameter_is_set_by_name():
    edited = plan()
    edited["head.weight"] = Normal(0.02)
    assert edited["head.weight"] == Entry((2, 4), Normal(0.02), "set by hand")
    assert plan().diff(edited).changed == {"head.weight": (None, Normal(0.02))}


def test_many_are_set_by_a_pattern():
    edited = plan()
    edited["layers.*.weight"] = None
    assert [name for name in edited if edited[name].distribution is None] == [
        "layers.0.weight",
        "layers.1.weight",
        "layers.2.weight",
        "head.weight",
    ]


def test_a_name_that_nothing_has_is_refused_with_near_ones():
    with pytest.raises(InputError, match=r"'head\.wieght'") as error:
        plan()["head.wieght"]
    assert "head.weight" in error.value.remedy
    edited = plan()
    with pytest.raises(InputError, match="'nothing\\*'"):
        edited["nothing*"] = Normal(1.0)
    assert edited == plan()


def test_blocks_must_fill_what_they_are_set_on():
    edited = plan()
    edited["head.weight"] = Blocks(0, (1, 1), (Normal(1.0), Normal(2.0)))
    with pytest.raises(PlanError, match="do not fill"):
        edited["layers.*"] = Blocks(0, (2, 1), (Normal(1.0), Normal(2.0)))
    assert edited["layers.0.weight"] == plan()["layers.0.weight"]


def test_a_part_of_it_leaves_the_rest_as_found():
    part = plan().only("head.*", "layers.2.*")
    chosen = {n for n in part if part[n].why != "left as found: not selected"}
    assert chosen == {"head.weight", "layers.2.weight", "layers.2.bias"}
    assert part["layers.2.weight"] == plan()["layers.2.weight"]
    assert part["layers.0.weight"].distribution is None
    assert list(part) == list(plan())
    with pytest.raises(InputError, match="'tail'"):
        plan().only("head.*", "tail")


def test_equal_plans_have_no_difference():
    assert not plan().diff(plan())
    assert str(plan().diff(plan())) == "no difference"


def test_every_difference_is_named():
    other = plan()
    del other.entries["layers.0.bias"]
    other.entries["tail.weight"] = Entry((3,), Constant(1.0), "")
    other["layers.1.weight"] = Uniform(0.25)
    difference = plan().diff(other)
    assert difference
    assert str(difference) == (
        "− layers.0.bias\n+ tail.weight\n~ layers.1.weight: U(±0.5) → U(±0.25)"
    )
