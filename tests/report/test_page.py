import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from evenflow.report import to_html

from .reports import HOSTILE, deep_report, full_report, hostile_report, page_of, plain_report

LIMIT = 2_000_000


class Outline(HTMLParser):
    """Elements with their attributes, the text between them, and what stands in scripts."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.text, self.scripts = [], [], []
        self._open = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._open = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        self._open = ""

    def handle_data(self, data):
        if self._open == "script":
            self.scripts[-1] += data
        elif self._open != "style":
            self.text.append(data)

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())


REPORTS = [plain_report, full_report, deep_report, hostile_report]


@pytest.mark.parametrize("report", REPORTS)
def test_the_page_is_small(report):
    assert len(page_of(report).encode()) < LIMIT


def test_the_page_is_the_same_every_time():
    assert to_html(full_report()) == page_of(full_report)


def test_a_very_deep_network_with_long_names_and_a_comparison_stays_below_the_limit():
    deep, full = deep_report(), full_report()
    long = "model." + "a_rather_long_module_name." * 3
    layers = tuple(replace(layer, layer=f"{long}{layer.layer}") for layer in deep.record.layers)
    weights = tuple(replace(weight, name=f"{long}{weight.name}") for weight in deep.record.weights)
    record = replace(deep.record, layers=layers, weights=weights)
    trial = replace(full.comparison.before, record=record)
    page = to_html(
        replace(deep, record=record, comparison=replace(full.comparison, before=trial, after=trial))
    )
    assert len(page.encode()) < LIMIT


@pytest.mark.parametrize("report", REPORTS)
def test_the_page_holds_its_own_elements_and_no_others(report):
    outline = Outline(page_of(report))
    tags = [tag for tag, _ in outline.elements]
    assert tags.count("script") == 3
    assert not {"img", "iframe", "object", "link", "base", "form"}.intersection(tags)
    for tag, attributes in outline.elements:
        assert not [name for name in attributes if name.startswith("on")]
        assert "src" not in attributes
        assert attributes.get("href", "#").startswith("#"), tag


def test_hostile_names_are_shown_and_not_obeyed():
    page = page_of(hostile_report)
    outline = Outline(page)
    shown = (
        r"""</script><img src=x onerror="window.pwned=1">\x1b[31m\u202e{{7*7}}[red]&'"\udcff\x00"""
    )
    assert outline.words.count(shown) > 12
    assert HOSTILE not in page
    assert page.count("<img") == page_of(plain_report).count("<img")


@pytest.mark.parametrize("report", [plain_report, hostile_report])
def test_the_policy_allows_the_scripts_of_the_page_alone(report):
    page = page_of(report)
    outline = Outline(page)
    (policy,) = (
        attributes["content"]
        for tag, attributes in outline.elements
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    hashes = [
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in outline.scripts[1:]
    ]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"].split() == hashes


def test_the_charts_are_data_for_the_elements_that_wait_for_them():
    outline = Outline(page_of(full_report))
    charts = json.loads(outline.scripts[0])
    waiting = {a["id"] for _, a in outline.elements if "chart" in a.get("class", "").split()}
    assert set(charts["specs"]) == waiting
    assert len(waiting) == 14
    assert set(charts["themes"]) == {"light", "dark"}


def test_everything_in_the_report_is_on_the_page():
    words = Outline(page_of(full_report)).words
    for said in (
        "Vanishing forward at layers.9, and 4 more findings.",
        "1 error",
        "4 warnings",
        "second moment 2.01e-03",
        'Use evenflow.init_(model, inputs, scheme="glorot").',
        "The change helped: after 60 steps",
        "All six weights were drawn anew",
        "EF301 wrong-gain: 3 more places",
        "glorot: bound √6/√(64 + 100)",
        "softmax-before-loss : no loss was given".replace(" :", ":"),
        "The graph was had by export.",
        "evenflow check mlp.py:build --fix",
        "torch 2.13.0",
    ):
        assert said in words, said


def test_consequences_and_further_places_are_named():
    report = full_report()
    outcome = report.diagnosis.outcomes[0]
    finding = replace(
        outcome.findings[0], follows="EF301", others=tuple(f"blocks.{k}" for k in range(15))
    )
    diagnosis = replace(report.diagnosis, outcomes=(replace(outcome, findings=(finding,)),))
    words = Outline(to_html(replace(report, diagnosis=diagnosis))).words
    assert "follows from EF301" in words
    assert re.search(r"blocks\.11\s+and 3 more\.", words)


def test_what_is_left_out_of_a_deep_network_is_said():
    words = Outline(page_of(deep_report)).words
    assert "299 more places" in words
    assert re.search(r"\d+ further operations are in the JSON report", words)


def test_a_report_without_measurements_says_so():
    report = plain_report()
    empty = replace(report, record=replace(report.record, layers=(), weights=(), loss=None))
    outline = Outline(to_html(empty))
    assert outline.words.count("Nothing was measured.") == 1
    assert outline.words.count("No gradient flowed: the check ran forwards only.") == 3
    assert json.loads(outline.scripts[0])["specs"] == {}
