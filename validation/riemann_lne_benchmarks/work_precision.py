"""Time to a given error: every integrator, and SciPy's on the same right-hand side."""

from __future__ import annotations

from typing import Any

from .lab import Laboratory, NotMeasuredError, take_turns
from .results import Result, Row, Settings
from .samples import Samples, statistics

TARGET = 1e-6
SPAN = (1.0, 1.5)
ORDER = 6
_SLOW = 3.0
"""Seconds from which a run is timed once only: so long a run averages the noise by itself."""
_LIMITS = {"LSODA": 45.0}
"""Seconds after which a run is given up; what is left is a bound for its time."""
_LIMIT = 200.0

# Explicit methods are bound by stability: their time hardly depends on the tolerance, and their
# ladder ends at the first rung that reaches the target; that of the others a decade below.
EXPLICIT = ("rk4", "bs32", "tsit5", "RK45")
METHODS = ("etdrk4", "rkl2", "tsit5", "bs32", "rk4")
SCIPY = ("RK45", "LSODA")
LADDER = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
STEEP = (1e-4, 1e-6, 1e-8)


def bench_work_precision(settings: Settings) -> Result:
    """Periodic sausage, t = 1 to 1.5, order 6: time and error against the exact solution."""
    result = Result("work-precision", "")
    cases = [("flow", kernel, method) for kernel in ("plain", "fused") for method in METHODS]
    cases += [("solve", "plain", method) for method in SCIPY]
    for version, kernel, method in cases:
        # A process each: one that is ended by its time limit takes nothing else along.
        with Laboratory() as lab:
            _climb(version, kernel, method, lab, settings, result)
    result.rows.sort(key=lambda row: list(cases).index(_case(row)))
    return result


def _case(row: Row) -> tuple[str, str, str]:
    p = row.parameters
    return p["version"], p["kernel"], p["method"]


def _climb(
    version: str, kernel: str, method: str, lab: Laboratory, settings: Settings, result: Result
) -> None:
    """Run a method at ever smaller tolerances."""
    rows = []
    for rtol in STEEP if method in EXPLICIT else LADDER:
        row = _row(version, kernel, method, rtol, 48 if settings.quick else 128)
        settings.say(row.what)
        key = f"{rtol:.0e}"
        limit = _LIMITS.get(method, _LIMIT)
        try:
            lab.do("prepare", key=key, version=version, problem=row.parameters)
            facts = lab.do("first", limit, key=key, path=None)
        except NotMeasuredError as error:
            result.notes.append(f"{row.what}: {error}")
            if "not done" in str(error):
                row.parameters["at least, s"] = limit
                row.note = f"not done after {limit:.0f} s"
                result.rows.append(row)
            break
        row.samples = Samples([facts["first"]], [facts["cpu"]])
        row.figures = {"error": facts["error"], "evaluations": facts["evaluations"]}
        rows.append((row, key))
        reached = TARGET if method in EXPLICIT else TARGET / 10
        if facts["error"] <= reached:
            break
        if method == "rk4":  # without an estimate: its step is the stability limit
            break
    _again(rows, lab, settings)
    for row, _ in rows:
        assert row.samples is not None
        row.figures = {"seconds": statistics(row.samples.wall).median, **row.figures}
        result.rows.append(row)


def _again(rows: list[tuple[Row, str]], lab: Laboratory, settings: Settings) -> None:
    """More samples of what is quick, in turns; the first run, which may compile, is then left."""
    quick = [(key, lab, key) for row, key in rows if row.samples and row.samples.wall[0] < _SLOW]
    if not quick:
        return
    samples = take_turns(quick, min(settings.repeats, 3), 0.0)
    for row, key in rows:
        row.samples = samples.get(key, row.samples)


def _row(version: str, kernel: str, method: str, rtol: float, points: int) -> Row:
    names = {"flow": f"{method}, {kernel}", "solve": f"SciPy {method}, {kernel}"}
    parameters: dict[str, Any] = {
        "version": version,
        "kernel": kernel,
        "method": method,
        "rtol": rtol,
        "points": points,
        "span": list(SPAN),
        "order": ORDER,
    }
    return Row(f"{names[version]}, rtol {rtol:.0e}, {points}^2", parameters)


def quickest(rows: list[Row], target: float = TARGET) -> Row | None:
    """The quickest run that reached an error, None if none did."""
    reached = [r for r in rows if r.figures.get("error", float("inf")) <= target]
    return min(reached, key=lambda r: float(r.figures["seconds"]), default=None)
