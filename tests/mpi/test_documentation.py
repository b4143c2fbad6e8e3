"""The page parallel.md: its tables are those that the library gives, its example with dask runs."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

import riemann_lne as rl

from .conftest import ROOT

DOCS = ROOT / "docs"


def test_tables_are_current(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS))
    import parallel_figures

    text = parallel_figures.PAGE.read_text()
    assert parallel_figures.current(text) == text, "run python docs/parallel_figures.py"


def test_curvature_of_a_stored_metric_by_dask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("dask.array")
    pytest.importorskip("zarr")
    page = (DOCS / "parallel.md").read_text()
    codes = [c for c in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "dask" in c]
    assert len(codes) == 1
    monkeypatch.chdir(tmp_path)
    g = rl.perturbed_euclidean(rl.Grid.torus((96, 12, 14)), 0.2, seed=1)
    options = {"t_eval": [0, 0.05], "store": "run.zarr"}
    solution = rl.solve_flow(g, rl.RicciDeTurckFlow(), (0, 0.05), "rkl2", **options)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(codes[0], "parallel.md", "exec"), {"__name__": "example"})
    expected = float(abs(solution[-1].scalar_curvature()).max())
    assert float(printed.getvalue()) == pytest.approx(expected, rel=1e-12)


@pytest.mark.slow
def test_blocks_of_torch_tensors(mpirun: object) -> None:
    """Arrays of another library, whose ghost points go by way of the host."""
    pytest.importorskip("torch")
    code = (
        "import numpy as np, torch, array_api_compat.torch as xp\n"
        "import riemann_lne as rl, riemann_lne_mpi as rlm\n"
        "torch.set_num_threads(1)\n"
        "def run(solve, grid):\n"
        "    g = rl.perturbed_euclidean(grid, 0.2, seed=1, xp=xp)\n"
        "    return solve(g, rl.RicciDeTurckFlow(), (0, 0.05), 'rkl2')[-1]\n"
        "grid = rl.Grid.torus((16, 15, 14))\n"
        "a, b = run(rl.solve_flow, grid), run(rlm.solve_flow, rlm.distribute(grid))\n"
        "assert bool((a.packed == rlm.gather(b).packed).all())\n"
        "assert type(b.packed) is torch.Tensor\n"
    )
    done = mpirun(2, "-c", code)  # type: ignore[operator]
    assert done.returncode == 0, done.stderr
