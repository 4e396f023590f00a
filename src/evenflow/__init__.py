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
    from evenflow.plan.plan import Plan as Plan
    from evenflow.plan.schemes import schemes as schemes
    from evenflow.torch.api import check as check
    from evenflow.torch.api import init_ as init_
    from evenflow.torch.api import plan as plan

_HOMES = {
    "EvenflowError": "evenflow.errors",
    "Plan": "evenflow.plan.plan",
    "check": "evenflow.torch.api",
    "gain": "evenflow.gains",
    "init_": "evenflow.torch.api",
    "plan": "evenflow.torch.api",
    "schemes": "evenflow.plan.schemes",
}

__all__ = ["__version__", *sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'evenflow' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
