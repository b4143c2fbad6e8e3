"""Objects and numbers as a stranger brings them: taken, or refused in the kit's own words."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, find, given, settings
from hypothesis import strategies as st

import riemann_lne as rl
import riemann_lne.testing as kit
from riemann_lne.errors import CheckFailedError, InvalidArgumentError, RiemannLNEError
from riemann_lne.testing.recipes import as_code, with_imports

TORUS = rl.Grid.torus((12, 12))
FLAT = rl.flat_metric(TORUS)
FLOW = rl.RicciDeTurckFlow()
MINE = rl.MetricField.from_function(TORUS, lambda x, y: [[2 + np.cos(y), 0.1], [0.1, 1.0]])


def same(one: Any, other: Any) -> bool:
    if isinstance(one, rl.MetricField):
        fits = one.grid == other.grid and one.packed.dtype == other.packed.dtype
        return fits and bool(np.all(np.asarray(one.packed) == np.asarray(other.packed)))
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=True)
    if isinstance(one, kit.DrawnSolution):
        return one.t == other.t and repr(one.solution) == repr(other.solution)
    return bool(one == other)


@pytest.mark.parametrize(
    "strategy",
    [
        kit.perturbations(MINE, 0.1),
        kit.perturbations(rl.MetricField.from_function(TORUS, lambda x, y: [[2, 0.5], [0.5, 1]])),
        kit.perturbations(rl.flat_metric(TORUS, dtype=np.float32), 0.1),
        kit.near_euclidean_metrics(2),
        kit.exact_solutions(),
        kit.diffeomorphisms(TORUS),
        kit.grids(),
        kit.weight_tensors((4, 3), dtype="float32"),
        kit.gradients((5,)),
        st.just(np.array([np.nan, -np.inf, 1.0])),
    ],
    ids=lambda strategy: repr(strategy)[:20],
)
def test_examples_print_as_code_that_makes_them(strategy: Any) -> None:
    @settings(max_examples=4)
    @given(strategy)
    def pasted(example: Any) -> None:
        recipe = getattr(example, "recipe", None)
        script = with_imports(f"example = {as_code(example)}") if recipe is None else recipe.script
        names: dict[str, Any] = {}
        exec(script, names)
        assert same(example, names["example"]), script

    pasted()


def test_a_script_leaves_a_line_for_what_has_no_text() -> None:
    fine = rl.MetricField.from_function(
        rl.Grid.torus((24, 24)), lambda x, y: [[2 + np.cos(y), 0], [0, 1]]
    )
    own = kit.Kind(
        "own", lambda g, height: height * g.components, lambda g: {"height": kit.Reals(0, 1)}
    )
    norm = lambda g, b: float(np.abs(g.packed - b.packed).max())  # noqa: E731
    recipe = kit.random_perturbation(fine, own, 0.1, norm).recipe
    lines = recipe.script.splitlines()
    for name in ("background", "kind", "norm"):
        assert any(line.startswith(f"{name} = ...  # as given") for line in lines), recipe.script
    assert lines[-1].startswith("example = riemann_lne.testing.perturbed(background=background, ")
    compile(recipe.script, "pasted", "exec")


def test_numbers_of_numpy_are_taken_as_numbers() -> None:
    size = np.float32(0.1)
    result = kit.check_stability(
        np.int64(2), FLOW, size, until=np.float64(2.0), draws=np.int64(12), seed=np.int64(3)
    )
    assert result.evaluations >= 12
    kit.check_stability(FLAT, FLOW, np.array(0.1), until=2.0, draws=2, kinds="diagonal")
    assert kit.perturbation_size(FLAT, FLAT, ("ck", np.int64(1))) == 0.0
    x = find(kit.weight_vectors(np.int64(3), np.float32(0.5)), lambda x: True)
    assert np.sum(np.tanh(x) ** 2) == pytest.approx(0.5)
    assert find(kit.spd_matrices(np.int64(2)), lambda a: True).shape == (2, 2)
    with pytest.raises(InvalidArgumentError, match="background = True"):
        kit.perturbations(True, 0.1)


def test_assume_leaves_examples_out_of_a_search() -> None:
    def property(x: Any) -> float:
        assume(np.abs(x).sum() > 0.5)
        return float(np.abs(x).sum()) - 0.9

    found = kit.find_counterexample(property, kit.weight_tensors((2,), 0.4), local=200)
    assert found is not None
    assert np.abs(found.example).sum() > 0.9
    with pytest.raises(InvalidArgumentError, match="draws no example"):
        kit.find_counterexample(lambda x: assume(False), st.booleans(), max_examples=5)

    def smooth(g: Any) -> float:
        assume(g.recipe.arguments["kind"] != "rough")
        return -1.0

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = kit.find_counterexample(smooth, kit.perturbations(FLAT), max_examples=60, local=30)
    assert found is None


def test_a_search_in_a_test_with_the_profile_of_the_kit_is_no_failed_health_check() -> None:
    kit.register_profiles()
    profile = settings.get_profile("riemann-lne-quick")
    assert HealthCheck.nested_given in profile.suppress_health_check

    @settings(profile, max_examples=2)
    @given(st.integers(1, 3))
    def searches(n: int) -> None:
        assert kit.find_counterexample(lambda x: x > n, st.integers(0, 9), local=0) is not None

    searches()


class Raising:
    parabolic = False

    def rhs(self, t: float, packed: Any, grid: Any, order: Any) -> Any:
        if np.ptp(packed[0]) > 0:
            raise ZeroDivisionError("of the flow")
        return 0 * packed

    def spectral_radius(self, packed: Any, grid: Any, order: Any) -> float:
        return 1.0


def test_a_flow_that_breaks_off_is_a_finding_and_one_that_is_none_is_refused() -> None:
    with pytest.raises(CheckFailedError, match=r"rhs in 2-D: broke off with ZeroDivisionError: of"):
        kit.check_flow(Raising(), dimensions=2)
    with pytest.raises(InvalidArgumentError, match=r"(?s)refuses the start.*ZeroDivisionError"):
        kit.check_stability(FLAT, Raising(), until=1.0, expect="bounded", draws=12)


def test_right_flows_pass_at_every_order() -> None:
    for order in (2, 6, 8):
        checks = ["exact", "radius"]
        assert kit.check_flow(
            FLOW, solves="ricci-deturck", dimensions=2, order=order, checks=checks
        )


def not_finite(g: Any, flow: Any, span: Any, dt: float) -> Any:
    return rl.MetricField.from_packed(g.grid, np.nan * g.packed, check=False)


def test_an_integrator_that_returns_no_numbers_fails() -> None:
    with pytest.raises(CheckFailedError, match="order: largest error: inf"):
        kit.check_integrator(not_finite, 2, checks="order")


def only_at_points(x: Any, y: Any) -> Any:
    """Knows the points of one grid alone."""
    known = {12: np.cos(x)}
    return [[2 + known[len(x)], 0.1], [0.1, 1.0]]


def broken(*values: Any, **named: Any) -> Any:
    raise ZeroDivisionError("oh")


KIND = kit.Kind("mine", broken, lambda background: {"height": kit.Reals(-1, 1)})
SOLVE = rl.LNEMetric(1.0).solve


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: kit.check_flow(rl.RicciFlow), "flow object"),
        (lambda: kit.check_flow(kit.RotationalEvolution()), "rhs is missing"),
        (lambda: kit.check_flow(FLOW, dimensions=5), "dimensions = 5"),
        (lambda: kit.check_flow(FLOW, order="fourier"), "order = 'fourier'"),
        (lambda: kit.check_flow(FLOW, checks=3), "checks = 3"),
        (lambda: kit.check_integrator(broken, 2), "integrator broke off with ZeroDiv"),
        (lambda: kit.check_integrator(lambda g: g, 2), "integrator broke off with TypeError"),
        (lambda: kit.check_integrator(lambda *a: MINE, 2), "returned a metric on Grid"),
        (lambda: kit.check_integrator("rk4", "4"), "order = '4'"),
        (lambda: kit.check_integrator("rk4", 4, steps=0.1), "steps = 0.1"),
        (lambda: kit.check_corrector(broken), r"solve\(x, v\) broke off"),
        (lambda: kit.check_corrector(3), "solve = 3"),
        (lambda: kit.check_corrector(SOLVE, lambda x: np.eye(9)), "metric.x. returned the shape"),
        (lambda: kit.check_corrector(SOLVE, lambda x: "a"), "the result of metric"),
        (lambda: kit.check_corrector(SOLVE, lambda x: 0 * np.outer(x, x)), "singular at n = 1"),
        (lambda: kit.check_corrector(lambda x, v: x.astype(str)), "the result of solve"),
        (lambda: kit.check_corrector(SOLVE, sizes=()), "at least one"),
        (lambda: kit.check_corrector(SOLVE, norm2="a"), "norm2 = 'a'"),
        (lambda: kit.check_metric(broken, TORUS), "broke off with ZeroDivisionError"),
        (lambda: kit.check_metric(lambda x: [[x]], TORUS), "function of 2 coordinates"),
        (lambda: kit.check_metric(only_at_points, TORUS), "only_at_points.* broke off with Key"),
        (lambda: kit.check_metric(broken, (24, 24)), "grid = .24, 24."),
        (lambda: kit.check_metric(FLAT, rl.Grid.torus((4, 4))), "leave grid out"),
        (lambda: kit.random_perturbation(FLAT, KIND, 0.1), "kind 'mine' with height=.*broke off"),
        (lambda: kit.Kind("mine", broken, {"height": 1}), "parameters = "),
        (lambda: kit.perturbations(FLAT, 0.1, broken), "norm.*broke off with ZeroDivisionError"),
        (lambda: kit.perturbation_size(1.0, FLAT), "metric = 1.0"),
        (lambda: kit.relative_eigenvalues(FLAT, 1.0), "background = 1.0"),
        (lambda: kit.applicable_kinds(1.0), "background = 1.0"),
        (lambda: kit.random_perturbation(1.0, "rough", 0.1), "background = 1.0"),
        (lambda: kit.random_perturbation(FLAT, "rough", 0.1, seed="a"), "seed = 'a'"),
        (lambda: kit.perturbed_sphere(24, 0.1, 3), "spheres = 3"),
        (lambda: kit.Diffeomorphism(TORUS, ((1,),), (0.0,), (1.0,)), "give 2 each"),
        (lambda: kit.grids("a"), "min_dim = 'a'"),
        (lambda: kit.grids(max_points=0.5), "max_points = 0.5"),
        (lambda: kit.spd_matrices("a"), "n = 'a'"),
        (lambda: kit.spd_matrices(2, "a"), "min_eigenvalue = 'a'"),
        (lambda: kit.weight_vectors(2.5), "n = 2.5"),
        (lambda: kit.weight_vectors(2, "a"), "norm2 = 'a'"),
        (lambda: kit.weight_vectors(2, 0.5, "a"), "tau = 'a'"),
        (lambda: kit.stability_radius(FLAT, FLOW, until=4.0, direction=[]), "at least one kind"),
        (lambda: kit.stability_radius(FLAT, FLOW, until=4.0, direction=3), "kinds = 3"),
        (lambda: kit.stability_radius(FLAT, FLOW, until=4.0, direction=st.nothing()), "draws no"),
        (lambda: kit.stability_radius(FLAT, FLOW, until=4.0, largest="big"), "largest = 'big'"),
        (lambda: kit.stability_radius(FLAT, FLOW, until=4.0, directions=1.5), "directions = 1.5"),
        (lambda: kit.check_stability(FLAT, FLOW, until=1.0, expect=broken), "expectation broke"),
        (lambda: kit.find_counterexample(bool, st.integers().map(broken)), "strategy.*broke off"),
        (lambda: kit.Reals("a", 1), "low = 'a'"),
        (lambda: kit.Whole(0.5, 2), "low = 0.5"),
        (lambda: kit.Choice(()), "values = "),
        (lambda: kit.diffeomorphisms(3), "grid = 3"),
        (lambda: kit.weight_tensors((-1, 3)), r"shape\[0\] = -1"),
        (lambda: kit.weight_tensors((3,), kinds=[]), "at least one"),
        (lambda: kit.weight_tensors((3,), dtype="int8"), "unknown dtype 'int8'"),
        (lambda: kit.weight_tensors((3,), scale="1"), "scale = '1'"),
        (lambda: kit.gradients((3,), largest=-1), "largest = -1"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_told_in_the_terms_of_the_kit(call: Any, says: str) -> None:
    with pytest.raises(RiemannLNEError, match=rf"(?s){says}"):
        call()


def test_a_time_too_short_for_any_decay_is_no_radius_of_zero() -> None:
    """Every perturbation fails, however small: the expectation is at fault."""
    with pytest.raises(InvalidArgumentError, match=r"perturbations of every size.*longer time"):
        kit.stability_radius(
            FLAT, FLOW, until=0.1, largest=0.1, directions=1, direction="one_directional"
        )
    assert math.isinf(
        kit.stability_radius(
            FLAT, FLOW, until=3.0, largest=0.1, directions=1, direction="one_directional"
        ).fails_from
    )


CONE = {"waves": ((1, 0), (0, 1)), "shifts": (0.0, 0.0), "heights": (0.1, 0.1)}
WAVE = {"axis": 0, "waves": 1, "phase": 0.0, "entries": (1.0, 0.0, 0.0)}
DOORS: list[tuple[Any, dict[str, Any]]] = [
    (kit.perturbations, {"background": 2, "size": 0.1, "norm": "sup", "fixed_size": False}),
    (kit.rotational_spheres, {"size": 0.1, "n": 2, "points": 24, "modes": 2, "fixed_size": False}),
    (kit.dumbbells, {"min_neck": 0.1, "max_neck": 0.3, "tilt": 0.1, "points": 40}),
    (kit.conformal_metrics, {"surface": rl.conformal.Sphere(6), "size": 1, "fixed_size": False}),
    (kit.near_euclidean_metrics, {"where": 2, "amplitude": 0.1, "modes": 1}),
    (kit.grids, {"min_dim": 1, "max_dim": 2, "kind": "mixed", "min_points": 4}),
    (kit.weight_tensors, {"shape": (2, 2), "scale": 1.0, "kinds": ("tied",), "dtype": "float64"}),
    (kit.exact_solutions, {"solves": "ricci", "n": 2}),
    (kit.perturbed, {"background": FLAT, "kind": "one_directional", "size": 0.1, **WAVE}),
    (kit.random_perturbation, {"background": FLAT, "kind": "rough", "size": 0.1, "seed": 0}),
    (kit.perturbation_size, {"metric": FLAT, "background": FLAT, "norm": "sup"}),
    (kit.check_metric, {"metric": FLAT, "checks": ["scaling"], "grid": TORUS}),
    (kit.check_flow, {"flow": FLOW, "solves": None, "dimensions": 2, "checks": "rhs"}),
    (kit.Diffeomorphism, {"grid": TORUS, **CONE}),
    (kit.TrainingLimits, {"condition": 1e4, "loss": 1.0}),
    (
        kit.judge_stability,
        {"start": FLAT, "background": FLAT, "flow": FLOW, "until": 0.1, "norm": "l2",
         "expect": "exists", "limit": "mean", "growth": 1.0},
    ),
]  # fmt: skip


JUNK = {"object": object(), "array": np.zeros((2, 3)), "list": [None], "text": "a", "nan": math.nan}


@pytest.mark.parametrize(("door", "right"), DOORS, ids=[door.__name__ for door, _ in DOORS])
@pytest.mark.parametrize("junk", JUNK.values(), ids=JUNK)
def test_junk_in_any_argument_is_told(door: Any, right: dict[str, Any], junk: Any) -> None:
    door(**right)
    for name in right:
        with pytest.raises(RiemannLNEError):
            door(**{**right, name: junk})
