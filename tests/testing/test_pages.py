"""The overview's program runs as it stands; the files of the three pages are tests themselves."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
BLOCKS = re.findall(r"```python\n(.*?)```", (DOCS / "testing.md").read_text("utf-8"), flags=re.S)


@pytest.mark.slow
def test_the_search_of_the_page_finds_a_counterexample(
    capsys: pytest.CaptureFixture[str],
) -> None:
    (program,) = (block for block in BLOCKS if "find_counterexample" in block)
    exec(compile(program, "testing.md", "exec"), {})
    assert "violated by" in capsys.readouterr().out


def test_the_test_of_the_page_on_closed_manifolds_runs() -> None:
    (program,) = (block for block in BLOCKS if "near_round_spheres" in block)
    names: dict[str, object] = {}
    exec(compile(program, "testing.md", "exec"), names)
    names["test_near_round_spheres_become_round"]()  # type: ignore[operator]


@pytest.mark.parametrize("name", ["RotationalEvolution", "Overdamped"])
def test_the_searches_of_the_page_run(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = (block for block in BLOCKS if f"{name}()" in block)
    exec(compile(program, "testing.md", "exec"), {})
    assert "held for" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["metric", "flow", "training"])
def test_a_page_shows_its_file_whole(name: str) -> None:
    page = (DOCS / "testing" / f"{name}.md").read_text("utf-8")
    assert f"{{literalinclude}} test_my_{name}.py" in page
    assert (DOCS / "testing" / f"test_my_{name}.py").exists()


def test_a_test_of_an_own_metric_is_short_and_runs() -> None:
    page = (DOCS / "testing" / "metric.md").read_text("utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", page, flags=re.S)
    assert len([line for line in program.splitlines() if line]) < 15
    names: dict[str, object] = {}
    exec(compile(program, "metric.md", "exec"), names)
    names["test_my_metric"]()  # type: ignore[operator]
