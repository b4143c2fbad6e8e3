"""The benchmarks: complete, computed from their samples, and deaf to peers with wrong numbers.

No test looks at how long anything takes.
"""

import dataclasses
import importlib.util
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from riemann_lne import Grid, RicciDeTurckFlow, perturbed_euclidean, solve_flow
from riemann_lne.errors import InvalidArgumentError, UnknownNameError
from riemann_lne.kernels.fused import FusedHostFlow
from riemann_lne_benchmarks import list_benchmarks, run_benchmarks, runner, weights
from riemann_lne_benchmarks.budget import measured, timed_parts
from riemann_lne_benchmarks.environment import available_bytes, environment
from riemann_lne_benchmarks.formula import Rolled, Sliced, deturck_form
from riemann_lne_benchmarks.gpu import bench_gpu
from riemann_lne_benchmarks.lab import (
    Laboratory,
    NotMeasuredError,
    laboratories,
    relative_difference,
    take_turns,
)
from riemann_lne_benchmarks.page import write_pages
from riemann_lne_benchmarks.peer_comparison import FASTER, check_pointwise
from riemann_lne_benchmarks.requirements import TARGETS, judge
from riemann_lne_benchmarks.results import Record, Result, Row, Settings
from riemann_lne_benchmarks.right_hand_side import (
    Comparison,
    compare,
    problem,
    rounding,
)
from riemann_lne_benchmarks.roofline import below_roof
from riemann_lne_benchmarks.samples import Samples, ratio, statistics
from riemann_lne_benchmarks.starting import CASES
from riemann_lne_benchmarks.tables import Terminal, groups, markdown, table
from riemann_lne_benchmarks.versions import make_task
from riemann_lne_benchmarks.work_precision import quickest

SETTINGS = Settings(quick=True, repeats=3, peer_python="")


class TestSamples:
    def test_a_ratio_is_taken_round_by_round(self):
        # The machine is ten times slower in one round: the ratio of that round is what it was.
        assert ratio([2.0, 20.0, 2.2], [1.0, 10.0, 1.1]).median == pytest.approx(2.0)
        with pytest.raises(InvalidArgumentError, match="one of each a round"):
            ratio([1.0, 2.0], [1.0])

    def test_quartiles_that_lie_far_apart_are_noise(self):
        assert Row("", samples=Samples([1.0, 1.0, 2.0, 2.0], [1.0] * 4)).noisy
        assert not Row("", samples=Samples([1.0, 1.01, 1.02, 1.03], [1.0] * 4)).noisy
        assert not Row("", samples=Samples([1.0, 2.0], [1.0] * 2)).noisy  # two tell nothing

    def test_figures_of_a_comparison_come_from_the_samples(self):
        rows = {
            "plain": Row("", samples=Samples([3.0, 6.0, 9.0], [1.0] * 3)),
            "fused": Row("", samples=Samples([1.0, 3.0, 3.0], [1.0] * 3)),
        }
        compare(rows, "plain")
        assert rows["fused"].figures["times plain"] == statistics([3.0, 2.0, 3.0]).median
        assert rows["fused"].figures["times plain, quartiles"] == [2.5, 3.0]
        assert "times plain" not in rows["plain"].figures


class TestPeers:
    @pytest.mark.parametrize("shape", [(12, 10), (9, 8, 7), (5, 6, 5, 6)])
    @pytest.mark.parametrize("order", [2, 4])
    @pytest.mark.parametrize("kind", ["rolled", "sliced"])
    def test_the_formula_that_peers_get_is_ours(self, shape, order, kind):
        task = problem(shape, order=order)
        reference = make_task("plain", task)
        expected = reference.result(reference.call())
        from riemann_lne_benchmarks.versions import start_metric

        metric = start_metric(task)
        packed, spacing = metric.packed, metric.grid.spacing
        derivatives = (
            Rolled(packed, spacing, order, np.roll)
            if kind == "rolled"
            else Sliced(packed, spacing, order, np.concatenate)
        )
        found = np.stack(deturck_form(derivatives, packed, len(shape)))
        assert relative_difference(found, expected) <= rounding(task, expected)

    def test_a_peer_with_other_numbers_is_refused_and_not_timed(self):
        result = Result("test", "")
        with laboratories({"plain": {}, "bad": {}}) as labs:
            versions = {
                "plain": ("plain", labs["plain"]),
                "corrupted": ("corrupted", labs["bad"]),
                "textbook": ("textbook", labs["bad"]),
            }
            rows = Comparison(versions, SETTINGS).run(problem((16, 16)), result, peak=True)
        assert set(rows) == {"plain", "textbook"}
        assert [r.parameters["version"] for r in result.rows] == ["plain", "textbook"]
        (note,) = result.notes
        assert "corrupted" in note
        assert "computes something else, and is not timed" in note
        plain, textbook = rows["plain"], rows["textbook"]
        assert len(plain.samples.wall) == SETTINGS.repeats
        points = 16 * 16 / statistics(plain.samples.wall).median / 1e6
        assert plain.figures["million points/s"] == pytest.approx(points)
        assert 0 < textbook.figures["difference, of the largest term"] < 8 * np.finfo(float).eps
        if Path("/proc/self/clear_refs").exists():
            assert plain.figures["peak memory / metric"] >= 0

    def test_a_pointwise_tensor_has_to_be_that_of_the_sausage(self):
        from riemann_lne.exact import periodic_sausage

        sausage = periodic_sausage((1, 0), 3)
        task, row = problem((4, 4, 4)), Row("")
        exact = np.broadcast_to(
            sausage.ricci(1.0, *sausage.grid(4).coordinates()), (3, 3, 4, 4, 4)
        ).copy()
        check_pointwise(exact, task, row)
        assert row.figures["difference to the closed form"] == 0
        with pytest.raises(NotMeasuredError, match="not timed"):
            check_pointwise(exact * (1 + 1e-9), task, row)
        with pytest.raises(NotMeasuredError, match="inf"):
            check_pointwise(exact * np.nan, task, row)

    @pytest.mark.skipif(importlib.util.find_spec("jax") is not None, reason="JAX is installed")
    def test_a_missing_peer_is_named_with_the_command_that_installs_it(self):
        result = Result("test", "")
        with laboratories({"lab": {}}) as labs:
            versions = {
                "plain": ("plain", labs["lab"]),
                "JAX jit, sliced": ("JAX jit, sliced", labs["lab"]),
            }
            Comparison(versions, SETTINGS).run(problem((8, 8)), result)
        assert result.notes == [
            "JAX jit, sliced: not installed; to compare with it: pip install jax"
        ]


class TestLaboratory:
    def test_what_goes_wrong_is_an_error_that_says_so(self):
        with Laboratory() as lab:
            with pytest.raises(NotMeasuredError, match=r"known: .*plain"):
                lab.do("prepare", key="a", version="no-such", problem={})
            task = {"method": "RK45", "rtol": 1e-6, "order": 4, "points": 64, "span": [1.0, 9.0]}
            lab.do("prepare", key="slow", version="solve", problem=task)
            with pytest.raises(NotMeasuredError, match="not done after 1 s"):
                lab.do("first", 1.0, key="slow", path=None)
            with pytest.raises(NotMeasuredError, match="process"):
                lab.do("time", key="slow")
        with pytest.raises(NotMeasuredError, match="cannot be run"):
            Laboratory(python="/no/such/python")

    def test_another_python_without_the_library_takes_these_sources(self, tmp_path, monkeypatch):
        # -S leaves the installed packages out, and so the library; the folder of NumPy is given.
        other = tmp_path / "python"
        other.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n', encoding="utf-8")
        other.chmod(0o755)
        monkeypatch.setenv("PYTHONPATH", str(Path(np.__file__).parents[1]))
        with Laboratory(python=str(other)) as lab:
            lab.do("prepare", key="t", version="plain", problem=problem((8, 8)))
            assert lab.result("t")[0].shape == (3, 8, 8)

    def test_turns_are_taken_between_processes(self):
        with laboratories({"a": {}, "b": {}}) as labs:
            for lab in labs.values():
                lab.do("prepare", key="t", version="plain", problem=problem((8, 8)))
            samples = take_turns([(n, lab, "t") for n, lab in labs.items()], 2, 0.0)
            found, facts = labs["a"].result("t")
        assert {n: len(s.wall) for n, s in samples.items()} == {"a": 2, "b": 2}
        assert found.shape == (3, 8, 8)
        assert facts["first"] > 0


def a_record(**figures):
    """A record with the rows that the targets look at."""
    # Targets depend on the processor: not on the one that the tests run on.
    here = {**environment(), "cpu": "some (family 26 avx512f)"}
    record = Record(here, {"quick": False, "repeats": 3})
    samples = Samples([1.0, 1.1, 0.9], [1.0] * 3)
    task = {"order": 4, "dtype": "float64", "threads": 1}
    fused = [
        Row(
            f"fused {shape}",
            {**task, "shape": list(shape), "version": "fused"},
            {"million points/s": 30.0, "times plain": figures["plain"],
             "times plain, quartiles": [1.0, 99.0], "times index formula": 21.0,
             "difference, of the largest term": 1e-16},
            samples,
        )
        for shape in ((1024, 1024), (96, 96, 96), (20,) * 4)
    ]  # fmt: skip
    peers = [
        Row(name, {**task, "shape": [96] * 3, "version": name},
            {"million points/s": 3.0, FASTER: value}, samples)
        for name, value in (("JAX jit, rolled", 8.0), ("JAX jit, sliced", figures["jax"]))
    ]  # fmt: skip
    runs = [
        Row(name, {"version": version, "kernel": "plain", "method": method, "points": 128},
            {"seconds": seconds, "error": error})
        for name, version, method, seconds, error in (
            ("a", "flow", "etdrk4", 2.0, 1e-7), ("b", "flow", "rkl2", 1.0, 1e-5),
            ("c", "solve", "RK45", figures["scipy"], 1e-8), ("d", "solve", "RK45", 9e9, 1e-9),
        )
    ]  # fmt: skip
    record.results["right-hand-side"] = Result("right-hand-side", "Speed.", fused)
    record.results["peers"] = Result("peers", "Peers.", peers, ["py-pde: not installed"])
    record.results["work-precision"] = Result("work-precision", "Time.", runs)
    return record


def verdict(judged, *words):
    (entry,) = [e for e in judged if all(w in e["statement"] for w in words)]
    return entry["measured"], entry["verdict"]


class TestTargets:
    def test_verdicts_follow_from_the_rows(self):
        judged = judge(a_record(plain=16.0, jax=1.9, scipy=30.0))
        assert verdict(judged, "96^3", "plain, one core") == (16.0, "met")
        assert verdict(judged, "1024^2", "index formula") == (21.0, "met")
        assert verdict(judged, "2-D", "plain") == (16.0, "not met")
        assert verdict(judged, "20^4") == (16.0, "met")
        assert verdict(judged, "JAX") == (1.9, "not met")  # the better of its two forms
        assert verdict(judged, "solve_ivp") == (15.0, "met")  # rkl2 has not reached 1e-6
        assert verdict(judged, "largest term") == (1e-16, "met")
        assert verdict(judged, "warm start") == (None, "not measured")
        assert verdict(judge(a_record(plain=1.0, jax=3.0, scipy=19.0)), "solve_ivp") == (
            9.5,
            "not met",
        )

    def test_each_kind_of_processor_has_its_targets(self):
        """With AVX2 alone fewer times plain will do, and speeds have bounds."""
        record = a_record(plain=14.5, jax=3.0, scipy=30.0)
        assert verdict(judge(record), "96^3", "plain, one core") == (14.5, "not met")
        assert not [e for e in judge(record) if "one core: million" in e["statement"]]
        for change in (
            {"settings": {"instructions": "avx2"}},
            {"environment": {"cpu": "some (family 25 avx2)"}},
        ):
            other = dataclasses.replace(record, **change)
            assert verdict(judge(other), "96^3", "plain, one core") == (14.5, "met")
            assert verdict(judge(other), "closed form") == (14.5, "met")
            assert verdict(judge(other), "one core: million") == (None, "not measured")

    def test_the_speed_on_large_grids_is_that_of_the_same_study(self):
        def row(points, speed, **more):
            task = {"shape": [points] * 3, "order": 4, "dtype": "float64", "threads": 1, **more}
            return Row("", {**task, "version": "fused"}, {"million points/s": speed})

        rows = [row(96, 99.0, study="precision"), row(32, 50.0), row(96, 43.0)]
        record = Record({}, {}, {"scaling": Result("scaling", "", rows)})
        assert verdict(judge(record), "96^3 over") == (0.86, "met")

    def test_an_empty_record_meets_nothing(self):
        judged = judge(Record({}, {}))
        assert len(judged) == len([t for t in TARGETS if t.bound is not None])
        assert {entry["verdict"] for entry in judged} == {"not measured"}

    def test_a_start_is_judged_by_its_slowest_kernel_and_only_if_all_started(self):
        def started(missing):
            rows = [
                Row("", {"shape": [8] * n, "formula": formula, "order": order, "cache": "no cache"},
                    {"seconds": 10.0 * n if formula.endswith("background") else 1.0})
                for n in (2, 3, 4) for formula, order in CASES if (n, formula) != missing
            ]  # fmt: skip
            record = Record({}, {}, {"start": Result("start", "Start.", rows)})
            return [verdict(judge(record), "cold build", n) for n in ("n up to 3", "n = 4")]

        assert started(None) == [(30.0, "not met"), (40.0, "met")]
        for n, place in ((2, 0), (4, 1)):
            found = started((n, "ricci_deturck_background"))
            assert found[place] == (None, "not measured")

    def test_the_quickest_run_is_one_that_reached_the_error(self):
        rows = a_record(plain=1, jax=1, scipy=1).results["work-precision"].rows
        assert quickest(rows[:2]).what == "a"
        assert quickest(rows, 1e-20) is None

    def test_the_roof_is_the_lower_of_the_two(self):
        row = Row("", {"shape": [10, 10], "version": "fused"})
        facts = {"flops_per_point": 100, "bytes_per_point": 50}
        below_roof(row, Samples([1e-6], [1e-6]), facts, bandwidth=1e10, peak=1e12)
        assert row.figures["bound by"] == "memory"
        assert row.figures["share of the roofline"] == pytest.approx(1e10 / 2e10)
        below_roof(row, Samples([1e-6], [1e-6]), facts, bandwidth=1e12, peak=4e10)
        assert row.figures["bound by"] == "arithmetic"
        assert row.figures["share of the roofline"] == pytest.approx(0.25)


class TestRecord:
    def test_what_is_written_is_read_back(self, tmp_path):
        record = a_record(plain=16.0, jax=1.9, scipy=30.0)
        record.write(tmp_path / "r.json", judge(record))
        assert Record.read(tmp_path / "r.json") == record
        data = json.loads((tmp_path / "r.json").read_text())
        assert data["requirements"] == judge(record)
        assert {"cpu", "cores", "python", "numpy", "C compiler"} <= set(data["environment"])

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 99}'])
    def test_a_file_of_another_kind_is_refused(self, tmp_path, text):
        (tmp_path / "r.json").write_text(text)
        with pytest.raises(InvalidArgumentError, match="is not a file of riemann-lne bench"):
            Record.read(tmp_path / "r.json")

    def test_pages_and_plots_come_from_the_file(self, tmp_path):
        record = a_record(plain=16.0, jax=1.9, scipy=30.0)
        record.results["right-hand-side"].problem = "Traceback\nValueError: a_b"
        record.write(tmp_path / "r.json", [])
        write_pages(tmp_path / "r.json", tmp_path / "pages", "seen/from")
        targets = (tmp_path / "pages" / "targets.md").read_text()
        assert "| 16 (1 to 99) | met |" in targets
        assert "(seen/from/peers.png)" in (tmp_path / "pages" / "plots.md").read_text()
        tables = (tmp_path / "pages" / "tables.md").read_text()
        assert "ValueError: a\\_b" in tables
        assert "- py-pde: not installed" in tables
        assert "| cpu |" in (tmp_path / "pages" / "environment.md").read_text()
        assert {p.name for p in (tmp_path / "pages").glob("*.png")} == {
            "work-precision.png",
            "peers.png",
        }


class TestTables:
    def test_rows_with_the_same_figures_share_a_table(self):
        rows = [Row("a", {}, {"x": 1.0}), Row("b", {}, {"y": 2.0}), Row("c", {}, {"x": 3.0})]
        rows[0].figures["times b"] = 2.0
        assert [[r.what for r in group] for group in groups(rows)] == [["a", "c"], ["b"]]
        head, body = table([Row("a|b", {}, {"s": 1.0, "s, quartiles": [0.5, 2.0]})])
        assert markdown(head, body).splitlines()[-1] == "| a\\|b | 1 (0.5 to 2) |"

    def test_without_rich_it_prints_lines(self, capsys):
        terminal = Terminal()
        terminal._console = None
        record = a_record(plain=16.0, jax=1.9, scipy=30.0)
        for result in record.results.values():
            terminal.result(result)
        terminal.requirements(judge(record))
        out = capsys.readouterr().out
        assert "times plain 16 (1 to 99)" in out
        assert "at least 15; 16 (1 to 99); met" in out
        assert "py-pde: not installed" in out


def fake(rows, **more):
    def bench(settings):
        """Something."""
        return Result("x", "", [Row("it", {}, {"seconds": 1.0})] * rows, **more)

    return bench


def broken(settings):
    """Something that breaks."""
    raise ZeroDivisionError("on purpose")


def interrupted(settings):
    """Something that takes long."""
    raise KeyboardInterrupt


class TestRun:
    @pytest.fixture(autouse=True)
    def few(self, monkeypatch):
        fakes = {"one": fake(1), "broken": broken, "two": fake(2)}
        monkeypatch.setattr(runner, "BENCHMARKS", fakes)
        self.benchmarks = fakes

    def test_one_that_breaks_down_does_not_stop_the_others(self, tmp_path, capsys):
        assert run_benchmarks(report=tmp_path / "a") == 1
        data = json.loads((tmp_path / "a" / "bench.json").read_text())["benchmarks"]
        assert {name: len(entry["rows"]) for name, entry in data.items()} == {
            "one": 1,
            "broken": 0,
            "two": 2,
        }
        assert "ZeroDivisionError: on purpose" in data["broken"]["problem"]
        assert "on purpose" in capsys.readouterr().out

    def test_resume_runs_what_is_missing_or_named(self, tmp_path):
        path = tmp_path / "r.json"
        assert run_benchmarks(["one"], json=path) == 0
        self.benchmarks["one"] = fake(5)
        self.benchmarks["broken"] = fake(7)
        assert run_benchmarks(json=path, resume=True) == 0
        rows = {name: len(r.rows) for name, r in Record.read(path).results.items()}
        assert rows == {"one": 1, "broken": 7, "two": 2}
        assert run_benchmarks(["one"], json=path, resume=True) == 0
        assert len(Record.read(path).results["one"].rows) == 5
        assert set(Record.read(path).results) == {"one", "broken", "two"}
        with pytest.raises(InvalidArgumentError, match="repeats: 7 there, 4 here"):
            run_benchmarks(json=path, resume=True, repeats=4)
        with pytest.raises(InvalidArgumentError, match="needs --json FILE or --report DIR"):
            run_benchmarks(resume=True)

    def test_an_interrupt_keeps_what_was_done(self, tmp_path):
        self.benchmarks["broken"] = interrupted
        assert run_benchmarks(json=tmp_path / "r.json") == 130
        assert set(Record.read(tmp_path / "r.json").results) == {"one"}

    def test_wrong_arguments_are_errors_before_anything_runs(self):
        self.benchmarks["one"] = interrupted
        with pytest.raises(UnknownNameError, match="known: broken, one, two"):
            run_benchmarks(["three"])
        with pytest.raises(InvalidArgumentError, match="cannot write to /proc/no"):
            run_benchmarks(report=Path("/proc/no/such"))
        with pytest.raises(InvalidArgumentError, match="at least one round"):
            run_benchmarks(repeats=0)

    def test_how_much_there_is_comes_first_with_the_time_of_the_record(self, monkeypatch, capsys):
        assert set(runner.usual_seconds()) > {"peers", "lne"}  # the record of the documentation
        monkeypatch.setattr(runner, "usual_seconds", lambda: {"one": 90.0, "other": 9.0})
        run_benchmarks(["one", "two"])
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].startswith("2 benchmarks: about 1.5 min and 1 that the record lacks")
        assert lines[1] == "one runs about 1.5 min ..."
        assert "two runs ..." in lines
        list_benchmarks()
        assert "1.5 min" in capsys.readouterr().out
        run_benchmarks(["one"], quick=True)
        assert capsys.readouterr().out.startswith("1 benchmark in the quick form")

    def test_the_list_has_every_name(self, capsys):
        list_benchmarks()
        out = capsys.readouterr().out
        assert all(name in out for name in self.benchmarks)


@pytest.mark.skipif(importlib.util.find_spec("cupy") is not None, reason="CuPy is installed")
def test_without_a_gpu_that_is_said():
    result = bench_gpu(SETTINGS)
    assert not result.rows
    assert "pip install 'riemann-lne[gpu]'" in result.notes[0]


def test_weights_that_memory_cannot_hold_are_left_out_with_the_reason(monkeypatch):
    monkeypatch.setattr(weights, "available_bytes", lambda: 10)
    result = weights.bench_lne(SETTINGS)
    assert not result.rows
    assert "left out, it needs about" in result.notes[0]
    assert available_bytes() is None or available_bytes() > 10


def test_lne_and_its_plot(tmp_path):
    assert run_benchmarks(["lne"], report=tmp_path, quick=True, repeats=1) == 0
    record = Record.read(tmp_path / "bench.json")
    assert {r.parameters["operation"] for r in record.rows("lne")} == {
        *weights.PASSES,
        *weights.OPERATIONS,
    }
    for row in record.rows("lne"):
        assert len(row.samples.wall) == 1
        assert row.figures["seconds"] == row.samples.wall[0]
        assert math.isfinite(row.figures["million weights/s"])
    assert (tmp_path / "lne.png").read_bytes().startswith(b"\x89PNG")


class TestBudget:
    def test_parts_are_counted_once(self) -> None:
        """What one part calls of another is its own; what is in no part is left over."""
        start = perturbed_euclidean(Grid.torus((16, 16)), 0.1)
        with timed_parts() as spent:
            solve_flow(start, RicciDeTurckFlow(), (0, 2e-3), "etdrk4", dt=1e-3, kernel="fused")
        assert set(spent) == {"right-hand sides", "sums", "transforms", "reductions"}
        assert spent["right-hand sides"] > 0
        assert spent["transforms"] > 0
        assert spent["sums"] == 0  # exponential steps add up transforms
        assert "call" not in FusedHostFlow.rhs.__qualname__  # all is as it was

    def test_shares_add_up(self) -> None:
        start = perturbed_euclidean(Grid.torus((64, 64)), 0.1)
        row = measured("64^2, tsit5", start, "tsit5", 0.9, rounds=2)
        shares = [value for name, value in row.figures.items() if name.endswith("%")]
        assert len(shares) == 5
        assert sum(shares) == pytest.approx(100)
        assert row.samples is not None
        assert len(row.samples.wall) == 2
