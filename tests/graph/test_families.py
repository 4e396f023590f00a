"""Each rule against its torch operation: E[x·x′] of every pair of elements, forwards, and of the
gradients of the input and of every parameter, as autograd has them, over many draws."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from .laws import mixed
from .monte_carlo import disagreements

IMAGE_ROLES = ("examples", "units", "positions", "positions")
VECTORS = mixed((10, 12), 0.4, ("examples", "units"))
TOKENS = mixed((5, 6, 8), 0.4, ("examples", "positions", "units"))
IMAGES = mixed((4, 6, 7, 7), 0.4, IMAGE_ROLES, reach=2)
ROWS = mixed((4, 6, 9), 0.4, ("examples", "units", "positions"))
CENTRED = mixed((10, 12), 0.0, ("examples", "units"))
MANY_TOKENS = mixed((5, 6, 96), 0.4, ("examples", "positions", "units"))
MANY_PLACES = mixed((8, 6, 8, 8), 0.4, IMAGE_ROLES)
MANY_CHANNELS = mixed((4, 64, 5, 5), 0.4, IMAGE_ROLES, reach=2)


class Function(nn.Module):
    """Any function of a tensor and of weights of these shapes."""

    def __init__(self, function, *shapes):
        super().__init__()
        self.function = function
        self.weights = nn.ParameterList(torch.zeros(shape) for shape in shapes)

    def forward(self, x):
        return self.function(x, *self.weights)


LINEAR = {
    "linear": (nn.Linear(12, 9), VECTORS),
    "linear on tokens": (nn.Linear(8, 9), TOKENS),
    "without bias": (nn.Linear(8, 9, bias=False), TOKENS),
    "x @ W": (Function(lambda x, w: x @ w, (8, 5)), TOKENS),
    "W @ x": (Function(lambda x, w: w @ x, (5, 6)), TOKENS),
    "x @ v": (Function(lambda x, w: x @ w.flatten(), (8, 1)), TOKENS),
    "mm": (Function(lambda x, w: torch.mm(x, w), (12, 5)), VECTORS),
    "mv": (Function(lambda x, w: torch.mv(x, w.flatten()), (12, 1)), VECTORS),
    "addmm": (
        Function(lambda x, b, w: torch.addmm(b, x, w, beta=0.5, alpha=2), (1, 5), (12, 5)),
        VECTORS,
    ),
    "bmm": (Function(torch.bmm, (5, 8, 4)), TOKENS),
    "baddbmm": (Function(lambda x, b, w: torch.baddbmm(b, x, w), (5, 6, 4), (5, 8, 4)), TOKENS),
    "einsum": (Function(lambda x, w: torch.einsum("btk,hko->bhto", x, w), (3, 8, 4)), TOKENS),
    "einsum with dots": (Function(lambda x, w: torch.einsum("...k,ok", x, w), (3, 8)), TOKENS),
    "bilinear": (Function(lambda x, w: F.bilinear(x[:, :6], x[:, 6:], w), (5, 6, 6)), CENTRED),
}
CONVOLUTIONS = {
    "1-d": (nn.Conv1d(6, 5, 3, padding=1), ROWS),
    "2-d": (nn.Conv2d(6, 5, 3, padding=1), IMAGES),
    "3-d": (nn.Conv3d(2, 3, 2), mixed((3, 2, 4, 4, 3), 0.4)),
    "strides": (nn.Conv2d(6, 5, 3, stride=2), IMAGES),
    "groups and dilation": (nn.Conv2d(6, 4, 3, groups=2, dilation=2), IMAGES),
    "by channel": (nn.Conv2d(6, 6, 3, padding=1, groups=6), IMAGES),
    "same": (nn.Conv2d(6, 5, (3, 1), padding="same"), IMAGES),
    "valid": (nn.Conv2d(6, 5, 3, padding="valid"), IMAGES),
    "patches": (nn.Conv2d(6, 5, 3, stride=3), IMAGES),
    "one by one": (nn.Conv2d(6, 5, 1), IMAGES),
    "transposed": (nn.ConvTranspose2d(6, 5, 3, 2, 1, 1), IMAGES),
    "transposed, groups": (nn.ConvTranspose1d(6, 4, 4, 2, 1, groups=2), ROWS),
}
ELEMENTWISE = {
    "tanh": (Function(torch.tanh), TOKENS),
    "relu": (Function(torch.relu), IMAGES),
    "gelu": (Function(F.gelu), VECTORS),
    "prelu": (nn.PReLU(), TOKENS),
    "sum with a vector": (Function(lambda x, b: x + b, (8,)), TOKENS),
    "difference": (Function(lambda x, b: torch.sub(x, b, alpha=0.5), (8,)), TOKENS),
    "product with a vector": (Function(lambda x, w: x * w, (8,)), TOKENS),
    "with each position's own": (Function(lambda x, w: x + w, (6, 8)), TOKENS),
    "1 − x": (Function(lambda x: 1 - x), TOKENS),
    "−x": (Function(lambda x: -x), TOKENS),
    "x / 3": (Function(lambda x: x / 3), TOKENS),
    "x · 0.5 + 1": (Function(lambda x: x * 0.5 + 1), TOKENS),
    "glu": (nn.GLU(-1), TOKENS),
    "dropout": (nn.Dropout(0.3), TOKENS),
    "dropout of channels": (nn.Dropout2d(0.3), IMAGES),
    "dropout, evaluating": (nn.Dropout(0.3).eval(), TOKENS),
    "plus ones": (Function(lambda x: x + torch.ones_like(x)), TOKENS),
    "plus a full tensor": (Function(lambda x: x + torch.full_like(x, 0.5)), TOKENS),
    "plus a constant tensor": (Function(lambda x: x + torch.tensor(0.5)), TOKENS),
}
NORMALISATION = {
    "batch norm": (nn.BatchNorm2d(6), MANY_PLACES, 0.03),
    "batch norm of vectors": (nn.BatchNorm1d(12), mixed((64, 12), 0.4, VECTORS.roles), 0.03),
    "instance norm": (nn.InstanceNorm2d(6, affine=True), MANY_PLACES, 0.05),
    "layer norm": (nn.LayerNorm(96), MANY_TOKENS, 0.03),
    "RMS norm": (nn.RMSNorm(96), MANY_TOKENS, 0.03),
    "group norm": (nn.GroupNorm(2, 64), MANY_CHANNELS, 0.03),
    "batch norm, evaluating": (nn.BatchNorm2d(6).eval(), IMAGES),
    "weight norm": (nn.utils.parametrizations.weight_norm(nn.Linear(12, 9)), VECTORS),
}
INTERPOLATION = {
    "nearest": (Function(lambda x: F.interpolate(x, scale_factor=2)), IMAGES),
    "exact": (Function(lambda x: F.interpolate(x, 5, mode="nearest-exact")), ROWS),
    "bilinear": (Function(lambda x: F.interpolate(x, (5, 9), mode="bilinear")), IMAGES),
    "corners": (
        Function(lambda x: F.interpolate(x, (9, 4), mode="bilinear", align_corners=True)),
        IMAGES,
    ),
    "bicubic": (Function(lambda x: F.interpolate(x, (9, 9), mode="bicubic")), IMAGES),
}
SHAPE = {
    "transposed": (Function(lambda x: x.transpose(1, 2)), TOKENS),
    "permuted": (Function(lambda x: x.permute(2, 0, 1).contiguous()), TOKENS),
    "flattened": (Function(lambda x: x.flatten(1)), IMAGES),
    "heads": (Function(lambda x: x.view(5, 6, 2, 4).transpose(1, 2)), TOKENS),
    "unsqueezed": (Function(lambda x: x.unsqueeze(1)), TOKENS),
    "flipped": (Function(lambda x: x.flip(1)), TOKENS),
    "slice": (Function(lambda x: x[:, 1:4]), TOKENS),
    "every second": (Function(lambda x: x[:, :, ::2, 1::2]), IMAGES),
    "selected": (Function(lambda x: x[:, 2]), TOKENS),
    "one part of a split": (Function(lambda x: x.split([2, 6], -1)[1]), TOKENS),
    "unbound": (Function(lambda x: x.unbind(1)[3]), TOKENS),
    "expanded": (Function(lambda x: x[:, :1].expand(-1, 4, -1)), TOKENS),
    "repeated": (Function(lambda x: x.repeat(1, 2, 3)), TOKENS),
    "pad with zeros": (Function(lambda x: F.pad(x, (0, 0, 2, 1))), TOKENS),
    "pad with a number": (Function(lambda x: F.pad(x, (3, 0), value=2.0)), TOKENS),
    "pad images": (Function(lambda x: F.pad(x, (1, 2, 0, -1), value=0.5)), IMAGES),
    "reflect": (Function(lambda x: F.pad(x, (2,) * 4, mode="reflect")), IMAGES),
    "replicate": (Function(lambda x: F.pad(x, (2,) * 4, mode="replicate")), IMAGES),
    "circular": (Function(lambda x: F.pad(x, (3, 0), mode="circular")), ROWS),
    "joined": (Function(lambda x, w: torch.cat([x, w], -1), (5, 6, 4)), TOKENS),
    "stacked": (Function(lambda x, w: torch.stack([x, w], 1), (5, 6, 8)), TOKENS),
}
POOLING = {
    "mean": (Function(lambda x: x.mean(1)), TOKENS),
    "mean, kept": (Function(lambda x: x.mean(-1, keepdim=True)), TOKENS),
    "sum": (Function(lambda x: x.sum((2, 3))), IMAGES),
    "to one place": (nn.AdaptiveAvgPool2d(1), IMAGES),
    "average": (nn.AvgPool2d(3), IMAGES),
    "average, padded": (nn.AvgPool2d(3, 2, 1), IMAGES),
    "average, padding not counted": (nn.AvgPool1d(3, 2, 1, count_include_pad=False), ROWS),
    "average, ceiling": (nn.AvgPool2d(3, 3, 1, ceil_mode=True), IMAGES),
    "average, another divisor": (nn.AvgPool2d(2, divisor_override=3), IMAGES),
    "maximum": (nn.MaxPool2d(2), IMAGES, 0.05),
    "maximum, adaptive": (nn.AdaptiveMaxPool1d(3), ROWS, 0.08),
    "average, adaptive": (nn.AdaptiveAvgPool2d((3, 7)), IMAGES),
}
CASES = {
    f"{family}: {name}": case
    for family, cases in {
        "linear": LINEAR,
        "convolution": CONVOLUTIONS,
        "elementwise": ELEMENTWISE,
        "normalisation": NORMALISATION,
        "interpolation": INTERPOLATION,
        "shape": SHAPE,
        "pooling": POOLING,
    }.items()
    for name, case in cases.items()
}


@pytest.mark.parametrize("name", CASES)
def test_every_pair_is_as_measured(name):
    function, law, *tolerance = CASES[name]
    assert not disagreements(function, law, tolerance=tolerance[0] if tolerance else 0.01)
