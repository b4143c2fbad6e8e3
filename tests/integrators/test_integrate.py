"""The public door to the integrators: known problems, orders, SciPy beside, and bad input."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import riemann_lne as rl
from riemann_lne.errors import (
    DTypeError,
    InvalidArgumentError,
    NotFiniteError,
    ShapeError,
    UnknownNameError,
)
from riemann_lne.integrators import (
    METHODS,
    ExplicitRungeKutta,
    OneStep,
    State,
    Step,
    Tableau,
    known_methods,
    register_method,
)
from riemann_lne.integrators.methods import registry
from tests.integrators.problems import PROBLEMS

ORDERS = {"rk4": 4, "tsit5": 5, "bs32": 3, "rkl2": 2, "rkg2": 2}
PAIRS = ("tsit5", "bs32")


@pytest.fixture(autouse=True)
def _unregistered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests elsewhere list the methods that are known."""
    for name in ("_MAKERS", "_REGISTERED"):
        monkeypatch.setattr(registry, name, dict(getattr(registry, name)))


def test_every_method_but_that_of_fourier_space_is_looked_at_here() -> None:
    assert set(METHODS) == {"auto", "etdrk4", *ORDERS}


# ---- problems of DETEST ----------------------------------------------------------------------


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("method", PAIRS)
def test_detest_problems_are_solved_to_the_tolerance(name: str, method: str) -> None:
    """The global error is within a factor of the tolerance that the problem's own growth explains.

    D5 (eccentricity 0.9), and B1 and E2 with their limit cycles amplify errors by up to thousands:
    SciPy's own methods have these factors as well, as the test below says.
    """
    problem = PROBLEMS[name]
    found = rl.integrate(
        problem.f, problem.start, (0, problem.end), method, [problem.end], rtol=1e-6, atol=1e-6
    )
    scipy = solve_ivp(
        problem.f,
        (0, problem.end),
        problem.start,
        method={"tsit5": "RK45", "bs32": "RK23"}[method],
        rtol=1e-6,
        atol=1e-6,
    )
    reference = problem.reference()
    error = np.max(np.abs(found.y[-1] - reference))
    beside = np.max(np.abs(scipy.y[:, -1] - reference))
    assert found.success
    assert error < 10 * max(beside, 1e-6)
    assert found.nfev < 2 * scipy.nfev


@pytest.mark.parametrize("method", PAIRS)
def test_the_error_falls_with_the_tolerance(method: str) -> None:
    problem = PROBLEMS["D3"]
    errors = []
    for rtol in (1e-3, 1e-5, 1e-7):
        found = rl.integrate(
            problem.f, problem.start, (0, 20), method, [20.0], rtol=rtol, atol=rtol
        )
        errors.append(np.max(np.abs(found.y[-1] - problem.reference())))
    assert errors[0] > 10 * errors[1] > 100 * errors[2]


# ---- orders ----------------------------------------------------------------------------------


def ends(method: Any, f: Any, start: Any, t: float, dt: float) -> np.ndarray:
    return np.asarray(rl.integrate(f, start, (0, t), method, [t], dt=dt).y[-1])


def pendulum(t: float, y: np.ndarray) -> np.ndarray:
    """Nonlinear, driven, with all elementary differentials at work."""
    return np.array([y[1], -math.sin(y[0]) - 0.3 * y[1] * y[0] + math.cos(2 * t)])


@pytest.mark.parametrize("method", ORDERS)
def test_order_of_every_method_on_an_orbit(method: str) -> None:
    """Nonlinear, with a closed form; the eccentricity is 0.5."""
    problem = PROBLEMS["D3"]
    assert problem.exact is not None
    errors = []
    for steps in (200, 400):
        found = rl.integrate(
            problem.f, problem.start, (0, 3), method, [3.0], dt=3 / steps, spectral_radius=4.0
        )
        errors.append(np.max(np.abs(found.y[-1] - problem.exact(3.0))))
    assert errors[1] > 1e-13
    assert abs(math.log2(errors[0] / errors[1]) - ORDERS[method]) < 0.2


@pytest.mark.parametrize("method", ORDERS)
def test_order_of_every_method_where_time_is_in_the_equation(method: str) -> None:
    """The times of the stages count here; on an orbit they do not.

    With three stages a stabilised method has one time in between: the bound asks for more.
    """
    radius = 300.0 if method in ("rkl2", "rkg2") else 2.0
    start = [0.8, -0.3]
    reference = solve_ivp(pendulum, (0, 2), start, "DOP853", rtol=1e-13, atol=1e-14).y[:, -1]
    errors = []
    for steps in (20, 40):
        found = rl.integrate(
            pendulum, start, (0, 2), method, [2.0], dt=2 / steps, spectral_radius=radius
        )
        errors.append(np.max(np.abs(found.y[-1] - reference)))
    assert errors[1] > 1e-11
    assert math.log2(errors[0] / errors[1]) > ORDERS[method] - 0.2  # 5.7 for tsit5


@pytest.mark.parametrize("method", ["tsit5", "bs32", "rkl2", "rkg2"])
def test_error_estimates_fall_as_they_claim(method: str) -> None:
    from riemann_lne.integrators.array_system import ArraySystem
    from riemann_lne.integrators.methods.registry import make_integrator

    y = np.array([0.8, -0.3])
    system = ArraySystem(pendulum, y, (2,), lambda t, y: 4.0)
    integrator = make_integrator(method, system, y)
    sizes = []
    for dt in (0.04, 0.02):
        error = integrator.step(system, State(0.0, y), dt, True).error
        assert error is not None
        sizes.append(np.max(np.abs(error[...])))
    assert abs(math.log2(sizes[0] / sizes[1]) - integrator.error_exponent) < 0.3


@pytest.mark.parametrize(("method", "order"), [("tsit5", 4), ("rk4", 4), ("bs32", 3), ("rkl2", 3)])
def test_dense_output_has_the_order_that_is_said(method: str, order: int) -> None:
    """Between steps, where the interpolant's error is largest."""
    problem = PROBLEMS["A3"]
    errors = []
    for dt in (0.2, 0.1):
        found = rl.integrate(
            problem.f, [1.0], (0, 2), method, dt=dt, dense_output=True, spectral_radius=1.0
        )
        assert found.sol is not None
        times = np.linspace(0.0, 2.0, 101)
        exact = np.exp(np.sin(times))
        errors.append(max(abs(found.sol(t)[0] - e) for t, e in zip(times, exact, strict=True)))
    assert math.log2(errors[0] / errors[1]) > min(order, ORDERS[method]) - 0.3


# ---- stabilised methods ----------------------------------------------------------------------


def heat(points: int) -> tuple[Any, float]:
    """u_t = u_xx with ends held at zero on the unit interval, and its spectral radius."""
    h = 1.0 / (points + 1)

    def f(t: float, u: np.ndarray) -> np.ndarray:
        padded = np.pad(u, 1)
        return (padded[2:] - 2 * u + padded[:-2]) / h**2

    return f, 4.0 / h**2


@pytest.mark.parametrize("method", ["rkl2", "rkg2"])
@pytest.mark.parametrize("given", [True, False])
def test_stabilised_methods_take_long_steps_with_a_radius_given_or_estimated(
    method: str, given: bool
) -> None:
    f, radius = heat(49)
    x = np.linspace(0, 1, 51)[1:-1]
    start = np.sin(np.pi * x) + np.sin(5 * np.pi * x)
    found = rl.integrate(
        f, start, (0, 0.2), method, [0.2], rtol=1e-4, atol=1e-6,
        spectral_radius=radius if given else None,
    )  # fmt: skip
    rate = radius * math.sin(np.pi / 100) ** 2
    assert found.success
    assert np.max(np.abs(found.y[-1] - math.exp(-0.2 * rate) * np.sin(np.pi * x))) < 1e-3
    explicit = rl.integrate(f, start, (0, 0.2), "rk4", [0.2], spectral_radius=radius)
    assert found.nfev < explicit.nfev / 2


def test_the_estimated_radius_bounds_the_true_one_without_waste() -> None:
    from riemann_lne.integrators.array_system import ArraySystem

    f, radius = heat(99)
    y = np.sin(np.linspace(0, 3, 99))
    system = ArraySystem(f, y, (99,), None)
    found = system.spectral_radius(0.0, y)
    assert radius < found < 1.3 * radius
    count = system.nfev
    assert system.spectral_radius(0.0, y) == found
    assert system.nfev == count  # kept for the state
    assert system.limiting_radius(0.0, y) == found


def one_step(method: Any, f: Any, radius: float, dt: float, start: np.ndarray) -> np.ndarray:
    return np.asarray(
        rl.integrate(f, start, (0, dt), method, [dt], dt=dt, spectral_radius=radius).y[-1]
    )


@pytest.mark.parametrize("stages", [3, 5, 7, 9, 15, 21])
def test_rkg2_is_monotone_at_held_ends_where_rkl2_is_not(stages: int) -> None:
    """The matrix of one step, for the heat equation with ends at zero, at the largest stable step.

    RKG2's has no negative entry: what is positive stays so. RKL2's has.
    """
    from riemann_lne.integrators import RKG2, RKL2

    f, radius = heat(31)
    lowest = {}
    for kind in (RKL2, RKG2):
        dt = kind.reach(stages) / radius
        columns = [one_step(kind(stages), f, radius, dt, e) for e in np.eye(31)]
        lowest[kind.__name__] = float(np.min(columns))
    assert lowest["RKG2"] > -1e-14
    assert lowest["RKL2"] < -1e-3


@pytest.mark.parametrize("kind", ["RKL2", "RKG2"])
def test_both_are_monotone_without_ends(kind: str) -> None:
    chosen: Any = getattr(rl.integrators, kind)

    def f(t: float, u: np.ndarray) -> np.ndarray:
        return np.roll(u, 1) + np.roll(u, -1) - 2 * u

    for stages in (3, 9, 15):
        unit = np.zeros(64)
        unit[0] = 1.0
        assert np.min(one_step(chosen(stages), f, 4.0, chosen.reach(stages) / 4.0, unit)) > -1e-14


@pytest.mark.parametrize("stages", [2, 3, 4, 5, 9, 21])
def test_rkg2_is_the_gegenbauer_polynomial_and_stable_on_its_interval(stages: int) -> None:
    """R(z) = 1 - b_s C_s(1) + b_s C_s^(3/2)(1 + w z), and |R| <= 1 for -z <= 2 / w."""
    from scipy.special import eval_gegenbauer

    from riemann_lne.integrators import RKG2

    s = stages
    w = 6 / ((s + 4) * (s - 1))
    b = 4 * (s - 1) * (s + 4) / (3 * s * (s + 1) * (s + 2) * (s + 3))
    for z in -np.linspace(0.0, 2 / w, 60):
        expected = 1 - b * (s + 1) * (s + 2) / 2 + b * eval_gegenbauer(s, 1.5, 1 + w * z)
        value = one_step(RKG2(s), lambda t, y, z=z: z * y, 1.0, 1.0, np.ones(1))[0]
        assert math.isclose(value, expected, abs_tol=1e-11)
        assert abs(value) <= 1 + 1e-12


def test_rkg2_takes_the_smallest_odd_stage_count_that_is_stable() -> None:
    from riemann_lne.integrators import RKG2

    for product in np.linspace(0.05, 300, 5001):
        s = RKG2.stage_count(float(product), 1.0)
        assert s % 2 == 1
        assert product <= RKG2.reach(s) * (1 + 1e-12)
        assert s == 3 or product > RKG2.reach(s - 2) * (1 - 1e-12)


# ---- arrays of any kind ----------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 3), (2, 1, 3, 2)])
@pytest.mark.parametrize("method", ["tsit5", "rkl2"])
def test_states_of_any_shape(shape: tuple[int, ...], method: str) -> None:
    seen = set()

    def f(t: float, y: np.ndarray) -> np.ndarray:
        seen.add(np.shape(y))
        return -y

    found = rl.integrate(f, np.ones(shape), (0, 1), method, [0.5, 1.0])
    assert found.y.shape == (2, *shape)
    assert seen == {shape}
    assert np.allclose(found.y[-1], math.exp(-1), rtol=1e-4)


@pytest.mark.parametrize("method", ORDERS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_array_library(backend: Any, method: str, dtype: str) -> None:
    start = backend.array([[1.0, 2.0], [0.5, -1.0]], dtype)
    found = rl.integrate(
        lambda t, y: -y + t, start, (0, 1), method, [0.3, 1.0], dt=0.05, spectral_radius=2.0
    )
    assert found.y.dtype == backend.dtype(dtype)
    values = backend.numpy(found.y)
    exact = (np.array([[1.0, 2.0], [0.5, -1.0]]) + 1) * math.exp(-1)
    assert np.allclose(values[-1], exact, rtol=1e-3 if method.startswith("rk") else 1e-4, atol=1e-6)


def test_numbers_lists_and_rates_as_lists_are_taken() -> None:
    assert rl.integrate(lambda t, y: 1.0, 2, (0, 1)).y[-1] == pytest.approx(3.0)
    found = rl.integrate(lambda t, y: [y[1], -y[0]], [0, 1], (0, math.pi / 2), rtol=1e-9)
    assert np.allclose(found.y[-1], [1, 0], atol=1e-7)


def test_a_rate_that_is_the_state_or_one_array_each_time_does_no_harm() -> None:
    kept, buffer = [], np.empty(2)

    def f(t: float, y: np.ndarray) -> np.ndarray:
        kept.append(y)
        return y

    before = rl.integrate(lambda t, y: 1.0 * y, [1.0, 2.0], (0, 1), "rk4", dt=0.1)

    def reused(t: float, y: np.ndarray) -> np.ndarray:
        return np.multiply(y, 1.0, out=buffer)

    for function in (f, reused):
        found = rl.integrate(function, [1.0, 2.0], (0, 1), "rk4", dt=0.1)
        assert np.array_equal(found.y, before.y)


# ---- events, ends ----------------------------------------------------------------------------


def test_events_are_located_and_end_the_integration() -> None:
    """A ball that is thrown up falls back after 2 v / g."""

    def ground(t: float, y: np.ndarray) -> float:
        return float(y[0])

    ground.terminal, ground.direction = True, -1  # type: ignore[attr-defined]

    def top(t: float, y: np.ndarray) -> float:
        return float(y[1])

    found = rl.integrate(
        lambda t, y: np.array([y[1], -9.81]), [0.0, 5.0], (0, 10), events=[ground, top]
    )
    assert found.status == 1
    assert "event ground" in found.message
    assert found.t[-1] == pytest.approx(10 / 9.81, rel=1e-6)
    assert found.t_events[1] == pytest.approx([5 / 9.81], rel=1e-6)
    assert found.y_events[1][0][0] == pytest.approx(25 / 2 / 9.81, rel=1e-6)


def test_a_solution_between_steps_ends_where_the_integration_did() -> None:
    def half(t: float, y: np.ndarray) -> float:
        return float(y[0]) - 0.5

    half.terminal = True  # type: ignore[attr-defined]
    found = rl.integrate(
        lambda t, y: -y, [1.0], (0, 2), events=[lambda t, y: 1.0, half], dense_output=True
    )
    assert found.success
    assert "event half ended" in found.message
    assert found.sol is not None
    assert found.sol(found.t[-1])[0] == pytest.approx(0.5, rel=1e-6)
    assert found.sol(0.0)[0] == 1.0
    for t in (-1e-9, found.t[-1] + 1e-9, 1.5):
        with pytest.raises(InvalidArgumentError, match="the solution is known on"):
            found.sol(t)


def test_an_event_that_never_had_a_sign_change_is_told() -> None:
    def far(t: float, y: np.ndarray) -> float:
        return float(y[0]) + 7.0

    assert "event far" in rl.integrate(lambda t, y: -y, [1.0], (0, 1), events=far).message


def test_steps_and_evaluations_are_counted() -> None:
    calls = []

    def f(t: float, y: np.ndarray) -> np.ndarray:
        calls.append(t)
        return np.array([y[1], 10.0 * (1 - y[0] ** 2) * y[1] - y[0]])  # van der Pol

    found = rl.integrate(f, [2.0, 0.0], (0, 15), rtol=1e-4)
    assert found.nfev == len(calls)
    assert found.n_accepted == len(found.t) - 1
    assert 0 < found.n_rejected < found.n_accepted
    # Times in between are read from the solution: no step is cut.
    times = [0.1 * k for k in range(150)]
    between = rl.integrate(f, [2.0, 0.0], (0, 15), t_eval=times, rtol=1e-4, dense_output=True)
    assert between.n_accepted == found.n_accepted
    cut = rl.integrate(f, [2.0, 0.0], (0, 15), t_eval=times, rtol=1e-4)
    assert cut.n_accepted > found.n_accepted


def test_steady_state_is_an_event_here_as_well() -> None:
    found = rl.integrate(lambda t, y: -y, [1.0], (0, 50), events=rl.events.SteadyState(1e-3))
    assert found.status == 1
    assert found.t[-1] == pytest.approx(math.log(1000), rel=1e-4)


def test_a_solution_that_ceases_to_exist_ends_with_what_was_computed() -> None:
    found = rl.integrate(lambda t, y: y**2, [1.0], (0, 2))
    assert (found.success, found.status) == (False, -1)
    assert found.t[-1] == pytest.approx(1.0, abs=1e-3)
    assert "cease to exist" in found.message
    equal = rl.integrate(lambda t, y: np.exp(y), [1.0], (0, 2), "rk4", dt=0.2)
    assert equal.status == -1
    assert "stopped being finite" in equal.message


@pytest.mark.parametrize("watched", [False, True])
def test_steps_that_shrink_without_a_rejection_end_where_they_are_lost_in_the_time(
    watched: bool,
) -> None:
    """The logarithm of a radius, r^2 = 1 - 2 t, held back by its stability limit up to the end."""
    events = [lambda t, y: float(y[0]) + 1e3] if watched else None
    found = rl.integrate(
        lambda t, y: -np.exp(-2 * y), np.zeros(1), (0, 1), "tsit5", rtol=0, atol=1e-6,
        events=events, spectral_radius=lambda t, y: 100 * float(np.exp(-2 * y[0])),
    )  # fmt: skip
    assert found.status == -1
    assert "does not change t = 0.5" in found.message
    assert np.all(np.diff(found.t) > 0)
    assert found.t[-1] == pytest.approx(0.5, abs=1e-4)
    assert len(found.t) < 2000


def test_valid_keeps_steps_within_what_may_be() -> None:
    """y' = -sqrt(y) reaches zero at t = 2."""

    def f(t: float, y: np.ndarray) -> np.ndarray:
        return -np.sqrt(y)

    found = rl.integrate(f, [1.0], (0, 3), valid=lambda y: bool(np.all(y > 0)))
    assert found.status == -1
    assert np.all(found.y > 0)
    assert found.t[-1] == pytest.approx(2.0, abs=1e-2)
    with pytest.raises(InvalidArgumentError, match=r"valid\(y0\) is false"):
        rl.integrate(f, [-1.0], (0, 3), valid=lambda y: bool(np.all(y > 0)))


def test_an_interrupt_leaves_what_was_computed() -> None:
    def f(t: float, y: np.ndarray) -> np.ndarray:
        if t > 0.5:
            raise KeyboardInterrupt
        return -y

    found = rl.integrate(f, [1.0], (0, 1), "rk4", [0.05, 1.0], dt=0.1)
    assert found.status == -2
    assert 0.3 < found.t[-1] <= 0.5
    assert np.allclose(found.y[:, 0], np.exp(-found.t), atol=1e-5)


def test_errors_of_the_right_hand_side_are_raised_with_the_time() -> None:
    def f(t: float, y: np.ndarray) -> np.ndarray:
        if t > 0.5:
            raise RuntimeError("mine")
        return -y

    with pytest.raises(RuntimeError, match="mine") as caught:
        rl.integrate(f, [1.0], (0, 1), "rk4", dt=0.1)
    assert "right-hand side at t = 0.55" in caught.value.__notes__[0]


def test_an_explicit_method_held_back_by_stability_says_what_to_take() -> None:
    f, radius = heat(39)
    x = np.linspace(0, 1, 41)[1:-1]
    found = rl.integrate(f, np.sin(np.pi * x), (0, 0.5), "bs32", spectral_radius=radius)
    assert "the problem is stiff" in found.message
    assert "'rkl2'" in found.message


# ---- own methods -----------------------------------------------------------------------------


class Ralston(OneStep):
    """Ralston's method of order 2, written as a user would."""

    name, order = "ralston", 2

    def step(self, system: Any, state: State, dt: float, estimate: bool) -> Step:
        k = system(state.t, state.y)
        l = system(state.t + 2 * dt / 3, state.y + 2 * dt / 3 * k)
        return Step(state.y + dt * (k / 4 + 3 * l / 4))


def test_a_method_is_taken_as_an_object_and_by_a_registered_name() -> None:
    before = known_methods()
    register_method("ralston of a test", Ralston)
    register_method("ralston of a test", Ralston)  # again: nothing happens
    assert known_methods() == (*before, "ralston of a test")
    one = ends(Ralston(), pendulum, [0.8, -0.3], 1.0, 0.05)
    two = ends("ralston of a test", pendulum, [0.8, -0.3], 1.0, 0.05)
    assert np.array_equal(one, two)
    heun = Tableau(((), (1.0,)), (0.5, 0.5), (0.0, 1.0), None, 2, 3, 2.0)
    register_method("heun of a test", lambda system, y: ExplicitRungeKutta("heun", heun))
    assert np.allclose(ends("heun of a test", pendulum, [0.8, -0.3], 1.0, 0.05), one, atol=1e-3)
    with pytest.raises(InvalidArgumentError, match="'rk4' is there already"):
        register_method("rk4", Ralston)


@pytest.mark.parametrize(
    ("name", "maker", "text"),
    [("", Ralston, "a text"), ("  ", Ralston, "a text"), (3, Ralston, "a text"),
     ("mine of a test", 3, "a function"), ("rkl2", Ralston, "is there already")],
)  # fmt: skip
def test_what_is_no_method_is_not_registered(name: Any, maker: Any, text: str) -> None:
    before = known_methods()
    with pytest.raises(InvalidArgumentError, match=text):
        register_method(name, maker)
    assert known_methods() == before


def test_what_a_registered_function_makes_must_be_a_method() -> None:
    register_method("nothing of a test", lambda system, y: Lacking())
    with pytest.raises(DTypeError, match="error_exponent is missing"):
        ends("nothing of a test", pendulum, [0.8, -0.3], 1.0, 0.05)


class Lacking:
    name, order, adaptive = "lacking", "2", False

    def step(self, system: Any, state: State, dt: float, estimate: bool) -> Step:
        raise AssertionError


def test_an_object_that_is_no_method_is_refused_with_what_is_missing() -> None:
    with pytest.raises(DTypeError) as caught:
        ends(Lacking(), pendulum, [0.8, -0.3], 1.0, 0.05)
    text = str(caught.value)
    for part in ("order is '2'", "error_exponent is missing", "recall is missing", "OneStep"):
        assert part in text
    code = text.split("A minimal right one:")[1]
    names: dict[str, Any] = {}
    exec("if True:\n" + code, names)
    found = ends(names["Midpoint"](), pendulum, [0.8, -0.3], 1.0, 0.05)
    assert np.allclose(found, ends("rk4", pendulum, [0.8, -0.3], 1.0, 0.05), atol=1e-3)
    with pytest.raises(DTypeError, match=r"is the class Ralston; give an object"):
        ends(Ralston, pendulum, [0.8, -0.3], 1.0, 0.05)


# ---- bad input -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"rhs": 3}, DTypeError, "rhs = 3"),
        ({"y0": [1.0, math.nan]}, NotFiniteError, "y0"),
        ({"y0": np.array([1, 2])}, DTypeError, "dtype int64"),
        ({"y0": np.array([1j])}, DTypeError, "complex"),
        ({"y0": "ab"}, DTypeError, "y0"),
        ({"y0": []}, ShapeError, "at least one entry"),
        ({"t_span": (1, 0)}, InvalidArgumentError, "integrate t -> -t"),
        ({"t_eval": [2.0]}, InvalidArgumentError, "t_eval"),
        ({"method": "rk45"}, UnknownNameError, "rk4"),
        ({"method": "etdrk4"}, InvalidArgumentError, "belongs to flows"),
        ({"method": "rk4"}, InvalidArgumentError, "give dt, or spectral_radius"),
        ({"dt": 0.0}, InvalidArgumentError, "dt = 0.0"),
        ({"rtol": 0, "atol": 0}, InvalidArgumentError, "cannot both be zero"),
        ({"spectral_radius": -1.0}, InvalidArgumentError, "spectral_radius"),
        (
            {"spectral_radius": lambda t, y: math.nan, "method": "rkl2"},
            NotFiniteError,
            "spectral_radius at t = 0",
        ),
        ({"events": 3}, DTypeError, r"function of \(t, y\)"),
        ({"dense_output": 1}, InvalidArgumentError, "dense_output"),
        ({"valid": 1}, DTypeError, "valid = 1"),
        ({"rhs": lambda t, y: y[:1]}, ShapeError, r"shape \(1,\); .*that of the state, \(2,\)"),
        ({"rhs": lambda t, y: None}, DTypeError, "is a NoneType"),
        ({"rhs": lambda t, y: 1j * y}, DTypeError, "complex128"),
        ({"max_steps": 0}, InvalidArgumentError, "max_steps"),
    ],
)
def test_bad_input_is_refused(options: dict[str, Any], error: Any, text: str) -> None:
    arguments: dict[str, Any] = {"rhs": lambda t, y: -y, "y0": [1.0, 2.0], "t_span": (0, 1)}
    with pytest.raises(error, match=text):
        rl.integrate(**(arguments | options))


def test_a_function_that_writes_to_the_state_is_told() -> None:
    def f(t: float, y: np.ndarray) -> np.ndarray:
        y *= -1
        return y

    with pytest.raises(ValueError, match="read-only"):
        rl.integrate(f, [1.0], (0, 1))


def test_the_start_is_not_written_to() -> None:
    start = np.ones(3)
    for method in ORDERS:
        found = rl.integrate(lambda t, y: -y, start, (0, 1), method, dt=0.1, spectral_radius=1.0)
        assert np.array_equal(start, np.ones(3))
        assert not np.shares_memory(found.y, start)
        assert np.allclose(found.y[:, 0], np.exp(-found.t), atol=2e-3)
