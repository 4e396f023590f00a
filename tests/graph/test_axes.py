"""Where a tensor's units lie."""

import torch
from torch import nn

from evenflow.graph.axes import unit_axes

from ..tracing import graph_of


def axes_by_op(model, shape):
    graph = graph_of(model, torch.zeros(shape))
    found = unit_axes(graph)
    return [(node.op, found[node.name]) for node in graph.nodes]


def test_images_have_channels_until_they_are_flattened():
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 5)
    )
    assert axes_by_op(model, (2, 3, 8, 8)) == [
        ("conv2d", 1),
        ("activation", 1),
        ("max_pool2d", 1),
        ("flatten", -1),
        ("linear", -1),
    ]


class ChannelsLast(nn.Module):
    """As ConvNeXt: channels go last for the linear layers, and back."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.linear = nn.Conv2d(3, 8, 1), nn.LayerNorm(8), nn.Linear(8, 8)

    def forward(self, x):
        x = self.linear(self.norm(self.conv(x).permute(0, 2, 3, 1)))
        return torch.tanh(x.permute(0, 3, 1, 2))


def test_channels_can_go_last_and_come_back():
    assert axes_by_op(ChannelsLast(), (2, 3, 4, 4)) == [
        ("conv2d", 1),
        ("permute", -1),
        ("layer_norm", -1),
        ("linear", -1),
        ("permute", 1),
        ("activation", 1),
    ]


def test_tokens_and_vectors_have_their_features_last():
    model = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.LayerNorm(8))
    for shape in ((4, 8), (4, 5, 8)):
        assert {axis for _, axis in axes_by_op(model, shape)} == {-1}


def test_inputs_are_images_or_vectors_by_their_rank():
    graph = graph_of(nn.Conv2d(3, 4, 1), torch.zeros(2, 3, 4, 4))
    assert unit_axes(graph)["input"] == 1
    graph = graph_of(nn.Linear(3, 4), torch.zeros(2, 3))
    assert unit_axes(graph)["input"] == -1
