"""Sampled: Moments of an operation's results, by running it on tensors of known Moments.

The operation itself is run on random tensors that have the Moments predicted of its operands, and
what comes out is measured; backwards autograd does the same for gradients. Masks, indices and
complex numbers have no Moments: the operations that they come from are run along with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np
import torch

from evenflow.errors import NoRuleError
from evenflow.graph.graph import Argument, Node, Ref
from evenflow.graph.moments import Moments, Role, axes_of, roles_of
from evenflow.graph.numbers.drawn import drawn
from evenflow.graph.numbers.measured import measured
from evenflow.graph.rules.registry import Arriving, Cotangents, Result, Step
from evenflow.torch.pointwise import pointwise
from evenflow.torch.small import smaller

_ENOUGH = 2**17
"""Elements of results that are measured, if need be of several draws."""
_DRAWS = 4, 16


Values = dict[str, Any]


@dataclass(frozen=True)
class Trial:
    """An operation, those that make its masks and indices, and the Moments that they start from."""

    step: Step
    nodes: tuple[Node, ...]
    """In execution order, the operation itself last."""
    roots: Mapping[str, Moments]
    """Floating-point values to be drawn."""
    others: Mapping[str, tuple[int, ...]]
    """Shapes of indices and masks that come from the caller, of which nothing is known."""
    weights: Mapping[str, Moments] = field(default_factory=dict)
    """Complex parameters to be drawn: the second moment is that of their size."""

    @classmethod
    def of(cls, step: Step) -> Trial:
        """The operations from the last known Moments on."""
        nodes: dict[str, Node] = {}
        roots: dict[str, Moments] = {}
        others: dict[str, tuple[int, ...]] = {}
        weights: dict[str, Moments] = {}

        def reach(name: str) -> None:
            node = step.graph.node(name)
            if name in nodes or name in step.graph.values:
                return
            if step.graph.dtype(name).startswith(("float", "bfloat")):
                roots[name] = step.of_value(name)
            elif step.graph.dtype(name).startswith("complex") and node is None:
                weights[name] = step.of_value(name)
            elif node is None:
                others[name] = step.graph.shape(name)
            else:
                enter(node)

        def enter(node: Node) -> None:
            for _, name in node.refs():
                source = step.graph.node(name)
                if node.op == "getitem" and source is not None and name not in nodes:
                    enter(source)  # one of several results: all are made anew
                else:
                    reach(name)
            nodes[node.name] = node

        enter(step.node)
        return cls(step, tuple(nodes.values()), roots, others, weights)

    def values(self, generator: np.random.Generator, *, positive: bool) -> Values:
        """Random tensors for all that the operations start from."""
        found: Values = {}
        for name, moments in self.roots.items():
            above = positive and moments.mean > 0
            array = drawn(moments, generator, positive=above)
            dtype = getattr(torch, self.step.graph.dtype(name))
            found[name] = torch.from_numpy(array).to(dtype).requires_grad_()
        for name, moments in self.weights.items():
            parts = generator.standard_normal((2, *moments.shape)) * (moments.second / 2) ** 0.5
            dtype = getattr(torch, self.step.graph.dtype(name))
            found[name] = torch.from_numpy(parts[0] + 1j * parts[1]).to(dtype)
        for name, shape in self.others.items():
            dtype = getattr(torch, self.step.graph.dtype(name))
            high = 2 if dtype == torch.bool else self._indices()
            found[name] = torch.from_numpy(generator.integers(high, size=shape)).to(dtype)
        return found

    def _indices(self) -> int:
        """How many indices there are: along the axis that the operation names, else the first."""
        indexed = next(iter(self.roots.values()), None)
        if indexed is None or not indexed.shape:
            return 1
        return indexed.shape[int(self.step.number("dim")) % len(indexed.shape)]

    def run(self, values: Values) -> tuple[torch.Tensor, ...]:
        """Results of the operation for these values."""
        result = self.every(values)[self.step.node.name]
        return tuple(result) if isinstance(result, (tuple, list)) else (result,)

    def every(self, values: Values) -> Values:
        """These values and the results of all operations."""
        found = dict(values)
        for node in self.nodes:
            found[node.name] = _run(node, found, self.step.graph.values)
        return found


def _run(node: Node, values: Values, known: Mapping[str, Any]) -> Any:
    def tensor(argument: Argument, *, copied: bool = False) -> Any:
        if isinstance(argument, Ref):
            if argument.name not in values:
                return torch.tensor(known[argument.name])
            value = values[argument.name]
            return value.clone() if copied and isinstance(value, torch.Tensor) else value
        if isinstance(argument, tuple):
            return [tensor(item, copied=copied) for item in argument]
        if isinstance(argument, str) and argument.startswith("torch."):
            return getattr(torch, argument.removeprefix("torch."))
        return argument

    if node.activation is not None:
        return pointwise(node.activation, tensor(node.arguments["input"]))
    if node.op == "getitem":
        return tensor(node.arguments["input"])[node.arguments["index"]]
    if node.op == "standardise":
        return _standardised(tensor(node.arguments["input"]), node.arguments)
    operation = _operation(node)
    given, writes = {}, operation._schema.is_mutable  # a leaf must not be written in place
    for formal in operation._schema.arguments:
        value = node.arguments.get("input" if formal.name == "self" else formal.name)
        given[formal.name] = None if formal.name == "device" else tensor(value, copied=writes)
    try:
        return operation(**given)
    except (RuntimeError, NotImplementedError, ValueError, IndexError, TypeError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise NoRuleError(f"{node.op!r} does not run on its own: {first}") from error


def _standardised(x: torch.Tensor, arguments: Mapping[str, Any]) -> torch.Tensor:
    """A normalisation written out, which the Graph has made a single operation."""
    axes = arguments["dim"]
    x = x - x.mean(axes, keepdim=True) if arguments["centre"] else x
    size: torch.Tensor = x.square().mean(axes, keepdim=True) + float(arguments["eps"])
    return x * size.rsqrt() * float(arguments["scale"])


def _operation(node: Node) -> Any:
    space, _, rest = node.target.partition(".")
    name, _, overload = rest.partition(".")
    found = getattr(getattr(getattr(torch.ops, space, None), name, None), overload, None)
    if not isinstance(found, torch._ops.OpOverload) or name.rstrip("_") != node.op.rstrip("_"):
        raise NoRuleError(f"{node.op!r} cannot be run on its own")
    return found


def forward(trial: Trial, seed: int) -> Result:
    """Moments of the operation's results."""
    small = smaller(trial, seed)
    draws = [_finite(small.trial, seed, draw)[1] for draw in range(count(small.trial))]
    found = []
    for place in range(len(draws[0])):
        shape = _shape(trial.step.node, place)
        each = [draw[place].detach() for draw in draws]
        found.append(small.enlarged(measured_draws(each, roles(trial, shape), trial), shape))
    return tuple(found) if len(found) > 1 else found[0]


def _shape(node: Node, place: int) -> tuple[int, ...]:
    return node.shapes[place] if node.shapes else node.shape


def count(trial: Trial) -> int:
    """How many draws it takes."""
    elements = max([1, *(prod(moments.shape) for moments in trial.roots.values())])
    return int(np.clip(_ENOUGH // elements, *_DRAWS))


def _finite(trial: Trial, seed: int, draw: int) -> tuple[Values, tuple[torch.Tensor, ...]]:
    """Values and results: of Gaussian tensors, or if that gives no numbers (a logarithm's, say) of
    positive ones."""
    for positive in (False, True):
        values = trial.values(np.random.default_rng([seed, draw]), positive=positive)
        with torch.enable_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + draw)
            results = trial.run(values)
        if all(bool(torch.isfinite(result).all()) for result in results):
            return values, results
    raise NoRuleError(f"{trial.step.node.op!r} gives infinities on tensors of predicted Moments")


def backward(trial: Trial, cotangent: Arriving, seed: int) -> Cotangents:
    """Moments of the gradients of what the operation is run on."""
    several = cotangent if isinstance(cotangent, tuple) else (cotangent,)
    small = smaller(trial, seed)
    arriving = [None if c is None else small.reduced(c) for c in several]
    gathered: dict[str, list[torch.Tensor]] = {name: [] for name in trial.roots}
    for draw in range(count(small.trial)):
        values, results = _finite(small.trial, seed, draw)
        generator = np.random.default_rng([seed, draw, 1])
        pairs = [
            (result, torch.from_numpy(drawn(c, generator)).to(result.dtype))
            for result, c in zip(results, arriving, strict=True)
            if c is not None and result.requires_grad
        ]
        if not pairs:
            return {}
        leaves = [values[name] for name in gathered]
        outputs, gradients = zip(*pairs, strict=True)
        found = torch.autograd.grad(outputs, leaves, gradients, allow_unused=True)
        for name, gradient in zip(gathered, found, strict=True):
            if gradient is not None:
                gathered[name].append(gradient)
    return {
        name: small.enlarged(_gradient(each, trial, name), trial.roots[name].shape)
        for name, each in gathered.items()
        if each
    }


def _gradient(draws: Sequence[torch.Tensor], trial: Trial, name: str) -> Moments:
    own: list[Role] = [axis[0].role if axis else "units" for axis in trial.roots[name].axes]
    return replace(measured_draws(draws, own, trial), mean=0.0)


def measured_draws(draws: Sequence[torch.Tensor], roles: Sequence[Role], trial: Trial) -> Moments:
    """Mean over draws of what is measured of each."""
    lengths = [n for moments in trial.roots.values() for n in moments.pairs.shape]
    together = np.stack([draw.double().numpy() for draw in draws])
    found = measured(together, ["examples", *roles], max([2, *lengths]) - 2)
    pairs = found.pairs[0] if len(draws) > 1 else found.pairs  # of one and the same draw
    return Moments(found.mean, pairs, axes_of(draws[0].shape, roles))


def roles(trial: Trial, shape: tuple[int, ...]) -> Sequence[Role]:
    """What the axes of a result stand for: the same as in the operand that has them in the same
    place, else as in any that has one of that length, else as in an input."""
    operands = list(trial.roots.values())
    found = list(roles_of(shape))
    for axis, size in enumerate(shape):
        here = [m for m in operands if len(m.axes) == len(shape) and m.shape[axis] == size]
        alike = [(m, m.shape.index(size)) for m in operands if size in m.shape]
        places = [(m, axis) for m in here] + alike
        roles = [m.axes[place][0].role for m, place in places if m.axes[place]]
        found[axis] = roles[0] if roles else found[axis]
    return found
