"""The README's examples run and print what it says that they print."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert found is not None
    return found[1]


def test_python_example_ends_clean() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import torch; torch.manual_seed(0)\n" + block("python") + "\nprint(plan)",
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    printed = done.stdout.splitlines()
    assert printed[0] == "()"
    for line in block("text").splitlines()[:3]:
        assert any(line.split() == other.split() for other in printed), line


def test_console_example_prints_what_it_says() -> None:
    command, _, expected = block("console").partition("\n")
    words = command.removeprefix("$ evenflow ").split()
    done = subprocess.run(
        [sys.executable, "-m", "evenflow", *words],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=300,
    )
    assert done.returncode == 1, done.stderr  # a warning was found

    def skeleton(text: str) -> str:
        """Words without numbers, which may differ in their last digit between processors."""
        return " ".join(re.sub(r"[-\d.,e/×]+", "", text).split())

    assert skeleton(done.stdout).startswith(skeleton(expected.rstrip("…\n")))


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
