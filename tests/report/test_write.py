import errno
import os

import pytest

from evenflow.errors import InputError
from evenflow.report import FORMATS, render, write

from .reports import hostile_report, plain_report


@pytest.mark.parametrize("form", FORMATS)
def test_what_is_written_is_what_is_rendered(form, tmp_path):
    write(hostile_report(), tmp_path / "report", form)
    assert (tmp_path / "report").read_bytes() == render(hostile_report(), form).encode()
    assert os.listdir(tmp_path) == ["report"]


def test_an_older_report_is_replaced(tmp_path):
    path = tmp_path / "report.json"
    path.write_text("older")
    write(plain_report(), str(path), "json")
    assert path.read_text() == render(plain_report(), "json")


def test_an_unknown_format_is_refused(tmp_path):
    with pytest.raises(InputError, match="no report format 'pdf'") as caught:
        write(plain_report(), tmp_path / "report.pdf", "pdf")
    assert "sarif" in caught.value.remedy
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("where", ["folder", "/dev/null"])
def test_what_is_no_ordinary_file_is_left_alone(where, tmp_path):
    path = tmp_path / where
    if not path.exists():
        path.mkdir()
    before = os.stat(path)
    with pytest.raises(InputError, match="no ordinary file"):
        write(plain_report(), path, "text")
    assert os.stat(path) == before


def test_a_full_disk_leaves_the_older_report_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "report.txt"
    path.write_text("older")

    def full(_descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space left"):
        write(plain_report(), path, "text")
    assert path.read_text() == "older"
    assert os.listdir(tmp_path) == ["report.txt"]


def test_a_folder_that_cannot_be_made_is_an_input_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="report"):
        write(plain_report(), tmp_path / "file" / "report.txt", "text")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to a read-only folder")
def test_a_read_only_folder_is_an_input_error(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="Permission denied"):
        write(plain_report(), tmp_path / "report.txt", "text")
    tmp_path.chmod(0o700)
    assert os.listdir(tmp_path) == []
