"""Defaults from [tool.evenflow] in pyproject.toml."""

import json

import pytest


@pytest.fixture
def configured(run, tmp_path, monkeypatch):
    """Write the table, and run a command two folders below it."""

    def invoke(table, line):
        (tmp_path / "pyproject.toml").write_text(f"[tool.evenflow]\n{table}\n")
        below = tmp_path / "package" / "module"
        below.mkdir(parents=True, exist_ok=True)
        monkeypatch.chdir(below)
        return run(line)

    return invoke


def rules(result):
    return [rule["code"] for rule in json.loads(result.stdout)["rules"]]


def test_options_have_their_defaults_from_the_nearest_table_upwards(configured):
    table = 'format = "json"\nselect = ["EF101", "EF201"]\nfail-on = "never"\nseed = 7'
    result = configured(table, "check ill.py:vanishing")
    assert result.exit_code == 0
    assert rules(result) == ["EF101", "EF201"]


def test_the_command_line_has_the_last_word(configured):
    table = 'format = "json"\nselect = "EF101,EF201"\nfail-on = "never"'
    result = configured(table, "check ill.py:vanishing --select EF103 --fail-on note")
    assert result.exit_code == 0
    assert rules(result) == ["EF103"]


def test_a_default_goes_to_every_verb_that_has_the_option(configured):
    result = configured('scheme = "heuristic"', "plan healthy.py:with_inputs")
    assert "scheme heuristic" in result.stdout


def test_a_nearer_file_without_the_table_is_passed_over(configured, tmp_path):
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "pyproject.toml").write_text("[project]\nname = 'inner'\n")
    result = configured('scheme = "heuristic"', "plan healthy.py:with_inputs")
    assert "scheme heuristic" in result.stdout


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("fail_on = 'note'", "there is no option 'fail_on'"),
        ("selectt = 'EF101'", "did you mean select?"),
        ("fail-on = 'fatal'", "the value of fail-on cannot be used: 'fatal' is not one of"),
        ("seed = 'many'", "the value of seed cannot be used"),
        ("seed = -3", "the value of seed cannot be used"),
        ("select = 3", "the value of select cannot be used"),
        ("seed = ", "the file cannot be read"),
    ],
)
def test_a_bad_table_is_told_with_its_place(configured, tmp_path, table, said):
    result = configured(table, "gain tanh")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert said in " ".join(result.stderr.split())
    assert str(tmp_path / "pyproject.toml") in result.stderr
