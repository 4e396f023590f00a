"""One file a family of operations, each holding its forward and its backward rule side by side."""

from evenflow.graph.rules import elementwise, linear, normalise, pooling, shape
from evenflow.graph.rules.registry import RULES, Rule, Step

__all__ = ["RULES", "Rule", "Step", "elementwise", "linear", "normalise", "pooling", "shape"]
