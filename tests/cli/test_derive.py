"""``evenflow derive``: what a model does to signals, without running it."""

import pytest

import evenflow as ef

ODD = """
import torch
from torch import nn


class Odd(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        return torch.special.bessel_j1(self.linear(x))


def build():
    return Odd(), torch.zeros(2, 4)
"""


def test_a_table_by_module_is_printed(run):
    result = run("derive healthy.py:with_inputs")
    assert result.exit_code == 0
    assert "by rule (100.0%)" in result.stdout


def test_it_tells_what_a_scheme_would_do(run):
    heuristic = run("derive healthy.py:with_inputs --scheme heuristic_uniform").stdout
    assert heuristic != run("derive healthy.py:with_inputs --scheme auto").stdout


def test_it_tells_what_becomes_of_residual_branches(run):
    scaled = run("derive healthy.py:residual --scheme auto").stdout
    assert scaled == run("derive healthy.py:residual --scheme auto --residual depth-scaled").stdout
    assert scaled != run("derive healthy.py:residual --scheme auto --residual none").stdout
    assert run("derive healthy.py:residual --residual none").exit_code == 2


def test_a_stored_plan_is_derived_like_its_scheme(run):
    run("plan healthy.py:with_inputs --out plan.json")
    stored = run("derive healthy.py:with_inputs --plan plan.json").stdout
    assert stored == run("derive healthy.py:with_inputs --scheme auto").stdout


def test_the_page_is_written(run, tmp_path):
    result = run("derive healthy.py:with_inputs --out page.html")
    assert "Page: page.html" in result.stderr
    assert "evenflow derive" in (tmp_path / "page.html").read_text()


def test_coverage_is_a_line(run):
    assert run("derive healthy.py:with_inputs --coverage").stdout.count("\n") == 1


def test_strict_refuses_what_has_no_rule_by_name_and_place(run, tmp_path):
    (tmp_path / "odd.py").write_text(ODD)
    assert "1 sampled" in run("derive odd.py:build").stdout
    result = run("derive odd.py:build --strict")
    assert result.exit_code == 2
    assert "special_bessel_j1" in result.stderr
    assert "odd.py:12" in result.stderr


def test_a_transformers_model_needs_no_memory(run):
    pytest.importorskip("transformers")
    result = run("derive hf:gpt2 --depth 1")
    assert result.exit_code == 0
    assert "ln_f" in result.stdout


def test_python_and_the_command_line_derive_the_same():
    from tests.cli.models.healthy import with_inputs

    model, inputs = with_inputs()[:2]
    derivation = ef.derive(model, inputs)
    assert derivation.forward[derivation.graph.outputs[0]].second > 0
