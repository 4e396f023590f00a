"""Faults: what goes wrong in trainings, and which rules should say so first.

Of each fault the codes are given that name its cause, before the first step (``ef.check``) and in
the training (``ef.watch``). More than one code is a cause where each tells the user what to mend.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from tests.bank.setups import Fault, Setup, changed
from tests.bank.tasks import Tensor
from torch import nn

Change = Callable[[Setup], Setup]

_SCALE = ("EF301", "EF101", "EF102", "EF103", "EF105", "EF201", "EF202", "EF401")
"""Weights of a wrong scale, and the signal that they make vanish, explode or saturate."""
_LEVEL = ("EF710", "EF803", "EF804", "EF805", "EF711")
"""The same in a training."""


def matrices(model: nn.Module) -> list[nn.Parameter]:
    """Matrices and kernels, in the model's order, without tables of embeddings."""
    return [
        parameter
        for module in model.modules()
        if not isinstance(module, nn.Embedding)
        for parameter in module.parameters(recurse=False)
        if parameter.dim() > 1
    ]


def rewritten(write: Callable[[nn.Module], object]) -> Change:
    """The network with its values overwritten once it is made."""

    def change(setup: Setup) -> Setup:
        def network() -> nn.Module:
            model = setup.network()
            with torch.no_grad():
                write(model)
            return model

        return replace(setup, network=network)

    return change


def _each_matrix(write: Callable[[nn.Parameter], object]) -> Change:
    return rewritten(lambda model: [write(weight) for weight in matrices(model)])


def scaled(factor: float) -> Fault:
    """All matrices multiplied."""
    change = _each_matrix(lambda weight: weight.mul_(factor))
    return Fault(f"weights × {factor:g}", "initialisation", change, _SCALE, _LEVEL)


def one_scaled(factor: float, number: int = 1) -> Fault:
    """One matrix multiplied."""
    change = rewritten(lambda model: matrices(model)[number].mul_(factor))
    return Fault(f"one weight × {factor:g}", "initialisation", change, _SCALE, _LEVEL)


def standard_normal() -> Fault:
    """randn, whatever the fans."""
    change = _each_matrix(nn.init.normal_)
    return Fault("standard normal weights", "initialisation", change, _SCALE, _LEVEL)


def tiny_normal(sigma: float) -> Fault:
    """A fixed small standard deviation, whatever the fans."""
    change = _each_matrix(lambda weight: nn.init.normal_(weight, 0, sigma))
    return Fault(f"normal weights of {sigma:g}", "initialisation", change, _SCALE, _LEVEL)


def old_heuristic() -> Fault:
    """U(±1/√n) and biases of zero, where the network is too deep for it."""

    def write(model: nn.Module) -> None:
        for parameter in model.parameters():
            if parameter.dim() < 2:
                nn.init.zeros_(parameter)
        for weight in matrices(model):
            bound = 1 / math.sqrt(weight[0].numel())
            nn.init.uniform_(weight, -bound, bound)

    codes = _LEVEL
    return Fault("heuristic at depth", "initialisation", rewritten(write), _SCALE, codes)


def gain_forgotten() -> Fault:
    """1/fan-in before ReLUs, where the network is deep."""

    def write(weight: nn.Parameter) -> None:
        nn.init.normal_(weight, 0, weight[0].numel() ** -0.5)

    change = _each_matrix(write)
    return Fault("activation's gain forgotten", "initialisation", change, _SCALE, _LEVEL)


def other_axis() -> Fault:
    """Fan-out in the place of fan-in."""

    def write(weight: nn.Parameter) -> None:
        taps = weight[0, 0].numel()
        nn.init.normal_(weight, 0, (2 / (weight.shape[0] * taps)) ** 0.5)

    return Fault("wrong axis", "initialisation", _each_matrix(write), _SCALE, _LEVEL)


def field_forgotten() -> Fault:
    """Fan-in of a convolution without its receptive field."""

    def write(weight: nn.Parameter) -> None:
        nn.init.normal_(weight, 0, (2 / weight.shape[1]) ** 0.5)

    change = _each_matrix(write)
    return Fault("receptive field forgotten", "initialisation", change, _SCALE, _LEVEL)


def constant(value: float) -> Fault:
    """All weights of one value."""

    def write(model: nn.Module) -> None:
        for weight in matrices(model):
            nn.init.constant_(weight, value)
        for name, parameter in model.named_parameters():
            if "bias" in name:
                nn.init.zeros_(parameter)

    change = rewritten(write)
    return Fault(f"constant {value:g}", "initialisation", change, ("EF302",), ("EF808", "EF712"))


def symmetric() -> Fault:
    """Every unit of a layer with the weights of the first."""

    def write(model: nn.Module) -> None:
        *hidden, last = matrices(model)
        for weight in hidden:
            weight.copy_(weight[:1].expand_as(weight))
        last.copy_(last[:, :1].expand_as(last))
        for parameter in model.parameters():
            if parameter.dim() < 2:
                parameter.fill_(float(parameter[0]))

    change = rewritten(write)
    return Fault("symmetric units", "initialisation", change, ("EF303",), ("EF808", "EF712"))


def cloned() -> Fault:
    """Parallel branches that start with the values of the first."""

    def write(model: nn.Module) -> None:
        branches = list(model.branches)  # type: ignore[arg-type]
        for branch in branches[1:]:
            branch.load_state_dict(branches[0].state_dict())

    return Fault("cloned branches", "initialisation", rewritten(write), ("EF304",), ("EF712",))


def off_centre() -> Fault:
    """rand where randn was meant."""
    change = _each_matrix(lambda weight: nn.init.uniform_(weight, 0, 2 / weight[0].numel() ** 0.5))
    causes = (*_LEVEL, "EF808", "EF806")
    return Fault("weights from 0 up", "initialisation", change, ("EF308",), causes)


def dead_biases(value: float = -10.0) -> Fault:
    """Biases that keep every rectifier shut."""

    def write(model: nn.Module) -> None:
        for name, parameter in list(model.named_parameters())[:-2]:
            if name.endswith("bias"):
                nn.init.constant_(parameter, value)

    causes = ("EF104", "EF106")
    return Fault("dead biases", "initialisation", rewritten(write), causes, ("EF806",))


def logistic_depth(network: Callable[[], nn.Module]) -> Fault:
    """The logistic function in a deep network."""
    causes = ("EF105", "EF101", "EF201", "EF301")
    course = ("EF804", "EF710", "EF807")
    return Fault("logistic depth", "initialisation", changed(network=network), causes, course)


def normalisation_missing(network: Callable[[], nn.Module]) -> Fault:
    """A network that needs its normalisation without it."""
    change = changed(network=network)
    return Fault("normalisation missing", "initialisation", change, _SCALE, _LEVEL)


def recurrence(factor: float) -> Fault:
    """Weights from state to state that multiply it at every step."""

    def write(model: nn.Module) -> None:
        for name, parameter in model.named_parameters():
            if "weight_hh" in name or "again" in name:
                parameter.mul_(factor)

    causes = (*_SCALE, "EF107")
    course = (*_LEVEL, "EF801")
    return Fault(f"recurrence × {factor:g}", "initialisation", rewritten(write), causes, course)


def inputs(words: str, change: Callable[[Tensor], Tensor]) -> Fault:
    """Inputs that nobody scaled."""
    causes = ("EF501", "EF502")
    return Fault(f"inputs {words}", "data", changed(inputs=change), causes, ("EF707",))


def targets(words: str, change: Callable[[Tensor], Tensor]) -> Fault:
    """Targets that nobody scaled."""
    causes = ("EF401", "EF403")
    return Fault(f"targets {words}", "data", changed(targets=change), causes, ("EF706",))


class Ended(nn.Module):
    """A network with something more after its output."""

    def __init__(self, body: nn.Module, end: nn.Module) -> None:
        super().__init__()
        self.body, self.end = body, end

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.body(x))


def ended(words: str, end: Callable[[], nn.Module], loss: Callable | None = None) -> Fault:
    """Something after the output that does not fit the loss."""

    def change(setup: Setup) -> Setup:
        network = setup.network
        return replace(setup, network=lambda: Ended(network(), end()), loss=loss or setup.loss)

    return Fault(words, "network", change, ("EF402",), ("EF705",))


DOUBLED_SOFTMAX = ended("doubled softmax", lambda: nn.Softmax(1))
SOFTMAX_BEFORE_NLL = ended("softmax before nll", lambda: nn.Softmax(1), F.nll_loss)
LOGITS_BEFORE_NLL = ended("logits before nll", nn.Identity, F.nll_loss)
DOUBLED_LOGISTIC = ended("doubled logistic", nn.Sigmoid)
RELU_ON_LOGITS = ended("ReLU on logits", nn.ReLU)
TANH_ON_LOGITS = ended("tanh on logits", nn.Tanh)
RELU_ON_TARGETS = ended("ReLU before a squared error", nn.ReLU)
LOGISTIC_ON_TARGETS = ended("logistic before a squared error", nn.Sigmoid)


def rate(name: str, optimiser: Callable, *, high: bool) -> Fault:
    """A learning rate far off."""
    course = ("EF701", "EF802") if high else ("EF702",)
    words = f"learning rate {'high' if high else 'low'}, {name}"
    return Fault(words, "optimiser", changed(optimiser=optimiser), (), course)


def clipped(norm: float) -> Fault:
    """Gradients cut to next to nothing at each step."""
    return Fault(f"clipped at {norm:g}", "optimiser", changed(clip=norm), (), ("EF703",))


def frozen(*places: str) -> Fault:
    """Parameters, by how their names begin, that ask for no gradient."""

    def write(model: nn.Module) -> None:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(not name.startswith(places))

    return Fault(f"frozen {', '.join(places)}", "network", rewritten(write), (), ("EF704",))


def left_out(*places: str) -> Fault:
    """Parameters that the optimiser was never given."""

    def some(model: nn.Module) -> list[nn.Parameter]:
        return [p for name, p in model.named_parameters() if not name.startswith(places)]

    words = f"optimiser without {', '.join(places)}"
    return Fault(words, "optimiser", changed(optimised=some), (), ("EF704",))


def half_weights(dtype: torch.dtype, optimiser: Callable) -> Fault:
    """Weights in half precision, steps that are lost in their rounding."""

    def change(setup: Setup) -> Setup:
        network, task_inputs, task_targets = setup.network, setup.inputs, setup.targets

        def halved(values: Tensor) -> Tensor:
            return values.to(dtype) if values.is_floating_point() else values

        return replace(
            setup,
            network=lambda: network().to(dtype),
            inputs=lambda x: halved(task_inputs(x)),
            targets=lambda y: halved(task_targets(y)),
            optimiser=optimiser,
        )

    words = f"{str(dtype).removeprefix('torch.')} weights"
    return Fault(words, "optimiser", change, (), ("EF708", "EF709"))


def half_without_scale(dtype: torch.dtype = torch.float16) -> Fault:
    """float16 for a loss whose gradients are too small for it."""
    change = changed(autocast=dtype)
    return Fault("float16 without a loss scale", "optimiser", change, (), ("EF709",))


def _permuted(y: Tensor) -> Tensor:
    order = torch.randperm(int(y.max()) + 1, generator=torch.Generator().manual_seed(11))
    return order[y]


LABELS_PERMUTED = Fault("classes renamed", "silent", changed(targets=_permuted))


def labels_wrong(share: float, classes: int) -> Fault:
    """Some labels that are wrong, always the same ones."""

    def wrong(y: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(12)
        hit = torch.rand(y.shape, generator=generator) < share
        return torch.where(hit, torch.randint(0, classes, y.shape, generator=generator), y)

    return Fault(f"{share:.0%} of labels wrong", "silent", changed(targets=wrong))


def _features_shuffled(x: Tensor) -> Tensor:
    return x[:, torch.randperm(x.shape[1], generator=torch.Generator().manual_seed(13))]


FEATURES_SHUFFLED = Fault("features shuffled", "silent", changed(inputs=_features_shuffled))
FEW_EXAMPLES = Fault(
    *("sixty-four examples only", "silent"),
    changed(inputs=lambda x: x[:64], targets=lambda y: y[:64]),
)
LABELS_AT_RANDOM = Fault(
    "sixty-four examples with labels at random",
    "silent",
    changed(
        inputs=lambda x: x[:64],
        targets=lambda y: y[torch.randperm(64, generator=torch.Generator().manual_seed(14))],
    ),
)
