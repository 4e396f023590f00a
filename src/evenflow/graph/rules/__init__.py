"""One file a family of operations, each holding its forward and its backward rule side by side."""

from evenflow.graph.rules import convolution, elementwise, linear, normalise, pooling, powers, shape
from evenflow.graph.rules.registry import RULES, Rule, Step

__all__ = [
    "RULES",
    "Rule",
    "Step",
    "convolution",
    "elementwise",
    "linear",
    "normalise",
    "pooling",
    "powers",
    "shape",
]
