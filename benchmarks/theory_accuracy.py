"""How right and how fast gains are: every catalogue activation against mpmath.

    python benchmarks/theory_accuracy.py              # about two minutes
    python benchmarks/theory_accuracy.py --points 40  # more operating points

Operating points are spread over q = 1e-4 … 100 (evenly in the logarithm) and means −2 … 2 that q
allows, the corners included. Times are medians of calls that no cache has seen, on one core.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import mpmath as mp
import numpy as np

from evenflow.theory.activations import Activation, catalogue, find
from evenflow.theory.gain import Gain, gain

sys.path.append(str(Path(__file__).parent.parent / "tests" / "theory"))
from theory_oracle import ORACLES, Expected, expected

TINY = 1e-36
CORNERS = ((1e-4, 0.0), (1.0, 0.0), (100.0, 0.0), (100.0, 2.0), (4.0004, -2.0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=12, help="random operating points each")
    points = [*CORNERS, *random_points(parser.parse_args().points)]
    print(f"{len(points)} operating points each; errors relative, times in µs\n")
    print("activation     worst error  its estimate  largest estimate  covered  gain  shared")
    for name in catalogue():
        print(row(find(name), points), flush=True)


def random_points(count: int) -> list[tuple[float, float]]:
    rng = np.random.default_rng(0)
    logs, tilts = rng.uniform(-4, 2, count), rng.uniform(-1, 1, count)
    return [
        (float(10**log), float(tilt * min(2.0, 0.999 * 10 ** (log / 2))))
        for log, tilt in zip(logs, tilts, strict=True)
    ]


def row(activation: Activation, points: list[tuple[float, float]]) -> str:
    """The line of one activation."""
    found = [gain(activation, q, mean) for q, mean in points]
    exact = [expected(ORACLES[activation.name], q, mean) for q, mean in points]
    errors = [true_error(*pair, activation) for pair in zip(found, exact, strict=True)]
    worst = int(np.argmax(errors))
    covered = sum(error <= each.error for error, each in zip(errors, found, strict=True))
    at_one = gain(activation, 1.0, 0.1)
    microseconds = (
        median_time(lambda i: gain(activation, 1.0 + 1e-9 * i, 0.1)),
        median_time(lambda i: at_one.shared(0.5 + 1e-9 * i)),
    )
    return (
        f"{activation.name:<14} {errors[worst]:>11.1e} {found[worst].error:>13.1e} "
        f"{max(each.error for each in found):>17.1e} {covered:>4}/{len(points)} "
        f"{microseconds[0]:>6.0f} {microseconds[1]:>7.0f}"
    )


def true_error(found: Gain, exact: Expected, activation: Activation) -> float:
    """The largest error of mean, second, backward, χ₁ and q-slope, in the terms of Gain.error."""
    variance = mp.mpf(found.q) - mp.mpf(found.mean_in) ** 2
    errors = [
        relative(found.mean - exact.mean, mp.sqrt(exact.second)),
        relative(found.second - exact.second, exact.second),
        relative(found.backward - exact.backward, exact.backward),
    ]
    if exact.second > TINY:
        chi = exact.backward / exact.second * found.q
        q_slope = exact.cross / variance * found.q / exact.second
        errors.append(relative(found.chi - chi, chi))
        if not activation.steps:  # which E[φφ′(z − m)] does not see
            errors.append(relative(found.q_slope - q_slope, max(1, abs(q_slope))))
    return float(max(errors))


def relative(error: mp.mpf, size: mp.mpf) -> mp.mpf:
    """|error|/size; absolute where next to nothing reaches the other side of a kink."""
    return abs(error) / size if size > TINY else abs(error)


def median_time(call: Callable[[int], object], calls: int = 100) -> float:
    """Microseconds."""
    times = []
    for i in range(calls):
        start = time.perf_counter()
        call(i)
        times.append(time.perf_counter() - start)
    return 1e6 * statistics.median(times)


if __name__ == "__main__":
    main()
