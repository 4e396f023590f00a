"""Commands run in this process, in a folder of their own."""

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

MODELS = Path(__file__).parent / "models"


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """Networks this small are slower on several."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a command line in an empty folder; "healthy.py:…" names a file of tests/cli/models."""
    from evenflow.cli import main

    monkeypatch.chdir(tmp_path)

    def invoke(line, **settings):
        words = [
            f"{MODELS}/{word}" if word.startswith(("healthy.py", "ill.py", "broken.py")) else word
            for word in line.split()
        ]
        return CliRunner().invoke(main, words, catch_exceptions=False, **settings)

    return invoke
