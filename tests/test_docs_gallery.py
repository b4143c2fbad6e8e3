"""The gallery: what it shows, in which order, and how long an example may take."""

import importlib.util
import os
import re
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = {p.stem.removeprefix("plot_") for p in (ROOT / "docs/examples").glob("plot_*.py")}
# Subjects that a reader looks for in the gallery, each by a word of its file's name.
SUBJECTS = """
    embedding_flow dumbbell round_sphere gowdy_and_nil decay_theory crossover lne_curvature
    weak_inverse mismatch_training own_integrator own_estimator own_claim own_task property_tests
    restart_zarr mpi
"""


def endless(order):
    order.limit_processor_time({}, "plot_slow.py", "before")
    while True:
        pass


@pytest.fixture
def order(monkeypatch):
    spec = importlib.util.spec_from_file_location("gallery", ROOT / "docs" / "gallery_order.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "SECONDS", 0.05)
    return module


def test_every_subject_has_an_example_and_every_example_its_place(order):
    assert len(EXAMPLES) >= 18
    assert set(SUBJECTS.split()) <= EXAMPLES
    assert set(order.ORDER) == EXAMPLES


@pytest.mark.skipif(os.name != "posix", reason="the limit is a signal of the system")
def test_an_example_that_takes_too_long_is_ended_and_named(order):
    with pytest.raises(TimeoutError, match=r"plot_slow\.py took more than 0\.05 s"):
        endless(order)
    # The system's timer counts in ticks, and may end an example a little early.
    while time.process_time() - order._started["plot_slow.py"] <= order.SECONDS:
        pass
    with pytest.raises(TimeoutError, match=r"plot_slow\.py"):
        order.limit_processor_time({}, "plot_slow.py", "after")


def test_an_example_within_the_limit_passes_and_its_time_is_said(order, capsys, monkeypatch):
    monkeypatch.setattr(order, "SECONDS", 20.0)
    order.limit_processor_time({}, "plot_quick.py", "before")
    order.limit_processor_time({}, "plot_quick.py", "after")
    assert re.fullmatch(r"plot_quick\.py: \d\.\d s of processor time\n", capsys.readouterr().out)
