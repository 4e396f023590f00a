"""``gain`` for whatever a user has: a name, a NumPy, torch or JAX callable, an nn.Module."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evenflow.theory.activations import Activation
    from evenflow.theory.gain import Gain


def gain(
    activation: str | Activation | Callable[..., Any], q: float = 1.0, mean: float = 0.0
) -> Gain:
    """What ``activation`` does to second moments at z ~ N(mean, q − mean²).

    ``activation`` is a catalogue name, an Activation, a NumPy, torch or JAX callable, or an
    nn.Module.
    ``q`` is E[z²] ≥ mean². See ``evenflow.theory.gain.Gain`` for the fields of the result.

    Raises ``ActivationError`` for a callable that returns NaN, complex values or another shape, or
    that grows too fast for the integrals to exist; ``InputError`` for an unknown name.
    """
    from evenflow.theory.gain import gain as theory_gain

    return theory_gain(_activation(activation), q, mean)


def _activation(activation: Any) -> Any:
    """A torch or JAX callable goes through its framework's own automatic differentiation."""
    torch = sys.modules.get("torch")  # nothing can be torch's if torch was never imported
    if torch is not None and _is_torchs(activation, torch):
        from evenflow.torch.callables import activation_from_torch

        return activation_from_torch(activation)
    if "jax" in sys.modules:
        from evenflow.jax.callables import activation_from_jax, is_jaxs

        if is_jaxs(activation):
            return activation_from_jax(activation)
    return activation


def _is_torchs(activation: Any, torch: Any) -> bool:
    """Whether it is a module, or turns tensors into tensors."""
    if isinstance(activation, torch.nn.Module):
        return True
    try:
        answer = activation(torch.linspace(-1.0, 1.0, 3, dtype=torch.float64))
    except Exception:  # a NumPy callable need not accept tensors, nor need a name be callable
        return False
    return isinstance(answer, torch.Tensor)
