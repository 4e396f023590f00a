"""Help, gain, rules, explain: what they say, and what they must not load."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from evenflow.cli import main
from evenflow.diagnose import rules
from evenflow.theory.gain import gain
from evenflow.torch.losses import NAMED


def said(*words):
    result = CliRunner().invoke(main, words, catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_help_lists_every_verb_and_the_exit_statuses():
    text = said("--help")
    for verb in ("check", "plan", "init", "gain", "rules", "explain", "study"):
        assert f"\n  {verb} " in text
    assert "Exit status: 0 clean, 1 findings" in " ".join(text.split())


@pytest.mark.parametrize("verb", ["check", "plan", "init"])
def test_help_says_that_a_target_is_executed(verb):
    assert "file is executed" in " ".join(said(verb, "--help").split())


def test_help_fits_80_columns():
    for verb in ([], ["check"], ["plan"], ["init"], ["gain"], ["study", "run"]):
        assert max(map(len, said(*verb, "--help").splitlines())) <= 80


def test_gain_prints_the_gains_of_the_operating_point():
    at = gain("tanh", q=0.3)
    text = said("gain", "tanh", "--q", "0.3")
    for number in (at.forward, at.backward, at.chi, at.q_slope, at.forward_gain):
        assert f"{number:.8g}" in text
    assert "tanh at q = 0.3, mean 0" in text


def test_rules_lists_every_rule_once():
    text = said("rules")
    for rule in rules():
        assert text.count(rule.code) == 1
        assert rule.name in text
        assert rule.summary in text


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.code)
def test_explain_tells_all_that_a_rule_says_of_itself(rule):
    assert said("explain", rule.code) == said("explain", rule.name.upper())
    told = " ".join(said("explain", rule.code).split())
    assert " ".join(rule.explanation.split()) in told


def loaded(*words):
    """Modules that a whole process of the command line has loaded at its end."""
    program = (
        "import sys\nfrom evenflow.cli import main\n"
        f"main({list(words)!r}, standalone_mode=False)\n"
        "print(*sys.modules, sep='\\n', file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return set(ran.stderr.split())


@pytest.mark.parametrize("words", ["--help", "check --help", "rules", "explain EF101"])
def test_words_alone_load_neither_a_framework_nor_a_compiler(words):
    modules = loaded(*words.split())
    assert "click" in modules
    assert not {"torch", "transformers", "scipy", "numba", "altair", "rich"} & modules


def test_gain_loads_no_framework():
    modules = loaded("gain", "gelu")
    assert "evenflow.theory.gain" in modules
    assert not {"torch", "transformers", "numba", "altair"} & modules


def test_the_installed_command_refuses_in_two_lines(tmp_path):
    ran = subprocess.run(
        [sys.executable, "-m", "evenflow", "check", "none.py:build"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert ran.returncode == 2
    assert ran.stdout == ""
    assert ran.stderr == (
        "Error: none.py: there is no such file\n"
        "  Remedy: write path/file.py:factory, package.module:factory or hf:gpt2\n"
    )


def test_the_loss_names_in_the_help_are_those_that_check_takes():
    text = " ".join(said("check", "--help").split())
    assert all(name in text for name in NAMED)
