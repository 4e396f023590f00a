"""A small tanh network in NumPy, really run: what a check would have measured of it."""

import functools
import itertools
import math
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from evenflow.record.record import (
    Histogram,
    LayerRecord,
    LossRecord,
    Record,
    Statistics,
    WeightRecord,
)
from evenflow.report import TrainingCurve

WIDTHS = (64, 100, 100, 100, 100, 100, 10)
EXAMPLES = 300
NODES, NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(61)


def statistics(values, cells=64):
    """What a check would measure of an array (examples, units)."""
    low, high = float(values.min()), float(values.max())
    counts, _ = np.histogram(values, bins=cells, range=(low, high))
    second = float(np.mean(values**2))
    by_unit = values.reshape(len(values), -1).mean(axis=0) if values.ndim > 1 else values.mean()
    shared = float(np.mean(by_unit**2))
    return Statistics(
        count=values.size,
        mean=float(values.mean()),
        variance=float(values.var()),
        second_moment=second,
        minimum=low,
        maximum=high,
        percentile_2=float(np.percentile(values, 2)),
        percentile_98=float(np.percentile(values, 98)),
        nonfinite=0,
        zero_share=float(np.mean(values == 0)),
        histogram=Histogram(low, high, tuple(int(count) for count in counts)),
        correlation=shared / second if second else float("nan"),
        unit_mean_square=shared,
        effective_rank=_rank(values),
    )


def _rank(values):
    if values.ndim < 2:
        return float("nan")
    spectrum = np.linalg.eigvalsh(values.T @ values)
    return float(spectrum.sum() ** 2 / (spectrum**2).sum())


@dataclass
class Network:
    """A stack of tanh layers with a softmax on top: z = a W, W of shape (n_in, n_out)."""

    weights: list

    @classmethod
    def drawn(cls, scheme, seed=0):
        rng = np.random.default_rng(seed)
        sizes = list(itertools.pairwise(WIDTHS))
        bounds = {
            "heuristic": [1 / math.sqrt(n) for n, _ in sizes],
            "glorot": [math.sqrt(6 / (n + m)) for n, m in sizes],
        }[scheme]
        return cls([rng.uniform(-a, a, size) for a, size in zip(bounds, sizes, strict=True)])

    def forward(self, inputs):
        sums, outputs = [], [inputs]
        for weight in self.weights:
            sums.append(outputs[-1] @ weight)
            outputs.append(np.tanh(sums[-1]))
        return sums, outputs

    def backward(self, sums, outputs, labels):
        """Gradients by weighted sum and by activation, for each example; mean weight gradients."""
        logits = sums[-1] - sums[-1].max(axis=1, keepdims=True)
        chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        loss = float(-np.log(chances[np.arange(len(labels)), labels]).mean())
        delta = chances - np.eye(WIDTHS[-1])[labels]
        by_sum, by_output, by_weight = [delta], [], []
        for k in range(len(self.weights) - 1, -1, -1):
            by_weight.insert(0, outputs[k].T @ by_sum[0] / len(labels))
            if k:
                by_output.insert(0, by_sum[0] @ self.weights[k].T)
                by_sum.insert(0, by_output[0] * (1 - outputs[k] ** 2))
        return loss, by_sum, by_output, by_weight


@functools.cache
def digits(seed=1):
    """Ten blurred classes in 64 dimensions, and their labels."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(0, 1, (10, 64))
    labels = rng.integers(0, 10, EXAMPLES)
    return 0.6 * (centres[labels] + rng.normal(0, 1.2, (EXAMPLES, 64))), labels


@functools.cache
@threadpool_limits.wrap(limits=1)
def measured(scheme, seed=0):
    """The Record of a fresh network under a scheme."""
    network = Network.drawn(scheme, seed)
    inputs, labels = digits()
    sums, outputs = network.forward(inputs)
    loss, by_sum, by_output, by_weight = network.backward(sums, outputs, labels)
    ahead = _predicted_forward(network, inputs)
    back = _predicted_backward(network, ahead, by_sum[-1])
    layers = []
    for k, weight in enumerate(network.weights):
        singular = float(np.linalg.svd(weight, compute_uv=False).mean())
        layers.append(
            LayerRecord(
                node=f"linear_{k}",
                layer=f"layers.{2 * k}",
                op="linear",
                shape=sums[k].shape,
                depth=2 * k,
                forward=statistics(sums[k]),
                backward=statistics(by_sum[k]),
                parameters=(f"layers.{2 * k}.weight",),
                predicted_forward=ahead[k][0],
                predicted_backward=back[k][0],
                jacobian_singular_value=singular,
            )
        )
        if k == len(network.weights) - 1:
            break
        slope = 1 - outputs[k + 1] ** 2
        layers.append(
            LayerRecord(
                node=f"tanh_{k}",
                layer=f"layers.{2 * k + 1}",
                op="tanh",
                shape=outputs[k + 1].shape,
                depth=2 * k + 1,
                forward=statistics(outputs[k + 1]),
                backward=statistics(by_output[k]),
                activation="tanh",
                saturated_share=float(np.mean(slope < 0.1)),
                dead_share=0.0,
                predicted_forward=ahead[k][1],
                predicted_backward=back[k][1],
                jacobian_singular_value=float(slope[0].mean()),
            )
        )
    weights = tuple(
        WeightRecord(
            name=f"layers.{2 * k}.weight",
            shape=weight.T.shape,
            role="linear",
            trainable=True,
            values=statistics(weight.T),
            gradient=statistics(by_weight[k].T),
            fan_in=weight.shape[0],
            fan_out=weight.shape[1],
            layers=(f"linear_{k}",),
            kurtosis=1.8,
        )
        for k, weight in enumerate(network.weights)
    )
    return Record(
        model="mlp.py:build",
        layers=tuple(layers),
        weights=weights,
        inputs={"x": statistics(inputs)},
        loss=LossRecord(loss, "cross_entropy", chance=math.log(10), classes=10),
        trace="export",
        versions={"evenflow": "0.1.0", "numpy": "2"},
    )


def _expected(function, second):
    """E f(√q z) for z ~ N(0, 1)."""
    return float(NODE_WEIGHTS @ function(math.sqrt(second) * NODES) / math.sqrt(2 * math.pi))


def _predicted_forward(network, inputs):
    """(q of the weighted sum, q of its activation) for each layer."""
    second, moments = float(np.mean(inputs**2)), []
    for weight in network.weights:
        summed = weight.shape[0] * float(np.mean(weight**2)) * second
        second = _expected(lambda z: np.tanh(z) ** 2, summed)
        moments.append((summed, second))
    return moments


def _predicted_backward(network, ahead, last):
    """(q of the gradient by the weighted sum, by its activation) for each layer."""
    second, moments = float(np.mean(last**2)), [(float(np.mean(last**2)), math.nan)]
    for weight, (summed, _) in zip(network.weights[:0:-1], ahead[-2::-1], strict=True):
        by_output = weight.shape[1] * float(np.mean(weight**2)) * second
        second = by_output * _expected(lambda z: (1 - np.tanh(z) ** 2) ** 2, summed)
        moments.insert(0, (second, by_output))
    return moments


@functools.cache
@threadpool_limits.wrap(limits=1)
def trained(scheme, steps=60, seed=0):
    """Loss and accuracy over a few steps of plain gradient descent."""
    network = Network.drawn(scheme, seed)
    inputs, labels = digits()
    losses, accuracies = [], []
    for step in range(steps):
        sums, outputs = network.forward(inputs)
        loss, _, _, gradients = network.backward(sums, outputs, labels)
        losses.append(loss)
        if step % 10 == 9:
            accuracies.append(float(np.mean(sums[-1].argmax(axis=1) == labels)))
        for weight, gradient in zip(network.weights, gradients, strict=True):
            weight -= 0.2 * gradient
    taken = tuple(range(10, steps + 1, 10))
    return TrainingCurve(tuple(range(1, steps + 1)), tuple(losses), taken, tuple(accuracies))
