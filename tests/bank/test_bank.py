"""The bank is well formed, and a few of its cases go all the way."""

from collections import Counter

import pytest
import torch
from tests.bank.halves import bank, halves

import evenflow as ef
from evenflow.diagnose.training.registry import every_rule

CASES = {case.name: case for case in bank()}


def test_it_is_as_large_as_promised_and_names_each_case_once():
    counts = Counter(case.faulty for case in bank())
    assert counts[True] >= 80
    assert counts[False] >= 80
    assert len(CASES) == len(bank())


def test_the_halves_share_every_family_and_kind_evenly():
    first, second = halves()
    assert sorted(case.name for case in (*first, *second)) == sorted(CASES)

    def strata(half):
        return Counter((case.family, case.fault.kind if case.fault else "") for case in half)

    for stratum, count in strata(bank()).items():
        assert abs(strata(first)[stratum] - strata(second)[stratum]) == count % 2


def test_labels_are_codes_of_rules_that_there_are():
    known = {rule.code for rule in every_rule()}
    for case in bank():
        assert {*case.start, *case.course} <= known, case.name
        assert case.faulty == bool(case.start or case.course), case.name


@pytest.mark.parametrize("part", range(4))
def test_every_case_builds_and_has_a_loss_with_gradients(part):
    for case in bank()[part::4]:
        setup = case.setup
        model = setup.model(0)
        x, y = setup.first_batch(0)
        loss = setup.loss_of(model, x, y)
        assert loss.numel() == 1, case.name
        assert loss.requires_grad, case.name
        given = [p for p in setup.optimised(model) if p.requires_grad]
        assert given, case.name


def test_a_case_is_the_same_each_time():
    setup = CASES["perceptron/digits, relu 3x48, sgd"].setup
    state = torch.random.get_rng_state()
    one, two = (setup.train(setup.model(3), 3) for _ in range(2))
    assert one == two
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize(
    "name",
    [
        "perceptron/digits, relu 3x48, sgd",
        "residual/images, 2 of 12, batch norm, adam",
        "perceptron/digits, relu 3x48, sgd: doubled softmax",
        "perceptron/digits, relu 4x32, adam: learning rate high, adam 0.5",
        "recurrent/rows, tanh 32, adam: symmetric units",
        "auto-encoder/pictures, strided, adam: symmetric units",
    ],
)
def test_the_verdict_is_the_label(name, tmp_path):
    case = CASES[name]
    watches = []

    def watch(model, optimiser):
        watches.append(ef.watch(model, optimizer=optimiser, out=tmp_path))
        return watches[0]

    case.setup.train(case.setup.model(0), 0, watch)
    found = [f for f in watches[0].findings().at_or_above("warning") if not f.follows]
    assert bool(found) == case.faulty
    assert not found or found[0].code in case.course
