"""The number of threads: argument, environment, processors."""

import os

import pytest

from riemann_lne.errors import InvalidArgumentError
from riemann_lne.threads import thread_count


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
