"""The progress bar: on a terminal or in a notebook only, and only if asked for."""

import re
import sys
import types

import pytest

import riemann_lne as rl
from riemann_lne.errors import MissingDependencyError


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
