"""Each family of rules against its torch operation, on tensors whose parts are shared.

x = unit's own value, common to all examples + example's own + each element's own, so that mean,
s_B, s_T and q are what the test says. The operation's outputs are measured for the same four, and
the gradient with respect to x for its second moment.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from evenflow.graph.moments import Moments
from evenflow.graph.propagate import propagate
from evenflow.torch.inputs import Call
from evenflow.torch.weights import input_moments, parameter_moments

from ..tracing import traced

X = Moments(0.4, 1.5, 0.5, 0.9)
CENTRED = Moments(0.0, 1.5, 0.3, 0.9)
IMAGES, VECTORS, TOKENS = (6, 32, 12, 12), (96, 128), (16, 24, 96)
DRAWS = 24


def sampled(moments, shape, generator):
    """A tensor of these Moments: (B, U), (B, T, U) or (B, U, H, W)."""
    units = 1 if len(shape) == 4 else len(shape) - 1
    by_unit = [size if axis == units else 1 for axis, size in enumerate(shape)]
    by_example = [size if axis in (0, units) else 1 for axis, size in enumerate(shape)]
    parts = (
        (moments.shared_examples - moments.mean**2, by_unit),
        (moments.shared_positions - moments.shared_examples, by_example),
        (moments.second - moments.shared_positions, shape),
    )
    x = torch.full(shape, moments.mean)
    for part, size in parts:
        x = x + part**0.5 * torch.randn(size, generator=generator)
    return x


def shared(x, axes):
    """E over the rest of the product of two different elements along ``axes``."""
    n = torch.tensor([x.shape[axis] for axis in axes]).prod().item()
    pairs = x.sum(axes).square() - x.square().sum(axes)
    return pairs.mean().item() / (n * (n - 1))


def measured(y):
    """(mean, q, s_B, s_T) of one tensor; s_T is q where there is one position only."""
    y = y.double()
    places = {2: (), 3: (1,), 4: (2, 3)}[y.dim()]
    second = y.square().mean().item()
    lengths = [y.shape[axis] for axis in places if y.shape[axis] > 1]
    positions = shared(y, places) if lengths else second
    return y.mean().item(), second, shared(y, (0,)), positions


class Function(nn.Module):
    """Any function of tensors as a module."""

    def __init__(self, function, *shapes):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(()))  # a model without parameters isn't traced
        self.function = function
        self.weights = nn.ParameterList(torch.empty(shape) for shape in shapes)

    def forward(self, x):
        return self.function(x, *self.weights)


CASES = {
    # linear
    "linear": (nn.Linear(128, 96), VECTORS, X),
    "linear on tokens": (nn.Linear(96, 128), TOKENS, X),
    "x @ W": (Function(lambda x, w: x @ w, (96, 128)), TOKENS, X),
    "x @ xᵀ of another": (Function(lambda x, w: x @ w.t(), (64, 96)), TOKENS, X),
    "addmm": (
        Function(lambda x, b, w: torch.addmm(b, x, w, beta=0.5, alpha=2), (1, 64), (128, 64)),
        VECTORS,
        X,
    ),
    "bmm": (Function(torch.bmm, (16, 96, 64)), TOKENS, X),
    "baddbmm": (
        Function(lambda x, b, w: torch.baddbmm(b, x, w), (16, 24, 64), (16, 96, 64)),
        TOKENS,
        X,
    ),
    "conv": (nn.Conv2d(32, 64, 3, padding=1), IMAGES, X),
    "conv, strides": (nn.Conv2d(32, 64, 3, stride=2), IMAGES, X),
    "conv, groups and dilation": (nn.Conv2d(32, 64, 3, groups=2, dilation=2), IMAGES, X),
    "conv, same": (nn.Conv2d(32, 64, (3, 2), padding="same"), IMAGES, X),
    "conv, valid": (nn.Conv2d(32, 64, 3, padding="valid"), IMAGES, X),
    "transposed conv": (nn.ConvTranspose2d(32, 64, 3, 2, 1, 1), IMAGES, X),
    "bilinear": (
        Function(lambda x, w: F.bilinear(x[:, :64], x[:, 64:], w), (32, 64, 64)),
        VECTORS,
        CENTRED,
    ),
    "weight norm": (nn.utils.parametrizations.weight_norm(nn.Linear(128, 96)), VECTORS, X),
    # element by element
    "tanh": (Function(torch.tanh), TOKENS, X),
    "relu": (Function(torch.relu), IMAGES, X),
    "prelu": (nn.PReLU(init=0.3), IMAGES, X),
    "sum with a vector": (Function(lambda x, b: x + b, (96,)), TOKENS, X),
    "difference": (Function(lambda x, b: torch.sub(x, b, alpha=0.5), (96,)), TOKENS, X),
    "product with a vector": (Function(lambda x, w: x * w, (96,)), TOKENS, X),
    "1 − x": (Function(lambda x: 1 - x), TOKENS, X),
    "−x": (Function(lambda x: -x), TOKENS, X),
    "x / 3": (Function(lambda x: x / 3), TOKENS, X),
    "x · 0.5 + 1": (Function(lambda x: x * 0.5 + 1), TOKENS, X),
    "dropout": (nn.Dropout(0.3), TOKENS, X),
    "dropout of channels": (nn.Dropout2d(0.3), IMAGES, X),
    "dropout, evaluating": (nn.Dropout(0.3).eval(), TOKENS, X),
    "plus ones": (Function(lambda x: x + torch.ones_like(x)), TOKENS, X),
    "plus a constant tensor": (Function(lambda x: x + torch.tensor(0.5)), TOKENS, X),
    # normalisation
    "batch norm": (nn.BatchNorm2d(32), (32, 32, 6, 6), X),
    "batch norm of vectors": (nn.BatchNorm1d(128), VECTORS, X),
    "layer norm": (nn.LayerNorm(96), TOKENS, X),
    "layer norm of few units": (nn.LayerNorm(8), (16, 96, 8), X),
    "RMS norm of few units": (nn.RMSNorm(8), (16, 96, 8), CENTRED),
    "layer norm of images": (nn.LayerNorm([32, 12, 12], elementwise_affine=False), IMAGES, X),
    "group norm": (nn.GroupNorm(4, 32), IMAGES, X),
    "instance norm": (nn.InstanceNorm2d(32, affine=True), IMAGES, X),
    "RMS norm": (nn.RMSNorm(96), TOKENS, X),
    # pools and means
    "mean pool": (nn.AvgPool2d(3), IMAGES, X),
    "mean pool, padded": (nn.AvgPool2d(3, 2, 1), IMAGES, X),
    "mean pool, padding not counted": (
        nn.AvgPool2d(3, 2, 1, count_include_pad=False),
        IMAGES,
        X,
    ),
    "mean pool, ceiling": (nn.AvgPool2d(5, 5, ceil_mode=True), IMAGES, X),
    "mean pool, another divisor": (nn.AvgPool2d(2, divisor_override=3), IMAGES, X),
    "mean pool, adaptive": (nn.AdaptiveAvgPool2d(5), IMAGES, X),
    "maximum pool": (nn.MaxPool2d(2), IMAGES, X),
    "maximum pool, padded": (nn.MaxPool2d(3, 2, 1), IMAGES, X),
    "maximum pool behind ReLU": (nn.Sequential(nn.ReLU(), nn.MaxPool2d(2)), IMAGES, X),
    "maximum pool, adaptive": (nn.AdaptiveMaxPool2d(4), IMAGES, X),
    "mean over positions": (Function(lambda x: x.mean(1)), TOKENS, X),
    "mean over units": (Function(lambda x: x.mean(-1, keepdim=True)), TOKENS, X),
    "sum over positions": (Function(lambda x: x.sum((2, 3))), IMAGES, X),
    # shape
    "transpose": (Function(lambda x: x.flip(1).contiguous()), TOKENS, X),
    "slice": (Function(lambda x: x[:, 3:9]), TOKENS, X),
    "one part of a split": (Function(lambda x: x.split([32, 64], -1)[1]), TOKENS, X),
    "expand": (Function(lambda x: x[:, :1].expand(-1, 24, -1)), TOKENS, X),
    "join": (Function(lambda x: torch.cat([x, 2 * x], -1)), TOKENS, X),
    "pad with zeros": (Function(lambda x: F.pad(x, (2, 2, 2, 2))), IMAGES, X),
    "pad with a number": (Function(lambda x: F.pad(x, (3, 0), value=2.0)), TOKENS, X),
    "pad by reflecting": (Function(lambda x: F.pad(x, (2,) * 4, mode="reflect")), IMAGES, X),
}
PER_EXAMPLE = {"bmm", "baddbmm"}  # a weight for each example, which the calculus takes as one
BY_POSITION = {"conv", "conv, same", "transposed conv", "pad with zeros", "mean pool, padded"}
"""Where padding, or a transposed convolution's phases, make some positions unlike others: s_T is
that of like positions."""


def drawn(parameters, generator):
    with torch.no_grad():
        for name in parameters.names:
            tensor = parameters.tensor(name)
            if tensor.dim() > 1:
                tensor.normal_(0, 2 * tensor[0].numel() ** -0.5, generator=generator)
            elif tensor.numel() > 1:
                tensor.normal_(0.5, 0.4, generator=generator)


def one_draw(model, trace, parameters, moments, shape, generator):
    """(what torch does, what the calculus says): four moments of the output, then gradients."""
    graph = trace.graph
    (output,), (given,) = graph.outputs, graph.inputs
    drawn(parameters, generator)
    x = sampled(moments, shape, generator).requires_grad_()
    model.zero_grad()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
        y = model(x)
    y.backward(torch.randn(y.shape, generator=generator))

    known = parameter_moments(graph, parameters)
    said = propagate(graph, known, input_moments(graph, Call((x,), {})))
    assert not said.obstacles_forward
    assert not said.obstacles_backward
    m = said.forward[output]
    learnt = [n for n in parameters.names if parameters.tensor(n).grad is not None]
    gradients = [x.grad, *(parameters.tensor(n).grad for n in learnt)]
    return (
        [*measured(y.detach()), *(g.square().mean().item() for g in gradients)],
        [m.mean, m.second, m.shared_examples, m.shared_positions]
        + [said.backward[name] for name in (given, *learnt)],
        [g.numel() for g in gradients],
    )


@pytest.mark.parametrize("name", CASES)
def test_rules_agree_with_torch(name):
    model, shape, moments = CASES[name]
    model = model if list(model.parameters()) else Function(model)
    generator = torch.Generator().manual_seed(0)
    trace, parameters = traced(model, torch.zeros(shape))
    draws = [one_draw(model, trace, parameters, moments, shape, generator) for _ in range(DRAWS)]
    found, derived = (torch.tensor([draw[i] for draw in draws]).mean(0) for i in (0, 1))
    q = derived[1].item()
    mean, second, examples, positions, *gradients = (found - derived).abs().tolist()
    assert mean < 0.03 * q**0.5
    assert second < 0.03 * q
    assert examples < 0.05 * q or name in PER_EXAMPLE
    assert positions < 0.05 * q or name in BY_POSITION
    systematic = 0.03
    for difference, gradient, elements in zip(
        gradients, derived[4:].tolist(), draws[0][2], strict=True
    ):
        by_chance = 4 * (2 / (elements * DRAWS)) ** 0.5  # four σ of a mean of squares
        assert difference < (systematic + by_chance) * gradient
