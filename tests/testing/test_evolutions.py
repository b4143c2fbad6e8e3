"""Searches for unstable starts among states that are no metrics on grids: spheres, a user's own."""

from __future__ import annotations

import math
import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume
from hypothesis import strategies as st

import riemann_lne as rl
import riemann_lne.testing as kit
from riemann_lne.errors import CheckFailedError, DTypeError, InvalidArgumentError
from riemann_lne.symmetric import RotationalMetric, dumbbell, round_sphere
from riemann_lne.testing import evolutions
from riemann_lne.testing.stability import UnresolvedFailureError

SPHERE = round_sphere(24)
SPHERES = kit.rotational_spheres(0.1, points=24)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_spheres_become_round_at_the_rate_of_the_linearised_flow(n: int) -> None:
    """4 / r^2 in every dimension, though nothing of it is in the solver."""
    start = kit.perturbed_sphere(24, 0.05, (0.0, 0.0, 1.0, 0.3), (0.2, 0.1), n=n, radius=1.3)
    flow = kit.RotationalEvolution()
    report = kit.judge_stability(start, round_sphere(24, 1.3, n), flow, until=1.7, expect="decays")
    assert report.holds, report.reason
    limit = flow.limit(report.solution)
    assert report.predicted_rate == pytest.approx(4 / limit.phi[0] ** 2, rel=1e-4)
    assert report.rate == pytest.approx(report.predicted_rate, rel=0.01)
    assert report.final_distance < 0.03


@pytest.mark.parametrize("flow", [kit.RotationalEvolution(), rl.NormalizedRicciFlow()])
def test_no_sphere_near_the_round_one_is_unstable(flow: Any) -> None:
    result = kit.check_stability(SPHERE, flow, SPHERES, until=0.5, draws=5, seed=2)
    assert result.evaluations >= 5
    assert result.worst.holds


def test_no_rate_is_fitted_to_the_error_of_the_steps() -> None:
    """Once reported: a start without the slowest mode, soon at a millionth, where it stays."""
    start = kit.perturbed_sphere(24, 0.02, (), (0.5, 0.0, 1.0))
    for until in (0.4, 1.0):
        report = kit.judge_stability(
            start, SPHERE, kit.RotationalEvolution(), until=until, expect="decays"
        )
        assert report.holds, report.reason


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_sphere_is_unstable_in_a_hundred_draws(seed: int) -> None:
    # On 24 points the slowest mode decays at 3.92 in place of 4.04: a hundredth less is allowed.
    kit.check_stability(
        round_sphere(48), kit.RotationalEvolution(), kit.rotational_spheres(0.1, points=48),
        until=1.0, expect="decays", draws=100, seed=seed,
    )  # fmt: skip


def test_distances_of_spheres_do_not_see_coordinates() -> None:
    flow = kit.RotationalEvolution()
    start = kit.perturbed_sphere(48, 0.3, (0.0, 1.0, 0.5), (0.4,))

    assert flow.distance(start, start) < 1e-12
    mirrored = RotationalMetric(start.phi[::-1], start.psi[::-1], 2)
    assert flow.distance(mirrored, start) < 1e-12
    other = RotationalMetric.from_function(
        48, lambda x: 1 + 0.4 * np.cos(2 * x), lambda x: np.sin(x + 0.2 * np.sin(2 * x)), n=2
    )
    assert flow.distance(other, round_sphere(48)) < 1e-4
    assert flow.distance(round_sphere(48, 1.1), round_sphere(48)) == pytest.approx(0.21)
    shapes = kit.RotationalEvolution(normalized=False)
    assert shapes.distance(round_sphere(48, 1.1), round_sphere(48)) < 1e-12


def test_the_radius_in_which_spheres_keep_positive_curvature() -> None:
    """A failure of the starts alone, so that the bracket can be compared with the curvature."""

    def positive(run: Any) -> float:
        return -float(min(k.min() for k in run.metrics[0].sectional_curvatures()))

    report = kit.stability_radius(
        SPHERE, kit.RotationalEvolution(rtol=0.1), expect=positive, until=1e-4, largest=0.9,
        direction=kit.rotational_spheres(0.9, points=24), directions=3, rtol=0.02, seed=3,
    )  # fmt: skip
    assert math.isfinite(report.fails_from)
    assert not report.of_the_grid
    assert [bracket.shape for bracket in report.by_grid] == [(24,), (48,)]
    worst = report.worst.recipe
    above, below = (
        worst.with_arguments(size=worst.arguments["size"] * factor).build()
        for factor in (1.001, 0.97)
    )
    assert min(k.min() for k in above.sectional_curvatures()) < 0
    assert min(k.min() for k in below.sectional_curvatures()) > 0
    assert "perturbed_sphere(" in str(report)


def test_a_failure_on_spheres_is_repeated_on_twice_as_many_points() -> None:
    def coarse(run: Any) -> float:
        deformed = SPHERE.psi.max() != run.metrics[0].psi.max()
        return 1.0 if deformed and run.metrics[0].points < 48 else -1.0

    with pytest.raises(UnresolvedFailureError, match=r"\(48,\) with stricter steps"):
        kit.check_stability(
            SPHERE, kit.RotationalEvolution(rtol=0.1), SPHERES, until=1e-4, expect=coarse, draws=4
        )
    # A metric without a recipe is interpolated.
    flow, plain = kit.RotationalEvolution(), dumbbell(100, 0.5)
    bare = RotationalMetric(plain.phi, plain.psi, 2)
    assert flow.distance(flow.refine(bare), dumbbell(200, 0.5)) < 1e-5


class Pendulum:
    """An angle and its speed, with friction: a state that is no metric at all."""

    def __init__(self, friction: float) -> None:
        self.friction = friction

    def solve(self, start: Any, times: Any) -> Any:
        def rate(t: float, y: Any) -> np.ndarray:
            return np.array([y[1], -math.sin(y[0]) - self.friction * y[1]])

        run = rl.integrate(rate, start.y, (times[0], times[-1]), "tsit5", times)
        states = [State(y) for y in run.y]
        return SimpleNamespace(t=run.t, metrics=states, success=run.success, message=run.message)

    def distance(self, state: Any, other: Any) -> float:
        return float(np.linalg.norm(state.y - other.y))


class State:
    """A point of the plane."""

    def __init__(self, y: Any) -> None:
        self.y = np.asarray(y, dtype=float)

    def __repr__(self) -> str:
        return f"State({self.y.tolist()})"


def pushed(size: float, angle: float) -> State:
    return State([size * math.cos(angle), size * math.sin(angle)])


PUSHES = kit.drawn_from(pushed, size=kit.Reals(0.0, 3.0), angle=kit.Reals(0.0, 6.28))
# The strongest pushes go over the top and come to rest at an angle of 2 pi.
GENTLE = kit.drawn_from(pushed, size=kit.Reals(0.0, 1.0), angle=kit.Reals(0.0, 6.28))


def test_states_of_a_user_are_judged_by_two_methods() -> None:
    rest = State([0.0, 0.0])
    result = kit.check_stability(rest, Pendulum(1.0), GENTLE, until=10.0, draws=10)
    assert result.worst.holds
    with pytest.raises(CheckFailedError, match=r"pushed\(size=") as caught:
        kit.check_stability(rest, Pendulum(-0.1), PUSHES, until=10.0, draws=10)
    assert "repeated by nothing: this evolution has no method refine" in str(caught.value)
    with pytest.raises(CheckFailedError, match="size on the way is"):
        kit.check_stability(
            rest, Pendulum(1.0), PUSHES, until=10.0, expect="bounded", draws=30,
            norm=lambda state, rest: abs(state.y[1]),
        )  # fmt: skip


def test_the_stability_radius_of_a_pendulum() -> None:
    """Without friction the angle goes over the top where its energy does: at 2 (for a push)."""

    def stays_below_the_top(run: Any) -> float:
        return float(max(abs(state.y[0]) for state in run.metrics)) - math.pi

    report = kit.stability_radius(
        State([0.0, 0.0]), Pendulum(0.0), until=30.0, expect=stays_below_the_top, largest=3.0,
        direction=kit.drawn_from(pushed, size=kit.Reals(0.0, 3.0), angle=kit.Reals(1.57, 1.571)),
        directions=1, rtol=1e-3,
    )  # fmt: skip
    assert report.holds_up_to == pytest.approx(2.0, rel=2e-3)
    assert report.by_grid[0].shape == ()


@pytest.mark.parametrize("method", ["distance", "limit", "predicted_rate", "refine", "finer"])
def test_a_method_of_an_evolution_that_breaks_off_is_named(method: str) -> None:
    class Broken(Pendulum):
        def refine(self, state: Any) -> Any:
            return state

        def finer(self) -> Any:
            return self

    def breaks_off(*given: Any) -> Any:
        raise KeyError("oh")

    def small(run: Any) -> float:
        return float(abs(run.metrics[0].y[0])) - 0.5

    setattr(Broken, method, breaks_off)
    says = f"the method {method} of .* broke off with KeyError: 'oh'; correct it"
    expect: Any = small if method in ("refine", "finer") else "converges"
    rest, flow, options = State([0.0, 0.0]), Broken(1.0), {"until": 1.0, "expect": expect}
    with pytest.raises(InvalidArgumentError, match=says):
        kit.check_stability(rest, flow, PUSHES, draws=20, **options)
    with pytest.raises(InvalidArgumentError, match=says):
        kit.stability_radius(rest, flow, direction=PUSHES, directions=5, largest=3.0, **options)


def test_what_an_evolution_returns_is_looked_at() -> None:
    rest = State([0.0, 0.0])
    for method, result, says in (
        ("distance", "far", "the distance by .* = 'far'; give a finite number"),
        ("distance", math.nan, "the distance by .* = nan; give a finite number"),
        ("predicted_rate", "fast", "the predicted rate by .* = 'fast'; give a finite number"),
    ):
        wrong = type("Wrong", (Pendulum,), {method: lambda *given, result=result: result})
        with pytest.raises(InvalidArgumentError, match=says):
            kit.judge_stability(rest, rest, wrong(1.0), until=1.0)
    with pytest.raises(InvalidArgumentError, match=r"the limit .* broke off with ZeroDivision"):
        kit.judge_stability(rest, rest, Pendulum(1.0), until=1.0, limit=lambda run: 1 / 0)


def left_out(size: float) -> State:
    assume(not 0.3 < size < 0.6)
    return State([size, 0.0])


def test_a_function_of_the_users_may_leave_numbers_out() -> None:
    """By ``assume``: when they are drawn, and when the local search comes to them."""

    def reaches(state: State) -> float:
        return float(state.y[0]) - 0.9

    starts = kit.drawn_from(left_out, size=kit.Reals(0.0, 0.7))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert kit.find_counterexample(reaches, starts, max_examples=20, local=60) is None


def divided(x: float) -> State:
    return State([1 / x, 0.0])


def doubled(x: float) -> float:
    return 2 * x


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: kit.check_stability(SPHERE, rl.RicciDeTurckFlow(), SPHERES, until=0.1),
         DTypeError, "solve is missing.*distance is missing"),
        (lambda: kit.check_stability(SPHERE, kit.RotationalEvolution, SPHERES, until=0.1),
         DTypeError, "is the class RotationalEvolution"),
        (lambda: kit.check_stability(SPHERE, kit.RotationalEvolution(), until=0.1),
         InvalidArgumentError, "give a strategy of starts: rotational_spheres"),
        (lambda: kit.check_stability(SPHERE, kit.RotationalEvolution(), kit.perturbations(2),
                                     until=0.1), InvalidArgumentError, "draws a DrawnMetric"),
        (lambda: kit.check_stability(SPHERE, kit.RotationalEvolution(), SPHERES, until=0.1,
                                     solve={"rtol": 1e-3}), InvalidArgumentError, "solve ="),
        (lambda: kit.check_stability(SPHERE, kit.RotationalEvolution(), SPHERES, until=0.1,
                                     norm="l2"), InvalidArgumentError, "norm = 'l2'"),
        (lambda: kit.check_stability(SPHERE, kit.RotationalEvolution(), SPHERES, until=0.1,
                                     limit="mean"), InvalidArgumentError, "only metrics on grids"),
        (lambda: kit.check_stability(SPHERE, kit.RotationalEvolution(normalized=False), SPHERES,
                                     until=0.1, expect="decays"), InvalidArgumentError,
         "no rate of decay is predicted"),
        (lambda: kit.check_stability(round_sphere(24, 1.0, 3), kit.RotationalEvolution(), SPHERES,
                                     until=0.1), rl.errors.ShapeError, "other dimensions"),
        (lambda: kit.stability_radius(SPHERE, kit.RotationalEvolution(), until=0.1),
         InvalidArgumentError, "give a strategy of starts with recipes"),
        (lambda: kit.stability_radius(SPHERE, kit.RotationalEvolution(), until=0.1,
                                      direction=st.just(SPHERE)), InvalidArgumentError, "recipe"),
        (lambda: kit.RotationalEvolution().distance(SPHERE, 1.0), InvalidArgumentError,
         "no rotationally symmetric metric"),
        (lambda: kit.drawn_from(3), DTypeError, "function = 3"),
        (lambda: kit.drawn_from(pushed, size=1.0), InvalidArgumentError, "as a range"),
        (lambda: kit.drawn_from(pushed, size=kit.Reals(0.0, 1.0), kick=1.0), InvalidArgumentError,
         r"pushed\(size.*was given size, kick"),
        (lambda: kit.find_counterexample(bool, kit.drawn_from(divided, x=kit.Reals(0.0, 1.0))),
         InvalidArgumentError, r"divided\(x=0.0\) broke off with ZeroDivisionError"),
        (lambda: kit.find_counterexample(bool, kit.drawn_from(doubled, x=kit.Reals(0.0, 1.0))),
         InvalidArgumentError, "cannot carry its recipe"),
    ],
)  # fmt: skip
def test_requests_that_make_no_sense_are_refused(call: Any, error: Any, says: str) -> None:
    with pytest.raises(error, match=rf"(?s){says}"):
        call()


@pytest.mark.parametrize(
    ("run", "says"),
    [
        (None, "has no t, metrics, success, message"),
        (SimpleNamespace(t=[0.0], metrics=[], success=True, message=""), "one state for each time"),
        (ZeroDivisionError("oh"), "refuses the start.*ZeroDivisionError: oh"),
    ],
)
def test_an_evolution_that_returns_no_run_is_named(run: Any, says: str) -> None:
    class Wrong(Pendulum):
        def solve(self, start: Any, times: Any) -> Any:
            if isinstance(run, Exception):
                raise run
            return run

    with pytest.raises((DTypeError, InvalidArgumentError), match=says):
        kit.check_stability(State([0.0, 0.0]), Wrong(1.0), PUSHES, until=1.0)


def test_a_run_that_goes_on_may_take_more_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Strict steps on a fine grid are many, and no failure of the flow."""
    monkeypatch.setattr(evolutions, "_STEPS", 8)
    flat = rl.flat_metric(rl.Grid.torus((12, 12)))
    start = kit.random_perturbation(flat, "band_limited", 0.2, seed=1)
    flow = rl.RicciDeTurckFlow()
    run = evolutions.GridEvolution(flat, flow, lasting=False).solve(start, [0.0, 0.5, 1.0])
    assert run.success, run.message
    limited = evolutions.GridEvolution(flat, flow, options={"max_steps": 8}, lasting=False)
    assert not limited.solve(start, [0.0, 0.5, 1.0]).success
    # 20 times as many would not do: this run comes to a stand, as near a singular time.
    monkeypatch.setattr(evolutions, "_MOST", 1)
    assert not evolutions.GridEvolution(flat, flow, lasting=False).solve(start, [0.0, 1.0]).success
