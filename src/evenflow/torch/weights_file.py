"""Weights on disk: a model's parameters and buffers as safetensors, under canonical names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_model

from evenflow.atomic import replacing
from evenflow.errors import InputError
from evenflow.sampling.contract import canonical_name
from evenflow.torch.names import unwrap


def save_weights(model: torch.nn.Module, path: Path) -> None:
    """Write the state of ``model`` to ``path``, whole or not at all.

    A tied tensor is stored once and the file's metadata name its other names, so that
    ``safetensors.torch.load_model`` puts it back under all of them. Raises ``InputError`` if the
    file can't be written, or for a state that safetensors can't hold.
    """
    with replacing(path) as temporary:
        try:
            save_model(_Canonical(unwrap(model)), str(temporary))  # type: ignore[arg-type]
        except (SafetensorError, RuntimeError, ValueError, TypeError, AttributeError) as error:
            raise InputError(
                f"the weights cannot be written: {' '.join(str(error).split())}", where=str(path)
            ) from error


class _Canonical:
    """A model's state under canonical names; ``save_model`` asks nothing else of a model."""

    def __init__(self, model: torch.nn.Module) -> None:
        self._state = {canonical_name(k): v for k, v in model.state_dict().items()}

    def state_dict(self) -> dict[str, Any]:
        return dict(self._state)
