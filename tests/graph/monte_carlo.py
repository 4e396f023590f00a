"""Second moments that real networks have, over many draws of weights and inputs."""

from dataclasses import dataclass

import torch

from evenflow.graph.moments import Moments
from evenflow.graph.propagate import Derivation, propagate
from evenflow.torch.execute import run
from evenflow.torch.inputs import Call

from ..tracing import traced

WEIGHT, BIAS = 2.0, 0.1
"""fan_in · Var W of every weight, and the variance of every bias."""


@dataclass(frozen=True)
class Ratios:
    """Measured over derived root mean squares, by value name."""

    forward: dict[str, float]
    backward: dict[str, float]

    @staticmethod
    def error(ratios: dict[str, float]) -> tuple[float, float]:
        """(median, largest) of |ratio − 1|."""
        errors = torch.tensor([abs(ratio - 1) for ratio in ratios.values()])
        return errors.median().item(), errors.max().item()


def ratios(model, shape, *, draws=30, seed=0) -> Ratios:
    """Draw, run and derive; every floating-point value of the graph must have been derived."""
    generator = torch.Generator().manual_seed(seed)
    trace, parameters = traced(model, torch.zeros(shape))
    assert trace.graph.trace == "export"
    derived = derive(trace.graph, parameters)
    assert not derived.obstacles_forward
    assert not derived.obstacles_backward
    forward, backward = {}, {}
    for _ in range(draws):
        redraw(parameters, generator)
        call = Call((torch.randn(shape, generator=generator, requires_grad=True),), {})
        values = dict(zip(trace.graph.inputs, call.args, strict=True))
        output = run(trace, parameters, call, keep(values, derived.forward))
        output.backward(torch.randn(output.shape, generator=generator))
        for name, value in values.items():
            forward.setdefault(name, []).append(square(value))
            if value.grad is not None:
                backward.setdefault(name, []).append(square(value.grad))
    return Ratios(
        {n: root(s) / derived.forward[n].second ** 0.5 for n, s in forward.items()},
        {n: root(s) / derived.backward[n] ** 0.5 for n, s in backward.items()},
    )


def keep(values, names):
    """An observer that keeps the values of ``names``, and later their gradients."""

    def observe(name, value):
        if name in names and value.requires_grad:
            value.retain_grad()
            values[name] = value
        return value

    return observe


def derive(graph, parameters) -> Derivation:
    """What the calculus says of the draws that ``redraw`` makes, inputs standard normal."""
    known = {}
    for name, tensor in parameters.tensors.items():
        if name.endswith("running_var"):
            known[name] = Moments.constant(1.0)
        elif name.endswith("running_mean"):
            known[name] = Moments.constant(0.0)
        elif is_weight(tensor):
            known[name] = Moments.parameter(0.0, variance(tensor))
        elif name.endswith("bias"):
            known[name] = Moments.parameter(0.0, BIAS)
        elif tensor.is_floating_point():
            known[name] = Moments.constant(1.0)
    return propagate(graph, known)


def redraw(parameters, generator):
    with torch.no_grad():
        for name in parameters.names:
            tensor = parameters.tensor(name)
            if is_weight(tensor):
                tensor.normal_(0, variance(tensor) ** 0.5, generator=generator)
            elif name.endswith("bias"):
                tensor.normal_(0, BIAS**0.5, generator=generator)


def is_weight(tensor):
    return tensor.is_floating_point() and tensor.dim() > 1


def variance(weight):
    return WEIGHT / weight[0].numel()


def square(value):
    return value.detach().double().square().mean().item()


def root(seconds):
    return (sum(seconds) / len(seconds)) ** 0.5
