"""The reproduction of the 2010 paper: every exhibit is drawn, and says what was found."""

import dataclasses
import hashlib
import json
import re

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from evenflow.cli import main
from evenflow.errors import InputError
from evenflow.study.data import load, mnist
from evenflow.study.folder import Folder
from evenflow.study.glorot2010 import (
    depth,
    derivation,
    errata,
    fig2,
    fig5,
    models,
    saturation,
    scales,
    start,
)
from evenflow.study.glorot2010.reproduction import REPRODUCTION
from evenflow.study.glorot2010.scales import SCALES
from evenflow.study.networks import Network
from evenflow.study.reproduction import Order
from evenflow.study.runner import Settings, units
from evenflow.study.support_vectors import SupportVectors
from evenflow.study.training.run import Course
from evenflow.study.trial import Trial

TINY = dataclasses.replace(
    SCALES["smoke"],
    name="tiny",
    width=8,
    updates=40,
    rates=(0.3, 0.1),
    seeds=2,
    test_images=100,
    looks=4,
    fixed_images=60,
    depths=(1, 2),
    starts=2,
    data=("shapeset",),
)
ORDER = Order("glorot2010", "tiny")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The whole reproduction, tiny; its folder."""
    patch = pytest.MonkeyPatch()
    patch.setitem(scales.SCALES, "tiny", TINY)
    patch.setattr(start, "WIDTH", 12)
    patch.setattr(fig2, "WIDTH", 12)
    patch.setattr(fig2, "OPENING_SEEDS", 2)
    folder = tmp_path_factory.mktemp("study")
    REPRODUCTION.run(ORDER, folder, Settings())
    REPRODUCTION.report(ORDER, folder)
    yield folder
    patch.undo()


def numbers(folder):
    return json.loads((folder / "results.json").read_text())


def test_every_trial_is_done_and_every_exhibit_drawn(study):
    found = numbers(study)
    assert found["failed"] == []
    assert list(found["exhibits"]) == list(REPRODUCTION.exhibits)
    assert {row.state for row in Folder(study).index.rows()} == {"done"}
    page = (study / "report.html").read_text()
    for name in REPRODUCTION.exhibits:
        assert f'<section id="{name}">' in page
    assert "Nothing was measured" not in page
    assert "The training is not done" not in page
    assert page.count("8 units a layer in place of 1000") >= 5
    places = re.findall(r'(?:<section|class="chart") id="([^"]*)"', page)
    assert len(places) == len(set(places))
    assert "evenflow study run glorot2010 --scale tiny" in page


def test_nothing_is_drawn_twice_or_under_one_name(study):
    wanted = REPRODUCTION.wanted(ORDER)
    keys = [trial.key for trial in dict.fromkeys(wanted(Folder(study).result))]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("name", REPRODUCTION.exhibits)
def test_an_exhibit_without_results_says_so_and_does_not_fail(name):
    section = REPRODUCTION.exhibit(name).draw(TINY, lambda _trial: None)
    assert section.name == name
    assert section.title
    assert not any(f.holds for f in section.findings if name.startswith("table"))


def test_the_page_draws_in_a_browser_and_its_slider_moves(study):
    sync_playwright = pytest.importorskip("playwright.sync_api").sync_playwright
    import shutil

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no chromium is installed")
    heard = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page()
        page.on("pageerror", lambda error: heard.append(str(error)))
        page.on("console", lambda message: heard.append(message.text))
        page.goto((study / "report.html").as_uri())
        page.wait_for_selector("body[data-drawn]", timeout=120_000)
        chart = page.locator("#fig4-tanh-modern")
        assert "after 40 updates" in chart.inner_text()
        chart.locator("input[type=range]").fill("0")
        page.wait_for_timeout(200)
        assert "after 0 updates" in chart.inner_text()
        browser.close()
    assert heard == []


def test_the_rate_is_the_one_with_the_least_validation_error(study):
    lookup, model = Folder(study).result, models.BY_NAME["Tanh"]
    scores = {
        rate: lookup(models.training(model, "shapeset", TINY, rate))["validation_error"][-1]
        for rate in TINY.rates
    }
    chosen = models.best(model, "shapeset", TINY, lookup)
    assert scores[chosen.rate] == min(scores.values())
    assert len(models.results(model, "shapeset", TINY, lookup)) == TINY.seeds


def test_the_depth_is_the_one_with_the_least_validation_error(study):
    section = depth.draw(TINY, Folder(study).result)
    (table,) = section.tables
    assert table.head[1:3] == ("depth 1", "depth 2")
    for name, *_, chosen, published in table.rows:
        errors = section.data[name]
        assert set(errors) == {"1", "2"}
        assert errors[chosen] == min(errors.values())
        assert published == ("4" if name == "Sigmoid" else "5")


def test_the_derivation_and_the_slips_come_out_as_they_are_told():
    logistic = derivation.draw(TINY, None)
    assert [finding.holds for finding in logistic.findings] == [True]
    factors = logistic.data["factor a layer"]
    np.testing.assert_allclose(factors["1/(3n), linear"], 1 / 3, rtol=0.02)
    np.testing.assert_allclose(factors["32/(n+n), logistic"], 0.4, rtol=0.05)
    assert [finding.holds for finding in errata.draw(TINY, None).findings] == [True]


def test_the_quadratic_cost_has_the_wider_plateaus():
    assert [finding.holds for finding in fig5.draw(TINY, None).findings] == [True]


def test_the_opening_of_figure_2():
    """50 updates of the paper's own network: the top layer has already fallen to .196."""
    network = Network(hidden=(1000,) * 4, activation="sigmoid", scheme="heuristic")
    trial = Trial(
        data="shapeset",
        network=network,
        rate=0.1,
        updates=50,
        evaluations=1,
        observations=1,
        test_images=10,
    )
    course = Course([trial], [load("shapeset")], "cpu")
    course.advance(50)
    means = course.seen()[0]["activation_mean"][:, 3]
    np.testing.assert_allclose(means, [0.498, 0.196], atol=0.012)


def test_a_start_has_the_expected_statistics():
    trial = start.start(models.BY_NAME["Tanh N"], TINY, 0)
    assert trial.network.hidden == (1000,) * 5 or start.WIDTH == 12
    network = Network(hidden=(1000,) * 5, activation="tanh", scheme="glorot")
    course = Course([msgspec.structs.replace(trial, network=network)], [load("shapeset")], "cpu")
    seen = course.seen()[0]
    expected = [0.448, 0.395, 0.342, 0.302, 0.277]
    np.testing.assert_allclose(seen["activation_sd"][0], expected, rtol=0.1)
    gradients = seen["gradient_sd"][0].astype(float)
    assert (gradients[4] / gradients[0]) ** 2 == pytest.approx(2.8, rel=0.15)
    singular = seen["singular_values"][0, 0].mean(1)
    np.testing.assert_allclose(singular, [0.697, 0.737, 0.766, 0.779], rtol=0.15)


def test_methods_and_pretraining_go_on_from_where_they_were_stopped():
    for change in ({"method": "curvature"}, {"method": "gradient_variance"}, {"pretraining": 12}):
        network = Network(hidden=(8, 8), activation="tanh", scheme="heuristic")
        trial = Trial(
            data="shapeset", network=network, rate=0.1, updates=50, test_images=50, **change
        )
        data = [load("shapeset")]
        whole = Course([trial], data, "cpu")
        while not whole.over:
            whole.advance(1000)
        first = Course([trial], data, "cpu")
        first.advance(17)
        second = Course([trial], data, "cpu")
        second.resume(first.states())
        while not second.over:
            second.advance(5)
        for key, value in whole.states()[0].items():
            np.testing.assert_array_equal(value, second.states()[0][key], err_msg=f"{change} {key}")


def test_pretraining_learns_to_mend_its_inputs():
    network = Network(hidden=(32,), activation="tanh", scheme="glorot")
    trial = Trial(data="shapeset", network=network, rate=0.1, updates=1, pretraining=300)
    course = Course([trial], [load("shapeset")], "cpu")

    def mended():
        bank, denoising = course.bank, course._denoising
        code = bank.activations(bank.inputs[0])[1]
        back = (code @ bank.weights[0] + denoising.biases[0]).sigmoid()
        return float((back - bank.inputs).square().mean())

    course._load(999)
    before = mended()
    while not course._denoising.over:
        course.advance(100)
    course._load(999)
    assert mended() < 0.85 * before  # the mean image alone brings 0.94


def test_on_a_gpu_networks_of_one_shape_go_together(tmp_path):
    scale = dataclasses.replace(TINY, seeds=1)
    trials = [models.training(model, "shapeset", scale, 0.1) for model in models.MODELS]
    trials.append(SupportVectors(data="shapeset", images=10))
    together = units(Folder(tmp_path), trials, "cuda")
    assert [len(unit) for unit in together] == [2, 2, 1, 1]
    assert [len(unit) for unit in units(Folder(tmp_path), trials, "cpu")] == [1] * 6


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--only", "fig22"), "did you mean fig2"),
        (("--scale", "huge"), "there is no scale 'huge'"),
        (("--data-sets", "mnits"), "Table 1 has no data set 'mnits'"),
        (("--engine", "magic"), "there is no engine 'magic'"),
        (("--seed", "1"), "has no option --seed"),
    ],
)
def test_bad_orders_are_refused_with_one_message(tmp_path, words, said):
    out = str(tmp_path / "out")
    result = CliRunner().invoke(main, ["study", "run", "glorot2010", "--out", out, *words])
    assert result.exit_code == 2
    assert said in result.output


def test_a_damaged_data_file_is_told_once_and_the_rest_goes_on(tmp_path, monkeypatch):
    monkeypatch.setitem(scales.SCALES, "tiny", TINY)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    for file in mnist.NAMES:
        (data / file.removesuffix(".gz")).write_bytes(b"damaged")
    words = ["study", "run", "glorot2010", "--scale", "tiny", "--out", str(out)]
    words += ["--data", str(data), "--only", "table1", "--data-sets", "mnist,shapeset"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 1
    assert result.output.count("failed: ") == 1
    assert "mnist softsign heuristic 5×8 rate 0.3 seed 0 and 9 more" in result.output
    assert str(data) in result.output
    assert hashlib.sha256(b"damaged").hexdigest() in result.output
    (failed,) = numbers(out)["failed"]
    assert len(failed["trials"]) == 10
    states = [row.state for row in Folder(out).index.rows() if row.label.startswith("shapeset")]
    assert set(states) == {"done"}


def test_status_and_report_go_by_what_the_folder_remembers(study):
    status = CliRunner().invoke(main, ["study", "status", "--out", str(study)])
    assert status.exit_code == 0
    assert "glorot2010 at scale tiny" in status.output
    rows = Folder(study).index.rows()
    assert f"{len(rows)} of {len(rows)} trials done" in status.output
    (study / "report.html").unlink()
    report = CliRunner().invoke(main, ["study", "report", "--out", str(study)])
    assert report.exit_code == 0
    assert (study / "report.html").is_file()


def test_a_folder_without_results_or_of_another_study_is_refused(tmp_path, study):
    with pytest.raises(InputError, match="results of the study glorot2010"):
        dataclasses.replace(REPRODUCTION, name="other").run(ORDER, study, Settings())
    result = CliRunner().invoke(main, ["study", "status", "--out", str(tmp_path)])
    assert result.exit_code == 2
    assert "no results of a study" in result.output


def beyond(*shares):
    """What is seen of a network with these shares of its layers' activations beyond ±0.9."""
    counts = np.zeros((len(shares), len(shares[0]), 60))
    counts[..., 0] = shares
    counts[..., 30] = 1 - counts[..., 0]
    at = np.arange(len(shares)) * 1000
    return {"activation_histogram": counts, "observed_at": at}


def test_layers_that_saturate_from_the_first_upwards_are_told_from_others():
    upwards = beyond((0, 0, 0), (0.02, 0, 0), (0.05, 0.01, 0), (0.2, 0.1, 0.0005))
    assert saturation.order(upwards) is True
    assert saturation.onsets(upwards).endswith("updates: 1,000; 2,000; never")
    together = beyond((0, 0, 0), (0.02, 0.01, 0), (0.05, 0.06, 0.04), (0.2, 0.2, 0.2))
    assert saturation.order(together) is False
    assert saturation.order(beyond((0, 0), (0.001, 0))) is None
