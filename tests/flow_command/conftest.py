"""A small run, and the command in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CONFIG = Path(__file__).with_name("run.toml")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "run.toml"
    path.write_text(CONFIG.read_text(encoding="utf-8"), encoding="utf-8")
    return path


@pytest.fixture
def main(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """The command in this process: exit code, standard output, standard error."""
    from riemann_lne.cli import main

    def call(*arguments: Any) -> tuple[int, str, str]:
        code = main(["flow", *map(str, arguments)])
        return (code, *capsys.readouterr())

    return call
