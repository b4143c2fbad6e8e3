"""The page on how a kernel is made shows what is made."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import riemann_lne as rl
from riemann_lne import kernels
from riemann_lne.kernels.emit_c import emit_c
from riemann_lne.stencils import evaluate

PAGE = Path(__file__).parents[2] / "docs" / "kernel-making.md"


@pytest.fixture(scope="module")
def small() -> Any:
    names: dict[str, Any] = {}
    exec(re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[0], names)
    return names["small"]


def test_the_source_on_the_page_is_that_of_the_kernel(small: Any) -> None:
    shown = re.findall(r"```c\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[0]
    assert shown.strip() == kernels.emit_cuda(small, 2, order=2).strip()
    lines = len(emit_c(small, 2, 2, "float64").splitlines())
    assert f"is {lines} lines" in PAGE.read_text(encoding="utf-8")


def test_the_files_on_the_page_are_there() -> None:
    folder = Path(kernels.__file__).parent
    table = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line[:3] == "| 1"
             or re.match(r"\| \d\.", line)]  # fmt: skip
    named = [n for line in table for n in re.findall(r"`(\w+\.py)`", line)]
    assert len(named) > 10
    for name in named:
        assert list(folder.rglob(name)), name


def test_the_small_kernel_agrees_with_the_formula_on_arrays(small: Any) -> None:
    g = rl.perturbed_euclidean(rl.Grid.torus((20, 12), (3.0, 5.0)), 0.2)
    kernel = kernels.compile_kernel(small, 2, 2)
    plain = evaluate(lambda m: small.evaluate(2, m), (g.packed,), g.grid, 2, 1)
    assert np.max(np.abs(kernel(np.array(g.packed), g.grid) - plain)) < 1e-13
