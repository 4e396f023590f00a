"""The report of a derivation: its sentences add up, its table and its page say the same."""

import html
import re
from dataclasses import replace

import pytest
import torch
from torch import nn

from evenflow.report.derivation.page import to_html
from evenflow.report.derivation.rows import coverage, module_rows, tensor_rows
from evenflow.report.derivation.text import to_text
from evenflow.torch.derive import derive

NUMBER = r"[\d.e+-]+"
SUM_OF_PRODUCT = rf"= ({NUMBER}(?: × {NUMBER})+)(?: \+ ({NUMBER}))? = (\S+)$"


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(64), nn.Linear(64, 128), nn.Linear(128, 64)

    def forward(self, x):
        return x + self.down(torch.tanh(self.up(self.norm(x))))


class Odd(nn.Module):
    """Holds an operation that has no rule."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(16, 16)

    def forward(self, x):
        return torch.special.bessel_j1(self.linear(x))


@pytest.fixture(scope="module")
def report():
    model = nn.Sequential(nn.Linear(32, 64), Block(), Block(), nn.Linear(64, 8))
    return replace(derive(model, torch.randn(16, 5, 32), "auto"), command="evenflow derive x")


def test_a_value_that_is_nothing_has_its_sentence():
    model = nn.Sequential(nn.Linear(4, 4), nn.Flatten(1))
    nn.init.zeros_(model[0].weight), nn.init.zeros_(model[0].bias)
    rows = tensor_rows(derive(model, torch.randn(8, 4, 1).squeeze(-1)).derivation)
    assert rows[-1].forward_sentence


def test_the_numbers_of_a_sentence_give_its_result(report):
    checked = 0
    for row in tensor_rows(report.derivation):
        for sentence in (row.forward_sentence, row.backward_sentence):
            match = re.search(
                r"= ([\d.e+-]+(?: × [\d.e+-]+)+)(?: \+ ([\d.e+-]+))? = (\S+)$", sentence
            )
            if match is None:
                continue
            product = 1.0
            for factor in match[1].split(" × "):
                product *= float(factor)
            assert product + float(match[2] or 0) == pytest.approx(float(match[3]), rel=0.02)
            checked += 1
    assert checked > 10


def test_every_tensor_has_its_sentences(report):
    rows = tensor_rows(report.derivation)
    assert all(row.forward_sentence and row.backward_sentence for row in rows)
    (first,) = [row for row in rows if row.layer == "0"]
    assert first.forward_sentence.startswith("q' = n·v·q + b = 32 × ")


def test_modules_are_told_apart_down_to_a_depth(report):
    rows = tensor_rows(report.derivation)
    assert [row.layer for row in module_rows(rows, 1)] == ["0", "1", "2", "3"]
    assert "1.up" in [row.layer for row in module_rows(rows, 2)]


def test_the_table_fits_a_narrow_terminal(report):
    text = to_text(report, depth=2, width=80)
    assert max(map(len, text.splitlines())) <= 80
    assert "1.down" in text
    assert "E[x²]" in text
    assert "12 of 12 operations by rule (100.0%)" in text


def test_what_has_no_rule_is_marked_everywhere():
    report = derive(Odd(), torch.randn(8, 16))
    assert coverage(report.derivation)[1:] == (1, 0)
    assert "1 sampled (~)" in to_text(report)
    page = html.unescape(to_html(report))
    assert "sampled: no rule for 'special_bessel_j1'" in page
    assert "test_derivation.py" in page


def test_the_page_names_every_tensor_and_the_command(report):
    page = to_html(report)
    for row in tensor_rows(report.derivation):
        assert f'id="t{row.depth}"' in page
    assert "evenflow derive x" in page


def test_names_from_outside_are_escaped():
    model = nn.Sequential()
    model.add_module("<script>alert(1)</script>", nn.Linear(4, 4))
    assert "<script>alert" not in to_html(derive(model, torch.randn(2, 4)))


def test_it_is_printed_and_saved(report, tmp_path):
    assert str(report) == to_text(report)
    assert repr(report) == "<derivation of Sequential: 12 operations>"
    report.save(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text() == to_html(report)
    assert report.forward is report.derivation.forward
    assert not report.sampled
    assert not report.unknown


class Last(nn.Module):
    """Reads the last of several positions, through a block that is used twice."""

    def __init__(self):
        super().__init__()
        self.map = nn.Linear(32, 32)

    def forward(self, x):
        for _ in range(2):
            x = x + self.map(x)
        return nn.functional.layer_norm(x, [32])[:, -1]


def test_sentences_tell_of_single_positions_and_of_weights_in_common():
    rows = tensor_rows(derive(Last(), torch.randn(4, 6, 32)).derivation)
    said = " ".join(row.forward_sentence + row.backward_sentence for row in rows)
    assert "single positions between 0 and 6.00 times that" in said
    assert "made by the same weights" in said


class Shifted(nn.Module):
    """Adds positions that the code alone makes."""

    def __init__(self):
        super().__init__()
        self.map = nn.Linear(8, 8)

    def forward(self, x):
        return self.map(x) + torch.arange(8).to(x.dtype).div(8).sin()


def test_numbers_of_the_code_alone_are_no_unknown_operations():
    report = derive(Shifted(), torch.randn(4, 8))
    assert coverage(report.derivation) == (2, 0, 0)
    assert [row.op for row in tensor_rows(report.derivation)] == ["linear", "add"]
