"""Known: what a derivation says, as far as fluctuations follow from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evenflow.graph.graph import Graph, Node
from evenflow.graph.levels import Levels
from evenflow.graph.moments import Moments
from evenflow.graph.rules import Step
from evenflow.graph.rules.registry import Arriving


@dataclass(frozen=True)
class Known:
    """Moments and levels of every value and of its gradient."""

    graph: Graph
    values: Mapping[str, Moments]
    several: Mapping[str, tuple[Moments, ...]]
    gradients: Mapping[str, Moments]
    levels: Mapping[str, Levels]
    levels_back: Mapping[str, Levels]

    def step(self, node: Node) -> Step:
        """A node with everything that is known."""
        return Step(self.graph, node, self.values, self.several)

    def arriving(self, node: Node) -> Arriving | None:
        """Gradient of a node's result, or of its several results; None if it has none."""
        if node.name not in self.several:
            return self.gradients.get(node.name)
        parts: list[Moments | None] = [None] * len(self.several[node.name])
        for user in self.graph.users(node.name):
            index = user.arguments.get("index")
            if user.op == "getitem" and isinstance(index, int):
                parts[index] = self.gradients.get(user.name)
        if parts[0] is None:
            parts[0] = self.gradients.get(node.name)
        return tuple(parts) if any(part is not None for part in parts) else None
