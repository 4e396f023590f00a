"""Channels of few weights: their sizes in closed form, and through a norm of a real network."""

import numpy as np
import pytest
import torch
from torch import nn

from evenflow.graph.algebra.few_weights import mean_inverse
from evenflow.graph.propagate import propagate
from evenflow.torch.execute import run
from evenflow.torch.inputs import Call
from evenflow.torch.weights import input_moments, parameter_moments

from ..tracing import traced


@pytest.mark.parametrize("count", [9, 25, 60])
def test_normal_weights_on_white_places_are_chi_square(count):
    assert mean_inverse(np.eye(count), 3.0) == pytest.approx(count / (count - 2), rel=0.02)


def test_uniform_weights_scatter_less():
    """Σw² of n weights of kurtosis 1.8 varies by 0.8/n, of normal ones by 2/n."""
    found = mean_inverse(np.eye(40), 1.8)
    assert found == pytest.approx(1 + 0.8 / 40, abs=0.004)


def test_places_that_are_all_alike_count_as_one():
    """(Σw)² of many weights is a chi-square of one degree; what eps adds bounds its inverse."""
    from scipy.integrate import quad

    share = 0.5
    density = lambda z: np.exp(-z * z / 2) / np.sqrt(2 * np.pi) / (z * z + share)  # noqa: E731
    expected = (1 + share) * quad(density, -9, 9)[0]
    assert mean_inverse(np.ones((30, 30)), 1.8, share) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("smooth", [False, True])
def test_a_norm_behind_a_depthwise_convolution(smooth):
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(16, 256, 8, 8))).float()
    x = nn.functional.avg_pool2d(x, 3, 1) if smooth else x
    torch.manual_seed(1)
    model = nn.Sequential(nn.Conv2d(256, 256, 3, groups=256, bias=False), nn.BatchNorm2d(256))
    trace, parameters = traced(model, x)
    found = propagate(
        trace.graph,
        parameter_moments(trace.graph, parameters),
        input_moments(trace.graph, Call((x,), {})),
    )
    torch.manual_seed(0)
    read = next(node.name for node in trace.graph.nodes if node.op == "conv2d")
    seconds = []
    for _ in range(6):
        model[0].reset_parameters()
        values = {}
        run(trace, parameters, Call((x,), {}), lambda n, v, to=values: to.setdefault(n, v))
        (gradient,) = torch.autograd.grad(
            values["batch_norm"], values[read], torch.randn_like(values["batch_norm"])
        )
        seconds.append(float(gradient.square().mean()))
    assert found.backward[read].second == pytest.approx(np.mean(seconds), rel=0.08)


@pytest.mark.parametrize(("channels", "kernel", "alike"), [(3, 3, 1), (3, 7, 1), (16, 3, 0)])
def test_what_reads_an_input_is_sized_by_its_weights(channels, kernel, alike):
    """27 to 147 of them, on pictures of unlike brightness, whose channels are alike or strangers:
    by what these very patches are. Moments tell means by distance: within 7 % of the roots."""
    rng = np.random.default_rng(1)
    torch.manual_seed(0)
    shapes = (8, channels, 5, 5), (8, channels, 1, 1), (8, channels, 20, 20)
    coarse, bright, noise = (torch.from_numpy(rng.normal(size=shape)) for shape in shapes)
    smooth = nn.functional.interpolate(coarse, (20, 20), mode="bicubic", align_corners=True)
    common = smooth.mean(1, keepdim=True) + bright[:, :1]
    x = alike * common + 0.5 * smooth + (1 - alike) * bright + 0.3 * noise
    model = nn.Sequential(nn.Conv2d(channels, 512, kernel, bias=False), nn.BatchNorm2d(512))
    trace, parameters = traced(model, x.float())
    weights = parameter_moments(trace.graph, parameters)
    found = propagate(trace.graph, weights, input_moments(trace.graph, Call((x,), {})))

    patches = nn.functional.unfold(x, kernel).transpose(0, 1).flatten(1)
    read = np.cov(patches.numpy(), bias=True)
    drawn = rng.uniform(-1, 1, (50_000, len(read))) / len(read) ** 0.5  # as torch draws
    expected = np.mean(1 / np.einsum("di,ij,dj->d", drawn, read, drawn, optimize=True))
    conv = next(node.name for node in trace.graph.nodes if node.op == "conv2d")
    assert abs(np.log(found.backward[conv].second / expected) / 2) < 0.07
