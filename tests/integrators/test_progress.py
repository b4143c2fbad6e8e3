"""The progress bar: on a terminal or in a notebook only, and only if asked for."""

import contextlib
import re
import signal
import sys
import threading
import types

import pytest

import riemann_lne as rl
from riemann_lne.errors import MissingDependencyError
from riemann_lne.integrators.progress import deferrable, uninterrupted


def solve(progress):
    start = rl.perturbed_euclidean(rl.Grid.torus((8, 8)), 0.1)
    return rl.solve_flow(start, rl.RicciDeTurckFlow(), (0, 0.1), "rk4", progress=progress)


def test_it_is_shown_on_a_terminal(monkeypatch, capsys):
    pytest.importorskip("rich")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert solve(progress=True).success
    assert "flow" in capsys.readouterr().err


@pytest.mark.parametrize("progress", [True, False])
def test_it_is_silent_elsewhere(progress, capsys):
    assert solve(progress).success
    assert capsys.readouterr().err == ""


class Notebook:
    """IPython's shell in a notebook."""


class TerminalInteractiveShell:
    """IPython's shell on a terminal that is no terminal now: its output goes into a file."""


@pytest.mark.parametrize("shell", [Notebook, TerminalInteractiveShell])
def test_a_notebook_gets_a_line_without_rich(shell, monkeypatch, capsys):
    ipython = types.ModuleType("IPython")
    ipython.get_ipython = shell
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert solve(progress=True).success
    states = [text.strip() for text in capsys.readouterr().err.split("\r")]
    if shell is Notebook:
        assert re.fullmatch(r"flow: +\d+ %, t = [\d.e-]+", states[1])
        assert states[-1] == ""  # nothing is left of it
    else:
        assert states == [""]
    assert solve(progress=False).success
    assert capsys.readouterr().err == ""


def test_without_rich_the_error_names_the_extra(monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setitem(sys.modules, "rich.console", None)
    with pytest.raises(MissingDependencyError, match=r"riemann-lne\[verify\]"):
        solve(progress=True)


@pytest.mark.parametrize("progress", [True, False])
def test_a_stream_that_can_only_write_is_enough(progress, monkeypatch):
    # as in a notebook of JupyterLite
    stream = types.SimpleNamespace(write=lambda text: len(text), flush=lambda: None)
    monkeypatch.setattr(sys, "stderr", stream)
    assert solve(progress).success


class TestCtrlC:
    """It waits for the end of a block that is not to be interrupted, and is not lost."""

    @pytest.fixture(autouse=True)
    def handler(self):
        """A handler of Ctrl-C around the test, which notes each signal."""
        self.seen = []
        before = signal.signal(signal.SIGINT, lambda *signalled: self.seen.append(signalled))
        yield
        signal.signal(signal.SIGINT, before)

    @pytest.mark.parametrize("around", [deferrable, contextlib.nullcontext])
    def test_it_comes_after_the_outermost_block(self, around):
        with around():
            signal.raise_signal(signal.SIGINT)
            assert len(self.seen) == 1
            with uninterrupted():
                with uninterrupted():
                    signal.raise_signal(signal.SIGINT)
                assert len(self.seen) == 1
            assert len(self.seen) == 2
        signal.raise_signal(signal.SIGINT)
        assert len(self.seen) == 3

    @pytest.mark.parametrize("around", [deferrable, contextlib.nullcontext])
    def test_it_comes_also_where_the_block_fails(self, around):
        def broken():
            with around(), uninterrupted():
                signal.raise_signal(signal.SIGINT)
                raise ValueError("broken")

        with pytest.raises(ValueError, match="broken"):
            broken()
        assert len(self.seen) == 1

    def test_the_handler_is_the_one_before_again(self):
        before = signal.getsignal(signal.SIGINT)
        with deferrable(), deferrable(), uninterrupted():
            pass
        assert signal.getsignal(signal.SIGINT) is before

    def test_one_that_was_put_in_place_meanwhile_stays(self):
        other = []
        with deferrable():
            signal.signal(signal.SIGINT, lambda *signalled: other.append(signalled))
            with uninterrupted():
                signal.raise_signal(signal.SIGINT)
                assert other == []
        signal.raise_signal(signal.SIGINT)
        assert (len(other), self.seen) == (2, [])

    def test_no_handler_in_python_is_left_alone(self):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with deferrable(), uninterrupted():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN

    def test_another_thread_has_nothing_to_put_off(self):
        done = []

        def work():
            with deferrable(), uninterrupted():
                done.append(signal.getsignal(signal.SIGINT))

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert done == [signal.getsignal(signal.SIGINT)]
