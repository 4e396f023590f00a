"""The page of a training: what it shows, that it stays small, and that a browser draws it."""

import math

import numpy as np
import pytest
from playwright.sync_api import sync_playwright

from evenflow.diagnose.training import diagnose_run
from evenflow.record.run import Ending, Event, Readings, Run, RunLayer, RunWeight
from evenflow.record.run_sums import CELLS, QUANTITIES
from evenflow.report.run import compare_page, run_page, run_text
from evenflow.report.run.choice import MOST_LINES, drawn, moments, names

CHROMIUM = "/usr/bin/chromium"


def made(samples=50, depth=5, *, loss=True, hostile="") -> Run:
    """A run of random numbers: ``depth`` linear layers with tanh between."""
    rng = np.random.default_rng(0)
    layers = []
    for k in range(depth):
        layers.append(RunLayer(f"{k}{hostile}", "Linear", weights=(f"{k}.weight",), shape=(8, 4)))
        layers.append(RunLayer(f"{k}a", "Tanh", "tanh", shape=(8, 4)))
    weights = [RunWeight(f"{k}.weight", (4, 4), f"{k}", True, True) for k in range(depth)]
    nothing = np.full(samples, math.nan)

    def readings(tensors):
        values = np.abs(rng.normal(0.3, 0.1, (samples, tensors, len(QUANTITIES)))).clip(0.01, 0.9)
        at = QUANTITIES.index
        values[..., at("histogram_low")], values[..., at("histogram_high")] = -1, 1
        values[..., at("nonfinite_share")] = 0
        cells = rng.integers(1, 100, (samples, tensors, CELLS)).astype(np.uint16)
        return Readings(values.astype(np.float32), cells)

    falling = np.linspace(2, 1, samples) if loss else nothing
    return Run(
        model=f"Net{hostile}",
        every=10,
        layers=tuple(layers),
        weights=tuple(weights),
        steps=np.arange(samples, dtype=np.int64) * 10,
        loss=falling,
        loss_low=falling - 0.1,
        loss_high=falling + 0.1,
        learning_rate=np.full(samples, 0.1),
        norm_before=np.full(samples, 2.0),
        norm_after=np.full(samples, 1.0),
        forward=readings(2 * depth),
        backward=readings(2 * depth),
        gradients=readings(depth),
        events=(Event(40, "verdict", f"1{hostile}", "said"),),
        optimiser="SGD",
        ending=Ending("mse_loss"),
        total_steps=10 * samples,
        versions={"evenflow": "0"},
    )


def test_pictures_show_activations_forwards_and_sums_backwards():
    run = made()
    assert [run.layers[k].op for k in drawn(run, "forward")] == ["Tanh"] * 5
    assert [run.layers[k].op for k in drawn(run, "backward")] == ["Linear"] * 5
    assert drawn(run, "gradients") == tuple(range(5))
    assert len(set(names(run, "forward", drawn(run, "forward")))) == 5


def test_a_long_and_deep_run_is_thinned_to_its_ends():
    run = made(samples=1300, depth=40)
    assert len(drawn(run, "forward")) <= MOST_LINES
    assert (moments(run)[0], moments(run)[-1]) == (0, 1299)
    assert len(run_page(run, diagnose_run(run))) < 6e6


@pytest.mark.parametrize("samples", [0, 1, 3])
def test_a_run_that_has_hardly_begun_has_a_page(samples):
    run = made(samples)
    assert "Steps" in run_page(run, diagnose_run(run))
    assert "Samples" in run_text(run, diagnose_run(run), "run")


def test_a_run_without_losses_says_so():
    run = made(loss=False)
    assert "No loss was given" in run_page(run, diagnose_run(run))


def test_names_from_the_users_files_are_escaped():
    run = made(hostile="<script>alert(1)</script>")
    page = run_page(run, diagnose_run(run), run.model)
    assert "<script>alert(1)" not in page


def test_a_browser_draws_every_picture_and_the_slider_moves_the_moment(tmp_path):
    two = (made(), made(samples=20))
    (tmp_path / "run.html").write_text(run_page(two[0], diagnose_run(two[0])))
    both = compare_page(two, tuple(map(diagnose_run, two)), ("one", "two"))
    (tmp_path / "both.html").write_text(both)
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        faults = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
        for name in ("run", "both"):
            page.goto(f"file://{tmp_path / name}.html")
            page.wait_for_function("document.body.dataset.drawn !== undefined")
            charts = page.locator(".chart").count()
            assert page.locator(".chart svg.marks").count() == charts > 10
            if name == "run":
                before = page.locator("#histograms svg.marks").inner_html()
                page.locator("#time").fill("0")
                page.wait_for_function("document.getElementById('step').value === '0'")
                page.wait_for_timeout(300)
                assert page.locator("#histograms svg.marks").inner_html() != before
        assert faults == []
        browser.close()
