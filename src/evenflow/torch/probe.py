"""Probe: one forward and one backward pass on a real batch, measured operation by operation."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from evenflow._version import __version__
from evenflow.errors import InputError
from evenflow.graph.axes import unit_axes
from evenflow.graph.graph import Graph, Node
from evenflow.graph.propagate import Derivation, propagate
from evenflow.graph.rules.shape import ORDER_ONLY, PARTS
from evenflow.planning.uses import uses
from evenflow.record.jacobian import mean_singular_value
from evenflow.record.record import LayerRecord, LossRecord, Record, Statistics
from evenflow.record.saturation import saturation
from evenflow.record.statistics import measure
from evenflow.torch.arrays import as_numpy
from evenflow.torch.execute import run
from evenflow.torch.inputs import Call
from evenflow.torch.losses import Loss, main_output
from evenflow.torch.names import ModelParameters
from evenflow.torch.parameter_record import record_parameters
from evenflow.torch.preserve import preserved
from evenflow.torch.trace import Trace
from evenflow.torch.weights import input_moments, parameter_moments

_JACOBIAN_LIMIT = 2048
"""Largest matrix whose singular values are taken: beyond it they cost more than the pass."""


@dataclass
class _Measured:
    """What is known of one operation's result before the Record is written."""

    forward: Statistics | None = None
    backward: Statistics | None = None
    saturated: float = math.nan
    dead: float = math.nan
    singular_value: float = math.nan


@dataclass
class _Probe:
    """Measures values as they pass, and their gradients as they come back."""

    graph: Graph
    parameters: ModelParameters
    axes: Mapping[str, int]
    recorded: frozenset[str]
    pending: dict[str, list[Node]]
    """For each value: the activations that read it, measured while it is at hand."""
    measured: dict[str, _Measured] = field(default_factory=dict)
    cotangents: dict[str, float] = field(default_factory=dict)

    def observe(self, name: str, value: Any) -> Any:
        if not isinstance(value, torch.Tensor) or not value.is_floating_point():
            return value
        for node in self.pending.get(name, ()):
            self._curve(node, value)
        if name in self.recorded:
            found = self.measured.setdefault(name, _Measured())
            found.forward = self._statistics(name, value)
            if value.requires_grad:
                value.register_hook(lambda g, n=name: self._gradient(n, g))  # type: ignore[no-untyped-call]
        if name in self.graph.outputs and value.requires_grad:
            value.register_hook(lambda g, n=name: self._arrived(n, g))  # type: ignore[no-untyped-call]
        return value

    def _statistics(self, name: str, value: torch.Tensor) -> Statistics:
        array = as_numpy(value)
        unit_axis = self.axes.get(name, -1) if array.ndim > 1 else None
        return measure(array, unit_axis=unit_axis, example_axis=0 if array.ndim else None)

    def _gradient(self, name: str, gradient: torch.Tensor) -> None:
        self.measured[name].backward = self._statistics(name, gradient)

    def _arrived(self, name: str, gradient: torch.Tensor) -> None:
        second = float(gradient.detach().double().square().mean())
        self.cotangents[name] = self.cotangents.get(name, 0.0) + second

    def _curve(self, node: Node, z: torch.Tensor) -> None:
        """Saturation of the activation that reads z, and the layer's Jacobian for one example."""
        assert node.activation is not None
        array = as_numpy(z)
        found = self.measured.setdefault(node.name, _Measured())
        (root,) = (name for _, name in node.refs())
        found.saturated, found.dead = saturation(
            array, node.activation, unit_axis=self.axes.get(root, -1)
        )
        producer = self.graph.node(root)
        if producer is None or producer.op != "linear" or array.ndim != 2:
            return
        weight = dict(producer.refs())["weight"]
        if weight in self.parameters.tensors:
            matrix = as_numpy(self.parameters.tensors[weight])
            z_of_one = array[0].astype(np.float64)
            finite = bool(np.isfinite(matrix).all() and np.isfinite(z_of_one).all())
            if finite and max(matrix.shape) <= _JACOBIAN_LIMIT:
                slope = node.activation.derivative(z_of_one)
                found.singular_value = mean_singular_value(matrix, slope)


def probe(
    trace: Trace,
    parameters: ModelParameters,
    call: Call,
    target: Any = None,
    loss: Loss | None = None,
    seed: int = 0,
) -> Record:
    """Run the traced model forwards and backwards once; the model is left as it was found.

    Without ``loss`` the backward pass starts from a random unit cotangent drawn from ``seed``.
    """
    if (loss is None) != (target is None) and (loss is None or loss.kind != "custom"):
        raise InputError(
            "a target and a loss go together",
            remedy="pass both, or neither for a random unit cotangent",
        )
    graph = trace.graph
    recorded = _recorded(graph)
    watcher = _Probe(graph, parameters, unit_axes(graph), frozenset(recorded), _pending(graph))
    with preserved(parameters.model), torch.enable_grad():
        for parameter in parameters.model.parameters():
            parameter.grad = None
            if parameter.is_floating_point():
                parameter.requires_grad_(True)
        for name, tensor in zip(graph.inputs, call.tensors().values(), strict=False):
            watcher.observe(name, tensor)
        output = run(trace, parameters, call, watcher.observe)
        main = main_output(output)
        loss_record = _backward(graph, output, main, target, loss, seed)
        weights = record_parameters(parameters, uses(graph), graph, _seconds(watcher))
    derivation = propagate(
        graph,
        parameter_moments(graph, parameters),
        input_moments(graph, call),
        {name: watcher.cotangents.get(name, 0.0) for name in graph.outputs},
    )
    return Record(
        model=type(parameters.model).__name__,
        layers=tuple(_layers(graph, recorded, watcher.measured, derivation)),
        weights=weights,
        inputs=_inputs(graph, call),
        loss=loss_record,
        trace=graph.trace,
        versions={
            "evenflow": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    )


def _backward(
    graph: Graph, output: Any, main: torch.Tensor, target: Any, loss: Loss | None, seed: int
) -> LossRecord | None:
    """Send gradients back; what is known of the loss."""
    if loss is None:
        generator = torch.Generator().manual_seed(seed)
        cotangent = torch.randn(main.shape, generator=generator, dtype=torch.float32)
        main.backward(cotangent.to(main))  # type: ignore[no-untyped-call]
        return None
    try:
        value = loss.function(output if loss.kind == "custom" else main, target)
        chance = loss.chance(main, target)
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        raise InputError(
            f"the loss {loss.kind} cannot be taken of an output of shape {tuple(main.shape)} and "
            f"the given target: {str(error).strip().splitlines()[0]}",
            remedy="check the target's shape and type against the loss",
        ) from error
    if not isinstance(value, torch.Tensor) or value.numel() != 1:
        raise InputError("the loss must return a single number as a tensor", where=loss.kind)
    value.backward()  # type: ignore[no-untyped-call]
    classes = main.shape[1] if main.dim() > 1 and loss.kind in ("cross_entropy", "nll") else 0
    low = high = math.nan
    if isinstance(target, torch.Tensor) and target.is_floating_point() and target.numel():
        low, high = float(target.min()), float(target.max())
    last = _final_activation(graph)
    return LossRecord(float(value.detach()), loss.kind, chance, last, classes, low, high)


def _final_activation(graph: Graph) -> str:
    """The last thing that is done to the output, where it is an activation or a softmax."""
    node = graph.node(graph.outputs[0]) if graph.outputs else None
    while node is not None and node.op in ORDER_ONLY:
        node = graph.node(next(name for _, name in node.refs()))
    if node is None:
        return ""
    if node.activation is not None:
        return node.activation.name
    return node.op.strip("_") if "softmax" in node.op else ""


def _recorded(graph: Graph) -> list[str]:
    """Operations worth a row: those that compute floats from an input or a parameter."""
    alive: set[str] = {*graph.inputs, *(n for n, p in graph.parameters.items() if not p.buffer)}
    rows = []
    for node in graph.nodes:
        if not any(name in alive for _, name in node.refs()):
            continue
        alive.add(node.name)
        recurrent = node.op == "getitem" and node.arguments.get("arg1") == 0
        moves = node.op in ORDER_ONLY or node.op in PARTS or "dropout" in node.op
        if node.dtype.startswith(("float", "bfloat")) and (recurrent or not moves):
            rows.append(node.name)
    return rows


def _pending(graph: Graph) -> dict[str, list[Node]]:
    pending: dict[str, list[Node]] = {}
    for node in graph.nodes:
        if node.activation is not None:
            (root,) = (name for _, name in node.refs())
            pending.setdefault(root, []).append(node)
    return pending


def _seconds(watcher: _Probe) -> dict[str, float]:
    return {
        name: found.forward.second_moment
        for name, found in watcher.measured.items()
        if found.forward is not None
    }


def _layers(
    graph: Graph, recorded: list[str], measured: Mapping[str, _Measured], derivation: Derivation
) -> list[LayerRecord]:
    sources = _sources(graph, frozenset(recorded))
    layers = []
    for depth, name in enumerate(recorded):
        node, found = graph.node(name), measured.get(name)
        if node is None or found is None or found.forward is None:
            continue
        forward, backward = derivation.forward.get(name), derivation.backward.get(name)
        layers.append(
            LayerRecord(
                node=name,
                layer=node.layer,
                op=node.activation.name if node.activation else node.op,
                shape=node.shape,
                depth=depth,
                forward=found.forward,
                backward=found.backward,
                parameters=tuple(r for _, r in node.refs() if r in graph.parameters),
                activation=node.activation.name if node.activation else None,
                saturated_share=found.saturated,
                dead_share=found.dead,
                predicted_forward=forward.second if forward else math.nan,
                predicted_backward=backward.second if backward else math.nan,
                obstacle=derivation.obstacles_forward.get(name)
                or derivation.obstacles_backward.get(name, ""),
                jacobian_singular_value=found.singular_value,
                inputs=sources[name],
                source=node.source,
            )
        )
    return layers


def _sources(graph: Graph, recorded: frozenset[str]) -> dict[str, tuple[str, ...]]:
    """For each recorded operation the recorded operations and inputs that it reads."""
    behind: dict[str, tuple[str, ...]] = {name: (name,) for name in graph.inputs}
    direct: dict[str, tuple[str, ...]] = {}
    for node in graph.nodes:
        read = dict.fromkeys(s for _, name in node.refs() for s in behind.get(name, ()))
        direct[node.name] = tuple(read)
        behind[node.name] = (node.name,) if node.name in recorded else tuple(read)
    return direct


def _inputs(graph: Graph, call: Call) -> dict[str, Statistics]:
    """Floating-point inputs, by the names under which operations read them."""
    return {
        name: measure(as_numpy(tensor), unit_axis=None, example_axis=0 if tensor.dim() else None)
        for name, tensor in zip(graph.inputs, call.tensors().values(), strict=False)
        if tensor.is_floating_point()
    }
