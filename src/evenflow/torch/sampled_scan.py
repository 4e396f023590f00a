"""Scans sampled as a whole: all their steps run on the same random tensors, forwards and backwards.

Parameters are as they are where they have values; what else goes in is drawn from its Moments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import isclose

import numpy as np
import torch

from evenflow.errors import NoRuleError
from evenflow.graph.drawn import drawn
from evenflow.graph.moments import Moments
from evenflow.graph.recurrences import Recurrence
from evenflow.graph.rules.registry import Step
from evenflow.torch.sampled import Trial, Values, count, measured_draws, roles
from evenflow.torch.weights import measured as of_parameter

_DRAWS = 2
_CHANCE = 0.1
"""By what other draws of the same law differ."""
_MOST = 2**26
"""Elements of all tensors together."""


def forward(
    scan: Recurrence, step: Step, seed: int, tensors: Mapping[str, torch.Tensor]
) -> dict[str, Moments]:
    """Moments of each of its values."""
    trial = _trial(scan, step)
    found: dict[str, list[torch.Tensor]] = {node.name: [] for node in scan.nodes}
    for draw in range(_draws(trial)):
        values = _run(scan, trial, seed, draw, tensors)
        for name in found:
            found[name].append(values[name].detach())
    shapes = {node.name: node.shape for node in scan.nodes}
    return {
        name: measured_draws(each, roles(trial, shapes[name]), trial)
        for name, each in found.items()
    }


def backward(
    scan: Recurrence,
    step: Step,
    arriving: Mapping[str, Moments],
    seed: int,
    tensors: Mapping[str, torch.Tensor],
) -> dict[str, Moments]:
    """Moments of the gradients of its values, and of what they send to what they read."""
    trial = _trial(scan, step)
    names = [node.name for node in scan.nodes] + list(scan.boundary())
    found: dict[str, list[torch.Tensor]] = {name: [] for name in names}
    for draw in range(_draws(trial)):
        values = _run(scan, trial, seed, draw, tensors)
        generator = np.random.default_rng([seed, draw, 1])
        outputs = [values[name] for name in arriving]
        cotangents = [torch.from_numpy(drawn(each, generator)) for each in arriving.values()]
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
        name: replace(measured_draws(each, roles(trial, tuple(each[0].shape)), trial), mean=0.0)
        for name, each in found.items()
        if each
    }


def _trial(scan: Recurrence, step: Step) -> Trial:
    roots = {}
    for name in scan.roots():
        if name in step.graph.values:
            continue
        if not step.graph.dtype(name).startswith(("float", "bfloat")):
            raise NoRuleError(f"a scan that reads {name!r}, which is no floating-point value")
        roots[name] = step.of_value(name)
    trial = Trial(step, (*scan.before, *scan.nodes), roots, {})
    if sum(int(np.prod(node.shape)) for node in trial.nodes) > _MOST:
        raise NoRuleError("a scan that is too large to be sampled")
    return trial


def _draws(trial: Trial) -> int:
    return min(count(trial), _DRAWS)


def _run(
    scan: Recurrence, trial: Trial, seed: int, draw: int, tensors: Mapping[str, torch.Tensor]
) -> Values:
    """All values; gradients flow back to what the scan's own operations read, and no further."""
    values = trial.values(np.random.default_rng([seed, draw]), positive=False)
    for name, moments in trial.roots.items():
        real = tensors.get(name)
        if real is not None and not real.is_meta and _as_said(real, moments):
            values[name] = real.detach().clone()
    with torch.no_grad():
        values = replace(trial, nodes=scan.before).every(values)
    for name in scan.boundary():
        if name in values:  # masks and positions among them get no gradient
            own = values[name].detach()
            values[name] = own.requires_grad_(own.is_floating_point())
    with torch.enable_grad():
        values = replace(trial, nodes=scan.nodes).every(values)
    if not all(bool(torch.isfinite(values[node.name]).all()) for node in scan.nodes):
        raise NoRuleError("a scan that gives infinities on tensors of predicted Moments")
    return values


def _as_said(real: torch.Tensor, moments: Moments) -> bool:
    """Whether these are the weights that are being derived, and not those of another plan."""
    own = of_parameter(real)
    alike = isclose(own.second, moments.second, rel_tol=_CHANCE)
    return alike and abs(own.mean - moments.mean) < _CHANCE * own.second**0.5
