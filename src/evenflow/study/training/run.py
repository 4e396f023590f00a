"""The course of a training: batches, evaluations and looks at the layers, from one to the next.

Its whole state is arrays, so that it can be saved at any step and goes on from there to the same
numbers: a batch is a pure function of (seed, step), and no generator is drawn from.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evenflow.study.data import DataSet
from evenflow.study.statistics import EXAMPLES, Look, jacobians, observe
from evenflow.study.training.bank import Bank
from evenflow.study.training.pretraining import Denoising
from evenflow.study.training.step_sizes import Scaled
from evenflow.study.training.stepping import stepper
from evenflow.study.trial import BATCH, Trial

State = dict[str, NDArray[np.generic]]
"""Everything of one network's training, by name."""

_TENSOR = "state."
"""Marks what is needed to go on, and is not kept of a finished trial."""
DONE = f"{_TENSOR}done"
"""Updates made, updates since the last evaluation, steps of pre-training made."""
ON_THE_WAY = 2000
"""Errors before the end of a training are taken on so many images."""
EXAMPLES_KEPT = 14
"""Test images that every result keeps, to show what was trained on."""
_CHECKED = 20
"""Updates from one look to the next whether a cost is finite: on a GPU it waits for the step."""
_AT_ONCE = 1000
"""Test images that go through the networks together."""


class Course:
    """The training of N trials of one shape, side by side; N is 1 on a processor.

    The trials agree in all but scheme, rate and seed.
    """

    def __init__(self, trials: Sequence[Trial], data: Sequence[DataSet], device: str) -> None:
        """Start anew; ``data`` has the data set of each trial, under its own seed."""
        self.trials, self.data = trials, data
        self.device = torch.device(device)
        first, shape = trials[0], data[0]
        classes = len(shape.classes)
        drawn = [t.network.weights(shape.input_dim, classes, t.seed) for t in trials]
        weights = [
            torch.from_numpy(np.stack(layer)).to(self.device) for layer in zip(*drawn, strict=True)
        ]
        rates = [trial.rate for trial in trials]
        network = first.network
        self.bank = Bank(weights, network.activation, network.cost, rates, BATCH)
        self._batches = [self.bank.inputs.cpu(), self.bank.targets.cpu()]
        self.update = 0
        self._cost = torch.zeros(len(trials), dtype=torch.float64, device=self.device)
        self._since = 0
        self._seen: list[dict[str, list[NDArray[np.generic]]]] = [{} for _ in trials]
        self._evaluated, self._observed = set(first.evaluated_at()), set(first.observed_at())
        rows = _evenly(len(shape.test.labels), EXAMPLES)
        self._fixed = shape.test.images[rows], shape.test.labels[rows]
        self._scaled = None if first.method == "plain" else Scaled(self.bank, first.method)
        self._step = stepper(self.bank)
        kept = self._fixed[0][_evenly(len(rows), EXAMPLES_KEPT)]
        examples = (255 * kept).round().astype(np.uint8)
        for n in range(len(trials)):
            self._note(n, "examples", examples)
        self._denoising = Denoising(self.bank, first.pretraining, [t.seed for t in trials])
        if self._denoising.over:
            self._look()

    @property
    def over(self) -> bool:
        """Whether every update was made, or no network was seen to have a finite cost any more."""
        if self.update >= self.trials[0].updates:
            return True
        return self.update % _CHECKED == 0 and not bool(self._cost.isfinite().any())

    def advance(self, most: int) -> None:
        """Make up to ``most`` updates, and look wherever the trials say so."""
        last = min(self.update + most, self.trials[0].updates)
        if not self._denoising.over:
            self._pretrain(most)
            return
        while self.update < last and not self.over:
            self._load(self.update)
            if self._scaled:
                self._scaled.step(self.update)
            else:
                self._step()
            self._cost += self.bank.losses
            self.update += 1
            self._since += 1
            if self.update in self._evaluated or self.update in self._observed:
                self._look()

    def states(self) -> list[State]:
        """The state of each trial; ``resume`` goes on from it."""
        states = self.seen()
        for n, state in enumerate(states):
            for name, tensor in self._tensors().items():
                state[_TENSOR + name] = tensor[n].cpu().numpy()
            done = (self.update, self._since, self._denoising.done)
            state[DONE] = np.array(done, dtype=np.int64)
        return states

    def seen(self) -> list[State]:
        """What was seen of each trial so far, by name; the first axis is time."""
        return [{key: np.stack(rows) for key, rows in seen.items()} for seen in self._seen]

    def resume(self, states: Sequence[State]) -> None:
        """Go on from states that were all saved after the same number of updates."""
        for n, state in enumerate(states):
            for name, tensor in self._tensors().items():
                tensor[n] = torch.from_numpy(state[_TENSOR + name])
            self.update, self._since, self._denoising.done = state[DONE].tolist()
            self._seen[n] = {
                key: list(rows) for key, rows in state.items() if not key.startswith(_TENSOR)
            }

    def _tensors(self) -> dict[str, Tensor]:
        """Every tensor that later numbers depend on, by name; the first axis is the network's."""
        lists = {"weight": self.bank.weights, "bias": self.bank.biases}
        lists["denoising"] = self._denoising.biases
        if self._scaled:
            lists |= {"moment": self._scaled.moments, "factor": self._scaled.factors}
        named = {f"{kind}.{k}": t for kind, tensors in lists.items() for k, t in enumerate(tensors)}
        return named | {"cost": self._cost}

    def _pretrain(self, most: int) -> None:
        """Up to ``most`` steps of pre-training, on the batches that training will see again."""
        for _ in range(most):
            self._load(self._denoising.done)
            self._denoising.step()
            if self._denoising.over:
                self._look()
                return

    def _load(self, update: int) -> None:
        """Put the batch of that number before each network, in one transfer for all."""
        inputs, targets = self._batches
        for n, data in enumerate(self.data):
            images, labels = data.batch(update, BATCH)
            inputs[n] = torch.from_numpy(images)
            targets[n] = self._one_hot(labels)
        self.bank.inputs.copy_(inputs)  # onto themselves on a processor, which costs nothing
        self.bank.targets.copy_(targets)

    def _one_hot(self, labels: NDArray[np.int64]) -> Tensor:
        classes = len(self.data[0].classes)
        hot = torch.nn.functional.one_hot(torch.from_numpy(labels), classes)
        return hot.float()

    def _look(self) -> None:
        if self.update in self._evaluated:
            self._evaluate()
        if self.update in self._observed:
            self._observe()

    def _evaluate(self) -> None:
        cost = (self._cost / self._since).tolist() if self._since else [math.nan] * len(self.data)
        self._cost.zero_()
        self._since = 0
        for n, wrong in enumerate(self._wrong("validation")):
            self._note(n, "validation_error", wrong.mean())
        for n, wrong in enumerate(self._wrong("test")):
            self._note(n, "test_error", wrong.mean())
            self._note(n, "training_cost", cost[n])
            self._note(n, "evaluated_at", self.update)
            self._seen[n]["wrong"] = [wrong]  # of the last evaluation alone

    def _wrong(self, split: str) -> NDArray[np.bool_]:
        """Which images each network takes for another class, (N, images)."""
        examples = getattr(self.data[0], split)
        most = self.trials[0].test_images
        if self.update < self.trials[0].updates:
            most = min(most, ON_THE_WAY)
        rows = _evenly(len(examples.labels), most)
        parts = []
        for start in range(0, len(rows), _AT_ONCE):
            part = rows[start : start + _AT_ONCE]
            images = torch.from_numpy(examples.images[part]).to(self.device)
            guesses = self.bank.predict(images).argmax(2).cpu().numpy()
            parts.append(guesses != examples.labels[part])
        return np.concatenate(parts, axis=1)

    def _observe(self) -> None:
        images = torch.from_numpy(self._fixed[0]).to(self.device)
        looks = observe(self.bank, images, self._one_hot(self._fixed[1]).to(self.device))
        ends = self.update in (0, self.trials[0].updates)
        few = [_turned(len(images), trial.jacobians, trial.seed) for trial in self.trials]
        spectra: list[Look] = jacobians(self.bank, images, few) if ends else [{} for _ in looks]
        for n, look in enumerate(looks):
            self._note(n, "observed_at", self.update)
            for key, value in (look | spectra[n]).items():
                self._note(n, key, value)

    def _note(self, n: int, key: str, value: object) -> None:
        self._seen[n].setdefault(key, []).append(np.asarray(value))


def _evenly(images: int, most: int) -> NDArray[np.intp]:
    """At most ``most`` places, evenly spread: some data sets are sorted by class."""
    return np.linspace(0, images - 1, min(most, images)).round().astype(np.intp)


def _turned(images: int, count: int, seed: int) -> NDArray[np.intp]:
    """``count`` places, evenly spread and others for each seed: more images are seen that way."""
    found: NDArray[np.intp] = (np.arange(count) * images // max(count, 1) + seed) % images
    return found
