"""Real networks in plain NumPy, forwards and backwards, and the Records measured on them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from evenflow.record.record import LayerRecord, LossRecord, Record, WeightRecord
from evenflow.record.saturation import saturation
from evenflow.record.statistics import measure
from evenflow.record.weights import measure_weight
from evenflow.theory.activations import Activation, find
from evenflow.theory.gain import gain

Array = np.ndarray
Init = Callable[[np.random.Generator, int, int], Array]
"""(rng, fan-in, fan-out) to a weight of shape (fan-out, fan-in)."""


def normal(variance: Callable[[int, int], float]) -> Init:
    return lambda rng, n, m: rng.normal(0, math.sqrt(variance(n, m)), (m, n))


def uniform(variance: Callable[[int, int], float]) -> Init:
    def draw(rng: np.random.Generator, n: int, m: int) -> Array:
        bound = math.sqrt(3 * variance(n, m))
        return rng.uniform(-bound, bound, (m, n))

    return draw


heuristic = uniform(lambda n, m: 1 / (3 * n))
lecun = normal(lambda n, m: 1 / n)
glorot = uniform(lambda n, m: 2 / (n + m))
he = normal(lambda n, m: 2 / n)


@dataclass
class Value:
    """One result on the tape: what it is, where it came from, how its gradient goes back."""

    node: str
    op: str
    data: Array
    parents: tuple[Value, ...] = ()
    back: Callable[[Array], tuple[Array, ...]] | None = None
    weight: str = ""
    activation: Activation | None = None
    gradient: Array | None = None


@dataclass
class Network:
    """A tape of operations; parameters by name; ``record`` measures it all."""

    rng: np.random.Generator
    tape: list[Value] = field(default_factory=list)
    parameters: dict[str, tuple[Array, str, list[str]]] = field(default_factory=dict)
    """Values, role, and the nodes that read them."""
    sources: dict[str, Activation] = field(default_factory=dict)
    """For each weight: the activation before it."""
    seconds: dict[str, float] = field(default_factory=dict)
    gradients: dict[str, Array] = field(default_factory=dict)
    trainable: dict[str, bool] = field(default_factory=dict)

    def parameter(self, name: str, values: Array, role: str, node: str) -> Array:
        self.parameters.setdefault(name, (values, role, []))[2].append(node)
        return values

    def add_value(self, value: Value) -> Value:
        self.tape.append(value)
        return value

    def linear(
        self, name: str, x: Value, units: int, init: Init, bias: float | Array = 0.0
    ) -> Value:
        inputs = x.data.shape[1]
        weight = self.parameter(
            f"{name}.weight", init(self.rng, inputs, units).astype(np.float32), "linear", name
        )
        shift = np.broadcast_to(np.asarray(bias, dtype=np.float32), units)
        self.parameter(f"{name}.bias", shift, "bias", name)
        if x.activation is not None:
            self.sources[f"{name}.weight"] = x.activation
            self.seconds[f"{name}.weight"] = float((x.parents[0].data ** 2).mean())

        def back(delta: Array) -> tuple[Array]:
            self.gradients[f"{name}.weight"] = delta.T @ x.data
            self.gradients[f"{name}.bias"] = delta.sum(0)
            return (delta @ weight,)

        data = (x.data @ weight.T + shift).astype(np.float32)
        return self.add_value(Value(name, "linear", data, (x,), back, f"{name}.weight"))

    def activate(self, name: str, z: Value, activation: str) -> Value:
        phi = find(activation)
        exact = z.data.astype(np.float64)
        slope = phi.derivative(exact)
        data = phi.function(exact).astype(np.float32)
        return self.add_value(
            Value(name, phi.name, data, (z,), lambda d: (d * slope,), activation=phi)
        )

    def plus(self, name: str, x: Value, y: Value) -> Value:
        return self.add_value(Value(name, "add", x.data + y.data, (x, y), lambda d: (d, d)))

    def scaled(self, name: str, x: Value, factor: float) -> Value:
        gamma = self.parameter(f"{name}.gamma", np.full(x.data.shape[1], factor), "scale", name)

        def back(delta: Array) -> tuple[Array]:
            self.gradients[f"{name}.gamma"] = (delta * x.data).sum(0)
            return (delta * gamma,)

        return self.add_value(Value(name, "mul", x.data * gamma, (x,), back))

    def layer_norm(self, name: str, x: Value) -> Value:
        centred = x.data - x.data.mean(1, keepdims=True)
        sd = np.sqrt((centred**2).mean(1, keepdims=True) + 1e-5)
        out = centred / sd

        def back(delta: Array) -> tuple[Array]:
            along = (delta * out).mean(1, keepdims=True)
            return ((delta - delta.mean(1, keepdims=True) - out * along) / sd,)

        return self.add_value(Value(name, "layer_norm", out, (x,), back))

    def record(self, x: Value, logits: Value, labels: Array, **loss: str) -> Record:
        """Send the gradient of the mean cross-entropy back, and measure everything."""
        shifted = logits.data - logits.data.max(1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
        value = -float(log_p[np.arange(len(labels)), labels].mean())
        one_hot = np.eye(logits.data.shape[1])[labels]
        logits.gradient = (np.exp(log_p) - one_hot) / len(labels)
        for node in reversed(self.tape):
            if node.back is None or node.gradient is None:
                continue
            for parent, gradient in zip(node.parents, node.back(node.gradient), strict=True):
                parent.gradient = gradient + (0 if parent.gradient is None else parent.gradient)
        return Record(
            model="Net",
            layers=tuple(self._layer(i, node) for i, node in enumerate(self.tape)),
            weights=tuple(self._weights()),
            inputs={"x": measure(x.data, unit_axis=1)},
            loss=LossRecord(
                value,
                loss.get("kind", "cross_entropy"),
                math.log(logits.data.shape[1]),
                loss.get("final", ""),
                logits.data.shape[1],
            ),
            trace="export",
        )

    def _layer(self, depth: int, node: Value) -> LayerRecord:
        saturated = dead = math.nan
        if node.activation is not None:
            saturated, dead = saturation(node.parents[0].data, node.activation, unit_axis=1)
        return LayerRecord(
            node=node.node,
            layer=node.node,
            op=node.op,
            shape=node.data.shape,
            depth=depth,
            forward=measure(node.data, unit_axis=1),
            backward=None if node.gradient is None else measure(node.gradient, unit_axis=1),
            parameters=(node.weight,) if node.weight else (),
            activation=node.activation.name if node.activation else None,
            saturated_share=saturated,
            dead_share=dead,
            inputs=tuple(parent.node for parent in node.parents),
            source=f"net.py:{depth}",
        )

    def _weights(self) -> Sequence[WeightRecord]:
        records, seen = [], dict[str, str]()
        for name, (values, role, nodes) in self.parameters.items():
            measured = measure_weight(values)
            gradient = self.gradients.get(name)
            at = (1.0, 1.0)
            if name in self.sources:
                q = self.seconds[name]
                g = gain(self.sources[name], q=q if q > 0 else 1.0)
                at = (g.forward, g.backward)
            matrix = role == "linear"
            records.append(
                WeightRecord(
                    name=name,
                    shape=values.shape,
                    role=role,
                    trainable=self.trainable.get(name, True),
                    values=measured.values,
                    gradient=None
                    if gradient is None
                    else measure(gradient, unit_axis=None, example_axis=None),
                    fan_in=values.shape[1] if matrix else 0,
                    fan_out=values.shape[0] if matrix else 0,
                    gain_forward=at[0] if matrix else math.nan,
                    gain_backward=at[1] if matrix else math.nan,
                    layers=tuple(nodes),
                    duplicate_of=seen.get(measured.digest, ""),
                    row_duplicates=measured.row_duplicates,
                    kurtosis=measured.kurtosis,
                )
            )
            seen.setdefault(measured.digest, name)
        return records


def start(seed: int, batch: int = 64, inputs: int = 64) -> tuple[Network, Value, Array]:
    """An empty network, a batch of standard normal inputs and labels of ten classes."""
    rng = np.random.default_rng(seed)
    x = Value("x", "input", rng.normal(size=(batch, inputs)).astype(np.float32))
    return Network(rng), x, rng.integers(0, 10, batch)


def mlp(
    seed: int,
    depth: int = 4,
    width: int = 128,
    activation: str = "relu",
    init: Init | Sequence[Init] = he,
    *,
    bias: float = 0.0,
    head: Init | None = None,
    norm: bool = False,
    shift: float = 0.0,
    scale: float = 1.0,
    widths: Sequence[int] = (),
) -> Record:
    """A multilayer perceptron of ``depth`` hidden layers on inputs of the given mean and sd."""
    net, x, labels = start(seed)
    x.data = (x.data * scale + shift).astype(np.float32)
    sizes = list(widths) or [width] * depth
    inits = [init] * (len(sizes) + 1) if callable(init) else list(init)
    h = x
    for i, size in enumerate(sizes):
        h = net.linear(f"fc{i}", h, size, inits[i], bias)
        h = net.layer_norm(f"norm{i}", h) if norm else h
        h = net.activate(f"act{i}", h, activation)
    logits = net.linear("head", h, 10, head or inits[len(sizes)])
    return net.record(x, logits, labels)


def residual(
    seed: int,
    depth: int = 12,
    width: int = 128,
    last: Init = he,
    gamma: float | None = None,
    norm: bool = True,
) -> Record:
    """Pre-activation residual blocks: x + γ·W₂ relu(W₁ LN(x)), then LN and a head."""
    net, x, labels = start(seed)
    h = net.linear("stem", x, width, lecun)
    for i in range(depth):
        branch = net.layer_norm(f"norm{i}", h) if norm else h
        branch = net.activate(f"act{i}", net.linear(f"up{i}", branch, width, he), "relu")
        branch = net.linear(f"down{i}", branch, width, last)
        if gamma is not None:
            branch = net.scaled(f"scale{i}", branch, gamma)
        h = net.plus(f"sum{i}", h, branch)
    h = net.layer_norm("norm", h) if norm else h
    return net.record(x, net.linear("head", h, 10, lecun), labels)
