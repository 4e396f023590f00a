"""The study of He et al. 2015 as a whole."""

from evenflow.study.reproduction import Reproduction

REPRODUCTION = Reproduction(
    name="he2015",
    title="He et al. 2015: how deep rectifier networks start",
    package="evenflow.study.he2015",
    exhibits=("convergence",),
)
