"""Real models in their own default initialisation, small enough to check in a second each.

All of them are known to train. Each entry builds (model, inputs, target, loss).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

Case = tuple[nn.Module, Any, torch.Tensor | None, str | None]
ZOO: dict[str, Callable[[], Case]] = {}


def entry(build: Callable[[], Case]) -> Callable[[], Case]:
    """Enter a model into the zoo under its function's name, with a seed of its own."""

    def seeded() -> Case:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return build()

    ZOO[build.__name__] = seeded
    return seeded


def _labels(count: int, classes: int) -> torch.Tensor:
    return torch.randint(0, classes, (count,))


@entry
def mlp() -> Case:
    model = nn.Sequential(
        nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10)
    )
    return model, torch.randn(64, 64), _labels(64, 10), "cross_entropy"


@entry
def lenet() -> Case:
    model = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120),
        nn.Tanh(),
        nn.Linear(120, 84),
        nn.Tanh(),
        nn.Linear(84, 10),
    )
    return model, torch.randn(32, 1, 28, 28), _labels(32, 10), "cross_entropy"


@entry
def vgg_plain() -> Case:
    """VGG-11's plan at a quarter of its width, no normalisation, torchvision's initialisation."""
    layers: list[nn.Module] = []
    channels = 3
    for width in (16, "pool", 32, "pool", 64, 64, "pool", 128, 128, "pool"):
        if width == "pool":
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(channels, int(width), 3, padding=1), nn.ReLU(inplace=True)]
            channels = int(width)
    head = [nn.Flatten(), nn.Linear(512, 128), nn.ReLU(True), nn.Dropout(), nn.Linear(128, 10)]
    model = nn.Sequential(*layers, *head)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0, 0.01)
            nn.init.zeros_(module.bias)
    return model, torch.randn(16, 3, 32, 32), _labels(16, 10), "cross_entropy"


class BasicBlock(nn.Module):
    def __init__(self, into: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(into, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.down = (
            nn.Sequential(nn.Conv2d(into, out, 1, stride, bias=False), nn.BatchNorm2d(out))
            if stride != 1 or into != out
            else None
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skip = x if self.down is None else self.down(x)
        h = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(h)) + skip)


@entry
def resnet() -> Case:
    """ResNet-18's plan at a quarter of its width."""
    blocks: list[nn.Module] = [
        nn.Conv2d(3, 16, 3, 1, 1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(inplace=True),
    ]
    into = 16
    for out, stride in ((16, 1), (16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), (128, 1)):
        blocks.append(BasicBlock(into, out, stride))
        into = out
    model = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10))
    return model, torch.randn(16, 3, 32, 32), _labels(16, 10), "cross_entropy"


@entry
def convnext() -> Case:
    from transformers import ConvNextConfig, ConvNextForImageClassification

    config = ConvNextConfig(
        hidden_sizes=[16, 32, 64, 128], depths=[1, 1, 2, 1], num_labels=10, image_size=64
    )
    model = ConvNextForImageClassification(config)
    return model, {"pixel_values": torch.randn(8, 3, 64, 64)}, _labels(8, 10), "cross_entropy"


@entry
def gpt2() -> Case:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(n_embd=128, n_layer=4, n_head=4, vocab_size=500, n_positions=64)
    inputs = {"input_ids": torch.randint(0, 500, (8, 32)), "use_cache": False}
    return GPT2LMHeadModel(config), inputs, None, None


@entry
def bert() -> Case:
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        hidden_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=512,
        vocab_size=500,
        num_labels=3,
    )
    inputs = {
        "input_ids": torch.randint(0, 500, (16, 32)),
        "attention_mask": torch.ones(16, 32, dtype=torch.long),
    }
    return BertForSequenceClassification(config), inputs, _labels(16, 3), "cross_entropy"


@entry
def vit() -> Case:
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(
        hidden_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=512,
        image_size=32,
        patch_size=8,
        num_labels=10,
    )
    inputs = {"pixel_values": torch.randn(16, 3, 32, 32)}
    return ViTForImageClassification(config), inputs, _labels(16, 10), "cross_entropy"


class Tagger(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(200, 64)
        self.lstm = nn.LSTM(64, 64, num_layers=2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(128, 12)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        hidden, _ = self.lstm(self.embed(tokens))
        return self.head(hidden).transpose(1, 2)


@entry
def lstm_tagger() -> Case:
    return (
        Tagger(),
        torch.randint(0, 200, (16, 20)),
        torch.randint(0, 12, (16, 20)),
        "cross_entropy",
    )


@entry
def autoencoder() -> Case:
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 7),
        nn.ReLU(),
        nn.ConvTranspose2d(64, 32, 7),
        nn.ReLU(),
        nn.ConvTranspose2d(32, 16, 3, stride=2, padding=1, output_padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(16, 1, 3, stride=2, padding=1, output_padding=1),
    )
    x = torch.randn(16, 1, 28, 28)
    return model, x, x.clone(), "mse"
