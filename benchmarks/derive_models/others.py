"""Networks of other kinds: implicit, physics-informed, graphs, experts, gates, shared blocks."""

from __future__ import annotations

import math

import torch
from benchmarks.derive_models import Built, entry
from torch import nn
from torch.nn import functional as F

WIDTH = 128


class Sine(nn.Module):
    """sin(ω·(Wx + b)), drawn as its authors do."""

    def __init__(self, inputs: int, outputs: int, frequency: float, first: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.frequency = frequency
        bound = 1 / inputs if first else math.sqrt(6 / inputs) / frequency
        nn.init.uniform_(self.linear.weight, -bound, bound)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sin(self.frequency * self.linear(x))


@entry()
def siren() -> Built:
    layers = [Sine(2, WIDTH, 30.0, True)]
    layers += [Sine(WIDTH, WIDTH, 30.0, False) for _ in range(4)]
    return nn.Sequential(*layers, nn.Linear(WIDTH, 3)), torch.rand(512, 2) * 2 - 1


@entry()
def physics_informed() -> Built:
    layers: list[nn.Module] = [nn.Linear(2, WIDTH), nn.Tanh()]
    for _ in range(5):
        layers += [nn.Linear(WIDTH, WIDTH), nn.Tanh()]
    return nn.Sequential(*layers, nn.Linear(WIDTH, 1)), torch.rand(512, 2) * 2 - 1


class GraphNetwork(nn.Module):
    """Graph convolutions by a dense, normalised adjacency."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(layers))
        self.head = nn.Linear(WIDTH, 10)

    def forward(self, x: torch.Tensor, adjacency: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = torch.relu(adjacency @ layer(x))
        return self.head(x.mean(dim=1))


@entry()
def graph_network() -> Built:
    edges = (torch.rand(16, 40, 40) < 0.15).float()
    edges = torch.maximum(edges, edges.transpose(1, 2)) + torch.eye(40)
    degree = edges.sum(-1)
    adjacency = edges / (degree[:, :, None] * degree[:, None, :]).sqrt()
    return GraphNetwork(4), (torch.randn(16, 40, WIDTH), adjacency.clamp(max=1.0))


class Experts(nn.Module):
    """A mixture of experts, the two best of eight for each token."""

    def __init__(self, experts: int = 8, best: int = 2) -> None:
        super().__init__()
        self.router = nn.Linear(WIDTH, experts, bias=False)
        self.up = nn.Parameter(torch.randn(experts, WIDTH, 2 * WIDTH) * WIDTH**-0.5)
        self.down = nn.Parameter(torch.randn(experts, 2 * WIDTH, WIDTH) * (2 * WIDTH) ** -0.5)
        self.best = best

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        chances = self.router(x).softmax(-1)
        weights, chosen = chances.topk(self.best, -1)
        weights = weights / weights.sum(-1, keepdim=True)
        mixing = torch.zeros_like(chances).scatter(-1, chosen, weights)
        hidden = F.gelu(torch.einsum("btd,edh->bteh", x, self.up))
        each = torch.einsum("bteh,ehd->bted", hidden, self.down)
        return x + (mixing[..., None] * each).sum(-2)


@entry(draws=60)
def experts() -> Built:
    model = nn.Sequential(nn.Linear(WIDTH, WIDTH), Experts(), Experts(), nn.Linear(WIDTH, 10))
    return model, torch.randn(8, 16, WIDTH)


class Highway(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.change, self.gate = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        open_ = torch.sigmoid(self.gate(x))
        return open_ * torch.tanh(self.change(x)) + (1 - open_) * x


@entry()
def highway() -> Built:
    return nn.Sequential(*(Highway() for _ in range(6))), torch.randn(64, WIDTH)


class Gated(nn.Module):
    """A residual SwiGLU block, or GLU."""

    def __init__(self, swish: bool) -> None:
        super().__init__()
        self.both, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)
        self.swish = swish

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.swish:
            gate, up = self.both(x).chunk(2, -1)
            return x + self.down(F.silu(gate) * up)
        return x + self.down(F.glu(self.both(x)))


@entry()
def swiglu() -> Built:
    return nn.Sequential(*(Gated(True) for _ in range(6))), torch.randn(64, WIDTH)


@entry()
def glu() -> Built:
    return nn.Sequential(*(Gated(False) for _ in range(6))), torch.randn(64, WIDTH)


class Shared(nn.Module):
    """The same block again and again."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh(), nn.Linear(WIDTH, WIDTH))
        self.times = times

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(self.times):
            x = x + self.block(x)
        return x


@entry()
def shared_block() -> Built:
    return Shared(6), torch.randn(64, WIDTH)


class Tied(nn.Module):
    """An autoencoder whose decoder is its encoder, transposed."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(WIDTH, 256)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.encoder(x)) @ self.encoder.weight


@entry()
def tied_autoencoder() -> Built:
    return Tied(), torch.randn(64, WIDTH)


@entry(draws=16)
def albert() -> Built:
    from transformers import AlbertConfig, AlbertModel

    config = AlbertConfig(
        vocab_size=1000,
        embedding_size=WIDTH,
        hidden_size=WIDTH,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=512,
    )
    return AlbertModel(config).eval(), {"input_ids": torch.randint(0, 1000, (4, 32))}


@entry(draws=16)
def mamba() -> Built:
    from transformers import MambaConfig, MambaModel

    config = MambaConfig(vocab_size=1000, hidden_size=WIDTH, num_hidden_layers=2, state_size=16)
    return MambaModel(config), torch.randint(0, 1000, (4, 16))
