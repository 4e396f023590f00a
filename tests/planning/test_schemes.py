"""Schemes: the classic constants, every name, and those of other packages."""

import math
from importlib.metadata import EntryPoint

import pytest

import evenflow.planning.schemes as module
from evenflow.errors import InputError
from evenflow.planning.distributions import (
    DeltaOrthogonal,
    Normal,
    Orthogonal,
    TruncatedNormal,
    Uniform,
)
from evenflow.planning.schemes import Site, formula, knows_gains, scheme, schemes

SITE = Site("linear", 300, 100)
VARIANCES = {
    "heuristic": 1 / 900,  # U(±1/√n): Glorot and Bengio 2010, eq. 1
    "lecun": 1 / 300,
    "glorot": 2 / 400,  # eq. 12
    "he": 2 / 300,
    "auto": 2 / 400,
}
FAMILIES = {"uniform": Uniform, "normal": Normal, "truncated": TruncatedNormal}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("rule", VARIANCES)
def test_every_rule_in_every_family_has_its_variance(rule, family):
    drawn = scheme(f"{rule}_{family}")(SITE)
    assert type(drawn) is FAMILIES[family]
    assert drawn.second_moment == pytest.approx(VARIANCES[rule], rel=1e-12)


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("heuristic", "uniform"),
        ("lecun", "normal"),
        ("glorot", "uniform"),
        ("he", "normal"),
        ("auto", "normal"),
    ],
)
def test_a_bare_name_is_its_authors_own_choice(name, own):
    assert scheme(name)(SITE) == scheme(f"{name}_{own}")(SITE)


def test_the_classic_bounds():
    assert scheme("glorot_uniform")(SITE).bound == pytest.approx(math.sqrt(6 / 400))  # eq. 16
    assert scheme("heuristic_uniform")(SITE).bound == pytest.approx(1 / math.sqrt(300))
    assert scheme("he_uniform")(SITE).bound == pytest.approx(math.sqrt(6 / 300))
    assert scheme("glorot_truncated")(SITE).std == pytest.approx(math.sqrt(2 / 400))


def test_auto_is_glorots_compromise_with_the_activations_own_gains():
    assert scheme("auto")(SITE).second_moment == pytest.approx(2 / (300 + 100))
    relu = Site("linear", 300, 100, forward=0.5, backward=0.5)
    assert scheme("auto")(relu).second_moment == pytest.approx(4 / (300 + 100))
    tanh = Site("linear", 300, 100, forward=0.4, backward=0.46)
    assert scheme("auto")(tanh).second_moment == pytest.approx(2 / (300 * 0.4 + 100 * 0.46))


def test_gains_matter_to_auto_alone():
    loud = Site("linear", 300, 100, forward=7.0, backward=9.0)
    for name in set(schemes()) - {"auto", "auto_uniform", "auto_normal", "auto_truncated"}:
        assert scheme(name)(loud) == scheme(name)(SITE)
        assert not knows_gains(name)
    assert knows_gains("auto_truncated")


def test_orthogonal_by_role():
    assert scheme("orthogonal")(SITE) == Orthogonal(1.0)
    assert scheme("orthogonal")(Site("conv", 9, 9)) == DeltaOrthogonal(1.0)
    assert scheme("orthogonal")(Site("conv_transpose", 9, 9)) == Orthogonal(1.0)
    stacked = Site("linear", 512, 128, (8, 512, 128))
    assert scheme("orthogonal")(stacked).std == pytest.approx(512**-0.5)


def test_formulas_are_said_of_built_in_schemes():
    assert formula("glorot_uniform") == "Var W = 2/(n_in + n_out) (Glorot and Bengio 2010, eq. 12)"
    assert formula("orthogonal") == formula("glorot_like") == formula("") == ""


def test_an_unknown_scheme_is_told_with_near_ones():
    with pytest.raises(InputError, match="there is no scheme 'xavier_uniform'") as error:
        scheme("xavier_uniform")
    assert "orthogonal" in error.value.remedy
    with pytest.raises(InputError) as error:
        scheme("glorot_unifrom")
    assert error.value.remedy.startswith("did you mean glorot_uniform")


def half(site):
    """A scheme of another package."""
    return Normal(0.5 / site.fan_in)


@pytest.fixture
def offered(monkeypatch):
    """Have another package offer a scheme."""

    def offer(name, value):
        entry = EntryPoint(name, value, "evenflow.schemes")
        monkeypatch.setattr(module, "entry_points", lambda group: [entry])
        schemes.cache_clear()

    yield offer
    schemes.cache_clear()


def test_other_packages_can_add_schemes(offered, monkeypatch):
    monkeypatch.setattr(math, "half", half, raising=False)
    offered("half", "math:half")
    assert "half" in schemes()
    assert scheme("half")(SITE) == Normal(0.5 / 300)


def test_a_built_in_name_cannot_be_taken(offered):
    offered("glorot", "math:no_such_thing")
    assert scheme("glorot")(SITE) == scheme("glorot_uniform")(SITE)


def test_a_broken_package_breaks_its_own_scheme_alone(offered):
    offered("broken", "no_such_package:scheme")
    assert scheme("he")(SITE) == scheme("he_normal")(SITE)
    with pytest.raises(InputError, match="cannot be loaded: ModuleNotFoundError") as error:
        scheme("broken")(SITE)
    assert "no_such_package:scheme" in error.value.where


def test_a_scheme_that_returns_no_distribution_is_told(offered):
    offered("numbers", "math:isnan")
    with pytest.raises(TypeError):  # the package's own fault is not hidden
        scheme("numbers")(SITE)
    offered("text", "builtins:repr")
    with pytest.raises(InputError, match="which is no distribution"):
        scheme("text")(SITE)


def test_the_table_of_schemes_cannot_be_changed():
    with pytest.raises(TypeError):
        schemes()["mine"] = half
