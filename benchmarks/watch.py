"""What watching a training costs: process time beside a plain loop, one thread.

evenflow and a plain loop make a few steps in turns; every other way, as some change the whole
process, is run A/B/A in alternation, after a first run of each that is not counted. The figures are
ratios of process time, median and mean.
Peak memory is of a process of its own. Peers that are not installed are left out, and named.

python benchmarks/watch.py [--quick] [WORD IN THE NAME OF A WAY …]
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import nn
from watch_peers import NEEDS, PEERS, Loop

import evenflow as ef

torch.set_num_threads(1)


def perceptron() -> tuple[nn.Module, torch.Tensor]:
    """Ten layers of width 256, at batch 128."""
    layers = [part for _ in range(10) for part in (nn.Linear(256, 256), nn.Tanh())]
    return nn.Sequential(*layers, nn.Linear(256, 10)), torch.randn(128, 256)


def convolutional() -> tuple[nn.Module, torch.Tensor]:
    """Three convolutions on 28 × 28 images, at batch 64."""
    model = nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU()),
        *(nn.MaxPool2d(2), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(32 * 7 * 7, 10)),
    )
    return model, torch.randn(64, 1, 28, 28)


NETWORKS = {"MLP 10×256, batch 128": perceptron, "conv net, batch 64": convolutional}


@contextlib.contextmanager
def plain(_model, _optimizer):
    yield Loop()


def evenflow(every):
    @contextlib.contextmanager
    def way(model, optimizer):
        with (
            tempfile.TemporaryDirectory() as out,
            ef.watch(model, optimizer=optimizer, every=every, out=out) as w,
        ):
            yield Loop(lambda loss: w.step(loss=loss))

    return way


OURS = {
    "evenflow, each step": 1,
    "evenflow, default (every 10)": 10,
    "evenflow, every 50": 50,
}
WAYS = {**{name: evenflow(every) for name, every in OURS.items()}, **PEERS}


@contextlib.contextmanager
def training(network, way):
    """Gives a function that makes so many steps, and tells their process seconds."""
    torch.manual_seed(0)
    model, x = NETWORKS[network]()
    y = torch.randint(0, 10, (len(x),))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with way(model, optimizer) as hooked:

        def make(steps: int) -> float:
            start = time.process_time()
            for _ in range(steps):
                optimizer.zero_grad()
                output = model(x)
                loss = hooked.criterion(output, y)
                with hooked.around(output, y, loss):
                    loss.backward()
                optimizer.step()
                hooked.step(loss)
            return time.process_time() - start

        yield make


def loop(network, way, steps: int) -> float:
    """Process seconds of so many steps, set-up and closing left out."""
    with training(network, way) as make:
        return make(steps)


def in_turns(network, every: int, steps: int) -> tuple[float, float]:
    """Median and mean of a watched training beside a plain one that goes on at the same time.

    Each makes a few steps while the other waits, so that both meet the same noise; the mean
    includes the first sample, spectra, and looks of the rules.
    """
    block = max(5, every)
    with training(network, plain) as one, training(network, evenflow(every)) as other:
        times = [(one(block), other(block)) for _ in range(steps // block)]
    plainly, watched = zip(*times, strict=True)
    return (
        statistics.median(watched) / statistics.median(plainly),
        sum(watched) / sum(plainly),
    )


def ratios(network, way, steps: int, rounds: int) -> list[float]:
    """A/B/A: the way's time beside the mean of the plain loops before and after it."""
    loop(network, way, steps)
    found, before = [], loop(network, plain, steps)
    for _ in range(rounds):
        watched = loop(network, way, steps)
        after = loop(network, plain, steps)
        found.append(2 * watched / (before + after))
        before = after
    return found


def peak(network: str, name: str) -> str:
    """Peak memory of a process that trains 50 steps, in MB."""
    code = (
        f"import sys; sys.path.insert(0, {os.path.dirname(__file__)!r}); import watch, resource;"
        f"watch.loop({network!r}, watch.WAYS.get({name!r}, watch.plain), 50);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return f"{int(done.stdout.split()[-1]) / 1024:.0f}" if done.returncode == 0 else "–"


def main() -> None:
    quick = "--quick" in sys.argv
    rounds = 3 if quick else 7
    for network in NETWORKS:
        steps = 300 if network.startswith("MLP") else 100
        each = loop(network, plain, steps) / steps
        print(f"\n{network}: {1e3 * each:.1f} ms a step, peak {peak(network, 'plain')} MB\n")
        print(f"| {'way':<36} | median | mean | peak MB |\n| {'-' * 36} | ---: | ---: | ---: |")
        words = [word for word in sys.argv[1:] if not word.startswith("--")]
        for name, way in WAYS.items():
            if words and not any(word in name for word in words):
                continue
            if importlib.util.find_spec(NEEDS.get(name, "torch")) is None:
                print(f"| {name:<36} | not installed | | |")
                continue
            if name in OURS:
                found = [in_turns(network, OURS[name], 2 * steps) for _ in range(rounds)]
                median, mean = (statistics.median(each) for each in zip(*found, strict=True))
            else:
                found = ratios(network, way, steps // 4, rounds)
                median, mean = statistics.median(found), statistics.fmean(found)
            print(f"| {name:<36} | {median:.3f} | {mean:.3f} | {peak(network, name)} |", flush=True)


if __name__ == "__main__":
    main()
