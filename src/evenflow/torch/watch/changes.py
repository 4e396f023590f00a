"""Changes that may mend a training, each made on a copy of the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from evenflow.planning.plan import Plan
from evenflow.torch.api import init_
from evenflow.torch.losses import Loss

_ENDINGS = (nn.Softmax, nn.LogSoftmax, nn.Sigmoid, nn.Tanh, nn.ReLU)
_RAW = {"nll": "cross_entropy", "bce": "bce_logits"}
"""Losses of what an activation gives, and those of what stands before it."""
_START = ("start", "norm", "slower")
_TRIED = {
    "EF701": ("slower", "much slower", "start slower", "start much slower"),
    "EF702": ("faster", "much faster"),
    "EF705": ("ending", "loss"),
    "EF802": ("slower", "much slower", "start", "start slower", "start much slower"),
    "EF803": ("start", "norm", "slower", "start slower"),
    **dict.fromkeys(("EF710", "EF711", "EF712", "EF804", "EF805", "EF806"), _START),
    **dict.fromkeys(("EF807", "EF808", "EF809", "EF810", "EF812"), _START),
}
"""What is tried against the findings that a change of ours may mend."""
_ANY = ("slower", "faster", "start", "norm")


@dataclass(frozen=True)
class Change:
    """One thing to do differently."""

    words: str
    patch: str
    """The change as code, to read."""
    make: Callable[[nn.Module, Any], Plan | None] = lambda _model, _inputs: None
    """Changes a copy in place, given a batch of inputs; the plan where it drew weights anew."""
    rate: float = 1.0
    """What learning rates are multiplied by."""
    loss: Loss | None = None
    """Another loss than the training's own."""


def changes_for(code: str, model: nn.Module, loss: Loss, rate: float) -> Iterator[Change]:
    """What to try against the finding ``code``, on a training at a learning rate."""
    start = Change(
        "weights drawn anew by the plan auto", "plan = ef.init_(model, inputs)", _drawn_anew
    )
    rates = {"slower": 0.1, "much slower": 0.01, "faster": 10.0, "much faster": 100.0}
    for name in _TRIED.get(code, _ANY):
        if name in rates:
            yield _rate(rates[name], rate)
        elif name == "start":
            yield start
        elif name.startswith("start "):
            slower = _rate(rates[name.removeprefix("start ")], rate)
            words, patch = f"{start.words}, and {slower.words}", f"{start.patch}\n{slower.patch}"
            yield replace(slower, words=words, patch=patch, make=start.make)
        elif name == "norm" and (places := _unnormalised(model)):
            yield _normalised(places)
        elif name == "ending" and (last := _ending(model)):
            yield _without(last)
        elif name == "loss" and loss.kind in _RAW:
            other = _RAW[loss.kind]
            yield Change(
                f"the loss {other} of raw outputs", f'loss = "{other}"', loss=Loss.of(other)
            )


def _rate(factor: float, rate: float) -> Change:
    new = f"{rate * factor:.3g}"
    return Change(
        f"a learning rate of {new} and not {rate:.3g}",
        f'for group in optimizer.param_groups:\n    group["lr"] *= {factor:g}  # {new}',
        rate=factor,
    )


def _drawn_anew(model: nn.Module, inputs: Any) -> Plan:
    return init_(model, inputs)


def _unnormalised(model: nn.Module) -> list[str]:
    """Hidden linear and convolutional layers of a network without any normalisation."""
    if any("Norm" in type(module).__name__ for module in model.modules()):
        return []
    weighted = (nn.Linear, nn.Conv2d)
    return [name for name, module in model.named_modules() if isinstance(module, weighted)][:-1]


def _norm_after(module: nn.Module) -> nn.Module:
    weight = next(module.parameters())
    size = len(weight)
    norm = nn.BatchNorm2d(size) if isinstance(module, nn.Conv2d) else nn.LayerNorm(size)
    return norm.to(weight.device, weight.dtype)


def _normalised(places: list[str]) -> Change:
    def make(model: nn.Module, _inputs: Any) -> None:
        for name in places:
            module = model.get_submodule(name)
            model.set_submodule(name, nn.Sequential(module, _norm_after(module)))

    lines = [
        f"# after {name}: nn.LayerNorm, or nn.BatchNorm2d after a convolution" for name in places
    ]
    return Change("a normalisation after each hidden layer", "\n".join(lines), make)


def _ending(model: nn.Module) -> str:
    """Name of the activation that the network ends in, if its last module is one."""
    leaves = [(n, m) for n, m in model.named_modules() if n and not list(m.children())]
    name, last = leaves[-1] if leaves else ("", None)
    return name if isinstance(last, _ENDINGS) else ""


def _without(name: str) -> Change:
    def make(model: nn.Module, _inputs: Any) -> None:
        model.set_submodule(name, nn.Identity())

    return Change(f"raw outputs, without {name}", f"model.{name} = nn.Identity()", make)
