"""Time to solution: the same problem for every solver, and the quickest run that reaches an error.

No test looks at how long anything takes.
"""

import importlib.util
import sys
import types

import numpy as np
import pytest

from riemann_lne import RicciDeTurckFlow
from riemann_lne.errors import InvalidArgumentError
from riemann_lne_benchmarks import solving, time_to_solution
from riemann_lne_benchmarks.formula import Spectral, apply_along, deturck_form
from riemann_lne_benchmarks.lab import Laboratory, NotMeasuredError
from riemann_lne_benchmarks.page import solution_text, write_solution_pages
from riemann_lne_benchmarks.results import Record, Result, Row, Settings
from riemann_lne_benchmarks.samples import Samples
from riemann_lne_benchmarks.solving import sparsity, start_and_end
from riemann_lne_benchmarks.time_to_solution import (
    GAUGE_FAMILY,
    NOT_REACHED,
    OURS,
    SAUSAGE,
    SOLVERS,
    TIME,
    Case,
    Contender,
    Solver,
    errors_in_space,
    grids_for,
    solved,
)
from riemann_lne_benchmarks.versions import make_task

SETTINGS = Settings(quick=True, repeats=2, peer_python="")
SMALL = {"problem": "sausage", "span": [1.0, 1.02], "points": 12, "order": 4, "kernel": "plain"}
GAUGE = {"problem": "gauge family", "span": [0.0, 0.02], "points": 8, "order": 4, "kernel": "plain"}


class TestTasks:
    @pytest.mark.parametrize("base", [SMALL, GAUGE], ids=["2-D", "3-D"])
    @pytest.mark.parametrize(
        ("version", "method"), [("flow", "etdrk4"), ("flow", "tsit5"), ("solve", "RK45")]
    )
    def test_all_solve_the_same_system(self, base, version, method):
        """At tight tolerances what is left is the error of the differences, the same for all."""
        task = make_task("flow", {**base, "method": "rkl2", "rtol": 1e-8, "atol": 1e-8})
        expected = task.result(task.call())
        task = make_task(version, {**base, "method": method, "rtol": 1e-9, "atol": 1e-9})
        run = task.call()
        _, _, exact = start_and_end(base)
        assert np.abs(task.result(run) - expected).max() < 1e-7
        assert task.facts(run)["error"] == np.abs(task.result(run) - exact).max()

    @pytest.mark.parametrize("method", ["BDF", "LSODA"])
    def test_implicit_methods_of_scipy_are_given_the_shape_of_the_jacobian(self, method):
        options = {"method": method, "rtol": 1e-7, "atol": 1e-7}
        task = make_task("solve", {**SMALL, **options})
        explicit = make_task("solve", {**SMALL, **options, "method": "RK45"})
        assert np.abs(task.result(task.call()) - explicit.result(explicit.call())).max() < 1e-5

    @pytest.mark.parametrize(("method", "what"), [("BDF", "sparse"), ("LSODA", "band")])
    def test_a_jacobian_without_room_is_not_begun(self, monkeypatch, method, what):
        monkeypatch.setattr(solving, "LARGEST_MATRIX", 10_000)
        with pytest.raises(InvalidArgumentError, match=what):
            make_task("solve", {**SMALL, "method": method, "rtol": 1e-3})

    def test_the_sparsity_has_every_entry_of_the_jacobian_and_no_row_too_many(self):
        start, grid, _ = start_and_end({**GAUGE, "points": 6})
        flow, shape = RicciDeTurckFlow(), start.packed.shape
        allowed = sparsity(shape, 1).toarray() != 0
        at = flow.rhs(0.0, start.packed, grid, 2)
        changed = start.packed.copy()
        place = np.ravel_multi_index((1, 2, 0, 5), shape)
        changed.ravel()[place] += 1e-3
        touched = (flow.rhs(0.0, changed, grid, 2) != at).ravel()
        assert touched.sum() > 40  # of 162; some entries are zero near a flat metric
        assert not np.any(touched & ~allowed[:, place])
        assert allowed[:, place].sum() == 6 * 27

    @pytest.mark.parametrize("points", [12, 13])
    def test_fourier_derivatives_of_peers_are_exact_for_a_smooth_field(self, points):
        x = 2 * np.pi * np.arange(points) / points
        field = (np.sin(x)[:, None] * np.cos(2 * x))[None]
        d = Spectral(field, (2 * np.pi, 2 * np.pi), apply_along(np))
        assert np.abs(d.first(0) - (np.cos(x)[:, None] * np.cos(2 * x))).max() < 1e-12
        assert np.abs(d.second(1, 1) + 4 * field).max() < 1e-12
        mixed = -2 * np.cos(x)[:, None] * np.sin(2 * x)
        assert np.abs(d.second(0, 1) - mixed).max() < 1e-12

    def test_the_right_hand_side_of_peers_in_fourier_form_is_ours(self):
        start, grid, _ = start_and_end({**SMALL, "points": 48})
        d = Spectral(start.packed, (2 * np.pi,) * 2, apply_along(np))
        found = np.stack(deturck_form(d, start.packed, 2))
        ours = RicciDeTurckFlow().rhs(0.0, start.packed, grid, "fourier")
        # Ours removes the highest third of the product's waves, where the sausage has 1e-7 left.
        assert np.abs(found - ours).max() < 1e-5 * np.abs(ours).max()

    def test_equations_in_the_class_of_py_pde(self, monkeypatch):
        """Its part is played by a stand-in here: Euler steps, periodic differences of order 2."""
        monkeypatch.setitem(sys.modules, "pde", stand_in_for_pde())
        base = {**SMALL, "order": 2, "method": "runge-kutta", "rtol": 1e-6}
        task = make_task("py-pde run", base)
        run = task.call()
        ours = make_task("flow", {**base, "method": "rk4"})
        assert np.abs(task.result(run) - ours.result(ours.call())).max() < 1e-3
        assert task.facts(run)["work"] == "100 evaluations"
        with pytest.raises(InvalidArgumentError, match="second order"):
            make_task("py-pde run", {**base, "order": 4})


def stand_in_for_pde():
    """As much of py-pde as the task calls."""

    class Grid:
        def __init__(self, bounds, shape, periodic):
            assert periodic
            self.h = [(b - a) / n for (a, b), n in zip(bounds, shape, strict=True)]

        def make_operator(self, name, bc):
            axis, second = "xyz".index(name.removesuffix("2")[-1]), name.startswith("d2")
            h = self.h[axis]
            if second:
                return lambda f: (np.roll(f, 1, axis) - 2 * f + np.roll(f, -1, axis)) / h**2
            return lambda f: (np.roll(f, -1, axis) - np.roll(f, 1, axis)) / (2 * h)

    class Fields:
        def __init__(self, blocks):
            self.data = np.stack([np.asarray(b) for b in blocks])

        def copy(self):
            return Fields(self.data)

    class Base:
        def solve(self, state, t_range, **options):
            assert options["adaptive"]
            for _ in range(100):
                rate = self.evolution_rate(state, 0.0).data
                state.data = state.data + (t_range[1] - t_range[0]) / 100 * rate
            return state

    module = types.ModuleType("pde")
    module.CartesianGrid, module.FieldCollection, module.PDEBase = Grid, Fields, Base
    module.ScalarField = lambda grid, block: block
    return module


class FakeLab:
    """Answers as a process would: errors and times by rules, no clock."""

    def __init__(self, error, seconds, missing=False):
        self.error, self.seconds, self.missing = error, seconds, missing
        self.tasks, self.asked, self.limits, self.closed = {}, [], [], 0

    def do(self, what, limit=0.0, processor=None, **arguments):
        if what == "prepare":
            if self.missing:
                raise NotMeasuredError("needs it, which is not installed", missing=True)
            self.tasks[arguments["key"]] = arguments["problem"]
            return {"building cpu": 7.0 if len(self.tasks) == 1 else 0.0}
        task = self.tasks[arguments["key"]]
        self.asked.append((task["order"], task["points"], task["rtol"]))
        self.limits.append(processor)
        cpu = self.seconds(task)
        if cpu > processor:
            raise NotMeasuredError(f"not done after {processor:.0f} s of processor time, and ended")
        return {"first": cpu, "cpu": cpu, "error": self.error(task), "evaluations": 3}

    def close(self):
        self.closed += 1


def contender(monkeypatch, lab):
    monkeypatch.setattr(time_to_solution, "Laboratory", lambda **_: lab)
    return Contender(Solver("x", "flow", "x"))


CASE = Case("sausage", 2, (1.0, 1.1), (16, 24), (1e-4,))


class TestSearch:
    def test_the_quickest_of_all_grids_and_tolerances_wins(self, monkeypatch):
        lab = FakeLab(lambda t: 3 * t["rtol"], lambda t: {4: 2.0, 6: 1.0}[t["order"]])
        best, least = contender(monkeypatch, lab).search(CASE, 1e-4, [(4, 16), (6, 24)])
        assert (best.task["order"], best.processor) == (6, 1.0)
        assert best.task["rtol"] == pytest.approx(1e-5)
        # from loose to tight, and no tighter than needed
        assert [rtol for order, _, rtol in lab.asked if order == 4] == pytest.approx(
            [1e-2, 1e-3, 1e-4, 1e-5]
        )
        assert least == pytest.approx(3e-5)
        assert best.work == "3 evaluations"

    def test_a_run_beyond_the_limit_is_given_up_with_the_figure(self, monkeypatch):
        lab = FakeLab(lambda t: 0.0, lambda t: 99.0)
        it = contender(monkeypatch, lab)
        best, least = it.search(CASE, 1e-4, [(4, 16)])
        assert best is None
        assert least == float("inf")
        assert it.reason == "order 4, 16^2: not done after 30 s of processor time, and ended"
        assert lab.closed == 1

    def test_another_grid_has_no_more_time_than_it_needs_to_be_quicker(self, monkeypatch):
        lab = FakeLab(lambda t: 0.0, lambda t: {16: 2.0, 24: 29.0}[t["points"]])
        it = contender(monkeypatch, lab)
        best, _ = it.search(CASE, 1e-4, [(4, 16), (6, 24)])
        assert best.task["points"] == 16
        assert it.reason == ""
        assert lab.limits == [30.0, 1.5 * 2.0 + 1]

    def test_the_least_error_is_told_where_none_is_small_enough(self, monkeypatch):
        lab = FakeLab(lambda t: 0.5, lambda t: 1.0)
        best, least = contender(monkeypatch, lab).search(CASE, 1e-4, [(4, 16)])
        assert best is None
        assert least == 0.5
        assert [rtol for _, _, rtol in lab.asked] == pytest.approx([10.0**-k for k in range(2, 10)])

    def test_compiling_is_told_apart_and_once_a_grid(self, monkeypatch):
        lab = FakeLab(lambda t: 3 * t["rtol"], lambda t: 1.0)
        best, _ = contender(monkeypatch, lab).search(CASE, 1e-4, [(4, 16)])
        assert best.building == 7.0
        assert best.processor == 1.0

    def test_the_coarsest_grid_that_leaves_room_for_the_error_in_time(self):
        space = {4: [(16, 1e-3), (24, 9e-5), (32, 5e-5)], 6: [(16, 2e-5)], "fourier": [(16, 1.0)]}
        assert grids_for(1e-4, (4, 6, "fourier"), space) == [(4, 32), (6, 16)]


class TestWhole:
    def test_a_race_in_processes_of_its_own(self, tmp_path):
        names = ("riemann-lne etdrk4", "SciPy RK45", "SUNDIALS CVODE BDF, GMRES")
        solvers = [s for s in SOLVERS if s.label in names]
        assert len(solvers) == 3
        result = solved("solution", SAUSAGE[1], SETTINGS, solvers)
        rows = {r.parameters["solver"]: r for r in result.rows if "solver" in r.parameters}
        for name in ("riemann-lne etdrk4", "SciPy RK45"):
            assert rows[name].figures["error"] <= 1e-2
            assert len(rows[name].samples.cpu) == SETTINGS.repeats
            assert rows[name].figures[TIME] > 0
        if importlib.util.find_spec("sundials4py") is None:
            assert any("pip install sundials4py" in note for note in result.notes)
        record = Record({}, {}, {"solution": result})
        record.write(tmp_path / "r.json", [])
        assert Record.read(tmp_path / "r.json") == record
        write_solution_pages(tmp_path / "r.json", tmp_path / "pages")
        assert "| SciPy RK45 | **" in (tmp_path / "pages" / "solution.md").read_text()

    def test_errors_in_space_end_where_the_smallest_target_is_reached(self, monkeypatch):
        lab = FakeLab(lambda t: 1.0 / t["points"] ** t["order"], lambda t: 1.0)
        monkeypatch.setattr(time_to_solution, "Laboratory", lambda **_: lab)
        result = Result("x", "")
        space = errors_in_space(CASE, {2, 6}, result, SETTINGS)
        assert [points for points, _ in space[2]] == [16, 24]
        assert [points for points, _ in space[6]] == [16]
        assert [row.figures["error in space"] for row in result.rows] == [24.0**-2, 16.0**-6]

    def test_a_target_that_took_too_long_ends_the_smaller_ones(self, monkeypatch):
        lab = FakeLab(lambda t: 1e-9, lambda t: 99.0 if t["method"] == "slow" else 1.0)
        monkeypatch.setattr(time_to_solution, "Laboratory", lambda **_: lab)
        monkeypatch.setattr(time_to_solution, "_SLOW", 0.0)  # no turns
        monkeypatch.setattr(time_to_solution, "_versions", lambda *_: None)
        case = Case("sausage", 2, (1.0, 1.1), (16,), (1e-4, 1e-6))
        result = solved("x", case, SETTINGS, [Solver("slow", "flow", "slow", (4,))])
        texts = [r.figures[NOT_REACHED] for r in result.rows if NOT_REACHED in r.figures]
        assert texts == [
            "order 4, 16^2: not done after 30 s of processor time, and ended",
            "not tried after 1e-04",
        ]

    def test_a_peer_that_is_missing_is_one_line_with_the_command(self, monkeypatch):
        lab = FakeLab(lambda t: 1e-9, lambda t: 1.0)
        absent = FakeLab(None, None, missing=True)
        monkeypatch.setattr(
            time_to_solution, "Laboratory", lambda python="": absent if python else lab
        )
        monkeypatch.setattr(time_to_solution, "_versions", lambda *_: None)
        settings = Settings(True, 2, "/peers")
        case = Case("sausage", 2, (1.0, 1.1), (16,), (1e-4, 1e-6))
        result = solved("x", case, settings, [Solver("diffrax Tsit5", "diffrax", "Tsit5", (4,))])
        assert result.notes == [
            "diffrax Tsit5: not installed; to compare with it: pip install diffrax"
        ]
        assert not [r for r in result.rows if "solver" in r.parameters]

    def test_the_time_to_compile_is_told_of_solvers_that_compile_alone(self, monkeypatch):
        lab = FakeLab(lambda t: 1e-9, lambda t: 1.0)
        monkeypatch.setattr(time_to_solution, "Laboratory", lambda **_: lab)
        monkeypatch.setattr(time_to_solution, "_SLOW", 0.0)  # no turns
        monkeypatch.setattr(time_to_solution, "_versions", lambda *_: None)
        case = Case("sausage", 2, (1.0, 1.1), (16,), (1e-4,))
        solvers = [Solver(v, v, v, (4,)) for v in ("flow", "diffrax", "SUNDIALS")]
        rows = [r for r in solved("x", case, SETTINGS, solvers).rows if "solver" in r.parameters]
        told = {r.parameters["solver"]: r.parameters["compiled"] for r in rows}
        assert told == {"flow": False, "diffrax": True, "SUNDIALS": False}

    def test_processor_time_bounds_a_command(self):
        task = {**SMALL, "method": "RK45", "rtol": 1e-6, "points": 96, "span": [1.0, 9.0]}
        with Laboratory() as lab:
            lab.do("prepare", key="slow", version="solve", problem=task)
            with pytest.raises(NotMeasuredError, match="not done after 0 s of processor time"):
                lab.do("first", 60.0, 0.2, key="slow", path=None)

    def test_the_problems_have_three_errors_in_two_and_three_dimensions(self):
        assert (SAUSAGE[0].ndim, GAUGE_FAMILY[0].ndim) == (2, 3)
        assert SAUSAGE[0].targets == GAUGE_FAMILY[0].targets == (1e-4, 1e-6, 1e-8)


class TestPage:
    def test_what_is_not_recorded_is_said_to_be_missing(self, tmp_path):
        write_solution_pages(tmp_path / "none.json", tmp_path)
        texts = {p.name: p.read_text() for p in tmp_path.glob("*.md")}
        assert set(texts) == {"solution.md", "budget.md", "solution-environment.md"}
        assert set(texts.values()) == {"*Not recorded yet.*\n"}

    def test_every_number_of_the_table_is_that_of_the_record(self):
        facts = {"problem": "sausage", "compiled": True}
        rows = [
            Row("a", {**facts, "solver": "A", "target": 1e-4},
                {TIME: 0.25, "compiling before, s": 3.0, "grid": "Fourier, 32^2", "rtol": 1e-5,
                 "error": 5e-5, "work": "7 steps"}, Samples([1.0], [0.25])),
            Row("b", {**facts, "solver": "A", "target": 1e-6}, {NOT_REACHED: "least error 0.5"}),
        ]  # fmt: skip
        text = solution_text(Record({}, {}, {"solution": Result("solution", "", rows, ["a note"])}))
        assert text.splitlines()[0] == "| sausage | to 1e-04 | to 1e-06 |"
        assert (
            "| A | **0.25 s** (Fourier, 32\\^2, rtol 1e-05, 7 steps, 3 s to compile) "
            "| not reached: least error 0.5 |" in text
        )
        assert "- a note" in text
        assert "| **our quickest over the quickest of all** |  |  |" in text

    def test_our_quickest_is_compared_with_the_quickest_of_all(self):
        def row(solver, time):
            facts = {"problem": "sausage", "compiled": False, "solver": solver, "target": 1e-4}
            figures = {"compiling before, s": 0.0, "grid": "g", "rtol": 1e-5, "work": "1 step"}
            return Row(solver, facts, {TIME: time, **figures}, Samples([1.0], [time]))

        rows = [row("A", 0.2), row(OURS + "rkl2", 0.5), row("B", 0.1), row(OURS + "tsit5", 0.3)]
        text = solution_text(Record({}, {}, {"solution": Result("solution", "", rows, [])}))
        assert "| **our quickest over the quickest of all** | 3 (B) |" in text
