"""Train: a short plain training that two versions of a network can go through alike."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.utils import _pytree as pytree

from evenflow.errors import InputError
from evenflow.torch.inputs import Call
from evenflow.torch.losses import Loss, main_output

Progress = Callable[[str, int, int, float], None]
"""Called with what is being done, steps done, steps in all, and the loss (NaN for none)."""

RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Learning rates that the search tries."""


@dataclass(frozen=True)
class Examples:
    """Inputs in the form of a call, and what the network should make of them."""

    call: Call
    target: Any = None

    @property
    def count(self) -> int:
        """Number of examples: the first axis, on which all tensors must agree."""
        sizes = {tensor.shape[:1] for tensor in self._tensors()}
        if len(sizes) != 1 or () in sizes:
            raise InputError(
                "the tensors of the data do not agree on a number of examples: their first axes "
                f"are {sorted(size[0] if size else 0 for size in sizes)}",
                remedy="pass (inputs, target) with one row an example in every tensor",
            )
        return int(next(iter(sizes))[0])

    def rows(self, chosen: torch.Tensor) -> Examples:
        """Some of the examples."""
        target = pytree.tree_map_only(torch.Tensor, lambda t: t[chosen], self.target)
        return Examples(self.call.map(lambda t: t[chosen]), target)

    def _tensors(self) -> list[torch.Tensor]:
        leaves = pytree.tree_leaves((self.call.args, dict(self.call.kwargs), self.target))
        return [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]


@dataclass(frozen=True)
class Training:
    """Plain stochastic gradient descent: all that two networks trained alike have in common.

    Without momentum, decay or clipping a step is the gradient times the rate, so that what the
    initialisation does to gradients shows in full.
    """

    examples: Examples
    loss: Loss
    task: str
    """What is trained on, in words."""
    steps: int
    seed: int
    """Decides the order of the examples, and dropout's masks."""
    batch_size: int | None = None
    """Examples a step; None takes all of them in every step."""
    test: Examples | None = None

    def run(self, model: torch.nn.Module, rate: float) -> Iterator[float]:
        """Train ``model`` in place; the loss of every step before its update.

        Ends early, with an infinite loss, where the loss is no longer a finite number.
        """
        weights = [p for p in model.parameters() if p.requires_grad]
        optimiser = torch.optim.SGD(weights, lr=rate)
        for step, batch in enumerate(itertools.islice(self._batches(), self.steps)):
            with seeded(self.seed + step, model), torch.enable_grad():
                optimiser.zero_grad()
                loss = self._loss(model, batch)
                if math.isfinite(value := float(loss.detach())):
                    loss.backward()  # type: ignore[no-untyped-call]
                    optimiser.step()
            yield value if math.isfinite(value) else math.inf
            if not math.isfinite(value):
                return

    def accuracy(self, model: torch.nn.Module) -> float:
        """Share of the test examples that ``model`` classifies rightly, in evaluation mode."""
        assert self.test is not None
        modes = [(module, module.training) for module in model.modules()]
        model.eval()
        with torch.no_grad():
            output = main_output(model(*self.test.call.args, **self.test.call.kwargs))
        for module, mode in modes:
            module.training = mode
        return float((output.argmax(dim=1) == self.test.target).double().mean())

    def best_rate(self, model: torch.nn.Module, tick: Callable[[int, int], None]) -> float:
        """The rate of ``RATES`` under which a copy of ``model`` reaches the lowest loss in a tenth
        of the steps (the mean over the last half of them); ``tick`` hears of runs done and to do.
        """
        short = replace(self, steps=max(10, self.steps // 10))
        reached = {}
        for done, rate in enumerate(RATES):
            tick(done, len(RATES))
            losses = list(short.run(copied(model), rate))
            late = losses[len(losses) // 2 :]
            reached[rate] = sum(late) / len(late)
        tick(len(RATES), len(RATES))
        return min(RATES, key=reached.__getitem__)

    def _loss(self, model: torch.nn.Module, batch: Examples) -> torch.Tensor:
        output = model(*batch.call.args, **batch.call.kwargs)
        subject = output if self.loss.kind == "custom" else main_output(output)
        return self.loss.function(subject, batch.target)

    def _batches(self) -> Iterator[Examples]:
        """Batches without end: epoch after epoch in fresh orders, a last partial batch dropped."""
        if self.batch_size is None:
            yield from itertools.repeat(self.examples)
        assert self.batch_size is not None
        generator = torch.Generator().manual_seed(self.seed)
        size = min(self.batch_size, self.examples.count)
        while True:
            order = torch.randperm(self.examples.count, generator=generator)
            for start in range(0, len(order) - size + 1, size):
                yield self.examples.rows(order[start : start + size])


def copied(model: torch.nn.Module) -> torch.nn.Module:
    """A deep copy of ``model`` that carries no gradients."""
    try:
        duplicate = copy.deepcopy(model)
    except Exception as error:
        raise InputError(
            f"the model cannot be copied: {type(error).__name__}: {error}",
            where=type(model).__name__,
            remedy="a fix is tried on copies; make copy.deepcopy(model) work",
        ) from error
    for parameter in duplicate.parameters():
        parameter.grad = None
    return duplicate


@contextmanager
def seeded(seed: int, model: torch.nn.Module | None = None) -> Iterator[None]:
    """torch's random generators start from ``seed`` inside, and are afterwards as they were."""
    parameters = model.parameters() if model is not None else ()
    devices = sorted({p.device.index or 0 for p in parameters if p.is_cuda})
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
