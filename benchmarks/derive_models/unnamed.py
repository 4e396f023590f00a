"""Networks that no rule was made for, written by hand as their authors do."""

from __future__ import annotations

import math

import torch
from benchmarks.derive_models import Built, entry
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm as spectral
from torch.nn.utils.parametrizations import weight_norm

WIDTH = 128


def _perceptron(inputs: int, outputs: int, activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    middle = (nn.Linear(inputs, WIDTH), activation(), nn.Linear(WIDTH, WIDTH), activation())
    return nn.Sequential(*middle, nn.Linear(WIDTH, outputs))


class Mixer(nn.Module):
    def __init__(self, tokens: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(2))
        self.tokens, self.units = _perceptron(tokens, tokens), _perceptron(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.tokens(self.norms[0](x).mT).mT
        return x + self.units(self.norms[1](x))


@entry(draws=6)
def mlp_mixer() -> Built:
    return nn.Sequential(*(Mixer(16) for _ in range(3))), torch.randn(8, 16, WIDTH)


class Modulated(nn.Module):
    """Feature-wise linear modulation (FiLM) of a normalised image."""

    def __init__(self) -> None:
        super().__init__()
        self.map, self.condition = nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.Linear(64, 2 * WIDTH)
        self.norm = nn.GroupNorm(8, WIDTH)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        scale, shift = self.condition(condition)[:, :, None, None].chunk(2, 1)
        return x + F.relu((1 + scale) * self.norm(self.map(x)) + shift)


class Conditioned(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, WIDTH, 3, padding=1), nn.Linear(WIDTH, 10)
        self.blocks = nn.ModuleList(Modulated() for _ in range(3))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x, condition)
        return self.head(x.mean((2, 3)))


@entry(draws=6)
def film() -> Built:
    return Conditioned(), (torch.randn(8, 3, 12, 12), torch.randn(8, 64))


class SqueezeExcite(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.ModuleList(nn.Conv2d(WIDTH, WIDTH, 3, padding=1) for _ in range(2))
        self.norms = nn.ModuleList(nn.GroupNorm(16, WIDTH) for _ in range(2))
        self.gate = nn.Sequential(nn.Linear(WIDTH, 32), nn.ReLU(), nn.Linear(32, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norms[1](self.maps[1](F.relu(self.norms[0](self.maps[0](x)))))
        return F.relu(x + y * self.gate(y.mean((2, 3))).sigmoid()[:, :, None, None])


@entry(draws=6)
def squeeze_excite() -> Built:
    model = nn.Sequential(nn.Conv2d(3, WIDTH, 3, padding=1), *(SqueezeExcite() for _ in range(3)))
    return model, torch.randn(8, 3, 12, 12)


class Gated(nn.Module):
    """A dilated causal convolution with a gate, a residual and a skip path."""

    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.value, self.gate = (nn.Conv1d(WIDTH, WIDTH, 2, dilation=dilation) for _ in range(2))
        self.onwards, self.skip = (nn.Conv1d(WIDTH, WIDTH, 1) for _ in range(2))
        self.dilation = dilation

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        padded = F.pad(x, (self.dilation, 0))
        hidden = torch.tanh(self.value(padded)) * torch.sigmoid(self.gate(padded))
        return x + self.onwards(hidden), self.skip(hidden)


class WaveNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv1d(1, WIDTH, 1), nn.Conv1d(WIDTH, 64, 1)
        self.blocks = nn.ModuleList(Gated(2**i) for i in range(5))

    def forward(self, x: Tensor) -> Tensor:
        x, skips = self.first(x), []
        for block in self.blocks:
            x, skip = block(x)
            skips.append(skip)
        return self.last(F.relu(sum(skips)))


@entry(draws=6)
def wavenet() -> Built:
    return WaveNet(), torch.randn(8, 1, 48)


class Temporal(nn.Module):
    def __init__(self, dilation: int) -> None:
        super().__init__()
        options = {"padding": 2 * dilation, "dilation": dilation}
        self.maps = nn.ModuleList(weight_norm(nn.Conv1d(WIDTH, WIDTH, 3, **options)) for _ in "ab")
        self.beyond = 2 * dilation

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for each in self.maps:
            y = F.relu(each(y)[..., : -self.beyond])
        return F.relu(x + y)


@entry(draws=6)
def temporal_convolutions() -> Built:
    return nn.Sequential(*(Temporal(2**i) for i in range(3))), torch.randn(8, WIDTH, 32)


@entry(draws=6)
def spectral_norm() -> Built:
    maps = [spectral(nn.Conv2d(3 if i == 0 else WIDTH, WIDTH, 3, padding=1)) for i in range(4)]
    layers = [layer for each in maps for layer in (each, nn.LeakyReLU(0.2))]
    return nn.Sequential(*layers).eval(), torch.randn(8, 3, 12, 12)


class OperatorNetwork(nn.Module):
    """DeepONet: the inner product of a branch and a trunk."""

    def __init__(self) -> None:
        super().__init__()
        self.branch, self.trunk = _perceptron(50, WIDTH, nn.Tanh), _perceptron(2, WIDTH, nn.Tanh)

    def forward(self, values: Tensor, places: Tensor) -> Tensor:
        return (self.branch(values)[:, None] * self.trunk(places)).sum(-1)


@entry(draws=6)
def deeponet() -> Built:
    return OperatorNetwork(), (torch.randn(16, 50), torch.rand(16, 32, 2))


class RadianceField(nn.Module):
    """Waves of a place, a skip that joins them again."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.after = _perceptron(60, WIDTH), _perceptron(WIDTH + 60, 4)

    def forward(self, x: Tensor) -> Tensor:
        phases = (x[..., None] * 2.0 ** torch.arange(10) * math.pi).flatten(-2)
        waves = torch.cat([phases.sin(), phases.cos()], -1)
        return self.after(torch.cat([waves, F.relu(self.before(waves))], -1))


@entry(draws=6)
def radiance_field() -> Built:
    return RadianceField(), torch.rand(256, 3) * 2 - 1


class GraphAttention(nn.Module):
    def __init__(self, heads: int = 4) -> None:
        super().__init__()
        self.map = nn.Linear(WIDTH, WIDTH, bias=False)
        self.left, self.right = (
            nn.Parameter(torch.randn(heads, WIDTH // heads) * 0.1) for _ in range(2)
        )

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        values = self.map(x).unflatten(-1, self.left.shape)
        to, of = ((values * each).sum(-1) for each in (self.left, self.right))
        logits = F.leaky_relu(to[:, :, None] + of[:, None], 0.2)
        weights = logits.masked_fill(edges[..., None] == 0, -1e9).softmax(2)
        return F.elu(torch.einsum("bijh,bjhd->bihd", weights, values).flatten(2))


class GraphAttentions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(GraphAttention() for _ in range(3))

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x, edges)
        return x


@entry(draws=6)
def graph_attention() -> Built:
    edges = (torch.rand(8, 20, 20) < 0.3) | torch.eye(20, dtype=torch.bool)
    return GraphAttentions(), (torch.randn(8, 20, WIDTH), edges.long())


class Twins(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.head = _perceptron(64, WIDTH), nn.Linear(2 * WIDTH, 1)

    def forward(self, one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        x, y = self.encoder(one), self.encoder(other)
        return F.cosine_similarity(x, y), self.head(torch.cat([x * y, (x - y).abs()], -1))


@entry(draws=6)
def twins() -> Built:
    return Twins(), (torch.randn(64, 64), torch.randn(64, 64))


class Attention(nn.Module):
    """Causal self-attention as it is written in tutorials, or normalised queries and keys."""

    def __init__(self, *, cosine: bool = False) -> None:
        super().__init__()
        self.norm, self.out = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH)
        self.packed = nn.Linear(WIDTH, 3 * WIDTH)
        self.cosine = cosine

    def forward(self, x: Tensor) -> Tensor:
        packed = self.packed(self.norm(x)).unflatten(-1, (3, 4, 32)).transpose(1, 3)
        query, key, value = packed.unbind(2)
        if self.cosine:
            query, key = 10 * F.normalize(query, dim=-1), F.normalize(key, dim=-1)
        logits = query @ key.transpose(-2, -1) / (1 if self.cosine else math.sqrt(32))
        hidden = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
        weights = logits.masked_fill(hidden, -torch.inf).softmax(-1)
        return x + self.out((weights @ value).transpose(1, 2).flatten(2))


@entry(draws=6)
def causal_attention() -> Built:
    return nn.Sequential(*(Attention() for _ in range(3))), torch.randn(4, 24, WIDTH)


@entry(draws=6)
def cosine_attention() -> Built:
    return nn.Sequential(*(Attention(cosine=True) for _ in range(3))), torch.randn(4, 24, WIDTH)


class FourierLayer(nn.Module):
    """A map of the lowest frequencies by complex weights, beside a pointwise one."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(WIDTH, WIDTH, 8, dtype=torch.cfloat) / WIDTH)
        self.map = nn.Conv1d(WIDTH, WIDTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        low = torch.einsum("bif,iof->bof", torch.fft.rfft(x)[..., :8], self.weight)
        return F.gelu(torch.fft.irfft(low, n=x.shape[-1]) + self.map(x))


@entry(draws=6)
def fourier_operator() -> Built:
    return nn.Sequential(FourierLayer(), FourierLayer()), torch.randn(4, WIDTH, 32)


class PointNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.each, self.whole = _perceptron(16, 256), _perceptron(256, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.whole(F.relu(self.each(x)).max(1).values)


@entry(draws=6)
def point_net() -> Built:
    return PointNet(), torch.randn(8, 64, 16)
