"""How much the positions of one tensor differ in size, where they do (``graph.levels.levels``)."""

from evenflow.graph.levels import (
    attention,
    elementwise,
    normalise,
    parts,
    places,
    products,
    recurrent,
    views,
)
from evenflow.graph.levels.levels import Levels
from evenflow.graph.levels.registry import backward, forward

__all__ = [
    "Levels",
    "attention",
    "backward",
    "elementwise",
    "forward",
    "normalise",
    "parts",
    "places",
    "products",
    "recurrent",
    "views",
]
