"""Fans as the plan reads them off the graph, against what real layers do to second moments.

Each layer is traced through ``torch.export``; then weights of variance v = 1/fan_in are drawn,
inputs and cotangents are independent standard normal, and E[y²] must be fan_in·v, E[(∂/∂x)²]
fan_out·v, in the interior, over all stride phases.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from evenflow.planning.uses import uses

from ..tracing import graph_of

DRAWS = 32
TOLERANCE = 0.03


def use_of(model, *inputs, weight="weight"):
    (use,) = uses(graph_of(model, *inputs))[weight]
    return use


def relative_moments(use, weight, apply, shape, margins=(0, 0)):
    """E[y²] and E[(∂/∂x)²] of ``apply(x)`` over what the fans predict; 1 is right.

    ``weight`` is filled with draws of variance 1/fan_in. ``margins`` of input and output are left
    out on every side of the axes behind the second.
    """
    generator = torch.Generator().manual_seed(0)
    forward, backward = [], []
    for _ in range(DRAWS):
        with torch.no_grad():
            weight.normal_(0, use.fan_in**-0.5, generator=generator)
        x = torch.randn(shape, generator=generator, requires_grad=True)
        y = apply(x)
        y.backward(torch.randn(y.shape, generator=generator))
        forward.append(interior(y.detach(), margins[1]).square().mean())
        backward.append(interior(x.grad, margins[0]).square().mean() * use.fan_in / use.fan_out)
    return torch.stack(forward).mean().item(), torch.stack(backward).mean().item()


def interior(x, margin):
    return x[(slice(None), slice(None), *[slice(margin, -margin)] * (x.dim() - 2))] if margin else x


def assert_right(moments):
    assert moments == pytest.approx((1, 1), rel=TOLERANCE)


class Product(nn.Module):
    """x @ W."""

    def __init__(self, *shape):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(shape))

    def forward(self, x):
        return x @ self.weight


class Turned(Product):
    def forward(self, x):
        return F.linear(x, self.weight.t())


class LeftProduct(Product):
    def forward(self, x):
        return (self.weight @ x.transpose(-1, -2)).transpose(-1, -2)


class Einsum(Product):
    equation = "eni,eio->eno"

    def forward(self, x):
        return torch.einsum(self.equation, x, self.weight)


class DottedEinsum(Einsum):
    equation = "...i,io->...o"


class Batched(Product):
    def forward(self, x):
        return torch.bmm(x, self.weight)


class Added(Product):
    def forward(self, x):
        return torch.baddbmm(torch.zeros(1), x, self.weight)


MATRICES = {
    "Linear": (nn.Linear(64, 256, bias=False), (512, 64), (64, 256)),
    "x @ W": (Product(64, 256), (512, 64), (64, 256)),
    "F.linear(x, W.t())": (Turned(64, 256), (512, 64), (64, 256)),
    "W @ x": (LeftProduct(256, 64), (8, 64, 64), (64, 256)),
    "experts by einsum": (Einsum(8, 512, 128), (8, 16, 512), (512, 128)),
    "experts by bmm": (Batched(8, 512, 128), (8, 16, 512), (512, 128)),
    "experts by matmul": (Product(8, 512, 128), (8, 16, 512), (512, 128)),
    "experts by baddbmm": (Added(8, 512, 128), (8, 16, 512), (512, 128)),
    "einsum with dots": (DottedEinsum(64, 256), (4, 128, 64), (64, 256)),
}


@pytest.mark.parametrize("case", MATRICES)
def test_matrices(case):
    layer, shape, fans = MATRICES[case]
    use = use_of(layer, torch.empty(shape))
    assert (use.role, use.fan_in, use.fan_out) == ("linear", *fans)
    assert use.blocks == ()
    assert_right(relative_moments(use, layer.weight, layer, shape))


# Margins of input and output, in whole strides, so that every phase is met equally often.
CONVOLUTIONS = {
    "k3": (nn.Conv2d(64, 256, 3, padding=1), (1, 64, 12, 12), (2, 2), (576, 2304)),
    "k3 stride 2": (nn.Conv2d(64, 256, 3, 2, padding=1), (1, 64, 20, 20), (4, 2), (576, 576)),
    "depthwise": (nn.Conv2d(64, 64, 3, padding=1, groups=64), (4, 64, 16, 16), (2, 2), (9, 9)),
    "grouped": (nn.Conv2d(64, 128, 3, padding=1, groups=4), (2, 64, 12, 12), (2, 2), (144, 288)),
    "dilated": (nn.Conv2d(32, 64, 3, dilation=2, padding=2), (2, 32, 18, 18), (4, 4), (288, 576)),
    "patches": (nn.Conv2d(3, 64, 8, 8), (4, 3, 48, 48), (8, 1), (192, 64)),
    "1d": (nn.Conv1d(64, 128, 5, padding=2), (4, 64, 48), (4, 4), (320, 640)),
    "3d": (nn.Conv3d(8, 16, 3, padding=1), (2, 8, 10, 10, 10), (2, 2), (216, 432)),
    "same": (nn.Conv2d(32, 64, 3, padding="same"), (2, 32, 14, 14), (2, 2), (288, 576)),
    "transposed k4 s2": (
        nn.ConvTranspose2d(64, 256, 4, 2, padding=1),
        (1, 64, 12, 12),
        (2, 4),
        (256, 4096),
    ),
    "transposed grouped": (
        nn.ConvTranspose2d(64, 64, 2, 2, groups=4),
        (2, 64, 12, 12),
        (1, 2),
        (16, 64),
    ),
}


@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_convolutions(case):
    layer, shape, margins, fans = CONVOLUTIONS[case]
    use = use_of(layer, torch.empty(shape))
    assert (use.fan_in, use.fan_out) == fans
    nn.init.zeros_(layer.bias)
    assert_right(relative_moments(use, layer.weight, layer, shape, margins))


class Attention(nn.Module):
    """Packed queries, keys and values, taken apart in the ways that libraries do."""

    heads = 4

    def __init__(self, width=256):
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width, bias=False)

    def forward(self, x):
        q, k, v = self.taken_apart(x)
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)

    def taken_apart(self, x):
        batch, tokens, width = x.shape
        packed = self.qkv(x).reshape(batch, tokens, 3, self.heads, width // self.heads)
        return packed.permute(2, 0, 3, 1, 4).unbind(0)


class Indexed(Attention):
    def taken_apart(self, x):
        batch, tokens, width = x.shape
        packed = self.qkv(x).view(batch, tokens, 3, self.heads, width // self.heads)
        packed = packed.permute(2, 0, 3, 1, 4)
        return packed[0], packed[1], packed[2]


class Chunked(Attention):
    def taken_apart(self, x):
        return [part.unflatten(-1, (4, -1)).transpose(1, 2) for part in self.qkv(x).chunk(3, -1)]


class Sliced(Attention):
    def taken_apart(self, x):
        packed, width = self.qkv(x), x.shape[-1]
        parts = packed[..., :width], packed[..., width : 2 * width], packed[..., 2 * width :]
        return [part.unflatten(-1, (4, -1)).transpose(1, 2) for part in parts]


class Conv1D(nn.Module):
    """GPT-2's own linear layer: a weight (in, out), by addmm on flattened tokens."""

    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, 3 * width))
        self.bias = nn.Parameter(torch.zeros(3 * width))

    def forward(self, x):
        size = (*x.shape[:-1], self.weight.shape[-1])
        return torch.addmm(self.bias, x.view(-1, x.shape[-1]), self.weight).view(size)


class Gpt2(Attention):
    def __init__(self, width=256):
        super().__init__()
        self.qkv = Conv1D(width)

    def taken_apart(self, x):
        parts = self.qkv(x).split(x.shape[-1], dim=2)
        return [part.unflatten(-1, (4, -1)).transpose(1, 2) for part in parts]


PACKED = {
    "MultiheadAttention": (nn.MultiheadAttention(256, 4, batch_first=True), "in_proj_weight", 0),
    "unbound": (Attention(), "qkv.weight", 0),
    "indexed": (Indexed(), "qkv.weight", 0),
    "chunked": (Chunked(), "qkv.weight", 0),
    "sliced": (Sliced(), "qkv.weight", 0),
    "GPT-2": (Gpt2(), "qkv.weight", 1),
}


@pytest.mark.parametrize("case", PACKED)
def test_packed_queries_keys_and_values_are_three_matrices(case):
    model, name, axis = PACKED[case]
    x = torch.empty(4, 16, 256)
    graph = graph_of(model, *([x] * 3 if name == "in_proj_weight" else [x]))
    (use,) = uses(graph)[name]
    assert (use.role, use.fan_in, use.fan_out) == ("linear", 256, 256)
    assert (use.blocks, use.axis, use.start) == ((256, 256, 256), axis, 0)


@pytest.mark.parametrize("block", range(3))
@pytest.mark.parametrize("case", ["MultiheadAttention", "unbound", "GPT-2"])
def test_each_packed_matrix_has_its_own_fans(case, block):
    model, name, _ = PACKED[case]
    shape = (2, 128, 256)
    own = name == "in_proj_weight"
    use = uses(graph_of(model, *[torch.empty(shape)] * (3 if own else 1)))[name][0]

    def apply(x):  # the packed product itself, cut to one of its parts
        product = F.linear(x, model.in_proj_weight) if own else model.qkv(x)
        return product.split(use.blocks, -1)[block]

    assert_right(relative_moments(use, dict(model.named_parameters())[name], apply, shape))


class GroupedQuery(nn.Module):
    """Fewer keys and values than queries, all in one weight."""

    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(256, 384, bias=False)

    def forward(self, x):
        q, k, v = self.qkv(x).split([256, 64, 64], dim=-1)
        return q * torch.cat([k, v, k, v], -1)


def test_unequal_parts_keep_their_own_sizes():
    (use,) = uses(graph_of(GroupedQuery(), torch.empty(2, 4, 256)))["qkv.weight"]
    assert (use.fan_in, use.blocks, use.fan_out) == (256, (256, 64, 64), 128)


def test_a_gated_linear_unit_packs_two_matrices():
    model = nn.Sequential(nn.Linear(64, 128), nn.GLU())
    (use,) = uses(graph_of(model, torch.empty(4, 64)))["0.weight"]
    assert use.blocks == (64, 64)


def test_cross_attention_reads_the_packed_weight_in_two_parts():
    attention = nn.MultiheadAttention(64, 4, batch_first=True)
    memory = torch.empty(2, 6, 64)
    query, rest = uses(graph_of(attention, torch.empty(2, 5, 64), memory, memory))["in_proj_weight"]
    assert (query.blocks, query.start, query.fan_out) == ((64,), 0, 64)
    assert (rest.blocks, rest.start, rest.fan_out) == ((64, 64), 64, 64)
    assert query.axis == rest.axis == 0


class Halves(nn.Module):
    """A square weight of which each half is its own matrix; ``turned`` the other way round."""

    def __init__(self, turned):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(64, 64))
        self.turned = turned

    def forward(self, x):
        first, second = self.weight.chunk(2, 1 if self.turned else 0)
        return x @ first + x @ second if self.turned else F.linear(x, first) * F.linear(x, second)


@pytest.mark.parametrize("turned", [False, True])
def test_parts_of_a_square_weight_lie_along_the_axis_that_was_cut(turned):
    first, second = uses(graph_of(Halves(turned), torch.empty(5, 64)))["weight"]
    assert first.axis == second.axis == int(turned)
    assert (first.start, second.start) == (0, 32)
    assert (first.fan_in, first.fan_out) == (64, 32)
