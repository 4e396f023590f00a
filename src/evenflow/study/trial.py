"""A trial: one training of one network, described by plain values that fix its every number."""

from __future__ import annotations

import hashlib

import msgspec

from evenflow.errors import InputError
from evenflow.study.networks import Network

BATCH = 10
"""Examples of a mini-batch, as in 2010."""
OPENING = (50, 150, 600)
"""Updates at which every training is observed, besides those spread evenly: much happens early."""
METHODS = ("plain", "curvature", "gradient_variance")


class Trial(msgspec.Struct, frozen=True, kw_only=True, tag="training"):
    """What is trained, on what, how long, and how often it is looked at.

    Two trials that are equal have the same numbers; the key names them in a result folder.
    """

    data: str
    network: Network
    rate: float
    updates: int
    seed: int = 0
    evaluations: int = 10
    """How many times, evenly spread, the errors on validation and test images are taken."""
    observations: int = 10
    """How many times, evenly spread, the statistics of the layers are taken, after the first."""
    test_images: int = 10_000
    """Validation and test errors are taken on at most so many images."""
    jacobians: int = 1
    """Test images at which Jacobians are decomposed before and after training, if any."""
    method: str = "plain"
    """How a step's size is found: one of ``METHODS``."""
    pretraining: int = 0
    """Updates of each layer as a denoising auto-encoder before the training proper."""

    def __post_init__(self) -> None:
        if not self.rate > 0:
            raise InputError(f"a learning rate must be above 0, not {self.rate}")
        if self.updates < 0 or self.seed < 0:
            raise InputError("a trial's updates and seed must be at least 0")
        if self.method not in METHODS:
            raise InputError(f"there is no method {self.method!r}: {', '.join(METHODS)}")

    @property
    def key(self) -> str:
        """A short name that no other trial has."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()[:16]

    @property
    def label(self) -> str:
        """The trial in a few words."""
        widths = self.network.hidden
        shape = (
            f"{len(widths)}×{widths[0]}" if len(set(widths)) == 1 else "-".join(map(str, widths))
        )
        parts = [self.data, self.network.activation, self.network.scheme, shape]
        parts += [f"rate {self.rate:g}", f"seed {self.seed}"]
        parts += [self.method.replace("_", " ")] if self.method != "plain" else []
        parts += ["pre-trained"] if self.pretraining else []
        return " ".join(parts)

    def evaluated_at(self) -> list[int]:
        """Updates after which errors are taken; the start and the end among them."""
        return _spread(self.updates, self.evaluations)

    def observed_at(self) -> list[int]:
        """Updates after which the layers are looked at; the start and the end among them."""
        opening = {update for update in OPENING if update < self.updates}
        return sorted(opening | set(_spread(self.updates, self.observations)))


def _spread(last: int, times: int) -> list[int]:
    return sorted({0, last} | {round(last * k / times) for k in range(1, times)})
