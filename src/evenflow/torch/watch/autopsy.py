"""Autopsy: which tensor was the first to hold NaN or infinity, and which operation made it."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from evenflow.torch.preserve import preserved
from evenflow.torch.watch.hooks import main_tensor
from evenflow.torch.watch.layers import Weight


class Cause(NamedTuple):
    """Where it began."""

    place: str
    detail: str


def autopsy(model: nn.Module, args: Any, kwargs: Any, weights: list[Weight]) -> Cause:
    """Find the first tensor that is not finite, before the optimiser writes it into the weights.

    The batch is run forwards once more, without gradients; the model and the random state are
    afterwards as they were. Where the forward pass is finite, the gradients tell how far back the
    trouble reaches.
    """
    for tensor in _tensors((args, kwargs)):
        if not torch.isfinite(tensor).all():
            return Cause("(input)", f"{_share(tensor)} of the model's input is NaN or infinite")
    for weight in weights:
        if not torch.isfinite(weight.parameter).all():
            share = _share(weight.parameter.detach())
            return Cause(weight.name, f"{share} of this weight is NaN or infinite")
    return _forwards(model, args, kwargs) or _backwards(weights)


def _forwards(model: nn.Module, args: Any, kwargs: Any) -> Cause | None:
    search = _FirstNonfinite()
    handles = []
    for name, module in model.named_modules():
        handles.append(module.register_forward_pre_hook(search.entering(name)))
        handles.append(module.register_forward_hook(search.leaving, always_call=True))
    try:
        with preserved(model), torch.no_grad(), search:
            model(*args, **kwargs)
    except Exception:
        return search.found  # what a second run raises is not this training's business
    finally:
        for handle in handles:
            handle.remove()
    return search.found


class _FirstNonfinite(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Looks at the result of every operation until one is not finite."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: Cause | None = None
        self._path: list[str] = []

    def entering(self, name: str) -> Any:
        """A hook that notes which module runs."""
        return lambda *_: self._path.append(name)

    def leaving(self, *_: Any) -> None:
        """A hook that notes that it has ended."""
        if self._path:
            self._path.pop()

    def __torch_dispatch__(
        self, func: Any, _types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if self.found is None and not func.is_view:
            tensor = main_tensor(result)
            # A mask of −∞ is an input of a softmax and no fault: only what NaN follows from is.
            bad = tensor is not None and bool(
                torch.isnan(tensor).any() | torch.isposinf(tensor).any()
            )
            if bad and all(torch.isfinite(t).all() for t in _tensors((args, kwargs))):
                operation = func.name().removeprefix("aten::").partition(".")[0]
                assert tensor is not None
                detail = f"{operation} makes {_share(tensor)} of its output NaN or infinite"
                self.found = Cause(self._path[-1] if self._path else "", detail)
        return result


def _backwards(weights: list[Weight]) -> Cause:
    """The weight closest to the loss whose gradient is not finite."""
    bad = [
        weight
        for weight in weights
        if weight.parameter.grad is not None and not torch.isfinite(weight.parameter.grad).all()
    ]
    if not bad:
        return Cause("", "the loss is NaN or infinite, and the network's output is not")
    last = bad[-1]
    assert last.parameter.grad is not None
    share = _share(last.parameter.grad)
    sound = weights[-1] is not last
    where = "the backward pass comes to it" if sound else "the loss gives it"
    detail = f"the output is finite, and {share} of the gradient is not where {where}"
    return Cause(last.name, detail)


def _tensors(tree: Any) -> list[torch.Tensor]:
    leaves = torch.utils._pytree.tree_leaves(tree)
    return [t for t in leaves if isinstance(t, torch.Tensor) and t.is_floating_point()]


def _share(tensor: torch.Tensor) -> str:
    bad = float((~torch.isfinite(tensor)).double().mean())
    return f"{100 * bad:.3g} %"
