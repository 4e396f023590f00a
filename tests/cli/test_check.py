"""``evenflow check``: the report in all its forms, exit status, selection, --fix."""

import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import torch


def test_a_healthy_network_ends_with_status_0_and_its_report_on_stdout(run):
    result = run("check healthy.py:mapping")
    assert result.exit_code == 0
    assert "No rule found anything wrong" in result.stdout
    assert "Loss at the start" in result.stdout


def test_findings_end_with_status_1_and_say_what_to_change(run):
    result = run("check ill.py:vanishing")
    assert result.exit_code == 1
    for said in ("EF101 vanishing-forward", "EF201 vanishing-backward", "measured", "change"):
        assert said in result.stdout


@pytest.mark.parametrize("factory", ["with_inputs", "with_target --loss cross_entropy", "mapping"])
def test_every_form_of_factory_can_be_checked(run, factory):
    assert run(f"check healthy.py:{factory}").exit_code == 0


def test_a_module_in_the_working_directory_is_found(run, tmp_path):
    (tmp_path / "own_networks.py").write_text(
        "import torch\n\ndef build():\n    return torch.nn.Linear(3, 2), torch.randn(8, 3)\n"
    )
    assert run("check own_networks:build --ignore EF301").exit_code == 0


def test_inputs_and_target_can_come_from_the_command_line(run, tmp_path):
    np.save(tmp_path / "classes.npy", np.arange(40) % 2)
    shape = run("check healthy.py:network --inputs 40x12 --format json")
    assert shape.exit_code == 0
    assert json.loads(shape.stdout)["record"]["layers"][0]["shape"] == [40, 32]
    both = "--inputs 40x12 --target classes.npy --loss cross_entropy --format json"
    judged = json.loads(run(f"check healthy.py:network {both}").stdout)
    assert judged["record"]["loss"]["chance"] == pytest.approx(np.log(2))


def test_the_same_command_gives_the_same_report_whatever_the_random_state(run):
    line = "check healthy.py:network --inputs 40x12 --format json"
    first = run(line).stdout
    torch.rand(5)
    state = torch.get_rng_state()
    assert run(line).stdout == first
    assert torch.equal(torch.get_rng_state(), state)
    assert run(f"{line} --seed 1").stdout != first


@pytest.mark.parametrize(
    ("level", "status"), [("note", 1), ("warning", 1), ("error", 1), ("never", 0)]
)
def test_fail_on_sets_the_level_of_status_1(run, level, status):
    assert run(f"check ill.py:vanishing --fail-on {level}").exit_code == status


def test_a_finding_below_the_level_leaves_status_0(run):
    line = "check ill.py:shrinking --format json"
    result = run(line)
    assert {finding["level"] for finding in json.loads(result.stdout)["findings"]} == {"note"}
    assert result.exit_code == 0
    assert run(f"{line} --fail-on note").exit_code == 1


def test_select_and_ignore_take_codes_and_names_with_commas_or_again(run):
    def codes(options):
        result = run(f"check ill.py:vanishing --format json {options}")
        return {rule["code"] for rule in json.loads(result.stdout)["rules"]}

    assert codes("--select EF101,vanishing-backward") == {"EF101", "EF201"}
    assert codes("--select EF101 --select EF201") == {"EF101", "EF201"}
    assert codes("--select EF101,EF201 --ignore EF201") == {"EF101"}
    assert {"EF101", "EF201"} & codes("--ignore EF101,EF201") == set()


@pytest.mark.parametrize(
    ("form", "suffix"),
    [("json", "json"), ("html", "html"), ("sarif", "sarif"), ("junit", "xml"), ("text", "txt")],
)
def test_each_form_goes_to_a_file_whose_suffix_may_choose_it(run, tmp_path, form, suffix):
    by_suffix = run(f"check healthy.py:mapping --out a.{suffix}")
    by_option = run(f"check healthy.py:mapping --out b --format {form}")
    assert by_suffix.exit_code == by_option.exit_code == 0
    assert by_suffix.stdout == ""
    assert f"Report written: a.{suffix}" in by_suffix.stderr
    written = (tmp_path / f"a.{suffix}").read_text()
    assert written == (tmp_path / "b").read_text()
    _parsed(form, written)


def _parsed(form, written):
    if form == "junit":
        assert ElementTree.fromstring(written).tag == "testsuites"
    elif form in ("json", "sarif"):
        assert json.loads(written)
    else:
        assert written.startswith("<!doctype html>" if form == "html" else "evenflow check of")


def test_a_page_is_kept_out_of_a_terminal(run, monkeypatch):
    monkeypatch.setattr("evenflow.cli.console.in_terminal", lambda: True)
    result = run("check healthy.py:mapping --format html")
    assert result.exit_code == 2
    assert "--out report.html" in result.stderr


def test_a_terminal_gets_the_same_report(run, monkeypatch):
    plain = run("check ill.py:vanishing").stdout
    monkeypatch.setattr("evenflow.cli.console.in_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    shown = run("check ill.py:vanishing").stdout
    assert [line.rstrip() for line in shown.splitlines()] == plain.splitlines()


def test_what_a_users_code_prints_stays_out_of_the_result(run):
    result = run("check healthy.py:talkative --format json")
    assert json.loads(result.stdout)["findings"] == []
    assert "building the network" in result.stderr


def test_the_report_names_the_command_that_makes_it_again(run):
    line = "check healthy.py:network --inputs 40x12 --seed 3 --ignore EF101,EF102 --format json"
    command = json.loads(run(line).stdout)["command"]
    assert command.startswith("evenflow check ")
    for words in ("network", "--inputs 40x12", "--seed 3", "--ignore EF101 --ignore EF102"):
        assert words in command
    again = run(f"{command.removeprefix('evenflow ')} --format json")
    assert json.loads(again.stdout)["command"] == command


def test_fix_compares_both_versions_and_the_status_is_that_of_the_model_as_it_is(run):
    result = run("check ill.py:vanishing --fix --format json")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    compared = report["comparison"]
    assert compared["helped"] is True
    assert compared["after"]["curve"]["losses"][-1] < compared["before"]["curve"]["losses"][-1]
    assert report["plan"][0]["name"] == "0.weight"
    assert "training, with the plan" in result.stderr


def test_fix_says_so_where_there_is_nothing_to_fix(run):
    result = run("check healthy.py:mapping --fix --format json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["comparison"] is None
    assert "nothing to fix" in result.stderr
