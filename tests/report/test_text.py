import io

import pytest
from rich.console import Console

from evenflow.report import renderable, to_text

from .reports import deep_report, full_report, hostile_report, plain_report

REPORTS = {
    "plain": plain_report,
    "full": full_report,
    "deep": deep_report,
    "hostile": hostile_report,
}


@pytest.mark.parametrize("name", REPORTS)
def test_text_is_as_it_was(name, assert_golden):
    assert_golden(f"{name}.txt", to_text(REPORTS[name]()))


@pytest.mark.parametrize("name", REPORTS)
@pytest.mark.parametrize("width", [80, 120])
def test_no_line_is_wider_than_the_terminal(name, width):
    assert max(map(len, to_text(REPORTS[name](), width).splitlines())) <= width


@pytest.mark.parametrize("name", REPORTS)
def test_text_without_a_terminal_is_plain(name):
    text = to_text(REPORTS[name]())
    assert all(line.isprintable() for line in text.splitlines())


def test_a_terminal_gets_colours_but_no_sequence_from_a_name():
    terminal = io.StringIO()
    Console(file=terminal, force_terminal=True, width=80).print(renderable(hostile_report()))
    shown = terminal.getvalue()
    assert "\x1b[1;31m✕ " in shown
    assert "\\x1b[31m" in shown
    assert "\x1b[31m\u202e" not in shown


def test_a_deep_network_fits_on_a_few_screens_and_says_what_is_left_out():
    text = to_text(deep_report())
    assert text.count("\n") < 130
    assert "860 further operations in the JSON report." in text
    assert "… and 289 more, all in the JSON report" in text
    assert "260 further parameters in the JSON report." in text
