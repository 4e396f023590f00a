"""The network of Figure 11 that starts from denoising auto-encoders."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from evenflow.study.arrays import Arrays
from evenflow.study.glorot2010.models import BY_NAME, training
from evenflow.study.glorot2010.scales import Scale
from evenflow.study.runner import Lookup
from evenflow.study.trial import Trial

PRETRAINED = "Pre-training"


def pretrainings(scale: Scale) -> Iterator[Trial]:
    """Tanh, pre-trained, at every learning rate."""
    for rate in scale.rates:
        plain = training(BY_NAME["Tanh"], "shapeset", scale, rate)
        # As many images for each layer's auto-encoder as a fifth of the training has.
        yield msgspec.structs.replace(plain, pretraining=max(1, scale.updates // 5))


def pretrained(scale: Scale, lookup: Lookup) -> Arrays | None:
    """The one with the least validation error at its end."""
    found = [result for trial in pretrainings(scale) if (result := lookup(trial)) is not None]
    return min(found, key=lambda result: float(result["validation_error"][-1]), default=None)
