"""Every way to train: mixed precision, accumulation, checkpointing, and the rest. The weights are
always those of the same training without a watch."""

import contextlib
import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import evenflow as ef


class Net(nn.Module):
    """A small network with something of everything."""

    def __init__(self, kind="plain"):
        super().__init__()
        torch.manual_seed(0)
        self.kind = kind
        self.first, self.second = nn.Linear(6, 12), nn.Linear(12, 12)
        self.act = nn.ReLU(inplace=kind == "in-place")
        self.norm = nn.BatchNorm1d(12)
        self.drop = nn.Dropout(0.2)
        self.last = nn.Linear(12, 4)
        if kind == "frozen":
            self.first.requires_grad_(False)
        if kind == "tied":
            self.third = nn.Linear(12, 12)
            self.third.weight = self.second.weight

    def forward(self, x):
        h = self.act(self.first(x))
        if self.kind.startswith("checkpoint"):
            h = checkpoint(self._middle, h, use_reentrant=self.kind.endswith("reentrant"))
        else:
            h = self._middle(h)
        if self.kind == "shared":
            h = self.act(self.second(h))
        if self.kind == "tied":
            h = self.act(self.third(h))
        return self.last(self.drop(h))

    def _middle(self, h):
        return self.norm(self.act(self.second(h)))


KINDS = ["plain", "in-place", "frozen", "tied", "shared", "checkpoint", "checkpoint-reentrant"]


def train(model, out=None, steps=6, *, micro=1, autocast=False, scaler=None, passes=1, **given):
    torch.manual_seed(1)
    x, y = torch.randn(steps, 16, 6), torch.randint(0, 4, (steps, 16))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    watched = (
        ef.watch(model, optimizer=optimizer, every=2, out=out, scaler=scaler, **given)
        if out is not None
        else contextlib.nullcontext()
    )
    half = torch.autocast("cpu", torch.bfloat16) if autocast else contextlib.nullcontext()
    with watched as w:
        for i in range(steps):
            for _ in range(micro):
                with half:
                    loss = nn.functional.cross_entropy(model(x[i]).float(), y[i])
                    for _again in range(passes - 1):
                        loss = loss + model(x[i - 1]).square().mean()
                (scaler.scale(loss / micro) if scaler else loss / micro).backward()
            if scaler:
                scaler.step(optimizer)
                scaler.update()
            else:
                optimizer.step()
            optimizer.zero_grad()
            model.eval()
            with torch.no_grad():
                model(x[i])  # an evaluation in between is no part of the training
            model.train()
            if w:
                w.step(loss=loss)
    return w.run() if w else None


def same(a: nn.Module, b: nn.Module) -> bool:
    mine, theirs = a.state_dict(), b.state_dict()
    return all(torch.equal(mine[name], theirs[name]) for name in mine)


WAYS = [
    *[(kind, {}) for kind in KINDS],
    ("plain", {"micro": 3}),
    ("plain", {"passes": 2}),
    ("checkpoint-reentrant", {"micro": 2}),
    ("plain", {"autocast": True}),
]


@pytest.mark.parametrize(("kind", "how"), WAYS, ids=lambda v: str(v))
@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
def test_every_way_trains_the_same_and_is_recorded(tmp_path, kind, how):
    plain, watched = Net(kind), Net(kind)
    train(plain, **how)
    run = train(watched, tmp_path, **how)
    assert same(plain, watched)
    places = {layer.name: k for k, layer in enumerate(run.layers)}
    assert np.isfinite(run.forward["second_moment"][:, places["second"]]).all()
    assert np.isfinite(run.backward["second_moment"][:, places["second"]]).all()
    weights = {weight.name: k for k, weight in enumerate(run.weights)}
    assert (run.gradients["update_ratio"][:, weights["second.weight"]] > 0).all()
    assert run.happened("nonfinite") == ()


def test_tied_weights_stand_once_and_frozen_ones_say_so(tmp_path):
    run = train(Net("tied"), tmp_path / "a")
    assert "third.weight" not in [weight.name for weight in run.weights]
    run = train(Net("frozen"), tmp_path / "b")
    frozen = [weight.name for weight in run.weights if not weight.trainable]
    assert frozen == ["first.weight", "first.bias"]
    assert [weight.name for weight in run.weights if not weight.optimised] == frozen


@pytest.mark.parametrize("kind", ["checkpoint", "checkpoint-reentrant"])
@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
def test_checkpointed_layers_are_counted_once(tmp_path, kind):
    plain, again = train(Net(), tmp_path / "a", 1), train(Net(kind), tmp_path / "b", 1)
    at = [layer.name for layer in plain.layers].index("second")
    other = [layer.name for layer in again.layers].index("second")
    for readings in ("forward", "backward"):
        first, second = getattr(plain, readings), getattr(again, readings)
        moment = second["second_moment"][0, other]
        assert moment == pytest.approx(first["second_moment"][0, at], rel=1e-5)
        assert second.cells[0, other].sum() == first.cells[0, at].sum()


def test_a_scaled_loss_is_recorded_unscaled(tmp_path):
    plain = train(Net(), tmp_path / "a", 2)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12)
    scaled = train(Net(), tmp_path / "b", 2, scaler=scaler)
    for readings in ("backward", "gradients"):
        a, b = getattr(plain, readings), getattr(scaled, readings)
        np.testing.assert_allclose(b["second_moment"], a["second_moment"], rtol=1e-3)
    np.testing.assert_allclose(scaled.norm_before, plain.norm_before, rtol=1e-3)


def test_a_network_in_half_precision_is_read(tmp_path):
    model = Net().to(torch.bfloat16)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with ef.watch(model, optimizer=optimizer, every=1, out=tmp_path) as w:
        for _ in range(2):
            model(torch.randn(16, 6, dtype=torch.bfloat16)).float().square().mean().backward()
            optimizer.step()
            w.step()
    run = w.run()
    assert {weight.dtype for weight in run.weights} == {"bfloat16"}
    assert np.isfinite(run.forward["second_moment"]).all()
    assert np.isnan(run.loss).all()


def test_several_optimisers_and_none(tmp_path):
    model = Net()
    first = torch.optim.SGD(model.first.parameters(), lr=0.1)
    rest = torch.optim.SGD([*model.second.parameters(), *model.last.parameters()], lr=0.1)
    with ef.watch(model, optimizer=[first, rest], every=1, out=tmp_path / "two") as w:
        model(torch.randn(16, 6)).square().mean().backward()
        first.step()
        rest.step()
        w.step()
    ratios = w.run().gradients["update_ratio"][0]
    names = [weight.name for weight in w.run().weights]
    known = [n for n, r in zip(names, ratios, strict=True) if np.isfinite(r)]
    assert known == ["first.weight", "second.weight", "last.weight"]
    with ef.watch(model, every=1, out=tmp_path / "none") as w:
        model(torch.randn(16, 6)).square().mean().backward()
        w.step()
    run = w.run()
    assert np.isnan(run.gradients["update_ratio"]).all()
    assert np.isfinite(run.norm_after).all()


def test_channels_last_measure_the_same(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3))
    x = torch.randn(4, 3, 9, 9)
    runs = []
    for name, fmt in (("a", torch.contiguous_format), ("b", torch.channels_last)):
        own = copy.deepcopy(model).to(memory_format=fmt)
        with ef.watch(own, every=1, out=tmp_path / name) as w:
            own(x.to(memory_format=fmt)).square().mean().backward()
            w.step()
        runs.append(w.run())
    for quantity in ("second_moment", "dead_share", "correlation"):
        a, b = (run.forward[quantity] for run in runs)
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


class Sparse(nn.Module):
    """Embeddings whose gradient holds only the rows that were read."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.table, self.head = nn.Embedding(100, 8, sparse=True), nn.Linear(8, 2)

    def forward(self, x):
        return self.head(self.table(x).mean(1))


def channels_last():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3))
    return model.to(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("make", "inputs"),
    [
        (Sparse, lambda: torch.randint(0, 100, (8, 5))),
        (channels_last, lambda: torch.randn(4, 3, 9, 9).to(memory_format=torch.channels_last)),
    ],
)
def test_gradients_of_another_layout_are_read(tmp_path, make, inputs):
    model = make()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    told = []
    with ef.watch(model, optimizer=optimizer, every=1, out=tmp_path) as w:
        for _ in range(2):
            optimizer.zero_grad()
            model(inputs()).square().mean().backward()
            squares = [p.grad.to_dense().double().square().sum() for p in model.parameters()]
            told.append(torch.stack(squares).sum().sqrt().item())
            optimizer.step()
            w.step()
    assert w.run().norm_after.tolist() == pytest.approx(told, rel=1e-4)
    assert (w.run().gradients["update_ratio"][:, 0] > 0).all()
