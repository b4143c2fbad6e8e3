"""The progress bar: on a terminal only, and only if asked for."""

import sys

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


def test_without_rich_the_error_names_the_extra(monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setitem(sys.modules, "rich.console", None)
    with pytest.raises(MissingDependencyError, match=r"riemann-lne\[verify\]"):
        solve(progress=True)
