"""Stale values: what a write through a view changes behind an exported program's back.

``torch.export`` keeps writes in place. Where a tensor itself is written (``relu_``) the program's
later operations read the result; where a *view* of it is (``y[:, :3] = 0``) they go on naming the
tensor as it was before.
"""

from __future__ import annotations

import torch


def stale_values(graph: torch.fx.Graph) -> dict[torch.fx.Node, list[torch.fx.Node]]:
    """For each operation that writes in place: the values in the same memory that later operations
    still read by the name that they had before.
    """
    position = {node: place for place, node in enumerate(graph.nodes)}
    in_memory: dict[int, list[torch.fx.Node]] = {}
    found: dict[torch.fx.Node, list[torch.fx.Node]] = {}
    for node in graph.nodes:
        storage = _storage(node)
        written = _written(node)
        if written is not None and storage is not None:
            found[node] = [
                value
                for value in in_memory.get(storage, [])
                if value is not written and any(position[u] > position[node] for u in value.users)
            ]
        if storage is not None:
            in_memory.setdefault(storage, []).append(node)
    return {write: values for write, values in found.items() if values}


def _storage(node: torch.fx.Node) -> int | None:
    """Identity of the memory that the value lies in: fake tensors have storages, though no data."""
    value = node.meta.get("val")
    return value.untyped_storage()._cdata if isinstance(value, torch.Tensor) else None


def _written(node: torch.fx.Node) -> torch.fx.Node | None:
    """The argument that the operation's schema says it writes to."""
    schema = getattr(node.target, "_schema", None)
    for value, formal in zip(
        node.args, schema.arguments if schema is not None else (), strict=False
    ):
        written = formal.alias_info is not None and formal.alias_info.is_write
        if written and isinstance(value, torch.fx.Node):
            return value
    return None
