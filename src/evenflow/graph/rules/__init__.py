"""One file a family of operations, each holding its forward and its backward rule side by side."""

from evenflow.graph.rules import (
    attention,
    convolution,
    elementwise,
    embedding,
    linear,
    normalise,
    pooling,
    powers,
    recurrent,
    shape,
    softmax,
)
from evenflow.graph.rules.registry import RULES, Rule, Step

__all__ = [
    "RULES",
    "Rule",
    "Step",
    "attention",
    "convolution",
    "elementwise",
    "embedding",
    "linear",
    "normalise",
    "pooling",
    "powers",
    "recurrent",
    "shape",
    "softmax",
]
