"""The examples of docs/theory.md print what stands under them."""

import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "theory.md"


def test_every_example_prints_what_the_page_says() -> None:
    examples = re.findall(
        r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL
    )
    assert len(examples) == PAGE.read_text(encoding="utf-8").count("```python")
    names: dict[str, object] = {}
    for code, printed in examples:
        output = StringIO()
        with redirect_stdout(output):
            exec(code, names)
        assert output.getvalue() == printed
