"""Networks of images, on white noise and on smooth pictures whose contrast varies."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from benchmarks.derive_models import Built, entry
from torch import nn
from torch.nn import functional as F


def noise(count: int, size: int, channels: int = 3) -> torch.Tensor:
    """White images."""
    return torch.randn(count, channels, size, size)


def pictures(count: int, size: int, channels: int = 3) -> torch.Tensor:
    """Smooth random fields, alike in their channels, each of its own brightness and contrast."""
    coarse = torch.randn(count, 1, 6, 6) + 0.5 * torch.randn(count, channels, 6, 6)
    smooth = F.interpolate(coarse, size=(size, size), mode="bicubic", align_corners=True)
    contrast = torch.empty(count, 1, 1, 1).uniform_(0.4, 1.6)
    brightness = 0.7 * torch.randn(count, 1, 1, 1)
    return contrast * (smooth + brightness + 0.2 * torch.randn(count, channels, size, size))


def convolution(
    inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1
) -> nn.Module:
    """Convolution without bias, batch norm."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    )


class LeNet(nn.Module):
    """LeCun et al. 1998, with the activations and pools of its time."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2),
            nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2),
        )  # fmt: skip
        self.head = nn.Sequential(
            nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(x).flatten(1))


def vgg(plan: Sequence[int], *, norm: bool) -> nn.Module:
    """Simonyan and Zisserman 2015, for 32 × 32 images; 0 in ``plan`` is a pool."""
    layers: list[nn.Module] = []
    channels = 3
    for width in plan:
        if not width:
            layers.append(nn.MaxPool2d(2))
            continue
        layers.append(nn.Conv2d(channels, width, 3, padding=1))
        layers += [nn.BatchNorm2d(width), nn.ReLU()] if norm else [nn.ReLU()]
        channels = width
    head = [nn.Linear(512, 512), nn.ReLU(), nn.Dropout(), nn.Linear(512, 10)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), *head)


VGG11 = (64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0)
VGG16 = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0)


class Residual(nn.Module):
    """A residual block: basic, or a bottleneck where ``widening`` is above 1."""

    def __init__(self, inputs: int, width: int, stride: int, widening: int) -> None:
        super().__init__()
        outputs = width * widening
        if widening == 1:
            steps = [convolution(inputs, width, 3, stride), nn.ReLU(), convolution(width, width)]
        else:
            steps = [
                convolution(inputs, width, 1), nn.ReLU(), convolution(width, width, 3, stride),
                nn.ReLU(), convolution(width, outputs, 1),
            ]  # fmt: skip
        self.branch = nn.Sequential(*steps)
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else convolution(inputs, outputs, 1, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.branch(x) + self.shortcut(x))


def resnet(blocks: Sequence[int], widening: int) -> nn.Module:
    """He et al. 2016."""
    layers: list[nn.Module] = [convolution(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    channels = 64
    for stage, count in enumerate(blocks):
        for block in range(count):
            width = 64 * 2**stage
            stride = 2 if stage and not block else 1
            layers.append(Residual(channels, width, stride, widening))
            channels = width * widening
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


class Inverted(nn.Module):
    """An inverted bottleneck with a depthwise convolution, as in MobileNetV2."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        wide = 6 * inputs
        self.branch = nn.Sequential(
            convolution(inputs, wide, 1), nn.ReLU6(),
            convolution(wide, wide, 3, stride, groups=wide), nn.ReLU6(),
            convolution(wide, outputs, 1),
        )  # fmt: skip
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.branch(x) if self.residual else self.branch(x)


class DenseBlock(nn.Module):
    """Each layer reads everything before it, as in DenseNet."""

    def __init__(self, inputs: int, growth: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm2d(inputs + place * growth),
                nn.ReLU(),
                nn.Conv2d(inputs + place * growth, growth, 3, padding=1, bias=False),
            )
            for place in range(layers)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        return x


class UNet(nn.Module):
    """Two levels down and up again by transposed convolutions (Ronneberger et al. 2015)."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.first = self._double(3, width)
        self.second = self._double(width, 2 * width)
        self.bottom = self._double(2 * width, 4 * width)
        self.up_second = nn.ConvTranspose2d(4 * width, 2 * width, 2, 2)
        self.merge_second = self._double(4 * width, 2 * width)
        self.up_first = nn.ConvTranspose2d(2 * width, width, 2, 2)
        self.merge_first = self._double(2 * width, width)
        self.head = nn.Conv2d(width, 4, 1)

    @staticmethod
    def _double(inputs: int, outputs: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1), nn.ReLU(),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.first(x)
        second = self.second(F.max_pool2d(first, 2))
        bottom = self.bottom(F.max_pool2d(second, 2))
        up = self.merge_second(torch.cat([self.up_second(bottom), second], 1))
        return self.head(self.merge_first(torch.cat([self.up_first(up), first], 1)))


class ConvNeXtBlock(nn.Module):
    """Liu et al. 2022."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.scale = nn.Parameter(torch.full((width,), 1e-6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.scale * self.narrow(F.gelu(self.wide(y)))
        return x + y.permute(0, 3, 1, 2)


class ConvNeXt(nn.Module):
    """Two stages of ConvNeXt blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 64, 4, 4)
        self.stem_norm = nn.GroupNorm(1, 64)
        self.first = nn.Sequential(ConvNeXtBlock(64), ConvNeXtBlock(64))
        self.down = nn.Conv2d(64, 128, 2, 2)
        self.second = nn.Sequential(ConvNeXtBlock(128), ConvNeXtBlock(128))
        self.norm, self.head = nn.LayerNorm(128), nn.Linear(128, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.second(self.down(self.first(self.stem_norm(self.stem(x)))))
        return self.head(self.norm(x.mean((2, 3))))


@entry(draws=100)
def lenet() -> Built:
    return LeNet(), noise(16, 28, 1)


@entry(draws=100)
def lenet_on_pictures() -> Built:
    return LeNet(), pictures(16, 28, 1)


@entry(draws=24)
def vgg11() -> Built:
    return vgg(VGG11, norm=False), noise(4, 32)


@entry(draws=24)
def vgg11_norm() -> Built:
    return vgg(VGG11, norm=True), noise(8, 32)


@entry(draws=16)
def vgg16_on_pictures() -> Built:
    return vgg(VGG16, norm=False), pictures(4, 32)


@entry(draws=16)
def vgg16_norm_on_pictures() -> Built:
    return vgg(VGG16, norm=True), pictures(8, 32)


@entry(draws=16)
def resnet18() -> Built:
    return resnet((2, 2, 2, 2), 1), noise(8, 64)


@entry(draws=16)
def resnet18_on_pictures() -> Built:
    return resnet((2, 2, 2, 2), 1), pictures(8, 64)


@entry(draws=8)
def resnet50() -> Built:
    return resnet((3, 4, 6, 3), 4), noise(8, 64)


@entry(draws=24)
def mobilenet() -> Built:
    body = [Inverted(32, 32, 1), Inverted(32, 64, 2), Inverted(64, 64, 1), Inverted(64, 64, 1)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(64, 10)]
    return nn.Sequential(convolution(3, 32, 3, 2), nn.ReLU6(), *body, *head), pictures(8, 32)


@entry(draws=24)
def densenet() -> Built:
    narrow = [nn.BatchNorm2d(128), nn.ReLU(), nn.Conv2d(128, 64, 1, bias=False), nn.AvgPool2d(2)]
    head = [nn.BatchNorm2d(128), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    stem = [convolution(3, 64), nn.ReLU()]
    blocks = [DenseBlock(64, 16, 4), *narrow, DenseBlock(64, 16, 4)]
    return nn.Sequential(*stem, *blocks, *head, nn.Linear(128, 10)), pictures(8, 32)


@entry(draws=24)
def unet() -> Built:
    return UNet(), pictures(4, 32)


@entry(draws=24)
def convnext() -> Built:
    return ConvNeXt(), pictures(8, 32)
