"""Recurrent networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from tests.bank import faults
from tests.bank.optimisers import adam, rmsprop, sgd
from tests.bank.setups import Case, Setup, faulty, sound
from tests.bank.tasks import CHAIN, MAJORITY, ROWS, SIGNS, SUMS, VOCABULARY, Task
from torch import nn


class Reader(nn.Module):
    """A recurrent layer, and what its last state says."""

    def __init__(self, cell: Callable[..., nn.Module], task: Task, width: int, **how) -> None:
        super().__init__()
        self.cell = cell(task.inputs, width, batch_first=True, **how)
        self.out = nn.Linear(width * (2 if how.get("bidirectional") else 1), task.outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        states = self.cell(x)[0]
        return self.out(states.mean(1) if self.cell.bidirectional else states[:, -1])


class Talker(nn.Module):
    """Tokens in, and at every place (or the last alone) logits out."""

    def __init__(self, cell: Callable[..., nn.Module], task: Task, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(VOCABULARY, width)
        self.cell = cell(width, width, batch_first=True)
        self.out = nn.Linear(width, task.outputs)
        self.everywhere = task is CHAIN

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        states = self.cell(self.table(tokens))[0]
        return self.out(states).transpose(1, 2) if self.everywhere else self.out(states[:, -1])


class ByHand(nn.Module):
    """h ← φ(W x + U h), step by step."""

    def __init__(self, task: Task, width: int, activation: str = "tanh") -> None:
        super().__init__()
        self.inside = nn.Linear(task.inputs, width)
        self.again = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, task.outputs)
        self.activation = getattr(torch, activation)
        nn.init.orthogonal_(self.again.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        state = self.inside(x[:, 0])
        for step in range(1, x.shape[1]):
            state = self.activation(self.inside(x[:, step]) + self.again(state))
        return self.out(state)


def setup(
    name: str, task: Task, optimiser: Callable, made: Callable[[], nn.Module], steps: int = 200
) -> Setup:
    """A recurrent network on a task."""
    return Setup("recurrent", f"{task.name}, {name}", task, made, optimiser, steps)


LSTM = setup("lstm 24, adam", ROWS, adam(1e-2), partial(Reader, nn.LSTM, ROWS, 24))
GRU = setup("gru 24, adam", ROWS, adam(1e-2), partial(Reader, nn.GRU, ROWS, 24))
TANH = setup("tanh 32, adam", ROWS, adam(3e-3), partial(Reader, nn.RNN, ROWS, 32))
RELU = setup(
    "relu 32, sgd", ROWS, sgd(0.05), partial(Reader, nn.RNN, ROWS, 32, nonlinearity="relu")
)
BOTH_WAYS = setup(
    "gru 16 both ways", ROWS, adam(1e-2), partial(Reader, nn.GRU, ROWS, 16, bidirectional=True)
)
STACKED = setup("two lstm 24", ROWS, adam(1e-2), partial(Reader, nn.LSTM, ROWS, 24, num_layers=2))
SUMMING = setup("gru 24, adam", SUMS, adam(1e-2), partial(Reader, nn.GRU, SUMS, 24), 300)
SUMMING_LSTM = setup("lstm 32, adam", SUMS, adam(1e-2), partial(Reader, nn.LSTM, SUMS, 32), 300)
LONG = replace(
    setup("gru 24, adam", SIGNS, adam(1e-2), partial(Reader, nn.GRU, SIGNS, 24)), batch=24
)
TALKER = setup("lstm 24, adam", CHAIN, adam(1e-2), partial(Talker, nn.LSTM, CHAIN, 24))
COUNTER = setup("gru 24, rmsprop", MAJORITY, rmsprop(3e-3), partial(Talker, nn.GRU, MAJORITY, 24))
BY_HAND = setup("by hand, sgd", ROWS, sgd(0.05, 0.9), partial(ByHand, ROWS, 32))
BY_HAND_RELU = setup("relu by hand, adam", ROWS, adam(3e-3), partial(ByHand, ROWS, 32, "relu"))

SLIM = setup("tanh 10, adam", ROWS, adam(1e-2), partial(Reader, nn.RNN, ROWS, 10), 300)

SOUND = (
    *(LSTM, GRU, TANH, RELU, BOTH_WAYS, STACKED, SUMMING, SUMMING_LSTM, LONG, TALKER, COUNTER),
    *(BY_HAND, BY_HAND_RELU, SLIM),
    replace(LSTM, name="rows, lstm 24, clipped at 1", clip=1.0),
    replace(TANH, name="rows, tanh 32, momentum", optimiser=sgd(0.03, 0.9)),
)


def cases() -> list[Case]:
    """All of the family."""
    return [*sound(*SOUND), *_initialisations(), *_settings(), *_silent()]


def _initialisations() -> list[Case]:
    return [
        *faulty(faults.recurrence(8), RELU),
        *faulty(faults.recurrence(10), TANH, BY_HAND),
        *faulty(faults.recurrence(3), BY_HAND_RELU),
        *faulty(faults.standard_normal(), TANH, BY_HAND),
        *faulty(faults.scaled(20), GRU, SUMMING_LSTM),
        *faulty(faults.constant(0.05), GRU, TANH, BY_HAND),
        *faulty(faults.constant(0.0), STACKED, RELU),
        *faulty(faults.symmetric(), TANH),
    ]


def _settings() -> list[Case]:
    return [
        *faulty(faults.inputs("of 0 to 255", lambda x: 100 * (x + 1)), TANH, LSTM),
        *faulty(faults.inputs("× 1e-4", lambda x: 1e-4 * x), GRU),
        *faulty(faults.DOUBLED_SOFTMAX, LSTM, COUNTER),
        *faulty(faults.LOGITS_BEFORE_NLL, GRU),
        *faulty(faults.RELU_ON_LOGITS, LSTM),
        *faulty(faults.LOGISTIC_ON_TARGETS, SUMMING),
        *faulty(faults.targets("× 1000", lambda y: 1000 * y), SUMMING_LSTM),
        *faulty(faults.rate("adam 0.5", adam(0.5), high=True), LSTM, GRU),
        *faulty(faults.rate("sgd 30", sgd(30.0), high=True), RELU),
        *faulty(faults.rate("adam 1e-7", adam(1e-7), high=False), GRU, TALKER),
        *faulty(faults.clipped(1e-3), BY_HAND),
        *faulty(faults.left_out("cell"), SLIM),
    ]


def _silent() -> list[Case]:
    return [*faulty(faults.LABELS_PERMUTED, GRU), *faulty(faults.labels_wrong(0.2, 10), LSTM)]
