"""The main job: the paper's network, what is wrong with it, the fix, and what that brings.

Glorot and Bengio 2010: five hidden tanh layers of 1000 units under the heuristic U(±1/√n), biases
zero, mini-batches of 10, plain gradient descent, statistics on 300 examples. The images are
handwritten digits of 8×8 pixels.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from evenflow.planning.plan import rows
from evenflow.report.report import PlanRow, Report
from evenflow.study.digits import digits
from evenflow.study.registry import Progress
from evenflow.torch import api
from evenflow.torch.fix import fix
from evenflow.torch.train import seeded

WIDTHS = (64, 1000, 1000, 1000, 1000, 1000, 10)
STEPS = 400
EXAMPLES = 300
"""On which the network is checked."""


def network() -> torch.nn.Sequential:
    """The multilayer perceptron, as torch initialises it."""
    layers: list[torch.nn.Module] = []
    for n_in, n_out in itertools.pairwise(WIDTHS):
        layers += [torch.nn.Linear(n_in, n_out), torch.nn.Tanh()]
    return torch.nn.Sequential(*layers[:-1])


@contextmanager
def one_thread() -> Iterator[None]:
    """torch computes on one core inside, so that sums and figures are the same on any machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def run(seed: int, progress: Progress) -> Report:
    """Check the network under the heuristic, fix it, and train both versions side by side."""
    train, test = digits(seed)
    batch, classes = train.images[:EXAMPLES], train.classes[:EXAMPLES]
    with one_thread(), seeded(seed):
        model = network()
        api.init_(model, batch, "heuristic", seed=seed)
        comparison = fix(
            model,
            batch,
            classes,
            "cross_entropy",
            data=train,
            test=test,
            steps=STEPS,
            batch_size=10,
            seed=seed,
            progress=progress,
        )
    before = comparison.before
    return Report(
        title="Five hidden tanh layers of 1000 units, under the heuristic of 2010",
        record=before.record,
        diagnosis=before.diagnosis,
        plan=tuple(PlanRow(*row) for row in rows(api.plan(model, batch))),
        comparison=comparison,
        command=f"evenflow study run main-job --seed {seed}",
        versions=before.record.versions,
    )
