"""Bad input: one clear message on stderr, nothing on stdout, status 2, and nothing changed."""

import errno
import json
import os

import numpy as np
import pytest

GOOD = "healthy.py:with_inputs"


def files(folder):
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def refused(run, tmp_path):
    """Run a command that must be refused; returns its message."""

    def check(line):
        before = files(tmp_path)
        result = run(line)
        assert result.exit_code == 2, result.output
        assert result.stdout == ""
        said = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
        assert len(said) == 1
        assert "Traceback" not in result.stderr
        assert files(tmp_path) == before
        return result.stderr

    return check


@pytest.mark.parametrize(
    ("line", "said"),
    [
        # no such file, module, factory or model
        ("check none.py:build", "none.py: there is no such file"),
        ("check .:build", "there is no such module"),
        ("check no.such.module:build", "there is no such module"),
        ("check json.no_such_part:build", "there is no such module"),
        ("check model", "this names no factory"),
        ("check model.py:", "this names no factory"),
        ("check healthy.py:with_input", "did you mean with_inputs?"),
        ("check ill.py:NUMBER", "'NUMBER' cannot be called"),
        ("check hf:gpt3", "no model type 'gpt3'"),
        ("check hf:none.json", "cannot be read"),
        # a factory that raises, or returns something else
        ("check ill.py:raises", "the factory raised ValueError: no such layer (ill.py:"),
        ("check ill.py:leaves", "the factory raised SystemExit"),
        ("check broken.py:build", "No module named 'no_such_package_of_evenflow' (broken.py:3)"),
        ("check ill.py:no_model", "the factory returned str"),
        ("check ill.py:without_parameters", "has no parameters"),
        # inputs of the wrong shape, type, device, number; not a number
        ("check healthy.py:network", "no inputs to call the model with"),
        ("check healthy.py:network --inputs 4x3", "cannot be called with inputs of shape"),
        ("check healthy.py:network --inputs 4x0", "no shape"),
        ("check healthy.py:network --inputs ids.npy", "int64"),
        ("check healthy.py:network --inputs two.npz", "cannot be called with inputs of shape"),
        ("check healthy.py:network --inputs none.npy", "No such file"),
        ("check ill.py:wrong_device", "meta device"),
        ("check ill.py:nan_inputs", "6 of 6 values of input 0 are NaN"),
        ("init ill.py:nan_inputs --out w.safetensors", "are NaN"),
        # targets and losses
        ("check healthy.py:with_target --loss cross_entropi", "did you mean cross_entropy?"),
        ("check healthy.py:with_target --loss bce_logits", "cannot be taken of an output of shape"),
        ("check healthy.py:with_inputs --loss mse", "a target and a loss go together"),
        ("check healthy.py:with_inputs --target two.npz --loss mse", "a target is one array"),
        # schemes, rules
        (f"plan {GOOD} --scheme xavier", "there is no scheme 'xavier'"),
        (f"init {GOOD} --scheme glorrot --out w.safetensors", "did you mean glorot"),
        (f"check {GOOD} --select EF999", "there is no rule 'EF999'"),
        (f"check {GOOD} --ignore vanish", "did you mean EF101 (vanishing-forward)"),
        ("explain EF999", "there is no rule 'EF999'"),
        ("gain tahn", "there is no activation 'tahn'"),
        ("gain tanh --q -1", "no second moment and mean"),
        ("study run main-jop --out o", "did you mean main-job?"),
        # options
        (f"check {GOOD} --format pdf", "'pdf' is not one of"),
        (f"check {GOOD} --fail-on fatal", "'fatal' is not one of"),
        (f"check {GOOD} --seed -1", "-1 is not in the range"),
        (f"init {GOOD}", "Missing option '--out'"),
        # plans
        (f"init {GOOD} --plan none.json --out w.safetensors", "No such file"),
    ],
)
def test_it_is_refused(refused, tmp_path, line, said):
    np.save(tmp_path / "ids.npy", np.ones((4, 12), dtype=np.int64))
    np.savez(tmp_path / "two.npz", a=np.ones((4, 12)), b=np.ones((4, 12)))
    assert said in " ".join(refused(line).split())


def test_a_module_that_misses_another_is_not_called_missing(run, tmp_path):
    (tmp_path / "lacking_networks.py").write_text("import no_such_package_of_evenflow\n")
    result = run("check lacking_networks:build")
    assert result.exit_code == 2
    assert "No module named 'no_such_package_of_evenflow'" in result.stderr


def test_a_module_that_raises_is_told_with_its_place(run, tmp_path):
    (tmp_path / "raising_networks.py").write_text("\n1 / 0\n")
    result = run("check raising_networks:build")
    assert result.exit_code == 2
    assert "ZeroDivisionError: division by zero (raising_networks.py:2)" in result.stderr


def test_without_transformers_its_targets_say_what_to_install(refused, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert 'pip install "evenflow[transformers]"' in refused("check hf:gpt2")


def test_a_plan_for_another_model_names_every_difference(run, refused):
    run("plan ill.py:second_model --out plan.json")
    message = refused(f"init {GOOD} --plan plan.json --out w.safetensors")
    for difference in (
        "0.weight has shape (32, 12), in the plan (16, 12)",
        "0.bias has shape (32,), in the plan (16,)",
        "2.weight has shape (32, 32), in the plan (2, 16)",
        "2.bias has shape (32,), in the plan (2,)",
        "the plan says nothing of 4.weight",
        "the plan says nothing of 4.bias",
    ):
        assert difference in message


def edited(change):
    """A stored plan with one thing changed."""

    def write(path):
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return write


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:200]), "this is no plan"),
        (lambda path: path.write_bytes(b""), "this is no plan"),
        (lambda path: path.write_bytes(b"\xff\xfe\x00"), "this is no plan"),
        (lambda path: path.write_text("[" * 100_000), "this is no plan"),
        (lambda path: path.write_text('{"evenflow_plan": "1"}'), "this is no plan"),
        (edited(lambda plan: plan.update(evenflow_plan=99)), "has version 99"),
        (edited(lambda plan: plan.update(run="rm -rf /")), "unknown field"),
        (
            edited(lambda plan: plan["parameters"]["0.weight"].update(shape="all")),
            "this is no plan",
        ),
        (
            edited(lambda plan: plan["parameters"]["0.weight"]["distribution"].update(kind="exec")),
            "there is no distribution 'exec'",
        ),
        (
            edited(lambda plan: plan["parameters"]["0.weight"]["distribution"].update(std=-1.0)),
            "must be a finite number at or above 0",
        ),
        (
            edited(lambda plan: plan["parameters"]["0.weight"]["distribution"].update(std="1")),
            "cannot be used",
        ),
    ],
)
def test_a_truncated_or_hostile_plan_is_refused(run, refused, tmp_path, spoil, said):
    run(f"plan {GOOD} --out plan.json")
    spoil(tmp_path / "plan.json")
    assert said in " ".join(refused(f"init {GOOD} --plan plan.json --out w.safetensors").split())


OUTPUTS = (
    "plan healthy.py:with_inputs --out {}",
    "init healthy.py:with_inputs --out {}",
    "check healthy.py:with_inputs --out {}",
)


@pytest.mark.parametrize("line", [*OUTPUTS, "study run main-job --out {}"])
def test_a_folder_that_cannot_be_made_is_told(refused, tmp_path, line):
    (tmp_path / "file").write_text("in the way")
    assert "Not a directory" in refused(line.format("file/below/result"))


@pytest.mark.parametrize("line", OUTPUTS)
def test_a_read_only_folder_is_told(refused, monkeypatch, line):
    monkeypatch.setattr("tempfile.mkstemp", failing(errno.EROFS))
    assert os.strerror(errno.EROFS) in refused(line.format("result"))


@pytest.mark.parametrize("line", OUTPUTS)
def test_a_full_disk_is_told_and_leaves_the_old_file_and_no_other(
    refused, tmp_path, monkeypatch, line
):
    (tmp_path / "result.safetensors").write_text("old")  # init takes other names for folders
    monkeypatch.setattr("os.fsync", failing(errno.ENOSPC))
    assert os.strerror(errno.ENOSPC) in refused(line.format("result.safetensors"))


def test_weights_that_the_disk_has_no_room_for_are_told(refused, monkeypatch):
    from safetensors import SafetensorError

    def full(*_arguments, **_settings):
        raise SafetensorError("Error while serializing: No space left on device (os error 28)")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    assert "No space left on device" in refused(f"init {GOOD} --out w.safetensors")


def failing(number):
    def fail(*_arguments, **_settings):
        raise OSError(number, os.strerror(number))

    return fail
