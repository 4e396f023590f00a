"""Which axis holds a tensor's units: channels of images, features of vectors and tokens."""

from __future__ import annotations

from evenflow.graph.graph import Graph, Node

_CHANNELS_FIRST = ("conv", "batch_norm", "group_norm", "instance_norm", "max_pool", "avg_pool")
_FEATURES_LAST = ("linear", "matmul", "addmm", "layer_norm", "embedding", "view", "reshape")


def unit_axes(graph: Graph) -> dict[str, int]:
    """For every value the axis of its units: 1 where a convolution or its kin last said so, else
    the last one; operations that say nothing pass on their first input's.
    """
    axes = {name: 1 if len(shape) >= 4 else -1 for name, shape in graph.inputs.items()}
    for node in graph.nodes:
        axes[node.name] = _axis(node, axes)
    return axes


def _axis(node: Node, axes: dict[str, int]) -> int:
    if len(node.shape) < 3:
        return -1
    if node.op.startswith(_CHANNELS_FIRST) or node.op.startswith("adaptive"):
        return 1
    if node.op.startswith(_FEATURES_LAST):
        return -1
    if node.op in ("permute", "transpose", "movedim"):  # channels last and back again
        moved = [axes.get(name, -1) for _, name in node.refs()]
        return -1 if moved and moved[0] == 1 else 1 if len(node.shape) >= 4 else -1
    return next((axes[name] for _, name in node.refs() if name in axes), -1)
