"""What of a model is watched, and what is known of it beforehand."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import nn

from evenflow.record.run import RunLayer, RunWeight
from evenflow.record.weights import digest_of, is_uniform, row_duplicates
from evenflow.sampling.contract import canonical_name
from evenflow.torch.watch.activations import Tails, activation_of, tails_of

_CHANNELS_FIRST = ("Conv", "BatchNorm", "GroupNorm", "InstanceNorm", "Pool", "Dropout2d")
_PASSES_ON = (nn.Dropout, nn.Identity, nn.Flatten, nn.Unflatten, nn.AlphaDropout)
"""Modules that only pass on or thin out what they are given."""


@dataclass
class Layer:
    """One thing that is watched: a module, a function's calls, or the model's input."""

    name: str
    op: str
    activation: str = ""
    tails: Tails | None = None
    module: nn.Module | None = None
    number: int = -1
    """Place of its readings, in order of execution; −1 before its first call."""
    calls: int = 0
    """1 if it was called at this step outside a backward pass."""
    expected: float | None = None
    """Second moment that was derived of its first output."""
    channels_first: bool | None = field(init=False)
    """Whether units lie along the second axis; None where the layers before must tell."""

    def __post_init__(self) -> None:
        asks = bool(self.activation) or self.module is None
        known = any(word in self.op for word in _CHANNELS_FIRST)
        self.channels_first = True if known else None if asks else False

    def described(self, output: torch.Tensor) -> RunLayer:
        """What a Run says of it."""
        own = self.module.named_parameters(recurse=False) if self.module is not None else ()
        return RunLayer(
            name=self.name,
            op=self.op,
            activation=self.activation,
            shape=tuple(output.shape),
            dtype=str(output.dtype).removeprefix("torch."),
            weights=tuple(canonical_name(f"{self.name}.{name}") for name, _ in own),
            expected=self.expected,
        )


@dataclass
class Weight:
    """A watched parameter."""

    name: str
    parameter: nn.Parameter
    layer: str
    number: int
    whole: bool = field(init=False)
    """Whether this process holds all of it, and no shard of something larger."""
    equal_rows: float = 0.0
    copy_of: str = ""
    uniform: bool = False

    def __post_init__(self) -> None:
        self.whole = not hasattr(self.parameter, "to_local")

    def described(self, optimised: bool) -> RunWeight:
        """What a Run says of it."""
        return RunWeight(
            name=self.name,
            shape=tuple(self.parameter.shape),
            layer=self.layer,
            trainable=self.parameter.requires_grad,
            optimised=optimised,
            dtype=str(self.parameter.dtype).removeprefix("torch."),
            equal_rows=self.equal_rows,
            copy_of=self.copy_of,
            uniform=self.uniform,
        )


def layers_of(model: nn.Module) -> list[Layer]:
    """Modules to watch: the innermost ones, and those that hold parameters themselves.

    Each module once, under its first name, however many places it is used in.
    """
    found = []
    for name, module in model.named_modules():
        innermost = not any(True for _ in module.children())
        holds = any(True for _ in module.parameters(recurse=False))
        if (innermost or holds) and not isinstance(module, _PASSES_ON):
            activation, tails = activation_of(module)
            op = type(module).__name__.removeprefix("FSDP")
            known = canonical_name(name) if name else ""
            found.append(Layer(known, op, activation, tails, module))
    return found


def function_layer(name: str, activation: str) -> Layer:
    """The calls of an activation as a function, at one place of the model."""
    return Layer(name, f"{activation}()", activation, tails_of(activation))


def input_layer() -> Layer:
    """What the model is given."""
    return Layer("(input)", "input")


def weights_of(model: nn.Module) -> list[Weight]:
    """The floating-point parameters, tied ones once, in the model's order."""
    found = list(_weights(model))
    _look_at_values(found)
    return found


_LARGEST = 2**24
"""Elements of a weight above which nobody looks at its values."""


def _look_at_values(weights: list[Weight]) -> None:
    """Tell which rows and weights are copies, and what was drawn; of whole matrices alone."""
    first: dict[str, str] = {}
    for weight in weights:
        parameter = weight.parameter
        if not weight.whole or parameter.dim() < 2 or not 0 < parameter.numel() <= _LARGEST:
            continue
        if parameter.is_meta:
            continue
        values = parameter.detach().float().cpu().numpy()
        rows, name = row_duplicates(values), first.setdefault(digest_of(values), weight.name)
        weight.equal_rows = 0.0 if math.isnan(rows) else rows
        weight.copy_of = "" if name == weight.name else name
        weight.uniform = not parameter.requires_grad and is_uniform(values)


def _weights(model: nn.Module) -> Iterator[Weight]:
    seen: set[int] = set()
    number = 0
    for prefix, module in model.named_modules():
        for key, parameter in module.named_parameters(recurse=False):
            if id(parameter) in seen or not parameter.is_floating_point():
                continue
            seen.add(id(parameter))
            name = canonical_name(f"{prefix}.{key}" if prefix else key)
            yield Weight(name, parameter, name.rpartition(".")[0], number)
            number += 1
