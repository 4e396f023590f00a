"""Counter-based random values: (seed, name, index) to bits to a distribution."""

from evenflow.sampling.contract import VERSION, Dtype, canonical_name
from evenflow.sampling.write import fill, sample

__all__ = ["VERSION", "Dtype", "canonical_name", "fill", "sample"]
