"""A fix is tried on copies, both trained alike, and recommended only if it helped."""

import copy
import itertools
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from evenflow.diagnose.finding import Diagnosis, Finding, RuleOutcome
from evenflow.errors import InputError
from evenflow.report.comparison import TrainingCurve, Trial
from evenflow.torch.fix import fix, helped
from evenflow.torch.inputs import Call
from evenflow.torch.losses import Loss
from evenflow.torch.train import RATES, Examples, Training, copied, seeded

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(64, 8, generator=GENERATOR)
Y = (X[:, 0] > 0).long() + 2 * (X[:, 1] > 0).long()


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Networks this small are slower on several."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def stack(std, depth=6, width=32, dropout=0.0):
    """A tanh stack with normal weights of that standard deviation times 1/√n."""
    generator = torch.Generator().manual_seed(1)
    sizes = [8, *[width] * depth, 4]
    layers = []
    for n_in, n_out in itertools.pairwise(sizes):
        linear = nn.Linear(n_in, n_out)
        with torch.no_grad():
            linear.weight.normal_(0, std / math.sqrt(n_in), generator=generator)
            linear.bias.zero_()
        layers += [linear, nn.Tanh(), nn.Dropout(dropout)]
    return nn.Sequential(*layers[:-2])


def training(steps=30, **settings):
    settings = {"batch_size": 16, "seed": 3, "task": "on 64 examples"} | settings
    return Training(Examples(Call.of(X), Y), Loss.of("cross_entropy"), steps=steps, **settings)


def state(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def assert_same(before, after):
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


# training


def test_training_lowers_the_loss_and_starts_at_the_untrained_one():
    model = stack(1.5)
    first = training().examples.rows(torch.randperm(64, generator=torch.Generator().manual_seed(3)))
    batch = first.rows(torch.arange(16))
    expected = nn.functional.cross_entropy(model(*batch.call.args), batch.target)
    losses = list(training(steps=100).run(model, 0.1))
    assert losses[0] == pytest.approx(float(expected.detach()), rel=1e-6)
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])


def test_training_is_plain_gradient_descent():
    model = stack(1.5)
    by_hand = copied(model)
    examples = Examples(Call.of(X), Y)
    list(replace(training(steps=2, batch_size=None), examples=examples).run(model, 0.3))
    for _ in range(2):
        loss = nn.functional.cross_entropy(by_hand(X), Y)
        gradients = torch.autograd.grad(loss, list(by_hand.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(by_hand.parameters(), gradients, strict=True):
                parameter -= 0.3 * gradient
    for mine, theirs in zip(model.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_every_example_is_seen_once_in_an_epoch():
    rows = torch.arange(64.0)[:, None]
    seen = []

    class Spy(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(()))

        def forward(self, x):
            seen.extend(x[:, 0].tolist())
            return self.weight * x

    epoch = replace(training(steps=4), examples=Examples(Call.of(rows), rows), loss=Loss.of("mse"))
    list(epoch.run(Spy(), 0.0))
    assert sorted(seen) == list(range(64))
    assert seen != sorted(seen)


def test_two_runs_of_equal_networks_agree_whatever_happens_between():
    runs = [training().run(stack(1.5, dropout=0.3), 0.1) for _ in range(2)]
    losses = [[], []]
    for values in zip(*runs, strict=True):
        torch.rand(3)
        for k, value in enumerate(values):
            losses[k].append(value)
    assert losses[0] == losses[1]


def test_a_loss_that_is_no_number_ends_the_training_without_spoiling_the_weights():
    model = stack(1.5)
    with torch.no_grad():
        model[0].weight.fill_(torch.nan)
    after = state(model)["3.weight"]
    assert list(training().run(model, 0.1)) == [math.inf]
    assert torch.equal(model[3].weight, after)


def test_the_search_prefers_the_rate_that_gets_furthest_and_leaves_the_model_alone():
    model = stack(1.5)
    before, told = state(model), []
    rate = training(steps=200).best_rate(model, lambda done, of: told.append((done, of)))
    reached = {}
    for candidate in RATES:
        losses = list(training(steps=20).run(copied(model), candidate))[10:]
        reached[candidate] = sum(losses)
    assert rate == min(reached, key=reached.get)
    assert 0.01 <= rate <= 1
    assert_same(before, state(model))
    assert told == [(k, len(RATES)) for k in range(len(RATES) + 1)]


def test_accuracy_is_taken_in_evaluation_mode_and_modes_are_put_back():
    model = stack(1.5, dropout=0.9)
    model[2].eval()
    tested = training(test=Examples(Call.of(X), Y))
    expected = (copy.deepcopy(model).eval()(X).argmax(1) == Y).double().mean()
    assert tested.accuracy(model) == pytest.approx(float(expected))
    assert model.training
    assert not model[2].training


def test_data_must_agree_on_the_number_of_examples():
    with pytest.raises(InputError, match=r"first axes are \[63, 64\]"):
        _ = Examples(Call.of(X), Y[:-1]).count


def test_seeded_leaves_the_global_generator_as_it_was():
    torch.manual_seed(9)
    before = torch.get_rng_state()
    with seeded(4):
        first = torch.rand(2)
    with seeded(4):
        assert torch.equal(first, torch.rand(2))
    assert torch.equal(before, torch.get_rng_state())


def test_a_model_that_cannot_be_copied_is_refused_with_the_reason():
    model = stack(1.0)
    model.handle = (step for step in ())
    with pytest.raises(InputError, match="cannot be copied: TypeError"):
        fix(model, X)


# fix


def test_a_vanishing_network_is_helped():
    model = stack(0.02)
    compared = fix(model, X, Y, "cross_entropy", steps=60)
    assert compared.helped
    assert compared.before.diagnosis.findings
    assert len(compared.after.diagnosis.findings) < len(compared.before.diagnosis.findings)
    frequencies = torch.bincount(Y).double() / len(Y)
    guessing = float(torch.special.entr(frequencies).sum())
    assert compared.before.curve.losses[-1] == pytest.approx(guessing, abs=0.02)
    assert compared.after.curve.losses[-1] < 0.5
    assert compared.before.curve.steps == compared.after.curve.steps == tuple(range(1, 61))
    assert "14 of 14 parameters drawn anew by the scheme auto with seed 0" in compared.change


def test_a_healthy_network_is_not_said_to_be_helped():
    model = stack(1.0)
    from evenflow.torch.api import init_

    init_(model, X, "auto", seed=5)
    assert not fix(model, X, Y, "cross_entropy", steps=20).helped


def test_the_users_model_and_the_random_state_are_left_bit_for_bit():
    model = stack(0.02, dropout=0.2)
    model[0].weight.grad = torch.ones_like(model[0].weight)
    model[3].eval()
    torch.manual_seed(11)
    before, random = state(model), torch.get_rng_state()
    fix(model, X, Y, "cross_entropy", steps=10)
    assert_same(before, state(model))
    assert torch.equal(random, torch.get_rng_state())
    assert torch.equal(model[0].weight.grad, torch.ones_like(model[0].weight))
    assert all(p.grad is None for name, p in model.named_parameters() if name != "0.weight")
    assert model.training
    assert not model[3].training


def test_fix_is_a_function_of_its_arguments():
    def run(seed):
        torch.rand(seed + 1)  # whatever the global generator does must not matter
        compared = fix(stack(0.02, dropout=0.2), X, Y, "cross_entropy", steps=10, seed=seed)
        return compared.before.curve, compared.after.curve, compared.change

    assert run(0) == run(0)
    assert run(0) != run(1)


def test_without_a_loss_both_learn_random_numbers():
    compared = fix(stack(0.02), X, steps=60)
    assert "to reproduce random numbers, as no loss was given" in compared.change
    assert compared.before.curve.losses[0] == pytest.approx(1.0, abs=0.2)
    assert compared.after.curve.losses[-1] < 0.9 * compared.before.curve.losses[-1]


def test_data_is_trained_on_in_batches_and_tested():
    compared = fix(
        stack(0.02), X[:32], Y[:32], "cross_entropy",
        data=(X, Y), test=(X, Y), steps=40, batch_size=8,
    )  # fmt: skip
    assert "on 64 examples, 8 a step" in compared.change
    curve = compared.after.curve
    assert curve.test_steps[0] == 1
    assert curve.test_steps[-1] == 40
    assert curve.test_accuracies[-1] > 0.8


def test_progress_is_told_side_by_side():
    told = []
    fix(stack(0.02), X, Y, "cross_entropy", steps=5, progress=lambda *said: told.append(said))
    stages = list(dict.fromkeys(stage for stage, *_ in told))
    assert stages == [
        "checking",
        "learning rate, as it is",
        "learning rate, with the plan",
        "training, as it is",
        "training, with the plan",
    ]
    trained = [(stage, done) for stage, done, _, _ in told if stage.startswith("training")]
    assert trained == [(stage, k) for k in range(1, 6) for stage in stages[-2:]]
    assert all(math.isnan(loss) == (not stage.startswith("tr")) for stage, _, _, loss in told)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"data": (X, Y)}, "needs a loss"),
        ({"steps": 0}, "at least 1"),
        ({"scheme": "xavierr"}, "no scheme"),
        ({"loss": "hinge"}, "no loss"),
        ({"select": ["EF999"]}, "no rule"),
    ],
)
def test_what_cannot_be_done_is_refused(settings, said):
    with pytest.raises(InputError, match=said):
        fix(stack(0.02), X, **settings)


# the criterion


def trial(losses, *levels):
    found = tuple(
        Finding(f"EF{k}", "", level, "", "", "", "", "") for k, level in enumerate(levels)
    )
    diagnosis = Diagnosis((RuleOutcome("EF0", "", found),))
    return Trial(None, diagnosis, TrainingCurve(tuple(range(len(losses))), tuple(losses)))


def noisy(level):
    return [level + 0.1 * (-1) ** k for k in range(100)]


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        (trial(noisy(1.0), "error"), trial(noisy(0.5)), True),
        (trial(noisy(1.0), "error"), trial(noisy(0.5), "error"), False),
        (trial(noisy(1.0), "error"), trial(noisy(0.5), "warning", "warning"), True),
        (trial(noisy(1.0), "warning"), trial(noisy(0.5), "warning", "note"), False),
        (trial(noisy(1.0)), trial(noisy(0.5)), False),
        (trial(noisy(1.0), "error"), trial(noisy(1.05)), True),  # within the noise
        (trial(noisy(1.0), "error"), trial(noisy(1.2)), False),
        (trial([math.inf], "error"), trial(noisy(1.2)), True),
        (trial(noisy(1.0), "error"), trial([math.inf]), False),
        (trial([math.inf], "error"), trial([math.inf]), False),
    ],
)
def test_helped_asks_for_fewer_findings_and_no_worse_a_loss(before, after, verdict):
    assert helped(before, after) is verdict
