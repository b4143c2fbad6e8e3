"""The programs of the page for users run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "testing.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.S)


@pytest.mark.parametrize("k", range(len(BLOCKS)))
def test_a_program_of_the_page_runs(k: int, capsys: pytest.CaptureFixture[str]) -> None:
    if "torch" in BLOCKS[k]:
        pytest.importorskip("torch")
    names: dict[str, object] = {}
    exec(compile(BLOCKS[k], f"{PAGE.name} {k}", "exec"), names)
    tests = [value for name, value in names.items() if name.startswith("test_")]
    for test in tests:
        test()  # type: ignore[operator]
    if not tests:
        assert "violated by" in capsys.readouterr().out


def test_the_page_has_its_programs() -> None:
    assert len(BLOCKS) == 4
