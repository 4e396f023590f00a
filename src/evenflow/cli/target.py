"""TARGET on the command line: a factory in a file or module, or a Transformers model type."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

import click

from evenflow.errors import InputError

if TYPE_CHECKING:
    import torch

    from evenflow.torch.targets import Target

_Verb = TypeVar("_Verb", bound=Callable[..., Any])
_FORMS = "write path/file.py:factory, package.module:factory or hf:gpt2"

TARGET_HELP = """\b
TARGET is one of
  path/file.py:factory    a function in a file
  package.module:factory  a function in an importable module
  hf:gpt2                 a Transformers model type, or hf:path/config.json:
                          random weights, nothing is downloaded

The factory takes no arguments and returns a model, (model, inputs), (model, inputs, target), or
a mapping with model, inputs, target, loss and data. Its file is executed, as pytest does with
test files: run only what you trust."""
"""The epilog of every verb that takes a TARGET."""


def target_options(verb: _Verb) -> _Verb:
    """The argument TARGET and the options that say how to call it."""
    for decorate in (
        click.option("--seed", type=click.IntRange(0), metavar="N", default=0, show_default=True,
                     help="Decides every random value."),
        click.option("--inputs", metavar="SHAPE|FILE",
                     help="A shape such as 32x1x28x28, filled with standard normal values, or a "
                     ".npy, .npz or .safetensors file."),
        click.argument("spec", metavar="TARGET"),
    ):  # fmt: skip
        verb = decorate(verb)
    return verb


def residual_option(verb: _Verb) -> _Verb:
    """The option that says what becomes of residual branches."""
    return click.option(
        "--residual",
        type=click.Choice(["depth-scaled", "zero-last", "none"]),
        help="What auto does with residual branches: each of L adds 1/L of its stream, starts at "
        "zero, or is left alone.  [default: depth-scaled]",
    )(verb)


def load(spec: str, inputs: str | None, seed: int, *, meta: bool = False) -> Target:
    """The model that ``spec`` names, with its inputs.

    ``meta`` builds a Transformers model without memory; a user's factory decides for itself.
    """
    from evenflow.torch.inputs import Call

    if spec.startswith("hf:"):
        target = _from_transformers(spec.removeprefix("hf:"), inputs, seed, meta)
    else:
        target = _from_code(spec, inputs, seed)
    Call.of(target.inputs).require_values()
    return target


def load_weightless(spec: str, seed: int) -> tuple[torch.nn.Module, dict[str, bytes]]:
    """The model that ``spec`` names, its larger parameters without memory, and what a checkpoint
    of it holds beside the weights (a Transformers model's config.json).
    """
    from evenflow.torch.weightless import weightless

    with weightless():
        if spec.startswith("hf:"):
            _require_transformers()
            from evenflow.integrations.transformers import config_file, from_config

            model = from_config(spec.removeprefix("hf:"), seed)
            return model, {"config.json": config_file(model)}
        from evenflow.torch.targets import from_factory

        with _located(spec) as factory:
            return from_factory(factory, spec, seed).model, {}


def _from_code(spec: str, inputs: str | None, seed: int) -> Target:
    from evenflow.torch.targets import from_factory, with_inputs

    with _located(spec) as factory:
        target = from_factory(factory, spec, seed)
    if inputs is not None:
        target = with_inputs(target, inputs, seed)
    if target.inputs is None:
        raise InputError(
            "there are no inputs to call the model with",
            where=spec,
            remedy="pass --inputs 32x1x28x28 (or a file), or return (model, inputs)",
        )
    return target


def _require_transformers() -> None:
    """Raise ``InputError`` where Transformers is not installed."""
    if importlib.util.find_spec("transformers") is None:
        raise InputError(
            "hf: targets need Transformers", remedy='pip install "evenflow[transformers]"'
        )


def _from_transformers(source: str, inputs: str | None, seed: int, meta: bool) -> Target:
    _require_transformers()
    from evenflow.integrations.transformers import from_config, synthetic_inputs
    from evenflow.torch.targets import Target, shape_of, with_inputs

    model = from_config(source, seed, meta=meta)
    if inputs is None:
        return Target(model, synthetic_inputs(model, seed))
    if Path(inputs).suffix:
        target = with_inputs(Target(model), inputs, seed)
        if isinstance(target.inputs, dict):
            return target
        return replace(target, inputs={model.main_input_name: target.inputs})
    return Target(model, synthetic_inputs(model, seed, shape_of(inputs)))


@contextlib.contextmanager
def _located(spec: str) -> Iterator[Callable[[], Any]]:
    """The factory that ``spec`` names; its folder can be imported from inside."""
    place, _, name = spec.rpartition(":")
    if not place or not name:
        raise InputError("this names no factory", where=spec, remedy=_FORMS)
    folder = str(Path(place).resolve().parent if place.endswith(".py") else Path.cwd())
    sys.path.insert(0, folder)
    try:
        module = _executed(Path(place)) if place.endswith(".py") else _imported(place)
        yield _factory(module, name, place)
    finally:
        sys.path.remove(folder)


def _executed(path: Path) -> ModuleType:
    if not path.is_file():
        raise InputError("there is no such file", where=str(path), remedy=_FORMS)
    name = f"evenflow_target_{path.stem}"
    found = importlib.util.spec_from_file_location(name, path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module  # dataclasses and pickle look their module up by name
    try:
        found.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise _failed(error, str(path)) from error
    return module


def _imported(name: str) -> ModuleType:
    parts = name.split(".")
    parents = {".".join(parts[: k + 1]) for k in range(len(parts))}
    try:
        if all(part.isidentifier() for part in parts):
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name not in parents:  # it is there, but something that it imports is not
            raise _failed(error, name) from error
    except (Exception, SystemExit) as error:
        raise _failed(error, name) from error
    raise InputError("there is no such module", where=name, remedy=_FORMS)


def _failed(error: BaseException, where: str) -> InputError:
    from evenflow.torch.targets import told

    return InputError(
        f"importing it raised {told(error)}",
        where=where,
        remedy="run it with Python to see the whole traceback",
    )


def _factory(module: ModuleType, name: str, place: str) -> Callable[[], Any]:
    factory = getattr(module, name, None)
    if callable(factory):
        return factory  # type: ignore[no-any-return]
    own = [
        key
        for key, value in vars(module).items()
        if callable(value)
        and not key.startswith("_")
        and getattr(value, "__module__", "") == module.__name__
    ]
    close = difflib.get_close_matches(name, own, n=1)
    raise InputError(
        f"it has no function {name!r}" if factory is None else f"{name!r} cannot be called",
        where=place,
        remedy=(f"did you mean {close[0]}? " if close else "")
        + f"It defines: {', '.join(own) or 'nothing that can be called'}",
    )
