"""The examples of docs/jax.md run, and what they assert holds."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "jax.md"


def test_the_pages_examples() -> None:
    names: dict[str, object] = {}
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    for example in examples:
        exec(compile(example, PAGE.name, "exec"), names)
    assert names["state"]["kernel"].shape == (64, 32)  # type: ignore[index]
