"""One file a family of operations, each holding its forward and its backward rule side by side."""

from evenflow.graph.rules import (
    attention,
    comparing,
    convolution,
    cumulative,
    elementwise,
    embedding,
    linear,
    masking,
    normalise,
    pooling,
    powers,
    random,
    recurrent,
    shape,
    softmax,
    standardise,
)
from evenflow.graph.rules.registry import RULES, Rule, Step

__all__ = [
    "RULES",
    "Rule",
    "Step",
    "attention",
    "comparing",
    "convolution",
    "cumulative",
    "elementwise",
    "embedding",
    "linear",
    "masking",
    "normalise",
    "pooling",
    "powers",
    "random",
    "recurrent",
    "shape",
    "softmax",
    "standardise",
]
