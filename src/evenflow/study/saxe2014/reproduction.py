"""The study of Saxe et al. 2014 as a whole."""

from evenflow.study.reproduction import Reproduction

REPRODUCTION = Reproduction(
    name="saxe2014",
    title="Saxe et al. 2014: learning time of deep linear networks",
    package="evenflow.study.saxe2014",
    exhibits=("learning_time",),
)
