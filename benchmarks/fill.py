"""How fast evenflow fills tensors against torch, NumPy and JAX, and how normal its numbers are.

    python benchmarks/fill.py               # values per second, by distribution and dtype
    python benchmarks/fill.py --statistics  # moments and Kolmogorov-Smirnov over 10⁹ draws

All sides make the same number of values by turns, so that a machine that slows down slows all of
them; the median round counts. The memory limit is torch's ``fill_`` with a constant. NumPy knows
neither truncated normals nor 16-bit types; JAX takes fresh memory for what it returns.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
import torch
from numpy.typing import NDArray
from scipy import special

import evenflow.jax as efj
from evenflow import sampling
from evenflow.planning.distributions import Normal, Simple, TruncatedNormal, Uniform
from evenflow.sampling.contract import recipe

DISTRIBUTIONS: dict[str, Simple] = {
    "uniform": Uniform(0.05),
    "normal": Normal(0.02),
    "truncated normal": TruncatedNormal(0.02),
}
DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float64": torch.float64,
}
Side = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--elements", type=int, default=1 << 24, help="of the tensor filled")
    parser.add_argument("--rounds", type=int, default=7, help="the median of which counts")
    parser.add_argument("--statistics", action="store_true", help="test the numbers instead")
    parser.add_argument("--draws", type=int, default=10**9, help="of --statistics")
    arguments = parser.parse_args()
    if arguments.statistics:
        test_numbers(arguments.draws)
    else:
        compare_speed(arguments.elements, arguments.rounds)


def compare_speed(elements: int, rounds: int) -> None:
    """Print a row for each distribution and dtype: speeds, ratios, and the limit's share."""
    print(f"{elements:,} elements, {torch.get_num_threads()} threads, 10⁹ values a second\n")
    print(
        "                            evenflow                     evenflow"
        "\ndistribution      dtype     in NumPy  torch  ratio  NumPy    in JAX    JAX  ratio"
        "  NumPy's share of memory fill"
    )
    for dtype, torch_dtype in DTYPES.items():
        tensor = torch.empty(elements, dtype=torch_dtype)
        for name, distribution in DISTRIBUTIONS.items():
            with jax.enable_x64(dtype == "float64"):
                speeds = alternate(
                    [
                        partial(fill, tensor, distribution, dtype),
                        partial(TORCH[name], tensor),
                        numpy_side(name, tensor),
                        *jax_sides(name, distribution, dtype, elements),
                        partial(tensor.fill_, 0.02),
                    ],
                    elements,
                    rounds,
                )
            ours, theirs, numpys, ours_in_jax, jaxs, limit = speeds
            print(
                f"{name:17} {dtype:9} {ours:8.2f} {theirs:6.3f} {ours / theirs:5.1f}×"
                f" {f'{numpys:6.3f}' if numpys else '     –'} {ours_in_jax:9.3f} {jaxs:6.3f}"
                f" {ours_in_jax / jaxs:5.1f}× {ours / limit:8.0%} of {limit:.1f}",
                flush=True,
            )


def fill(tensor: torch.Tensor, distribution: Simple, dtype: str) -> None:
    bits = tensor.view(torch.uint16) if dtype == "bfloat16" else tensor
    sampling.fill(bits.numpy(), distribution, seed=0, name="weight", dtype=dtype)


TORCH: dict[str, Callable[[torch.Tensor], object]] = {
    "uniform": lambda tensor: tensor.uniform_(-0.05, 0.05),
    "normal": lambda tensor: tensor.normal_(0.0, 0.02),
    "truncated normal": lambda tensor: torch.nn.init.trunc_normal_(
        tensor, std=0.02, a=-0.04, b=0.04
    ),
}


def numpy_side(name: str, tensor: torch.Tensor) -> Side | None:
    """Return NumPy's own way to such values, None where it has none."""
    if name == "truncated normal" or tensor.dtype not in (torch.float32, torch.float64):
        return None
    out, rng = tensor.numpy(), np.random.default_rng(0)

    def uniform() -> None:
        rng.random(out=out, dtype=out.dtype)
        np.subtract(out, 0.5, out=out)
        np.multiply(out, 0.1, out=out)

    def normal() -> None:
        rng.standard_normal(out=out, dtype=out.dtype)
        np.multiply(out, 0.02, out=out)

    return uniform if name == "uniform" else normal


def jax_sides(name: str, distribution: Simple, dtype: str, elements: int) -> list[Side]:
    """Return evenflow's initialiser and JAX's own, both compiled, under a key of their own."""
    theirs = {
        "uniform": lambda key: jax.random.uniform(key, (elements,), dtype, -0.05, 0.05),
        "normal": lambda key: 0.02 * jax.random.normal(key, (elements,), dtype),
        "truncated normal": jax.nn.initializers.truncated_normal(0.02, dtype),
    }[name]
    if name == "truncated normal":
        theirs = partial(theirs, shape=(elements,))
    ours = partial(efj.initializer(distribution, dtype=dtype), shape=(elements,))
    key = jax.random.key(0)

    def run(compiled: Callable[[jax.Array], jax.Array]) -> object:
        return compiled(key).block_until_ready()

    return [partial(run, jax.jit(make)) for make in (ours, theirs)]


def alternate(sides: list[Side | None], elements: int, rounds: int) -> list[float]:
    """Return the median speed of each side, run by turns after a first round for warmth."""
    seconds: list[list[float]] = [[] for _ in sides]
    for turn in range(rounds + 1):
        for side, taken in zip(sides, seconds, strict=True):
            if side is None:
                continue
            begin = time.perf_counter()
            side()
            if turn:
                taken.append(time.perf_counter() - begin)
    return [elements / statistics.median(taken) / 1e9 if taken else 0.0 for taken in seconds]


def test_numbers(draws: int) -> None:
    """Print moments, the Kolmogorov-Smirnov distance and tails of float32 draws.

    A value is an integer times a scale, so that counting each integer keeps every draw exactly.
    z says how many standard errors a moment lies from its exact value, p how often an ideal
    generator would be as far off.
    """
    print(f"{draws:,} float32 draws each\n")
    print("distribution      mean z  variance   z      4th moment  z      KS·√n  p")
    for name, law in LAWS.items():
        scale = recipe(law.distribution, "float32", name).scale
        counts = count_integers(law.distribution, scale, draws)
        value = np.arange(-(1 << 24), (1 << 24) + 1) * scale
        mean, second, fourth, eighth = (
            float(counts @ value**order) / draws for order in (1, 2, 4, 8)
        )
        z = (
            mean * math.sqrt(draws / second),
            (second - law.second) * math.sqrt(draws / (fourth - second**2)),
            (fourth - law.fourth) * math.sqrt(draws / (eighth - fourth**2)),
        )
        distance = np.abs(np.cumsum(counts) / draws - law.cdf(value + scale / 2)).max()
        ks = distance * math.sqrt(draws)
        print(
            f"{name:17} {z[0]:+5.2f}   {second:.6f}  {z[1]:+5.2f}  {fourth:.6f}    {z[2]:+5.2f}"
            f"  {ks:.3f}  {special.kolmogorov(ks):.3f}"
        )
        if name == "normal":
            for cut in (3, 4, 5, 6):
                beyond = int(counts[np.abs(value) > cut].sum())
                expected = draws * 2 * special.ndtr(-cut)
                print(f"    beyond {cut} σ: {beyond:,}, {expected:,.1f} expected")


def count_integers(distribution: Simple, scale: float, draws: int) -> NDArray[np.int64]:
    """Return how often each integer from −2²⁴ to 2²⁴ came up."""
    counts = np.zeros((1 << 25) + 1, np.int64)
    window = 1 << 25
    for start in range(0, draws, window):
        part = (start, min(start + window, draws))
        values = sampling.sample(distribution, (draws,), seed=1, name="weight", window=part)
        integers = np.rint(values.astype(np.float64) / scale).astype(np.int64)
        counts += np.bincount(integers + (1 << 24), minlength=counts.size)
    return counts


class Law(NamedTuple):
    """A distribution with what theory says of it."""

    distribution: Simple
    second: float
    fourth: float
    cdf: Callable[[NDArray[np.float64]], NDArray[np.float64]]


_CUT = TruncatedNormal(1.0)
_MASS = 1 - 2 * special.ndtr(-_CUT.cut)
_DENSITY = math.exp(-(_CUT.cut**2) / 2) / math.sqrt(2 * math.pi)
LAWS = {
    "uniform": Law(Uniform(1.0), 1 / 3, 1 / 5, lambda x: np.clip((x + 1) / 2, 0, 1)),
    "normal": Law(Normal(1.0), 1.0, 3.0, special.ndtr),
    "truncated normal": Law(
        _CUT,
        1.0,
        _CUT.parent_std**4 * (3 - 2 * (_CUT.cut**3 + 3 * _CUT.cut) * _DENSITY / _MASS),
        lambda x: np.clip(
            (special.ndtr(x / _CUT.parent_std) - special.ndtr(-_CUT.cut)) / _MASS, 0, 1
        ),
    ),
}

if __name__ == "__main__":
    main()
