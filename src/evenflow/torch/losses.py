"""Losses by name, and what a network that knows nothing would pay."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from evenflow.errors import InputError

LossFunction = Callable[[Any, Any], torch.Tensor]


def _chance_of_classes(_target: torch.Tensor, output: torch.Tensor) -> float:
    return math.log(output.shape[1] if output.dim() > 1 else 2)


def _variance(target: torch.Tensor, _output: torch.Tensor) -> float:
    return float(target.double().var(unbiased=False))


def _chance_of_bits(_target: torch.Tensor, _output: torch.Tensor) -> float:
    return math.log(2)


NAMED: Mapping[str, tuple[LossFunction, Callable[[torch.Tensor, torch.Tensor], float]]] = {
    "cross_entropy": (F.cross_entropy, _chance_of_classes),
    "nll": (F.nll_loss, _chance_of_classes),
    "mse": (F.mse_loss, _variance),
    "bce": (F.binary_cross_entropy, _chance_of_bits),
    "bce_logits": (F.binary_cross_entropy_with_logits, _chance_of_bits),
}
_MODULES = {
    torch.nn.CrossEntropyLoss: "cross_entropy",
    torch.nn.NLLLoss: "nll",
    torch.nn.MSELoss: "mse",
    torch.nn.BCELoss: "bce",
    torch.nn.BCEWithLogitsLoss: "bce_logits",
}


@dataclass(frozen=True)
class Loss:
    """A loss and its name: one of ``NAMED``, or "custom"."""

    kind: str
    function: LossFunction

    @classmethod
    def of(cls, loss: str | LossFunction | None) -> Loss | None:
        """Read what a user passed as ``loss``."""
        if loss is None:
            return None
        if isinstance(loss, str):
            if loss not in NAMED:
                close = difflib.get_close_matches(loss, NAMED, n=1)
                raise InputError(
                    f"there is no loss {loss!r}",
                    remedy=(f"did you mean {close[0]}? " if close else "")
                    + f"Known: {', '.join(NAMED)}; or pass a callable (output, target)",
                )
            return cls(loss, NAMED[loss][0])
        if not callable(loss):
            raise InputError(f"a loss must be a name or a callable, not {type(loss).__name__}")
        kind = _MODULES.get(type(loss)) or next(
            (name for name, (function, _) in NAMED.items() if function is loss), "custom"
        )
        return cls(kind, loss)

    def chance(self, output: torch.Tensor, target: Any) -> float:
        """Loss of a guess that knows nothing; NaN where that is unknown."""
        if self.kind not in NAMED or not isinstance(target, torch.Tensor):
            return float("nan")
        return NAMED[self.kind][1](target, output)


def main_output(output: Any) -> torch.Tensor:
    """The tensor that a model's output is about: itself, ``logits``, or its first float tensor."""
    if isinstance(output, Mapping) and isinstance(output.get("logits"), torch.Tensor):
        found: torch.Tensor = output["logits"]
        return found
    for leaf in torch.utils._pytree.tree_leaves(output):
        if isinstance(leaf, torch.Tensor) and leaf.is_floating_point():
            return leaf
    raise InputError(
        f"the model returns no floating-point tensor, but {type(output).__name__}",
        remedy="return the tensor that the loss is taken of",
    )
