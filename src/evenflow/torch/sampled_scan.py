"""Scans sampled as a whole: all their steps run on the same random tensors, forwards and backwards.

Parameters are as they are where they have values; what else goes in is drawn from its Moments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isclose

import numpy as np
import torch

from evenflow.errors import NoRuleError
from evenflow.graph.graph import Node
from evenflow.graph.moments import Moments
from evenflow.graph.numbers.drawn import drawn
from evenflow.graph.recurrent.recurrences import Recurrence
from evenflow.graph.rules.registry import Step
from evenflow.torch.sampled import Trial, Values, measured_draws, roles
from evenflow.torch.thinned import Thinned, thinned
from evenflow.torch.weights import measured as of_parameter

_ENOUGH = 2**26
"""Elements of all results together, if need be of several draws."""
_DRAWS = 4, 32
_CHANCE = 0.1
"""By what other draws of the same law differ."""
_MOST = 2**26
"""Elements of all results together above which nothing is run."""


def forward(
    scan: Recurrence, step: Step, seed: int, tensors: Mapping[str, torch.Tensor]
) -> dict[str, Moments]:
    """Moments of each of its values."""
    scanning = _Scanning.of(scan, step, seed, tensors)
    found: dict[str, list[torch.Tensor]] = {node.name: [] for node in scan.nodes}
    for draw in range(scanning.draws):
        values = scanning.run(draw)
        for name in found:
            found[name].append(values[name].detach())
    return {name: scanning.measured(each, name) for name, each in found.items()}


def backward(
    scan: Recurrence,
    step: Step,
    arriving: Mapping[str, Moments],
    seed: int,
    tensors: Mapping[str, torch.Tensor],
) -> dict[str, Moments]:
    """Moments of the gradients of its values, and of what they send to what they read."""
    scanning = _Scanning.of(scan, step, seed, tensors)
    names = [node.name for node in scan.nodes] + list(scan.boundary())
    reduced = [scanning.thin.reduced(each) for each in arriving.values()]
    found: dict[str, list[torch.Tensor]] = {name: [] for name in names}
    for draw in range(scanning.draws):
        values = scanning.run(draw)
        generator = np.random.default_rng([seed, draw, 1])
        outputs = [values[name] for name in arriving]
        cotangents = [torch.from_numpy(drawn(each, generator)) for each in reduced]
        wanted = [n for n in names if n in values and values[n].requires_grad]
        gradients = torch.autograd.grad(
            outputs,
            [values[name] for name in wanted],
            [c.to(o.dtype) for c, o in zip(cotangents, outputs, strict=True)],
            allow_unused=True,
        )
        for name, gradient in zip(wanted, gradients, strict=True):
            if gradient is not None:
                found[name].append(gradient)
    return {
        name: replace(scanning.measured(each, name, summed=True), mean=0.0)
        for name, each in found.items()
        if each
    }


@dataclass(frozen=True)
class _Scanning:
    """A scan, what it starts from, and on how many of its channels it is run."""

    scan: Recurrence
    trial: Trial
    thin: Thinned
    seed: int
    tensors: Mapping[str, torch.Tensor]

    @classmethod
    def of(
        cls, scan: Recurrence, step: Step, seed: int, tensors: Mapping[str, torch.Tensor]
    ) -> _Scanning:
        """On as many channels as there is room for; ``NoRuleError`` if even a few are too many."""
        whole = cls(scan, _trial(scan, step), Thinned(scan.nodes), seed, tensors)
        thin = thinned(scan.nodes, lambda: whole.entering(0), whole.results)
        if thin.elements > _MOST:
            raise NoRuleError("a scan that is too large to be sampled")
        return replace(whole, thin=thin)

    @property
    def draws(self) -> int:
        """How many draws it takes."""
        whole = Thinned(self.scan.nodes)
        return int(np.clip(_ENOUGH // whole.elements, *_DRAWS))

    def entering(self, draw: int) -> Values:
        """What the scan's own operations read, in full."""
        values = self.trial.values(np.random.default_rng([self.seed, draw]), positive=False)
        for name, moments in self.trial.roots.items():
            real = self.tensors.get(name)
            if real is not None and _as_said(real, moments):
                values[name] = real.detach().clone()
        with torch.no_grad():
            values = replace(self.trial, nodes=self.scan.before).every(values)
        return {name: values[name].detach() for name in self.scan.boundary() if name in values}

    def results(self, nodes: Sequence[Node], values: Values) -> Values:
        """Of the scan's operations, on all channels or on some."""
        return replace(self.trial, nodes=tuple(nodes)).every(values)

    def run(self, draw: int) -> Values:
        """All values; gradients flow back to what the scan itself reads, and no further."""
        values = self.thin.values(self.entering(draw), draw)
        for own in values.values():  # masks and positions among them get no gradient
            own.requires_grad_(own.is_floating_point())
        with torch.enable_grad():
            values = self.results(self.thin.nodes, values)
        if not all(bool(torch.isfinite(values[node.name]).all()) for node in self.scan.nodes):
            raise NoRuleError("a scan that gives infinities on tensors of predicted Moments")
        return values

    def measured(
        self, draws: Sequence[torch.Tensor], name: str, *, summed: bool = False
    ) -> Moments:
        """Moments of a value, or of its gradient, in full."""
        shape = self.trial.step.graph.shape(name)
        found = measured_draws(draws, roles(self.trial, shape), self.trial)
        return self.thin.enlarged(found, shape, summed=summed)


def _trial(scan: Recurrence, step: Step) -> Trial:
    roots = {}
    for name in scan.roots():
        if name in step.graph.values:
            continue
        if not step.graph.dtype(name).startswith(("float", "bfloat")):
            raise NoRuleError(f"a scan that reads {name!r}, which is no floating-point value")
        roots[name] = step.of_value(name)
    return Trial(step, (*scan.before, *scan.nodes), roots, {})


def _as_said(real: torch.Tensor, moments: Moments) -> bool:
    """Whether these are the weights that are being derived, and not those of another plan."""
    own = of_parameter(real)
    alike = isclose(own.second, moments.second, rel_tol=_CHANCE)
    return alike and abs(own.mean - moments.mean) < _CHANCE * own.second**0.5
