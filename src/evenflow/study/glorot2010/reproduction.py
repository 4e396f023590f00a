"""The reproduction of Glorot and Bengio 2010 as a whole."""

from evenflow.study.reproduction import Reproduction

REPRODUCTION = Reproduction(
    name="glorot2010",
    title="Glorot and Bengio 2010, reproduced",
    package="evenflow.study.glorot2010",
    exhibits=(
        *("fig1", "fig2", "fig3", "fig4", "fig5", "fig6", "fig7", "fig8", "fig9", "fig10"),
        *("fig11", "fig12", "table1", "depth", "initial", "claims", "derivation", "errata"),
    ),
)
