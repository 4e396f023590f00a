"""Examples of unlike size or smoothness, each kind derived by itself (``graph.kinds.kinds``)."""

from evenflow.graph.kinds.kinds import Kinds, as_corrected, mean_of, told_together
from evenflow.graph.kinds.passing import KnownKinds, backward, forward

__all__ = ["Kinds", "KnownKinds", "as_corrected", "backward", "forward", "mean_of", "told_together"]
