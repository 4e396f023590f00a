"""The page in a real browser: it draws, stays within its window, and asks nothing of a network."""

import shutil

import pytest

from evenflow.report.words import figure

from .reports import deep_report, full_report, hostile_report, page_of, plain_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
REPORTS = {
    "plain": plain_report,
    "full": full_report,
    "deep": deep_report,
    "hostile": hostile_report,
}

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed")


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def addresses(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    made = {}
    for name, report in REPORTS.items():
        path = folder / f"{name}.html"
        path.write_text(page_of(report), encoding="utf-8")
        made[name] = path.as_uri()
    return made


@pytest.fixture
def opened(browser, addresses):
    """Opens a report and waits until its charts are drawn; nothing may be said or asked for."""
    heard, pages = [], []

    def open_page(name, width=1280, look="light"):
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=look)
        page.on("console", lambda message: heard.append(message.text))
        page.on("pageerror", lambda error: heard.append(str(error)))
        page.on("request", lambda request: heard.append(request.url))
        page.goto(addresses[name])
        page.wait_for_selector("body[data-drawn]")
        assert heard == [addresses[name]]
        pages.append(page)
        return page

    yield open_page
    assert heard == [page.url for page in pages]
    for page in pages:
        page.close()


def wait_until(page, holds):
    """Waits, ten seconds at most; the page's policy forbids the browser to wait by itself."""
    for _ in range(100):
        if holds():
            return
        page.wait_for_timeout(100)
    raise AssertionError("the page did not get there in ten seconds")


def sizes(page):
    """Width and height of every chart's drawing, and the width of what holds it."""
    return page.evaluate(
        """[...document.querySelectorAll(".chart")].map((chart) => {
            const box = chart.querySelector("svg.marks").getBoundingClientRect();
            return [box.width, box.height, chart.parentElement.clientWidth];
        })"""
    )


def opacities(page, chart):
    """Opacity of each filled histogram of a chart."""
    return page.evaluate(
        """(id) => [...document.querySelectorAll(`#${id} .mark-area path`)]
            .map((path) => path.getAttribute("opacity"))""",
        chart,
    )


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("name", REPORTS)
def test_every_chart_is_drawn_and_nothing_sticks_out(opened, name, width):
    page = opened(name, width)
    drawn = sizes(page)
    assert len(drawn) == (14 if name in ("full", "hostile") else 6)
    for chart_width, height, room in drawn:
        assert 0.8 * room < chart_width < room
        assert height > 150
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_hostile_names_run_nothing(opened):
    page = opened("hostile")
    page.locator("#forward .halo_marks path").first.hover()
    page.wait_for_selector("#vg-tooltip-element.visible")
    assert "<img src=x" in page.inner_text("#vg-tooltip-element")
    assert page.evaluate("window.pwned") is None
    assert page.locator("main img").count() == 0


def test_a_chosen_layer_is_lit_in_every_picture_and_in_the_table(opened):
    page = opened("full")
    assert len(set(opacities(page, "activations"))) == 1
    page.select_option("#focus", "5")
    chosen = page.wait_for_selector("tr.focused[data-depth='5']")
    assert chosen is not None
    assert page.locator("tr.focused").count() == 1
    assert len(set(opacities(page, "activations"))) == 2
    assert page.locator("#forward .mark-rule line").count() > 0
    page.click("tr[data-depth='2']")
    page.wait_for_selector("tr.focused[data-depth='2']")
    assert page.input_value("#focus") == "2"
    page.click("tr[data-depth='2']")
    page.wait_for_selector("tr.focused", state="detached")
    assert len(set(opacities(page, "activations"))) == 1


def test_a_point_under_the_pointer_tells_its_numbers(opened):
    page = opened("full")
    page.locator("#forward .halo_marks path").nth(3).hover()
    page.wait_for_selector("#vg-tooltip-element.visible")
    layer = full_report().record.layers[6]
    assert page.inner_text("#vg-tooltip-element").split() == [
        *("layer", "layers.6", "operation", "linear", "kind", "weighted", "sums"),
        *("measured", figure(layer.forward.second_moment)),
        *("predicted", figure(layer.predicted_forward)),
    ]


def test_a_click_on_a_histogram_chooses_its_layer(opened):
    page = opened("full")
    page.locator("#activations .mark-area path").nth(2).click()
    page.wait_for_selector("tr.focused[data-depth='5']")
    assert page.locator("tr.focused").count() == 1


def test_histograms_can_be_drawn_in_standard_deviations(opened):
    page = opened("full")
    widths = """[...document.querySelectorAll("#gradients .mark-area path")]
        .map((path) => path.getBoundingClientRect().width)"""
    common = page.evaluate(widths)
    page.check("#own")
    wait_until(page, lambda: page.evaluate(widths)[0] > 2 * common[0])
    own = page.evaluate(widths)
    assert max(common) > 5 * min(common)
    assert max(own) < 2.5 * min(own)


def test_the_page_follows_the_readers_light_and_dark(opened):
    page = opened("plain", look="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    tick = "document.querySelector('#forward .role-axis-label text').getAttribute('fill')"
    night = page.evaluate(ground), page.evaluate(tick)
    page.emulate_media(color_scheme="light")
    wait_until(page, lambda: page.evaluate(tick) != night[1])
    assert page.evaluate(ground) != night[0]
    assert len(sizes(page)) == 6
