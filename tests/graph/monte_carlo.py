"""Measured pairs of elements over many draws, beside what the calculus says of them."""

from dataclasses import dataclass, field

import numpy as np
import torch

from evenflow.graph.algebra.pairs import counts
from evenflow.graph.moments import Moments, aligned, roles_of
from evenflow.graph.numbers.measured import measured
from evenflow.graph.propagate import propagate
from evenflow.torch.execute import run
from evenflow.torch.inputs import Call

from ..tracing import traced
from .laws import Law, mixed, white

_NOTHING = 1e-9
"""A gradient below this is rounding: that of a bias which a normalisation takes off again."""
SIGMAS = 4.5
"""Standard errors of a mean over draws that chance may make of it."""


@dataclass
class Estimate:
    """Mean, and E[x·x′] by where two elements differ, of one tensor over draws."""

    means: list[float] = field(default_factory=list)
    pairs: list[np.ndarray] = field(default_factory=list)
    like: Moments | None = None

    def add(self, value: torch.Tensor, derived: Moments) -> None:
        """One draw, its pairs told apart as those of ``derived`` are."""
        atoms = [atom for axis in derived.axes for atom in axis]
        values = value.detach().double().numpy().reshape([atom.size for atom in atoms])
        longest = max(derived.pairs.shape, default=2) - 2
        found = (
            measured(values, ["positions"] * len(atoms), longest)
            if longest > 0
            else measured(values)
        )
        self.means.append(found.mean)
        self.pairs.append(coarse(found.pairs, derived))
        self.like = derived

    def against(self, derived: Moments) -> str:
        """What is wrong with ``derived``; "" if nothing is."""
        tall = np.stack(self.pairs)
        error = tall.std(0, ddof=1) / len(tall) ** 0.5
        mean = Moments(0.0, tall.mean(0), self.like.axes)
        ours, theirs, _ = aligned(derived, mean)
        _, chance, _ = aligned(derived, Moments(0.0, error, self.like.axes))
        scale = max(derived.second, float(theirs.flat[0]))
        wrong = np.abs(ours - theirs) - SIGMAS * chance
        if np.max(wrong) > self.tolerance * scale:
            return f"E[x·x′] derived\n{_shown(ours / scale)}\nmeasured\n{_shown(theirs / scale)}"
        by_chance = SIGMAS * np.std(self.means, ddof=1) / len(self.means) ** 0.5
        if abs(derived.mean - np.mean(self.means)) > by_chance + self.tolerance * scale**0.5:
            return f"mean derived {derived.mean:.4g}, measured {np.mean(self.means):.4g}"
        return ""

    tolerance: float = 0.01
    """Of the second moment: what the calculus itself may be wrong by."""


def coarse(pairs: np.ndarray, like: Moments) -> np.ndarray:
    """With no more distances told apart than ``like`` does."""
    atoms = [atom for axis in like.axes for atom in axis]
    for dim, (atom, length) in enumerate(zip(atoms, like.pairs.shape, strict=True)):
        length = max(length, min(2, pairs.shape[dim]))
        often = counts(atom.size, pairs.shape[dim])
        moved = np.moveaxis(pairs, dim, 0)
        last = np.average(moved[length - 1 :], axis=0, weights=often[length - 1 :])
        pairs = np.moveaxis(np.concatenate([moved[: length - 1], last[None]]), 0, dim)
    return pairs


def _shown(pairs: np.ndarray) -> str:
    return np.array2string(pairs, precision=3, suppress_small=True)


class Weighed(torch.nn.Module):
    """Σ c·f(x, weights), so that c is the gradient that arrives at f."""

    def __init__(self, function, x_shape) -> None:
        super().__init__()
        if not isinstance(function, torch.nn.Module) or not list(function.parameters()):
            self.unused = torch.nn.Parameter(torch.zeros(()))  # one without any is not traced
        self.function = function
        self.x_shape = x_shape

    def forward(self, x, c):
        return (self.function(x) * c).sum()


def disagreements(
    function, law: Law, *, draws: int = 60, tolerance: float = 0.01, seed: int = 0
) -> dict[str, str]:
    """What is wrong with the Moments that the calculus gives to the result of ``function`` and to
    the gradients of its input and parameters, by name."""
    rng = np.random.default_rng(seed)
    x = torch.zeros(law.shape)
    with torch.no_grad():
        shape = tuple(function(x).shape)
    arriving = mixed(shape, 0.0, roles_of(shape), law.reach if len(shape) >= 4 else 1)
    model = Weighed(function, law.shape)
    trace, parameters = traced(model, x, torch.zeros(shape))
    laws = parameter_laws(parameters)
    derived = propagate(
        trace.graph,
        {name: each.moments for name, each in laws.items()},
        dict(zip(trace.graph.inputs, (law.moments, arriving.moments), strict=True)),
    )
    assert not derived.obstacles_forward, derived.obstacles_forward
    assert not derived.obstacles_backward, derived.obstacles_backward
    result = next(n for n in trace.graph.nodes if n.op == "mul" and n.name.startswith("mul"))
    result = [n for n in trace.graph.nodes if n.op == "mul"][-1].arguments["input"].name
    gradients = {next(iter(trace.graph.inputs)): "x"} | {
        n: n for n in laws if n in derived.backward
    }
    found = {key: Estimate(tolerance=tolerance) for key in ("result", *gradients.values())}
    torch.manual_seed(int(rng.integers(2**31)))  # dropout's masks
    for _ in range(draws):
        redraw(parameters, laws, rng)
        leaf = torch.tensor(law.draw(rng), dtype=torch.float32, requires_grad=True)
        call = Call((leaf, torch.tensor(arriving.draw(rng), dtype=torch.float32)), {})
        kept = {}
        model.zero_grad()
        run(
            trace, parameters, call, lambda name, value, kept=kept: kept.setdefault(name, value)
        ).backward()
        found["result"].add(kept.get(result, leaf), derived.forward[result])
        for name, key in gradients.items():
            gradient = leaf.grad if key == "x" else parameters.tensors[name].grad
            found[key].add(gradient, derived.backward[name])
    said = {
        key: derived.forward[result] if key == "result" else derived.backward[name]
        for name, key in [("", "result"), *gradients.items()]
    }
    wrong = {key: found[key].against(said[key]) for key in found}
    return {key: what for key, what in wrong.items() if what}


def parameter_laws(parameters) -> dict[str, Law]:
    """Weights of mean zero that about double a second moment, vectors around ½, statistics."""
    laws = {}
    for name, tensor in parameters.tensors.items():
        shape = tuple(tensor.shape)
        if name.endswith(("running_mean", "num_batches_tracked")):
            laws[name] = white(shape, 0.0)
        elif name.endswith("running_var"):
            laws[name] = white(shape, 0.0, 1.0)
        elif tensor.dim() > 1:
            laws[name] = white(shape, 2 / tensor[0].numel())
        else:
            laws[name] = white(shape, 0.15, 0.5)
    return laws


def redraw(parameters, laws, rng) -> None:
    """Fresh values for every learnt parameter."""
    with torch.no_grad():
        for name in parameters.names:
            tensor = parameters.tensor(name)
            tensor.copy_(torch.tensor(laws[name].draw(rng)))


def network_errors(model, x: Law, draws: int = 16, seed: int = 0) -> dict[str, dict[str, float]]:
    """|log ratio| of measured to derived root mean squares of every value of a network, forwards
    and backwards, under unit random cotangents, less three of the measurement's standard errors."""
    rng = np.random.default_rng(seed)
    trace, parameters = traced(model, torch.zeros(x.shape))
    laws = parameter_laws(parameters)
    for name in parameters.names:
        shape = tuple(parameters.tensors[name].shape)
        if len(shape) == 1:
            laws[name] = white(shape, 0.05) if name.endswith("bias") else white(shape, 0.01, 1.0)
    (given,) = trace.graph.inputs
    derived = propagate(
        trace.graph, {n: law.moments for n, law in laws.items()}, {given: x.moments}
    )
    assert not derived.obstacles_forward, derived.obstacles_forward
    assert not derived.obstacles_backward, derived.obstacles_backward
    torch.manual_seed(seed)
    seconds = {"forward": {}, "backward": {}}
    for _ in range(draws):
        redraw(parameters, laws, rng)
        leaf = torch.tensor(x.draw(rng), dtype=torch.float32, requires_grad=True)
        values = {given: leaf, **{n: parameters.tensors[n] for n in parameters.names}}
        model.zero_grad()
        output = run(trace, parameters, Call((leaf,), {}), keep(values))
        output.backward(torch.tensor(rng.standard_normal(output.shape), dtype=torch.float32))
        for name, value in values.items():
            seconds["forward"].setdefault(name, []).append(square(value))
            if value.grad is not None:
                seconds["backward"].setdefault(name, []).append(square(value.grad))
    said = {"forward": derived.forward, "backward": derived.backward}
    return {
        way: {
            name: certain_error(np.array(drawn), said[way][name].second)
            for name, drawn in found.items()
            if name in said[way] and said[way][name].second > _NOTHING
        }
        for way, found in seconds.items()
    }


def assert_within(found, **bounds: tuple[float, float]) -> None:
    """``network_errors`` each way, by the median and the largest that are allowed."""
    for way, (middle, largest) in bounds.items():
        errors = list(found[way].values())
        assert np.median(errors) < middle, found[way]
        assert np.max(errors) < largest, found[way]


def certain_error(drawn: np.ndarray, second: float) -> float:
    """Of a mean of squares over draws, that which chance does not make."""
    chance = drawn.std(ddof=1) / len(drawn) ** 0.5 / drawn.mean()
    return max(abs(np.log(drawn.mean() / second)) - 3 * chance, 0.0) / 2


def keep(values):
    """An observer that keeps every value that a gradient flows to; of an operation's several
    results each as others read it, for an LSTM cell reads its own c."""

    def observe(name, value):
        if isinstance(value, torch.Tensor) and value.requires_grad:
            value = value.view_as(value) if name.startswith("getitem") else value
            value.retain_grad()
            values[name] = value
        return value

    return observe


def square(value: torch.Tensor) -> float:
    return value.detach().double().square().mean().item()
