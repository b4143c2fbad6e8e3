"""Building, the cache, and what happens where neither is to be had."""

from __future__ import annotations

import logging
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

import riemann_lne as rl
from riemann_lne import kernels
from riemann_lne.errors import KernelUnavailableError
from riemann_lne.kernels import build, cpu, fused, thread_pool
from riemann_lne.kernels.cache import VARIABLE

GRID = rl.Grid.torus((8, 9))


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a process that has loaded nothing yet."""
    folder = tmp_path / "cache"
    monkeypatch.setenv(VARIABLE, str(folder))
    monkeypatch.setattr(build, "_LOADED", {})
    return folder


def small_kernel() -> cpu.Kernel:
    return cpu.Kernel("ricci", 2, 2, "float64")


@pytest.mark.usefixtures("compiler")
class TestCache:
    def test_a_kernel_is_built_once(self, fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        first = small_kernel()
        assert first.build_seconds > 0
        assert first.path.parent == fresh
        assert [p.name for p in fresh.iterdir()] == [first.path.name]
        assert fresh.stat().st_mode & 0o077 == 0
        monkeypatch.setattr(build, "_LOADED", {})
        second = small_kernel()
        assert (second.build_seconds, second.path) == (0.0, first.path)

    @pytest.mark.parametrize("damage", ["cut short", "changed", "empty"])
    def test_a_damaged_library_is_built_anew(
        self,
        fresh: Path,
        monkeypatch: pytest.MonkeyPatch,
        tools: SimpleNamespace,
        damage: str,
    ) -> None:
        path = small_kernel().path
        content = path.read_bytes()
        path.unlink()  # the old one stays mapped
        middle = len(content) // 2
        path.write_bytes(
            {
                "cut short": content[:middle],
                "changed": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
                "empty": b"",
            }[damage]
        )
        monkeypatch.setattr(build, "_LOADED", {})
        again = small_kernel()
        assert again.build_seconds > 0
        packed = tools.random_packed(GRID, 0)
        assert (
            tools.relative_gap(again(packed, GRID), tools.plain("ricci", [packed], GRID, 2)) < 1e-12
        )

    def test_source_compiler_and_machine_are_in_the_key(
        self, fresh: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keys = {small_kernel().identity}
        keys.add(cpu.Kernel("ricci", 2, 2, "float32").identity)
        monkeypatch.setattr(build, "machine", lambda: "another processor")
        keys.add(small_kernel().identity)
        real = build.find_compiler()
        other = build.Compiler((*real.command, "-DOTHER"), real.version)
        monkeypatch.setattr(build, "find_compiler", lambda *_: other)
        keys.add(small_kernel().identity)
        assert len(keys) == 4

    def test_two_processes_at_once(self, fresh: Path) -> None:
        code = textwrap.dedent(
            """
            import numpy as np, riemann_lne as rl
            from riemann_lne import kernels
            grid = rl.Grid.torus((8, 9))
            packed = rl.perturbed_euclidean(grid, 0.3).packed
            print(np.abs(kernels.compile_kernel("ricci", 2, 2)(packed, grid)).max())
            """
        )
        runs = [
            subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
            for _ in range(3)
        ]
        said = {run.communicate(timeout=120)[0] for run in runs}
        assert [run.returncode for run in runs] == [0, 0, 0]
        assert len(said) == 1
        assert float(said.pop()) > 0
        assert not list(fresh.glob("build-*"))

    def test_a_folder_that_cannot_be_written_to(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The kernel is built for the process alone."""
        blocked = tmp_path / "file"
        blocked.write_text("no folder")
        monkeypatch.setenv(VARIABLE, str(blocked / "cache"))
        monkeypatch.setattr(build, "_LOADED", {})
        assert small_kernel().path.exists()

    def test_a_folder_that_others_may_write_to_is_not_trusted(
        self, fresh: Path, tmp_path: Path
    ) -> None:
        fresh.mkdir()
        fresh.chmod(0o777)
        assert small_kernel().path.parent != fresh

    def test_clearing(self, fresh: Path) -> None:
        small_kernel()
        (fresh / "letter.txt").write_text("not ours")
        assert kernels.clear_cache() == 1
        assert [p.name for p in fresh.iterdir()] == ["letter.txt"]
        assert kernels.clear_cache() == 0

    def test_a_warm_start_builds_nothing(self, fresh: Path) -> None:
        """A new process finds the library in the cache, and reads, checks and loads it."""
        cpu.Kernel("ricci_deturck", 3, 4, "float64")
        code = textwrap.dedent(
            """
            from riemann_lne import kernels
            from riemann_lne.kernels import build
            build._build = None  # it would raise an error if it was called
            print(kernels.compile_kernel("ricci_deturck", 3, 4).build_seconds)
            """
        )
        assert subprocess.check_output([sys.executable, "-c", code], text=True) == "0.0\n"

    @pytest.mark.slow
    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    @pytest.mark.parametrize(("n", "seconds"), [(2, 15), (3, 15), (4, 40)])
    def test_cold_builds(self, fresh: Path, n: int, seconds: float, dtype: str) -> None:
        for name in kernels.FORMULAS:
            kernel = cpu.Kernel(name, n, 6, dtype)
            assert 0 < kernel.build_seconds < seconds


class TestWithoutACompiler:
    @pytest.fixture(autouse=True)
    def _no_compiler(self, monkeypatch: pytest.MonkeyPatch, fresh: Path) -> None:
        monkeypatch.setenv("CC", "no-such-compiler")
        fused._say_once.cache_clear()
        cpu._kernel.cache_clear()

    def test_auto_is_plain_and_says_so_once(self, caplog: pytest.LogCaptureFixture) -> None:
        g = rl.perturbed_euclidean(rl.Grid.torus((64, 64)), 0.1)
        with caplog.at_level(logging.WARNING, "riemann_lne.kernels"):
            for _ in range(2):
                end = rl.solve_flow(g, rl.RicciDeTurckFlow(), (0, 0.01), "rk4", dt=0.01, order=2)
        assert end.parameters["kernel"] == "plain"
        assert len(caplog.records) == 1
        assert "no-such-compiler: not found" in caplog.text
        assert "install gcc or clang" in caplog.text

    def test_a_browser_is_not_told_to_install_one(
        self, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(build, "_COMPILERS", {})
        monkeypatch.setattr(sys, "platform", "emscripten")

        def refused(*args: object, **options: object) -> None:
            raise OSError("there are no processes and no threads")

        monkeypatch.setattr(subprocess, "Popen", refused)
        monkeypatch.setattr(threading.Thread, "start", refused)
        g = rl.perturbed_euclidean(rl.Grid.torus((64, 64)), 0.1)
        with caplog.at_level(logging.WARNING, "riemann_lne.kernels"):
            rl.solve_flow(g, rl.RicciDeTurckFlow(), (0, 0.01), "rk4", dt=0.01, order=2)
        assert [record.getMessage() for record in caplog.records] == [
            "flows run without fused kernels, many times slower: no C compiler runs in a browser: "
            "use kernel='plain', or run Python outside of it"
        ]

    def test_fused_is_an_error_that_says_what_to_do(self) -> None:
        g = rl.perturbed_euclidean(GRID, 0.1)
        with pytest.raises(KernelUnavailableError, match=r"install gcc or clang.*variable CC"):
            rl.solve_flow(g, rl.RicciDeTurckFlow(), (0, 0.1), kernel="fused")
        with pytest.raises(KernelUnavailableError, match="no C compiler works"):
            kernels.ricci(g.components, GRID)

    def test_small_grids_do_not_ask_for_one(self, caplog: pytest.LogCaptureFixture) -> None:
        g = rl.perturbed_euclidean(GRID, 0.1)
        solution = rl.solve_flow(g, rl.RicciDeTurckFlow(), (0, 0.1), "rk4", dt=0.1)
        assert solution.parameters["kernel"] == "plain"
        assert not caplog.records

    def test_a_compiler_that_fails(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        bad = tmp_path / "badcc"
        bad.write_text("#!/bin/sh\necho out of paper >&2\nexit 3\n")
        bad.chmod(0o755)
        monkeypatch.setenv("CC", str(bad))
        with pytest.raises(KernelUnavailableError, match="exit status 3: out of paper"):
            small_kernel()


@pytest.mark.usefixtures("compiler")
def test_a_compiler_that_refuses_the_kernel(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "emit_c", lambda *_: "this is not C")
    with pytest.raises(
        KernelUnavailableError, match=r"ricci \(2-D, order 2, float64\) could not be"
    ):
        small_kernel()
    assert not list(fresh.iterdir())


class TestThreads:
    @pytest.mark.parametrize("size", [1, 2, 7, 64])
    @pytest.mark.parametrize("count", [1, 2, 5, 100])
    @pytest.mark.parametrize("least", [1, 3, 16])
    def test_slabs_cover_everything_once(self, size: int, count: int, least: int) -> None:
        parts = thread_pool.slabs(size, count, least)
        assert [k for a, b in parts for k in range(a, b)] == list(range(size))
        assert len(parts) <= count
        assert len(parts) == 1 or min(b - a for a, b in parts) >= least

    @pytest.mark.usefixtures("compiler")
    def test_slabs_are_worked_on_at_the_same_time(
        self, tools: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        grid = rl.Grid.torus((8, 7, 6))
        packed = tools.random_packed(grid, 0)
        kernel = kernels.compile_kernel("ricci_deturck", 3)
        together, real = threading.Barrier(2, timeout=60), kernel._run

        def meet(*arguments: object) -> int:
            together.wait()  # a serial loop would wait here for ever
            return int(real(*arguments))

        monkeypatch.setattr(kernel, "_run", meet)
        kernel(packed, grid, threads=2)
