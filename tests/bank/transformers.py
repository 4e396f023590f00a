"""Transformers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F
from tests.bank import faults
from tests.bank.optimisers import adam, adamw, sgd, warmed_up
from tests.bank.setups import Case, Setup, faulty, sound
from tests.bank.tasks import CHAIN, MAJORITY, ROWS, SUMS, VOCABULARY, Task
from torch import nn


class Block(nn.Module):
    """Attention and a perceptron, each beside the stream."""

    def __init__(self, width: int, heads: int, norm: str, *, causal: bool) -> None:
        super().__init__()
        made = nn.LayerNorm if norm != "none" else nn.Identity
        self.norms = nn.ModuleList([made(width), made(width)])
        self.qkv, self.mix = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.heads, self.norm, self.causal = heads, norm, causal

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.norm == "post":
            x = self.norms[0](x + self._attend(x))
            return self.norms[1](x + self._think(x))
        x = x + self._attend(self.norms[0](x))
        return x + self._think(self.norms[1](x))

    def _attend(self, x: torch.Tensor) -> torch.Tensor:
        split = (*x.shape[:2], 3, self.heads, -1)
        q, k, v = self.qkv(x).view(split).permute(2, 0, 3, 1, 4)
        found = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        return self.mix(found.transpose(1, 2).flatten(2))

    def _think(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(F.gelu(self.up(x)))


class Transformer(nn.Module):
    """Tokens or rows in; logits at every place, or of the mean over places."""

    def __init__(self, task: Task, width: int, depth: int, norm: str = "pre") -> None:
        super().__init__()
        tokens, self.everywhere = task in (CHAIN, MAJORITY), task is CHAIN
        start = nn.Embedding(VOCABULARY, width) if tokens else nn.Linear(task.inputs, width)
        self.start, self.places = start, nn.Parameter(0.02 * torch.randn(16, width))
        blocks = [Block(width, 2, norm, causal=self.everywhere) for _ in range(depth)]
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.LayerNorm(width) if norm == "pre" else nn.Identity()
        self.out = nn.Linear(width, task.outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.start(x)
        h = self.norm(self.blocks(h + self.places[: h.shape[1]]))
        return self.out(h).transpose(1, 2) if self.everywhere else self.out(h.mean(1))


class Encoder(nn.Module):
    """torch's own layers."""

    def __init__(self, task: Task, width: int, depth: int) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(width, 2, 2 * width, dropout=0.1, batch_first=True)
        self.start, self.out = nn.Linear(task.inputs, width), nn.Linear(width, task.outputs)
        self.body = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.body(self.start(x)).mean(1))


def setup(
    name: str, task: Task, optimiser: Callable, made: Callable[[], nn.Module], steps: int = 150
) -> Setup:
    """A transformer on a task."""
    return Setup("transformer", f"{task.name}, {name}", task, made, optimiser, steps)


PRE = setup("pre-norm 2x24, adam", ROWS, adam(3e-3), partial(Transformer, ROWS, 24, 2))
POST = setup("post-norm 2x24, adam", ROWS, adam(3e-3), partial(Transformer, ROWS, 24, 2, "post"))
PRE_4 = setup("pre-norm 4x16, adamw", ROWS, adamw(3e-3), partial(Transformer, ROWS, 16, 4))
BARE = setup("no norm 1x24, adam", ROWS, adam(3e-3), partial(Transformer, ROWS, 24, 1, "none"))
ENCODER = setup("torch's layers 2x24, adam", ROWS, adam(3e-3), partial(Encoder, ROWS, 24, 2))
LANGUAGE = setup("pre-norm 2x24, adamw", CHAIN, adamw(5e-3), partial(Transformer, CHAIN, 24, 2))
COUNTING = setup("pre-norm 1x24, adam", MAJORITY, adam(3e-3), partial(Transformer, MAJORITY, 24, 1))
SUMMING = setup("pre-norm 1x32, adam", SUMS, adam(3e-3), partial(Transformer, SUMS, 32, 1), 300)
MOMENTUM = setup("pre-norm 2x24, momentum", ROWS, sgd(0.03, 0.9), partial(Transformer, ROWS, 24, 2))

SOUND = (
    *(PRE, POST, PRE_4, BARE, ENCODER, LANGUAGE, COUNTING, SUMMING, MOMENTUM),
    replace(
        *(POST,),
        name="rows, post-norm 2x24, warmed up",
        optimiser=adam(5e-3),
        schedule=warmed_up(50),
    ),
    replace(LANGUAGE, name="chain, pre-norm 2x24, clipped at 1", clip=1.0),
    replace(PRE, name="rows, pre-norm 2x24, bfloat16", autocast=torch.bfloat16),
)


def cases() -> list[Case]:
    """All of the family."""
    return [*sound(*SOUND), *_initialisations(), *_settings(), *_silent()]


def _initialisations() -> list[Case]:
    bare = replace(BARE, name="rows, pre-norm 10x24, sgd", steps=200, optimiser=sgd(0.1))
    normed = replace(
        bare, network=partial(_wide_start, "pre"), name="rows, pre-norm 10x24 (xavier), sgd"
    )
    return [
        *faulty(faults.standard_normal(), BARE, POST, LANGUAGE),
        *faulty(faults.scaled(20), PRE_4),
        *faulty(faults.constant(0.05), PRE, POST),
        *faulty(faults.constant(0.0), POST),
        *faulty(faults.symmetric(), PRE_4),
        *faulty(faults.normalisation_missing(partial(_wide_start, "none")), normed),
    ]


def _wide_start(norm: str) -> nn.Module:
    """Ten blocks whose branches are as strong as their stream."""
    model = Transformer(ROWS, 24, 10, norm)
    for weight in faults.matrices(model):
        nn.init.xavier_normal_(weight, 1.5)
    return model


def _settings() -> list[Case]:
    return [
        *faulty(faults.inputs("+ 300", lambda x: x + 300), PRE, BARE),
        *faulty(faults.inputs("of 0 to 255", lambda x: 100 * (x + 1)), BARE),
        *faulty(faults.DOUBLED_SOFTMAX, PRE, LANGUAGE),
        *faulty(faults.LOGITS_BEFORE_NLL, PRE),
        *faulty(faults.LOGISTIC_ON_TARGETS, SUMMING),
        *faulty(faults.targets("× 1000", lambda y: 1000 * y), SUMMING),
        *faulty(faults.rate("adam 0.3", adam(0.3), high=True), PRE, LANGUAGE, POST),
        *faulty(faults.rate("sgd 30", sgd(30.0), high=True), MOMENTUM),
        *faulty(faults.rate("adam 1e-7", adam(1e-7), high=False), PRE, COUNTING),
        *faulty(faults.clipped(1e-4), MOMENTUM),
        *faulty(faults.half_weights(torch.bfloat16, adamw(1e-5)), LANGUAGE),
    ]


def _silent() -> list[Case]:
    return [*faulty(faults.LABELS_PERMUTED, PRE, COUNTING)]
