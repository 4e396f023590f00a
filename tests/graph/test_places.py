"""The rims of images: levels of places, in closed form, over draws, and in real networks."""

import tracemalloc

import numpy as np
import pytest
import torch
from torch import nn

from evenflow.graph.algebra.taps import sliding_reads
from evenflow.graph.levels.levels import Levels
from evenflow.graph.propagate import propagate

from ..tracing import traced
from .laws import white
from .monte_carlo import assert_within, network_errors, parameter_laws, redraw

IMAGES = (64, 8, 5, 6)
DRAWS = 60


def test_levels_of_images_keep_their_axes_through_views_and_turns():
    levels = Levels(np.linspace(0.5, 1.5, 30), 1)
    assert levels.axis(IMAGES) is None
    assert levels.span(IMAGES) == range(2, 4)
    assert levels.span((64, 8, 30)) == range(2, 3)
    last = levels.moved(2, (64, 5, 6, 8))
    assert last.inner == 8
    assert last.span((64, 5, 6, 8)) == range(1, 3)
    assert last.span((64, 30, 8)) == range(1, 2)
    assert levels.span((64, 8, 5, 7)) is None


def test_a_stack_of_padded_sums_loses_at_its_ends():
    reads = sliding_reads(4, 4, 3, 1, 1, 1)
    inside = np.eye(4) + np.eye(4, k=1) + np.eye(4, k=-1)
    assert reads.matrix == pytest.approx(inside)
    model = nn.Sequential(*(nn.Conv1d(8, 8, 3, padding=1, bias=False) for _ in range(3)))
    trace, parameters = traced(model, torch.zeros(2, 8, 4))
    laws = {name: law.moments for name, law in parameter_laws(parameters).items()}
    derived = propagate(trace.graph, laws)
    sums = np.linalg.matrix_power(inside, 3).sum(axis=1)
    last, first = trace.graph.outputs[0], next(iter(trace.graph.inputs))
    for way, name in ((derived.levels_forward, last), (derived.levels_backward, first)):
        assert way[name].values == pytest.approx(sums / sums.mean())
    assert derived.forward[last].second == pytest.approx((2 / 3) ** 3 * sums.mean())


LAYERS = {
    "rim of 2": (nn.Conv2d(8, 16, 5, padding=2), IMAGES),
    "strides": (nn.Conv2d(8, 16, 3, stride=2, padding=1), IMAGES),
    "holes": (nn.Conv2d(8, 16, (3, 2), dilation=2, padding=(2, 1), bias=False), IMAGES),
    "groups": (nn.Conv2d(8, 16, 3, padding=1, groups=4), IMAGES),
    "the other way": (
        nn.ConvTranspose2d(8, 16, 3, stride=2, padding=1, output_padding=1),
        IMAGES,
    ),
    "many readers": (nn.ConvTranspose2d(8, 16, 4, bias=False), IMAGES),
    "three axes": (nn.Conv3d(4, 8, 3, padding=1), (32, 4, 3, 5, 4)),
    "padded before": (nn.Sequential(nn.ZeroPad2d((2, 1, 1, 0)), nn.Conv2d(8, 16, 3)), IMAGES),
    "mirrored": (nn.Sequential(nn.ReflectionPad2d(2), nn.Conv2d(8, 16, 3)), IMAGES),
    "cut": (nn.Sequential(nn.Conv2d(8, 16, 3, padding=2), nn.ZeroPad2d(-1)), IMAGES),
    "one axis": (nn.Conv1d(8, 16, 9, padding=4, stride=2), (64, 8, 30)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_every_place_is_as_large_as_in_a_real_layer(name):
    model, shape = LAYERS[name]
    law = white(shape, 1.0)
    trace, parameters = traced(model, torch.zeros(shape))
    laws = parameter_laws(parameters)
    derived = propagate(trace.graph, {n: each.moments for n, each in laws.items()})
    (given,), (result,) = trace.graph.inputs, trace.graph.outputs
    rng = np.random.default_rng(0)
    drawn = {given: [], result: []}
    for _ in range(DRAWS):
        redraw(parameters, laws, rng)
        x = torch.tensor(law.draw(rng), dtype=torch.float32, requires_grad=True)
        y = model(x)
        y.backward(torch.tensor(rng.standard_normal(y.shape), dtype=torch.float32))
        drawn[result].append(by_place(y))
        drawn[given].append(by_place(x.grad))
    for value, moments, levels in (
        (result, derived.forward, derived.levels_forward),
        (given, derived.backward, derived.levels_backward),
    ):
        measured, chance = np.mean(drawn[value], axis=0), np.std(drawn[value], axis=0) / DRAWS**0.5
        said = moments[value].second * getattr(levels.get(value), "values", 1.0)
        assert np.abs(said - measured).max() < 5 * chance.max() + 0.01 * measured.max()


def by_place(values):
    """Second moments of the places of an image, over examples and channels."""
    return values.detach().double().square().mean(dim=(0, 1)).numpy().ravel()


def deep(pool):
    """Convolutions on small images, of which most is rim."""
    layers = []
    for place in range(8):
        layers += [nn.Conv2d(48, 48, 3, padding=1, bias=False), nn.ReLU()]
        if place == 3:
            layers.append(pool)
    return nn.Sequential(*layers)


@pytest.mark.parametrize("pool", [nn.MaxPool2d(2), nn.AvgPool2d(2), nn.Identity()])
def test_rims_of_small_images_add_up_over_depth(pool):
    found = network_errors(deep(pool), white((8, 48, 8, 8), 1.0), draws=24)
    assert_within(found, forward=(0.02, 0.06), backward=(0.03, 0.06))


def test_large_images_cost_memory_by_pixel_and_not_by_pair_of_pixels():
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1)]
    with torch.device("meta"):
        trace, parameters = traced(nn.Sequential(*layers), torch.zeros(2, 3, 224, 224))
    laws = {name: law.moments for name, law in parameter_laws(parameters).items()}
    tracemalloc.start()
    derived = propagate(trace.graph, laws)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert derived.levels_forward[trace.graph.outputs[0]].values.size == 224**2
    assert peak < 64e6
