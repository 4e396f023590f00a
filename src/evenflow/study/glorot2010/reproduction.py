"""The reproduction of Glorot and Bengio 2010 as a whole."""

from evenflow.study.reproduction import Reproduction

REPRODUCTION = Reproduction(
    name="glorot2010",
    title="Glorot and Bengio 2010, reproduced",
    package="evenflow.study.glorot2010",
    exhibits=("fig2", "table1"),
)
