"""Inline: regions under ``no_grad`` or autocast become part of the program that they stand in.

``torch.export`` wraps the operations of such a region into a graph of its own, called by one
higher-order operation. With them in their place every operation has a name of its own, and is
executed, observed and read like any other. No gradient flows into a region without gradients.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.amp.autocast_mode import _enter_autocast, _exit_autocast
from torch.export import ExportedProgram

_GRAD = torch.ops.higher_order.wrap_with_set_grad_enabled
_AUTOCAST = torch.ops.higher_order.wrap_with_autocast


def inline_regions(program: ExportedProgram) -> None:
    """Replace each call of a region by the region's own operations."""
    module = program.graph_module
    while calls := [node for node in module.graph.nodes if node.target in (_GRAD, _AUTOCAST)]:
        for call in calls:
            _inline(module, call)
    for name in [name for name, _ in module.named_children()]:
        if not any(node.target == name for node in module.graph.nodes):
            delattr(module, name)


def _inline(module: torch.fx.GraphModule, call: torch.fx.Node) -> None:
    graph = module.graph
    options, (region, *given) = _read(call)
    with graph.inserting_before(call):
        if call.target is _GRAD and not options[0]:
            given = [_without_gradient(graph, value) for value in given]
        entered = (
            graph.call_function(_enter_autocast, tuple(options))
            if call.target is _AUTOCAST
            else None
        )
        results = _copied(module, getattr(module, region.target), given)
        if entered is not None:
            graph.call_function(_exit_autocast, (entered,))
    _hand_on(graph, call, results)
    graph.erase_node(call)
    if not region.users:
        graph.erase_node(region)


def _read(call: torch.fx.Node) -> tuple[list[Any], list[Any]]:
    """The region's settings; then the region, and the values that it is called with."""
    place = next(
        i for i, a in enumerate(call.args) if isinstance(a, torch.fx.Node) and a.op == "get_attr"
    )
    return list(call.args[:place]), list(call.args[place:])


def _without_gradient(graph: torch.fx.Graph, value: Any) -> Any:
    tensor = value.meta.get("val") if isinstance(value, torch.fx.Node) else None
    if not isinstance(tensor, torch.Tensor) or not tensor.is_floating_point():
        return value
    detached = graph.call_function(torch.ops.aten.detach.default, (value,))
    detached.meta = dict(value.meta)
    return detached


def _copied(module: torch.fx.GraphModule, region: torch.fx.GraphModule, given: list[Any]) -> Any:
    """Copies of the region's operations, under names of their own; and what it returns."""
    places = (node for node in region.graph.nodes if node.op == "placeholder")
    copies: dict[torch.fx.Node, Any] = dict(zip(places, given, strict=True))
    results: Any = None
    for node in region.graph.nodes:
        if node.op == "output":
            results = torch.fx.map_arg(node.args[0], copies.__getitem__)
        elif node.op != "placeholder":
            copies[node] = module.graph.node_copy(node, copies.__getitem__)
        if node.op == "get_attr":  # a region inside this one
            copies[node].target = f"{node.target}_of_{copies[node].name}"
            setattr(module, copies[node].target, getattr(region, node.target))
    return results


def _hand_on(graph: torch.fx.Graph, call: torch.fx.Node, results: Any) -> None:
    """Let everything that read the region's results read the copies."""
    if isinstance(results, torch.fx.Node):
        call.replace_all_uses_with(results)
        return
    for item in list(call.users):
        item.replace_all_uses_with(results[item.args[1]])
        graph.erase_node(item)
