"""Fill one tensor, in the style of ``torch.nn.init``, but never from the global random state.

Every function takes either ``seed=`` and ``name=``, which give the values that a plan gives the
parameter of that name under that seed (``evenflow.sampling``), or ``generator=``, a
``torch.Generator`` from which a fresh seed is drawn. A bare tensor does not say how it is used, so
schemes assume torch's own layout (out, in, *taps): fan_in = in·taps, fan_out = out·taps. Where that
is wrong (``x @ W``, strides, transposed or packed weights), pass ``fan_in=`` and ``fan_out=``, or
use ``evenflow.init_``, which reads them off the model.
"""

from __future__ import annotations

import math
from math import prod
from typing import Protocol

import torch

from evenflow.errors import InputError
from evenflow.planning.distributions import (
    DeltaOrthogonal,
    Distribution,
    Normal,
    Orthogonal,
    TruncatedNormal,
    Uniform,
)
from evenflow.planning.scaling import scaled
from evenflow.planning.schemes import Site, formula, scheme
from evenflow.torch.apply import write


class SchemeFunction(Protocol):
    """Fills a tensor in place by a scheme of fans, and returns it."""

    def __call__(
        self,
        tensor: torch.Tensor,
        gain: float = 1.0,
        *,
        fan_in: float | None = None,
        fan_out: float | None = None,
        seed: int | None = None,
        name: str | None = None,
        generator: torch.Generator | None = None,
    ) -> torch.Tensor:
        """Fill ``tensor``; see the module for what the arguments mean."""


def _by_scheme(scheme_name: str) -> SchemeFunction:
    draw = scheme(scheme_name)

    def fill(
        tensor: torch.Tensor,
        gain: float = 1.0,
        *,
        fan_in: float | None = None,
        fan_out: float | None = None,
        seed: int | None = None,
        name: str | None = None,
        generator: torch.Generator | None = None,
    ) -> torch.Tensor:
        fans = _fans(tensor, fan_in, fan_out)
        distribution = scaled(draw(Site("linear", *fans, tuple(tensor.shape))), gain)
        return _fill(tensor, distribution, seed, name, generator)

    fill.__name__ = fill.__qualname__ = f"{scheme_name}_"
    fill.__doc__ = f"""Fill ``tensor`` in place by the scheme {scheme_name}.

    {formula(scheme_name)}; times ``gain``².

    Args:
        tensor: float32, float64, float16 or bfloat16, with memory, in the layout (out, in, *taps).
        gain: factor on the values: 1/√E of the activation (see ``evenflow.gain``), or 1.
        fan_in, fan_out: terms summed forwards and backwards, where the layout does not tell.
        seed, name: give the values of that parameter under that seed.
        generator: draws a fresh seed instead; the global random state is never touched.

    Raises:
        InputError: an argument that does not fit; it says which, and nothing was written.
    """
    return fill


heuristic_uniform_ = _by_scheme("heuristic_uniform")
heuristic_normal_ = _by_scheme("heuristic_normal")
heuristic_truncated_ = _by_scheme("heuristic_truncated")
lecun_uniform_ = _by_scheme("lecun_uniform")
lecun_normal_ = _by_scheme("lecun_normal")
lecun_truncated_ = _by_scheme("lecun_truncated")
glorot_uniform_ = _by_scheme("glorot_uniform")
glorot_normal_ = _by_scheme("glorot_normal")
glorot_truncated_ = _by_scheme("glorot_truncated")
he_uniform_ = _by_scheme("he_uniform")
he_normal_ = _by_scheme("he_normal")
he_truncated_ = _by_scheme("he_truncated")


def uniform_(
    tensor: torch.Tensor,
    bound: float,
    *,
    seed: int | None = None,
    name: str | None = None,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Fill ``tensor`` in place with values uniform on [−bound, bound]: variance bound²/3."""
    return _fill(tensor, Uniform(bound), seed, name, generator)


def normal_(
    tensor: torch.Tensor,
    std: float,
    *,
    seed: int | None = None,
    name: str | None = None,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Fill ``tensor`` in place with normal values of mean 0 and standard deviation ``std``."""
    return _fill(tensor, Normal(std), seed, name, generator)


def truncated_normal_(
    tensor: torch.Tensor,
    std: float,
    cut: float = 2.0,
    *,
    seed: int | None = None,
    name: str | None = None,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Fill ``tensor`` in place with normal values cut at ±``cut`` σ of the normal before the cut.

    ``std`` is the standard deviation *after* truncation, unlike in ``torch.nn.init``.
    """
    return _fill(tensor, TruncatedNormal(std, cut), seed, name, generator)


def orthogonal_(
    tensor: torch.Tensor,
    gain: float = 1.0,
    *,
    seed: int | None = None,
    name: str | None = None,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Fill ``tensor`` in place with ``gain`` times a random (semi-)orthogonal matrix.

    The matrix is the first axis by all others (Saxe et al. 2014).
    """
    return _fill(tensor, Orthogonal(gain), seed, name, generator)


def delta_orthogonal_(
    tensor: torch.Tensor,
    gain: float = 1.0,
    *,
    seed: int | None = None,
    name: str | None = None,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Fill a convolution weight (out, in, *taps) in place: zero but for an orthogonal centre tap.

    The convolution then keeps the norms of its inputs up to ``gain`` (Xiao et al. 2018).
    """
    return _fill(tensor, DeltaOrthogonal(gain), seed, name, generator)


def _fans(tensor: torch.Tensor, fan_in: float | None, fan_out: float | None) -> tuple[float, float]:
    if tensor.dim() < 2 and (fan_in is None or fan_out is None):
        raise InputError(
            f"a tensor of shape {tuple(tensor.shape)} has no fans of its own",
            remedy="pass fan_in= and fan_out=, or a tensor in the layout (out, in, *taps)",
        )
    taps = prod(tensor.shape[2:])
    fans = (
        tensor.shape[1] * taps if fan_in is None else fan_in,
        tensor.shape[0] * taps if fan_out is None else fan_out,
    )
    if not tensor.numel():  # nothing will be written
        return 1, 1
    if not all(0 < fan < math.inf for fan in fans):
        raise InputError(f"fans must be finite and above 0, not {fans}")
    return fans


def _fill(
    tensor: torch.Tensor,
    distribution: Distribution,
    seed: int | None,
    name: str | None,
    generator: torch.Generator | None,
) -> torch.Tensor:
    key = _seed(seed, name, generator)
    write(tensor, distribution, key, name or "")
    return tensor


def _seed(seed: int | None, name: str | None, generator: torch.Generator | None) -> int:
    if (seed is None) == (generator is None):
        raise InputError(
            "values are drawn from a seed or from a generator: "
            + ("neither was given" if seed is None else "both were given"),
            remedy="pass seed= and name=, or generator=",
        )
    if generator is not None:
        drawn = torch.randint(2**63 - 1, (), generator=generator, device=generator.device)
        return int(drawn)
    assert seed is not None
    if name is None:
        raise InputError(
            "a seed alone would give every tensor the same values",
            remedy="pass the parameter's name as well: name='layers.0.weight'",
        )
    return seed
