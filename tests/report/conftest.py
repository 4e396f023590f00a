from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent / "golden"


def pytest_addoption(parser):
    parser.addoption(
        "--overwrite",
        action="store_true",
        help="write the golden files of tests/report anew instead of comparing with them",
    )


@pytest.fixture
def assert_golden(request):
    """Compares a text with the golden file of that name; with --overwrite, writes it."""

    def compare(name, text):
        path = GOLDEN / name
        # Without a value where pytest was started elsewhere and this file was read too late.
        if request.config.getoption("--overwrite", default=False):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8")

    return compare
