"""What watching a training costs: process time beside a plain loop, one thread.

Each way is run A/B/A in alternation, in one process; the figures are ratios of process time to
that of the plain loops around it, median and mean, after a first run of each that is not counted.
Peak memory is of a process of its own. Peers that are not installed are left out, and named.

python benchmarks/watch.py [--quick]
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
import warnings
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import nn
from torch.nn import functional as F

import evenflow as ef

torch.set_num_threads(1)
Step = Callable[[], torch.Tensor]


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
    yield lambda _loss: None


def evenflow(every):
    @contextlib.contextmanager
    def way(model, optimizer):
        with (
            tempfile.TemporaryDirectory() as out,
            ef.watch(model, optimizer=optimizer, every=every, out=out) as w,
        ):
            yield lambda loss: w.step(loss=loss)

    return way


@contextlib.contextmanager
def naive(model, _optimizer):
    """What one writes in five minutes: a hook on each layer, an .item() for each number."""
    told = {}

    def forward(module, _args, output):
        told[module, "f"] = (output.mean().item(), output.std().item(), output.abs().max().item())

        def gradient(g):
            told[module, "b"] = (g.mean().item(), g.std().item(), g.abs().max().item())

        output.register_hook(gradient)

    leaves = [m for m in model.modules() if not list(m.children())]
    handles = [m.register_forward_hook(forward) for m in leaves]

    def step(_loss):
        for name, p in model.named_parameters():
            told[name] = (p.grad.std().item(), torch.histc(p.grad, 32))

    yield step
    for handle in handles:
        handle.remove()


@contextlib.contextmanager
def anomaly(_model, _optimizer):
    with warnings.catch_warnings(), torch.autograd.detect_anomaly(check_nan=True):
        warnings.simplefilter("ignore")
        yield lambda _loss: None


@contextlib.contextmanager
def tensorboard(model, _optimizer):
    from torch.utils.tensorboard import SummaryWriter

    with tempfile.TemporaryDirectory() as folder:
        writer, n = SummaryWriter(folder), iter(range(10**9))

        def step(loss):
            k = next(n)
            for name, p in model.named_parameters():
                writer.add_histogram(name, p, k)
                writer.add_histogram(f"{name}.grad", p.grad, k)
            writer.add_scalar("loss", loss.item(), k)

        yield step
        writer.close()


@contextlib.contextmanager
def wandb_watch(model, _optimizer):
    import wandb

    with tempfile.TemporaryDirectory() as folder:
        run = wandb.init(mode="offline", dir=folder, settings=wandb.Settings(silent=True))
        run.watch(model, log="all", log_freq=1)
        yield lambda loss: run.log({"loss": loss.item()})
        run.finish(quiet=True)


WAYS = {
    "evenflow, each step": evenflow(1),
    "evenflow, default (every 10)": evenflow(10),
    "evenflow, every 50": evenflow(50),
    "hooks with .item()": naive,
    "detect_anomaly": anomaly,
    "TensorBoard histograms, each step": tensorboard,
    "wandb.watch(log='all'), each step": wandb_watch,
}
NEEDS = {
    "TensorBoard histograms, each step": "tensorboard",
    "wandb.watch(log='all'), each step": "wandb",
}


def loop(network, way, steps: int) -> float:
    """Process seconds of so many steps, set-up and closing left out."""
    torch.manual_seed(0)
    model, x = NETWORKS[network]()
    y = torch.randint(0, 10, (len(x),))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with way(model, optimizer) as step:
        start = time.process_time()
        for _ in range(steps):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            step(loss)
        return time.process_time() - start


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
    rounds = 5 if quick else 11
    for network in NETWORKS:
        steps = 300 if network.startswith("MLP") else 100
        each = loop(network, plain, steps) / steps
        print(f"\n{network}: {1e3 * each:.1f} ms a step, peak {peak(network, 'plain')} MB\n")
        print(f"| {'way':<36} | median | mean | peak MB |\n| {'-' * 36} | ---: | ---: | ---: |")
        for name, way in WAYS.items():
            if importlib.util.find_spec(NEEDS.get(name, "torch")) is None:
                print(f"| {name:<36} | not installed | | |")
                continue
            ours = name.startswith("evenflow")
            found = ratios(network, way, steps, rounds if ours else max(3, rounds // 3))
            median, mean = statistics.median(found), statistics.fmean(found)
            print(f"| {name:<36} | {median:.3f} | {mean:.3f} | {peak(network, name)} |", flush=True)


if __name__ == "__main__":
    main()
