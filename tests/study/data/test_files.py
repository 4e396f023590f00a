"""Files from folders, the cache and a server that breaks off: whole and right, or an error."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from evenflow.errors import InputError
from evenflow.study.data import files
from evenflow.study.data.files import Remote, check, decoded, fetch, places

CONTENT = np.random.default_rng(0).bytes(300_000)


class Server(ThreadingHTTPServer):
    """Serves CONTENT, ranges of it too."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.stop_after: int | None = None
        self.ranges = True
        self.asked: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/file.bin"

    def remote(self, *before: str) -> Remote:
        return Remote("file.bin", (*before, self.url), hashlib.sha256(CONTENT).hexdigest())


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        content, wanted = self.server.content, self.headers.get("Range")
        self.server.asked.append(wanted)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if start and self.server.ranges:
            if start >= len(content):
                self.send_error(416)
                return
            content = content[start:]
            self.send_response(206)
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: self.server.stop_after])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("EVENFLOW_DATA", raising=False)
    return tmp_path / "cache" / "evenflow" / "set"


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def test_a_download_is_kept(server: Server, cache: Path) -> None:
    path = fetch(server.remote(), "set", "")
    assert path.read_bytes() == CONTENT
    assert fetch(server.remote(), "set", "") == path
    assert len(server.asked) == 1
    assert visible(cache) == ["file.bin"]


def test_a_download_goes_on_where_it_broke_off(server: Server, cache: Path) -> None:
    server.stop_after = 100_000
    with pytest.raises(InputError, match=r"65,536 bytes are kept .* broke off\n  Remedy: do this"):
        fetch(server.remote(), "set", "do this")
    assert visible(cache) == [".file.bin.part"]
    server.stop_after = None
    assert fetch(server.remote(), "set", "").read_bytes() == CONTENT
    assert server.asked == [None, "bytes=65536-"]
    assert visible(cache) == ["file.bin"]


def test_a_server_without_ranges_begins_anew(server: Server) -> None:
    server.stop_after = 100_000
    with pytest.raises(InputError):
        fetch(server.remote(), "set", "")
    server.stop_after, server.ranges = None, False
    assert fetch(server.remote(), "set", "").read_bytes() == CONTENT


def test_leftovers_longer_than_the_file_are_dropped(server: Server, cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / ".file.bin.part").write_bytes(CONTENT + b"!")
    assert fetch(server.remote(), "set", "").read_bytes() == CONTENT


def test_the_next_address_serves_where_one_fails(server: Server) -> None:
    gone = server.url.replace(str(server.server_port), "1")
    assert fetch(server.remote(gone), "set", "").read_bytes() == CONTENT


def test_a_damaged_download_is_told_and_not_kept(server: Server, cache: Path) -> None:
    server.content = b"?" + CONTENT[1:]
    expected, found = (hashlib.sha256(c).hexdigest() for c in (CONTENT, server.content))
    with pytest.raises(InputError) as caught:
        fetch(server.remote(), "set", "")
    assert expected in str(caught.value)
    assert found in str(caught.value)
    assert "file.bin" in str(caught.value)
    assert visible(cache) == []


def test_a_damaged_file_in_the_cache_is_fetched_anew(server: Server, cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / "file.bin").write_bytes(b"half")
    assert fetch(server.remote(), "set", "").read_bytes() == CONTENT


def test_no_network(cache: Path) -> None:
    remote = Remote("file.bin", ("http://127.0.0.1:1/file.bin",), "0" * 64)
    with pytest.raises(InputError) as caught:
        fetch(remote, "set", "put it there")
    assert str(caught.value) == (
        "set: file.bin is not here and could not be downloaded: http://127.0.0.1:1/file.bin: "
        "no connection to the server\n  Remedy: put it there"
    )
    assert visible(cache) == []


def test_a_full_disk(server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "replace", full)
    with pytest.raises(InputError, match="No space left on device"):
        fetch(server.remote(), "set", "")
    assert visible(cache) == []


def test_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert places("mnist", None) == []
    (tmp_path / "mnist").mkdir()
    monkeypatch.setenv("EVENFLOW_DATA", str(tmp_path))
    assert places("mnist", None) == [tmp_path / "mnist", tmp_path]
    assert places("cifar10", None) == [tmp_path]
    assert places("mnist", tmp_path / "mnist") == [tmp_path / "mnist"]
    with pytest.raises(InputError, match="nowhere"):
        places("mnist", tmp_path / "nowhere")


def test_check_names_both_checksums() -> None:
    digest = hashlib.md5(b"a", usedforsecurity=False).hexdigest()
    assert check(b"a", "md5", digest, "x") == b"a"
    with pytest.raises(InputError, match=rf"x: .* md5 is 92eb5\w+, not {digest}"):
        check(b"b", "md5", digest, "x")


def test_what_was_decoded_is_kept_until_its_key_changes(cache: Path) -> None:
    made: list[int] = []

    def make() -> tuple[np.ndarray, np.ndarray]:
        made.append(1)
        return np.full((2, 3), len(made), np.uint8), np.zeros((1, 3), np.uint8)

    assert decoded("set", "a", make)[0][0, 0] == 1
    assert decoded("set", "a", make)[0][0, 0] == 1
    assert decoded("set", "b", make)[0][0, 0] == 2
    for path in cache.glob("*.npz"):
        path.write_bytes(path.read_bytes()[:200])
    assert decoded("set", "a", make)[0][0, 0] == 3
    assert decoded("set", "a", make)[0][0, 0] == 3


def test_decoded_does_without_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    train, _ = decoded("set", "a", lambda: (np.ones((1, 2), np.uint8),) * 2)
    assert train.tolist() == [[1, 1]]
