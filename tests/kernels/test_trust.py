"""Whose libraries are loaded, and what a broken environment of the compiler leads to.

Looked at: the cache folder and each folder above it (owner, group and others, sticky bit, links in
the path, umasks), the library itself (owner, mode, link, pipe, size, content, missing functions),
the compiler (missing, no permission, not a program, failing, silent, odd encodings, odd CC), the
temporary folder (missing, closed), HOME and the user's entry, the working folder, many processes.
"""

from __future__ import annotations

import ctypes
import logging
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

import riemann_lne as rl
from riemann_lne.errors import KernelUnavailableError, StorageError
from riemann_lne.kernels import build, cache, trust
from riemann_lne.kernels.cache import VARIABLE

SOURCE = "int run(void) { return 3; }\n"
OTHER = 4321  # a user that is neither root nor us


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "a" / "cache"
    monkeypatch.setenv(VARIABLE, str(folder))
    monkeypatch.setattr(build, "_LOADED", {})
    monkeypatch.setattr(build, "_COMPILERS", dict(build._COMPILERS))
    monkeypatch.setattr(build, "_HANGING", {})
    monkeypatch.setattr(cache, "_TEMPORARY", [])
    cache._say_once.cache_clear()
    return folder


def load(source: str = SOURCE) -> build.Library:
    build._LOADED.clear()
    return build.load(source, "of a test")


def owned_by_another(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    os.chown(path, OTHER, OTHER, follow_symlinks=False)


@pytest.mark.usefixtures("compiler")
class TestFolders:
    @pytest.mark.parametrize("umask", [0o000, 0o002, 0o022, 0o277, 0o777])
    def test_folders_are_private_at_any_umask(self, fresh: Path, umask: int) -> None:
        before = os.umask(umask)
        try:
            library = load()
        finally:
            os.umask(before)
        assert library.path.parent == fresh
        for made in (fresh, fresh.parent):
            assert stat.S_IMODE(made.stat().st_mode) == 0o700
        assert library.path.stat().st_mode & 0o077 == 0
        assert load().seconds == 0.0
        assert not list(fresh.glob("build-*"))

    @pytest.mark.parametrize("place", ["cache", "above"])
    @pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
    def test_a_folder_that_others_may_write_to(
        self, fresh: Path, place: str, mode: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        fresh.mkdir(parents=True)
        wrong = fresh if place == "cache" else fresh.parent
        wrong.chmod(mode)
        with caplog.at_level(logging.WARNING, "riemann_lne.kernels"):
            library = load()
        assert fresh not in library.path.parents
        assert f"{wrong} can be written to by others" in caplog.text
        wrong.chmod(0o1777)  # with the sticky bit nobody replaces what is ours
        assert load().path.parent == fresh

    @pytest.mark.parametrize("place", ["cache", "above"])
    def test_a_folder_of_another_user(self, fresh: Path, place: str) -> None:
        fresh.mkdir(parents=True)
        owned_by_another(fresh if place == "cache" else fresh.parent)
        assert fresh not in load().path.parents

    def test_links_are_followed_if_they_are_ours(self, fresh: Path, tmp_path: Path) -> None:
        real = tmp_path / "real"
        real.mkdir()
        fresh.parent.symlink_to(os.path.join("..", tmp_path.name, "real"))
        assert load().path.parent == real / "cache"
        owned_by_another(fresh.parent)
        assert real not in load().path.parents

    def test_a_link_into_a_folder_that_others_may_write_to(
        self, fresh: Path, tmp_path: Path
    ) -> None:
        shared = tmp_path / "shared"
        (shared / "cache").mkdir(parents=True)
        shared.chmod(0o777)
        fresh.parent.symlink_to(shared)
        assert shared not in load().path.parents

    def test_links_in_a_ring(self, fresh: Path) -> None:
        fresh.parent.symlink_to(fresh.parent)
        assert fresh not in load().path.parents

    def test_no_folder_at_all(self, fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        fresh.parent.write_text("no folder")
        monkeypatch.setattr(
            cache, "_temporary_folder", lambda: Path("/no/such/place").resolve(True)
        )
        with pytest.raises(KernelUnavailableError, match=r"(?s)no folder.*variable RIEMANN_LNE"):
            load()


@pytest.mark.usefixtures("compiler")
class TestLibraries:
    """A library under the right name, with the right digest, that is not to be loaded."""

    @pytest.mark.parametrize(
        "damage",
        ["text", "cut", "other machine", "no function", "link", "pipe", "writable", "huge"],
    )
    def test_one_that_is_not_trusted_or_does_not_load_is_removed_and_built_anew(
        self, fresh: Path, tmp_path: Path, damage: str
    ) -> None:
        first = load()
        good, path = first.path.read_bytes(), first.path
        path.unlink()
        content = {
            "text": b"not a library",
            "cut": good[: len(good) // 2],
            "other machine": good[:18] + b"\xfe\xca" + good[20:],
        }.get(damage, good)
        if damage == "no function":
            content = Path(load("int walk(void) { return 4; }\n" + SOURCE).path).read_bytes()
            content = content.replace(b"\0run\0", b"\0rum\0")
        wrong = path.with_name(f"kernel-{first.key}-{cache.digest(content)}.so")
        if damage == "cut":
            wrong = path  # its digest tells; the loader would crash
        if damage == "link":
            (tmp_path / "elsewhere.so").write_bytes(content)
            wrong.symlink_to(tmp_path / "elsewhere.so")
        elif damage == "pipe":
            os.mkfifo(wrong)
        else:
            wrong.write_bytes(content)
            wrong.chmod(0o666 if damage == "writable" else 0o600)
        if damage == "huge":
            os.truncate(wrong, 2**40)  # sparse
        again = load()
        assert again.seconds > 0
        assert again.handle.run() == 3
        assert wrong == again.path or not os.path.lexists(wrong)
        assert (tmp_path / "elsewhere.so").exists() == (damage == "link")

    def test_one_of_another_user(self, fresh: Path) -> None:
        first = load()
        owned_by_another(first.path)
        again = load()
        assert again.seconds > 0
        assert again.path.stat().st_uid == os.geteuid()

    def test_what_is_checked_is_what_is_loaded(
        self, fresh: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Another library is put under the name between the check and the loading."""
        if not os.path.isdir(trust._OPEN_FILES):
            pytest.skip("no names for open files")
        bad = load("int run(void) { return 666; }\n").path
        first = load()
        assert first.seconds > 0
        real = ctypes.CDLL

        def swapped(name: str) -> ctypes.CDLL:
            shutil.copy(bad, fresh / "swap")
            os.replace(fresh / "swap", first.path)
            return real(name)

        monkeypatch.setattr(ctypes, "CDLL", swapped)
        found = cache.find(fresh, first.key)
        assert found is not None
        assert found[1].run() == 3

    def test_open_files_with_one_number_are_not_taken_for_one_another(self, fresh: Path) -> None:
        answers = [load(f"int run(void) {{ return {k}; }}\n").handle.run() for k in (11, 12, 13)]
        assert answers == [11, 12, 13]

    def test_a_disk_that_forbids_execution(
        self, fresh: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = trust.load_library

        def refused(path: Path, *rest: object) -> ctypes.CDLL:
            if path.parent == fresh:
                raise OSError("failed to map segment")
            return real(path, *rest)  # type: ignore[arg-type]

        monkeypatch.setattr(build, "load_library", refused)
        monkeypatch.setattr(cache, "load_library", refused)
        assert load().path.parent != fresh


@pytest.mark.usefixtures("compiler")
def test_eight_processes_on_an_empty_cache(fresh: Path) -> None:
    code = textwrap.dedent(
        f"""
        import os
        from riemann_lne.kernels import build
        children = []
        for _ in range(8):
            children.append(os.fork())
            if children[-1] == 0:
                try:
                    os._exit(build.load({SOURCE!r}, "").handle.run())
                finally:
                    os._exit(99)
        print([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
        """
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout == f"{[3] * 8}\n", done.stderr
    assert [p.name.partition("-")[0] for p in fresh.iterdir()] == ["kernel"]


def script(path: Path, text: str, mode: int = 0o755) -> str:
    path.write_bytes(text.encode("latin-1"))
    path.chmod(mode)
    return str(path)


class TestBrokenEnvironments:
    """``kernel="auto"`` runs on the plain version, or the kernel is built all the same."""

    def run(self) -> str:
        g = rl.perturbed_euclidean(rl.Grid.torus((64, 64)), 0.1)
        solution = rl.solve_flow(g, rl.RicciDeTurckFlow(), (0, 0.01), "rk4", dt=0.01, order=2)
        return solution.parameters["kernel"]

    @pytest.fixture(autouse=True)
    def _unbuilt(self, fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from riemann_lne.kernels import cpu, fused, reductions

        for cached in (cpu._kernel, fused._say_once, reductions.reductions):
            cached.cache_clear()
        # The flow's kernels take seconds to build; whether one can be built is the question here.
        for module in (cpu, reductions):
            monkeypatch.setattr(module, "load", lambda *_: load() and _stop())

    @pytest.mark.parametrize(
        ("text", "mode", "reason"),
        [
            ("#!/bin/sh\nexit 7\n", 0o755, "exit status 7"),
            ("#!/bin/sh\nexit 0\n", 0o755, "it wrote no library"),
            ("#!/bin/sh\nprintf 'd\xe9sol\xe9 \xff' >&2\nexit 1\n", 0o755, "exit status 1: d"),
            ("#!/bin/sh\nkill -9 $$\n", 0o755, "exit status -9"),
            ("#!/no/such/shell\n", 0o755, "No such file"),
            ("\x7fELF", 0o755, "Exec format error"),
            ("#!/bin/sh\n", 0o644, "not found"),
            ("#!/bin/sh\nsleep 1000 &\nsleep 1000\n", 0o755, "no answer in 0.5 s"),
        ],
    )
    def test_a_compiler_that_does_not_work(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        text: str,
        mode: int,
        reason: str,
    ) -> None:
        monkeypatch.setattr(build, "_TRIAL_TIMEOUT", 0.5)
        monkeypatch.setenv("CC", script(tmp_path / "c\xe4c", text, mode))
        with caplog.at_level(logging.WARNING, "riemann_lne.kernels"):
            assert self.run() == "plain"
        assert reason in caplog.text

    @pytest.mark.parametrize("cc", ['"unbalanced', "  ", "/", "\udcff", "-"])
    def test_a_variable_that_names_no_compiler(
        self, monkeypatch: pytest.MonkeyPatch, cc: str
    ) -> None:
        monkeypatch.setenv("CC", cc)
        assert self.run() == "plain"

    @pytest.mark.parametrize("tmp", ["missing", "file"])
    def test_a_temporary_folder_that_is_not_there(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiler: None, tmp: str
    ) -> None:
        """Only the cache is used, so that kernels are built."""
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("TMPDIR", str(tmp_path / tmp))
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / tmp))
        monkeypatch.setattr(build, "_COMPILERS", {})
        assert load().handle.run() == 3

    def test_neither_cache_nor_temporary_folder(
        self, fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fresh.parent.write_text("no folder")
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
        assert self.run() == "plain"

    def test_neither_home_nor_an_entry_of_the_user(
        self, monkeypatch: pytest.MonkeyPatch, compiler: None
    ) -> None:
        def nobody() -> Path:
            raise RuntimeError("Could not determine home directory.")

        for name in (VARIABLE, "XDG_CACHE_HOME", "HOME"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(Path, "home", nobody)
        with pytest.raises(StorageError, match="variable RIEMANN_LNE_CACHE_DIR"):
            cache.cache_directory()
        assert "riemann-lne-" in str(load().path.parent)

    def test_a_home_that_is_not_there_or_closed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiler: None
    ) -> None:
        for name in (VARIABLE, "XDG_CACHE_HOME"):
            monkeypatch.delenv(name, raising=False)
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("HOME", str(tmp_path / "file"))
        assert load().handle.run() == 3


def _stop() -> None:
    raise KernelUnavailableError("this test builds no flow")


@pytest.mark.usefixtures("compiler")
@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="needs root")
def test_a_user_without_an_entry_and_without_a_home(tmp_path: Path) -> None:
    """As in a container that is run under a random number."""
    code = textwrap.dedent(
        f"""
        import os, sys, ctypes
        sys.path[:0] = {[str(Path(rl.__file__).parents[1])]!r}
        from riemann_lne.kernels import build, cache
        import riemann_lne.locks, riemann_lne.atomic
        os.setgroups([]); os.setgid({OTHER}); os.setuid({OTHER})
        os.environ.pop("HOME", None); os.environ.pop({VARIABLE!r}, None)
        os.environ["HOME_NOT"] = "1"
        print(build.load({SOURCE!r}, "").handle.run())
        """
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout == "3\n", done.stderr
