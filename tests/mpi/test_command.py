"""``mpiexec -n N riemann-lne flow CONFIG.toml``: the results, files and words of one process."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

import riemann_lne as rl
from riemann_lne.cli import main

CONFIG = """
[grid]
shape = [20, 21]
[start]
kind = "perturbed_euclidean"
arguments = { amplitude = 0.2, seed = 2 }
[integrator]
t_span = [0, 0.5]
[output]
path = "run.npz"
t_eval = 3
observe = ["volume", "distance_to_mean", "scalar_curvature_max"]
[events]
steady_state = { tolerance = 0.5, terminal = false }
"""

needs_stage = pytest.mark.skipif(
    not entry_points(group="riemann_lne.stages"),
    reason="the package was installed before it had the entry point for MPI: make test-hosts",
)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    place = tmp_path / "run.toml"
    place.write_text(CONFIG)
    return place


def start(mpirun: Any, size: int, config: Path, *more: str) -> Any:
    return mpirun(size, "-m", "riemann_lne.cli", "flow", config, *more)


@needs_stage
def test_a_configuration_gives_the_same_on_any_number_of_processes(
    mpirun: Any, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["flow", str(config)]) == 0
    alone = capsys.readouterr().out
    expected = rl.FlowSolution.load(config.with_name("run.npz"))
    shared = start(mpirun, 2, config, "--force")
    assert shared.returncode == 0, shared.stderr
    assert shared.stdout == alone  # once, by the first process
    assert rl.FlowSolution.load(config.with_name("run.npz")) == expected
    pytest.importorskip("zarr")
    cut = ("--set", "output.path=cut.zarr", "--set", "parallel.dims=[1, 2]")
    stored = start(mpirun, 2, config, *cut)
    assert stored.returncode == 0, stored.stderr
    assert rl.FlowSolution.load(config.with_name("cut.zarr")) == expected
    # From that store, each process its block.
    changed = config.read_text().partition("[integrator]")
    config.write_text(f'[start]\nfile = "cut.zarr"\ntime = 0.25\n[integrator]{changed[2]}')
    from_store = start(mpirun, 2, config, "--set", "output.path=next.npz")
    assert from_store.returncode == 0, from_store.stderr
    assert rl.FlowSolution.load(config.with_name("next.npz"))[0] == expected[1]


@pytest.mark.slow
@needs_stage
def test_wrong_configurations_are_said_once(mpirun: Any, config: Path) -> None:
    for more, text in {
        ("--set", "parallel.dim=[1, 2]"): "'dim'; known: dims",
        ("--set", "parallel.dims=[3, 1]"): "whose product is the number of processes, 2",
        ("--set", "grid.shape=[3, 3]"): "at most 1 fit",
        ("--processes", "4"): "--processes goes with --dry-run",
    }.items():
        done = start(mpirun, 2, config, *more)
        assert done.returncode == 2, done.stdout + done.stderr
        assert done.stderr.count(text) == 1, done.stderr


@needs_stage
def test_a_dry_run_says_what_a_step_takes(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    large = ["--set", "grid.shape=[512, 512, 512]", "--set", "integrator.method=rkl2"]
    assert main(["flow", str(config), "--dry-run", "--processes", "4", *large]) == 0
    text = capsys.readouterr().out
    # Two faces of two planes each, six components of eight bytes.
    assert "halos: 48 MiB a right-hand side, 9 of them a step" in text
    assert not list(config.parent.glob("run.npz"))


def test_without_the_adapter_the_message_names_the_extra(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("riemann_lne.flow_command.stage.entry_points", lambda group: [])
    assert main(["flow", str(config), "--set", "parallel.dims=[1, 1]"]) == 2
    assert "pip install 'riemann-lne[mpi]'" in capsys.readouterr().err
