"""Setup: one training, from the seed to the trained network; Case: a setup and its label."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from tests.bank.tasks import Loss, Task, Tensor, score
from torch import nn

Kind = Literal["initialisation", "network", "data", "optimiser", "silent"]


@dataclass(frozen=True)
class Setup:
    """Everything that a training is made of."""

    family: str
    name: str
    task: Task
    network: Callable[[], nn.Module]
    optimiser: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
    steps: int = 200
    batch: int = 32
    loss: Loss | None = None
    """Instead of the task's own."""
    inputs: Callable[[Tensor], Tensor] = lambda x: x
    targets: Callable[[Tensor], Tensor] = lambda y: y
    clip: float = 0.0
    autocast: torch.dtype | None = None
    schedule: Callable[[torch.optim.Optimizer], Any] | None = None
    optimised: Callable[[nn.Module], Iterable[nn.Parameter]] = lambda model: model.parameters()

    @property
    def criterion(self) -> Loss:
        """The loss in force."""
        return self.loss or self.task.loss

    def data(self) -> tuple[Tensor, Tensor]:
        """All inputs and targets, as the network is given them."""
        x, y = self.task.data()
        return self.inputs(x), self.targets(y)

    def model(self, seed: int) -> nn.Module:
        """The untrained network."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return self.network()

    def first_batch(self, seed: int) -> tuple[Tensor, Tensor]:
        """What a check before the first step is given."""
        x, y = self.data()
        rows = next(self._rows(len(x), seed, 64))
        return x[rows], y[rows]

    def train(
        self,
        model: nn.Module,
        seed: int,
        watch: Callable[[nn.Module, torch.optim.Optimizer], Any] | None = None,
    ) -> list[float]:
        """Train ``model``; the loss of every step. ``watch`` makes an ``ef.watch`` or its like."""
        optimiser = self.optimiser(p for p in self.optimised(model) if p.requires_grad)
        schedule = self.schedule(optimiser) if self.schedule else None
        x, y = self.data()
        batches = self._rows(len(x), seed, self.batch)
        losses = []
        with _quiet(seed), watch(model, optimiser) if watch else contextlib.nullcontext() as w:
            for _, rows in zip(range(self.steps), batches, strict=False):
                loss = self.loss_of(model, x[rows], y[rows])
                loss.backward()
                if self.clip:
                    nn.utils.clip_grad_norm_(model.parameters(), self.clip)
                optimiser.step()
                if schedule is not None:
                    schedule.step()
                optimiser.zero_grad()
                losses.append(float(loss.detach()))
                if w is not None:
                    w.step(loss=loss)
        return losses

    def score(self, model: nn.Module) -> float:
        """How well the network has learned its data: 0 for a constant guess, 1 for no error."""
        x, y = self.data()
        model.eval()
        with torch.no_grad():
            output = model(x).float()
        model.train()
        return score(self.task.loss, output, y)

    def loss_of(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """The loss of a batch, as the training has it."""
        if self.autocast is None:
            return self.criterion(model(x), y)
        with torch.autocast("cpu", self.autocast):
            return self.criterion(model(x), y)

    @staticmethod
    def _rows(examples: int, seed: int, batch: int) -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(1000 + seed)
        while True:
            yield torch.randint(0, examples, (min(batch, examples),), generator=generator)


@contextlib.contextmanager
def _quiet(seed: int) -> Iterator[None]:
    """Dropout from ``seed``, and none of the warnings that faulty trainings call forth."""
    with warnings.catch_warnings(), torch.random.fork_rng():
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        yield


@dataclass(frozen=True)
class Fault:
    """What turns a sound setup into a faulty one, and which verdicts name it."""

    name: str
    kind: Kind
    change: Callable[[Setup], Setup]
    start: tuple[str, ...] = ()
    """Rules of which one should come first before the first step; () where it does not show."""
    course: tuple[str, ...] = ()
    """Rules of which one should come first in the training; () where it does not show."""


@dataclass(frozen=True)
class Case:
    """A setup with its label."""

    setup: Setup
    fault: Fault | None = None
    twin: Setup | None = None
    """The setup with the fault mended."""

    @property
    def family(self) -> str:
        """Family of networks."""
        return self.setup.family

    @property
    def name(self) -> str:
        """Family, setup and fault."""
        told = f": {self.fault.name}" if self.fault else ""
        return f"{self.setup.family}/{self.setup.name}{told}"

    @property
    def faulty(self) -> bool:
        """Whether a verdict is asked for; of a silent fault none is."""
        return self.fault is not None and self.fault.kind != "silent"

    @property
    def start(self) -> tuple[str, ...]:
        """Rules of which one should come first before the first step."""
        return self.fault.start if self.fault else ()

    @property
    def course(self) -> tuple[str, ...]:
        """Rules of which one should come first in the training."""
        return self.fault.course if self.fault else ()


def sound(*setups: Setup) -> list[Case]:
    """Cases without a fault."""
    return [Case(setup) for setup in setups]


def faulty(fault: Fault, *setups: Setup) -> list[Case]:
    """Each of ``setups`` with the fault."""
    return [Case(fault.change(setup), fault, setup) for setup in setups]


def changed(**fields: Any) -> Callable[[Setup], Setup]:
    """A change of some of a setup's fields."""
    return lambda setup: replace(setup, **fields)
