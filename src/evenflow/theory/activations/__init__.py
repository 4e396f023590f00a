"""Activations: the catalogue, and what any other callable must be to count as one."""

from evenflow.theory.activations.activation import Activation
from evenflow.theory.activations.callables import from_callable
from evenflow.theory.activations.catalogue import catalogue, find
from evenflow.theory.activations.saturation import Saturation

__all__ = ["Activation", "Saturation", "catalogue", "find", "from_callable"]
