"""The number of threads: argument, environment, processors."""

import os
import re
from pathlib import Path

import pytest

from riemann_lne.errors import InvalidArgumentError
from riemann_lne.threads import thread_count, usable_cores


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch):
    for name in ("RIEMANN_LNE_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)


def usable():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


@pytest.mark.parametrize(
    ("variable", "count"),
    [("3", 3), ("2,4", 2), (" 5 ", 5), ("0", None), ("x", None), ("", None)],
)
def test_openmp_s_variable_counts_where_it_means_something(monkeypatch, variable, count):
    monkeypatch.setenv("OMP_NUM_THREADS", variable)
    assert thread_count() == (count or usable())
    assert thread_count(7) == 7


def test_our_own_variable_comes_first(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    monkeypatch.setenv("RIEMANN_LNE_THREADS", "3")
    assert thread_count() == 3


@pytest.mark.parametrize("wrong", ["0", "-1", "two", "1.5"])
def test_nonsense_in_our_own_variable_is_refused_by_name(monkeypatch, wrong):
    monkeypatch.setenv("RIEMANN_LNE_THREADS", wrong)
    with pytest.raises(InvalidArgumentError, match=r"RIEMANN_LNE_THREADS.*at least 1"):
        thread_count()


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True])
def test_nonsense_as_argument_is_refused(wrong):
    with pytest.raises(InvalidArgumentError, match="at least 1"):
        thread_count(wrong)


def test_cores_that_this_process_may_not_use_do_not_count(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {5, 3}, raising=False)
    assert usable_cores() == [3, 5]
    assert thread_count() == 2


def test_the_cores_of_the_machine_are_asked_for_in_one_place_alone():
    root = Path(__file__).parents[2]
    # A record of a comparison names the whole machine.
    known = {"riemann_lne/threads.py", "riemann_lne_validation/comparison/environment.py"}
    asking = [
        path.relative_to(root).as_posix()
        for room in ("riemann_lne", "adapters", "validation")
        for path in (root / room).rglob("*.py")
        if re.search(r"cpu_count\(|sched_getaffinity\(", path.read_text("utf-8"))
    ]
    assert {path.removeprefix("validation/") for path in asking} == known
