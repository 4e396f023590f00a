"""Fill a pytree from a Plan: every leaf by its path, with the bits that PyTorch gets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding
from jax.tree_util import DictKey, GetAttrKey, keystr, tree_flatten_with_path, tree_unflatten

from evenflow.errors import InputError, PlanError
from evenflow.jax.draw import draw, dtype_name
from evenflow.jax.keys import words_of
from evenflow.planning.plan import Entry, Plan


def fill(
    plan: Plan, tree: Any, seed: int | None = None, *, name_of: Callable[[str], str] = str
) -> Any:
    """Return ``tree`` with every floating-point leaf drawn as ``plan`` says, under ``seed``.

    Args:
        plan: has an entry for each floating-point leaf, of the leaf's shape.
        tree: parameters of Flax, Equinox or plain JAX: arrays, or ``jax.ShapeDtypeStruct`` where
            no memory has been taken yet. A leaf with a ``NamedSharding`` keeps it, each device
            making its own part. Leaves that are no floating-point arrays are left as found.
        seed: from 0 to 2⁶⁴ − 1; the plan's own if None.
        name_of: the plan's name of a leaf, from its path with dots ("layers.0.kernel").

    A value depends on the seed, the plan's name and the element's place in the full array alone,
    under ``jax.jit`` as outside it, however the leaves are sharded.

    Raises:
        PlanError: the plan was not made for this tree; it names every difference.
        InputError: no seed, or a leaf of a type that cannot be filled.
    """
    used = plan.seed if seed is None else seed
    if used is None:
        raise InputError("the plan has no seed", remedy="pass seed=")
    leaves, structure = tree_flatten_with_path(tree)
    names = [name_of(path_name(path)) if _is_float(leaf) else None for path, leaf in leaves]
    _check_fits(plan, {name: leaf for name, (_, leaf) in zip(names, leaves, strict=True) if name})
    filled = [
        leaf if name is None else _filled(plan[name], leaf, used, name)
        for name, (_, leaf) in zip(names, leaves, strict=True)
    ]
    return tree_unflatten(structure, filled)


def path_name(path: tuple[Any, ...]) -> str:
    """Return the name of a leaf: its path, with dots, without what holds a Flax variable's array.

    ``layers.0.kernel`` for ``state["layers"][0]["kernel"].value``.
    """
    if len(path) > 1 and path[-1] == GetAttrKey("value") and isinstance(path[-2], DictKey):
        path = path[:-1]
    return keystr(path, simple=True, separator=".")


def _is_float(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | jax.ShapeDtypeStruct) and jnp.issubdtype(
        leaf.dtype, jnp.floating
    )


def _check_fits(plan: Plan, leaves: dict[str, Any]) -> None:
    faults = [f"the tree has no leaf {name}" for name in plan if name not in leaves]
    for name, leaf in leaves.items():
        entry = plan.entries.get(name)
        if entry is None:
            faults.append(f"the plan says nothing of {name}")
        elif entry.shape != leaf.shape:
            faults.append(f"{name} has shape {leaf.shape}, in the plan {entry.shape}")
        elif entry.distribution is None and isinstance(leaf, jax.ShapeDtypeStruct):
            faults.append(f"{name} is to be left as found, and has no values yet")
        elif entry.distribution is not None:
            dtype_name(leaf.dtype, name)
    if faults:
        raise PlanError(
            f"the plan does not fit the tree in {len(faults)} places:\n  " + "\n  ".join(faults),
            remedy="say with name_of= what the plan calls a leaf, leave out what is no parameter, "
            "or make the plan for this tree",
        )


def _filled(entry: Entry, leaf: Any, seed: int, name: str) -> Any:
    if entry.distribution is None:
        return leaf
    return draw(
        entry.distribution,
        entry.shape,
        dtype_name(leaf.dtype, name),
        lambda part: words_of(seed, part),
        name=name,
        sharding=_named_sharding(leaf),
    )


def _named_sharding(leaf: Any) -> NamedSharding | None:
    """Where a leaf lies; a traced one does not say, and its ``jit`` decides."""
    if isinstance(leaf, jax.core.Tracer):
        return None
    return leaf.sharding if isinstance(leaf.sharding, NamedSharding) else None
