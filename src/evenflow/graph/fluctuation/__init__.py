"""How far one draw of the weights leads away from the mean of all, tensor by tensor, both ways."""

from evenflow.graph.fluctuation.backward import backwards
from evenflow.graph.fluctuation.fluctuation import ERROR_BACK, Fluctuation, Interval
from evenflow.graph.fluctuation.forward import forwards
from evenflow.graph.fluctuation.known import Known

__all__ = ["ERROR_BACK", "Fluctuation", "Interval", "Known", "backwards", "forwards"]
