"""Transformers models from their configuration alone: random weights, synthetic inputs, offline."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoModel,
    PretrainedConfig,
    PreTrainedModel,
)

from evenflow.errors import InputError
from evenflow.torch.train import seeded

_BATCH = 4
_TOKENS = 64
_SAMPLES = 16_000
"""Length of a synthetic sound: one second at the usual rate."""


def from_config(source: str, seed: int, *, meta: bool = False) -> PreTrainedModel:
    """A model with random weights from a model type ("gpt2") or the path of a config.json.

    The class is the one that the configuration names under "architectures", otherwise the bare
    model of its type. Nothing is downloaded and no remote code runs. ``meta`` builds it without
    memory.
    """
    config = _config(source)
    if hasattr(config, "use_cache"):
        config.use_cache = False  # a cache is no part of what is initialised
    try:
        with seeded(seed), torch.device("meta" if meta else "cpu"):
            model: PreTrainedModel = _class_of(config)(config)
    except Exception as error:
        raise InputError(
            f"no model can be built from this configuration: {type(error).__name__}: "
            f"{' '.join(str(error).split())[:300]}",
            where=f"hf:{source}",
            remedy="check the configuration's sizes, or build the model in a factory of your own",
        ) from error
    return model


def _class_of(config: PretrainedConfig) -> Callable[[PretrainedConfig], PreTrainedModel]:
    named = config.architectures or []
    found = getattr(transformers, named[0], None) if len(named) == 1 else None
    if isinstance(found, type) and issubclass(found, PreTrainedModel):
        return found._from_config
    return AutoModel.from_config


def config_file(model: PreTrainedModel) -> bytes:
    """The config.json of a checkpoint of ``model``, which tells ``from_pretrained`` its class."""
    fields = json.loads(model.config.to_json_string(use_diff=True))
    fields.pop("use_cache", None)  # from_config has turned it off; the default turns it on
    fields["architectures"] = [type(model).__name__]
    return (json.dumps(fields, indent=2, sort_keys=True) + "\n").encode()


def _config(source: str) -> PretrainedConfig:
    path = Path(source)
    if path.suffix != ".json" and not path.exists():
        return _of_type(source, {}, f"hf:{source}")
    if path.is_dir():
        path /= "config.json"
    try:
        fields = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"the configuration cannot be read: {error}", where=str(path)) from error
    if not isinstance(fields, dict) or not isinstance(fields.get("model_type"), str):
        raise InputError(
            'a configuration is a JSON object with a "model_type"',
            where=str(path),
            remedy="save one with config.save_pretrained",
        )
    return _of_type(fields.pop("model_type"), fields, str(path))


def _of_type(model_type: str, fields: dict[str, Any], where: str) -> PretrainedConfig:
    known = list(CONFIG_MAPPING.keys())
    if model_type not in known:
        close = difflib.get_close_matches(model_type, known, n=3)
        raise InputError(
            f"Transformers knows no model type {model_type!r}",
            where=where,
            remedy=(f"did you mean {' or '.join(close)}? " if close else "")
            + "A target is hf:TYPE, for example hf:gpt2, or hf:path/to/config.json",
        )
    try:
        config: PretrainedConfig = AutoConfig.for_model(model_type, **fields)
    except Exception as error:
        raise InputError(
            f"the configuration is not valid: {' '.join(str(error).split())[:300]}", where=where
        ) from error
    return config


def synthetic_inputs(
    model: PreTrainedModel, seed: int, shape: tuple[int, ...] | None = None
) -> dict[str, torch.Tensor]:
    """A small batch of random inputs by keyword: uniform token ids, standard normal values.

    ``shape`` replaces the main input's own. On the device of the model, so "meta" for one there.
    """
    draw = _Draw(model, torch.Generator().manual_seed(seed))
    name = model.main_input_name
    inputs = {name: draw.tensor(name, shape or draw.shape(name))}
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = draw.tensor("decoder_input_ids", (_BATCH, _TOKENS))
    return inputs


class _Draw:
    """Random inputs by the sizes in a model's configuration."""

    def __init__(self, model: PreTrainedModel, generator: torch.Generator) -> None:
        self._config = model.config
        self._device = model.device
        self._dtype = model.dtype
        self._generator = generator

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of an input in a small batch."""
        if name == "input_ids":
            most = self._size("max_position_embeddings", _TOKENS)
            return (_BATCH, min(_TOKENS, most))
        if name == "pixel_values":
            return (_BATCH, self._size("num_channels", 3), *self._image())
        if name == "input_values":
            return (_BATCH, _SAMPLES)
        if name == "input_features" and hasattr(self._config, "max_source_positions"):
            frames = 2 * self._config.max_source_positions
            return (_BATCH, self._size("num_mel_bins", 80), frames)
        raise InputError(
            f"there are no synthetic inputs for {name!r}, the main input of this model",
            where=f"hf:{self._config.model_type}",
            remedy="pass --inputs, or build model and inputs in a factory of your own",
        )

    def tensor(self, name: str, shape: tuple[int, ...]) -> torch.Tensor:
        if name.endswith("_ids"):
            vocabulary = self._config.get_text_config().vocab_size
            drawn = torch.randint(vocabulary, shape, generator=self._generator)
        else:
            drawn = torch.randn(shape, generator=self._generator).to(self._dtype)
        return drawn.to(self._device)

    def _image(self) -> tuple[int, int]:
        size = getattr(self._config, "image_size", None) or 224
        return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))

    def _size(self, name: str, otherwise: int) -> int:
        value = getattr(self._config.get_text_config(), name, None)
        return value if isinstance(value, int) else otherwise
