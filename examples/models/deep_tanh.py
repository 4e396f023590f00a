"""A target for the command line: ``evenflow check examples/models/deep_tanh.py:build``."""

import torch
from torch import nn


def build() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """Twenty tanh layers in PyTorch's default initialisation, a batch, and labels."""
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = [m for _ in range(20) for m in (nn.Linear(128, 128), nn.Tanh())]
        model = nn.Sequential(*layers, nn.Linear(128, 10))
    images = torch.randn(256, 128, generator=generator)
    return model, images, torch.randint(0, 10, (256,), generator=generator)
