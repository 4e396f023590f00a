"""evenflow: initialise deep networks so that signals neither vanish nor explode.

``import evenflow as ef`` loads no framework; each name below is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from evenflow._version import __version__

if TYPE_CHECKING:
    from evenflow.errors import EvenflowError as EvenflowError
    from evenflow.gains import gain as gain
    from evenflow.planning.distributions import Blocks as Blocks
    from evenflow.planning.distributions import Constant as Constant
    from evenflow.planning.distributions import DeltaOrthogonal as DeltaOrthogonal
    from evenflow.planning.distributions import Normal as Normal
    from evenflow.planning.distributions import Orthogonal as Orthogonal
    from evenflow.planning.distributions import TruncatedNormal as TruncatedNormal
    from evenflow.planning.distributions import Uniform as Uniform
    from evenflow.planning.plan import Plan as Plan
    from evenflow.planning.schemes import schemes as schemes
    from evenflow.sampling import sample as sample
    from evenflow.torch.api import check as check
    from evenflow.torch.api import init_ as init_
    from evenflow.torch.api import plan as plan
    from evenflow.torch.buffers import restore_buffers_ as restore_buffers_
    from evenflow.torch.functions import delta_orthogonal_ as delta_orthogonal_
    from evenflow.torch.functions import glorot_normal_ as glorot_normal_
    from evenflow.torch.functions import glorot_truncated_ as glorot_truncated_
    from evenflow.torch.functions import glorot_uniform_ as glorot_uniform_
    from evenflow.torch.functions import he_normal_ as he_normal_
    from evenflow.torch.functions import he_truncated_ as he_truncated_
    from evenflow.torch.functions import he_uniform_ as he_uniform_
    from evenflow.torch.functions import heuristic_normal_ as heuristic_normal_
    from evenflow.torch.functions import heuristic_truncated_ as heuristic_truncated_
    from evenflow.torch.functions import heuristic_uniform_ as heuristic_uniform_
    from evenflow.torch.functions import lecun_normal_ as lecun_normal_
    from evenflow.torch.functions import lecun_truncated_ as lecun_truncated_
    from evenflow.torch.functions import lecun_uniform_ as lecun_uniform_
    from evenflow.torch.functions import normal_ as normal_
    from evenflow.torch.functions import orthogonal_ as orthogonal_
    from evenflow.torch.functions import truncated_normal_ as truncated_normal_
    from evenflow.torch.functions import uniform_ as uniform_
    from evenflow.torch.watch.watch import watch as watch

_TENSOR_FUNCTIONS = (
    *(
        f"{rule}_{family}_"
        for rule in ("heuristic", "lecun", "glorot", "he")
        for family in ("uniform", "normal", "truncated")
    ),
    "uniform_",
    "normal_",
    "truncated_normal_",
    "orthogonal_",
    "delta_orthogonal_",
)
_DISTRIBUTIONS = (
    "Blocks",
    "Constant",
    "DeltaOrthogonal",
    "Normal",
    "Orthogonal",
    "TruncatedNormal",
    "Uniform",
)
_HOMES = {
    **dict.fromkeys(_DISTRIBUTIONS, "evenflow.planning.distributions"),
    **dict.fromkeys(_TENSOR_FUNCTIONS, "evenflow.torch.functions"),
    "EvenflowError": "evenflow.errors",
    "Plan": "evenflow.planning.plan",
    "check": "evenflow.torch.api",
    "derive": "evenflow.torch.derive",
    "gain": "evenflow.gains",
    "init_": "evenflow.torch.api",
    "plan": "evenflow.torch.api",
    "restore_buffers_": "evenflow.torch.buffers",
    "sample": "evenflow.sampling",
    "schemes": "evenflow.planning.schemes",
    "watch": "evenflow.torch.watch.watch",
}

__all__ = ["__version__", *sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'evenflow' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
