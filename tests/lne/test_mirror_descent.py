"""Bregman projections against SciPy's optimisers, and mirror descent against its bound."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import LinearConstraint, minimize

from riemann_lne.errors import ConvergenceError, InvalidArgumentError, NotFiniteError, ShapeError
from riemann_lne.lne import (
    AffineSet,
    Box,
    EuclideanPotential,
    LNEPotential,
    NegativeEntropy,
    Simplex,
    mirror_descent,
    mirror_descent_bound,
)

POTENTIALS = [LNEPotential(0.7), LNEPotential(3.0), EuclideanPotential(), NegativeEntropy()]
seeds = st.integers(0, 2**32 - 1)


def sample(potential, rng, shape):
    y = rng.standard_normal(shape)
    return np.abs(y) + 0.05 if isinstance(potential, NegativeEntropy) else y


# SciPy 1.13 says that a step of its own left the bounds, and goes on at the bound.
LEFT = "ignore:Values in x were outside bounds:RuntimeWarning"


def by_scipy(potential, y, start, bounds=None, matrix=None, rhs=None):
    found = minimize(
        lambda z: float(potential.divergence(z, y)),
        start,
        jac=lambda z: (
            potential.gradient_difference(np.maximum(z, 1e-300), y)
            if isinstance(potential, NegativeEntropy)
            else potential.gradient_difference(z, y)
        ),
        bounds=bounds,
        constraints=[] if matrix is None else LinearConstraint(matrix, rhs, rhs),
        method="SLSQP",
        options={"ftol": 1e-15, "maxiter": 500},
    )
    return found.x


@pytest.mark.filterwarnings(LEFT)
@pytest.mark.parametrize("potential", POTENTIALS, ids=repr)
@pytest.mark.parametrize("seed", range(4))
def test_projection_onto_the_simplex(potential, seed):
    rng = np.random.default_rng(seed)
    y = sample(potential, rng, 5)
    z = Simplex(1.5).project(potential, y)
    assert np.all(z >= 0.0)
    assert np.sum(z) == pytest.approx(1.5, rel=1e-14, abs=0.0)
    expected = by_scipy(potential, y, np.full(5, 0.3), [(0.0, None)] * 5, np.ones((1, 5)), 1.5)
    np.testing.assert_allclose(z, expected, atol=2e-6)
    best = potential.divergence(expected / expected.sum() * 1.5, y)
    assert potential.divergence(z, y) <= best * (1.0 + 1e-12)


@pytest.mark.parametrize("potential", POTENTIALS, ids=repr)
@given(seed=seeds)
def test_optimality_on_the_simplex(potential, seed):
    """phi'(z) - phi'(y) is one number where z > 0 and larger where z = 0."""
    rng = np.random.default_rng(seed)
    y = sample(potential, rng, (3, 8)) * 10.0 ** rng.uniform(-2, 0.5)
    z = Simplex().project(potential, y)
    for row, start in zip(z, y, strict=True):
        positive = row > 0.0
        nu = potential.gradient_difference(row[positive], start[positive])
        assert np.ptp(nu) < 1e-11 * max(1.0, np.max(np.abs(nu)))
        if not np.all(positive):
            zero = potential.gradient_difference(row[~positive], start[~positive])
            assert np.min(zero) >= np.max(nu) - 1e-11
    np.testing.assert_allclose(Simplex().project(potential, z + 1e-300), z, atol=1e-13)


def test_the_entropy_projects_onto_the_simplex_by_dividing():
    y = np.abs(np.random.default_rng(0).standard_normal((4, 9)))
    z = Simplex().project(NegativeEntropy(), y)
    np.testing.assert_allclose(z, y / y.sum(axis=-1, keepdims=True), rtol=1e-13)


def test_saturated_weights_are_told_apart():
    """tanh is 1 for all of these in double precision; the projection still orders them."""
    y = np.asarray([20.0, 30.0, 40.0])
    z = Simplex(100.0).project(LNEPotential(1.0), y)
    assert np.sum(z) == pytest.approx(100.0, rel=1e-14, abs=0.0)
    assert z[0] < z[1] < z[2]
    with np.errstate(all="ignore"):
        assert np.all(np.tanh(y) == 1.0)


def test_simplex_of_a_million_weights():
    y = np.random.default_rng(0).standard_normal(1_000_000)
    z = Simplex().project(LNEPotential(0.5), y)
    assert np.sum(z) == pytest.approx(1.0, rel=1e-12, abs=0.0)


@pytest.mark.filterwarnings(LEFT)
@pytest.mark.parametrize("potential", POTENTIALS, ids=repr)
def test_projection_onto_a_box(potential):
    y = sample(potential, np.random.default_rng(1), 6)
    z = Box(0.2, 0.6).project(potential, y)
    expected = by_scipy(potential, y, np.full(6, 0.4), [(0.2, 0.6)] * 6)
    np.testing.assert_allclose(z, expected, atol=1e-6)
    np.testing.assert_array_equal(z, np.clip(y, 0.2, 0.6))


@pytest.mark.filterwarnings(LEFT)
@pytest.mark.parametrize("potential", POTENTIALS, ids=repr)
@pytest.mark.parametrize("rows", [1, 3])
def test_projection_onto_an_affine_set(potential, rows):
    rng = np.random.default_rng(rows)
    y, inside = 0.5 * sample(potential, rng, (2, 6))
    matrix = rng.standard_normal((rows, 6))
    rhs = matrix @ inside
    z = AffineSet(matrix, rhs).project(potential, y)
    np.testing.assert_allclose(matrix @ z, rhs, atol=1e-12)
    bounds = [(1e-9, None)] * 6 if isinstance(potential, NegativeEntropy) else None
    expected = by_scipy(potential, y, inside, bounds, matrix, rhs)
    np.testing.assert_allclose(z, expected, atol=3e-5)
    assert potential.divergence(z, y) <= potential.divergence(expected, y) + 1e-9
    # the difference in dual coordinates is a combination of the rows
    nu = potential.gradient_difference(z, y)
    rest = nu - matrix.T @ np.linalg.lstsq(matrix.T, nu, rcond=None)[0]
    assert np.max(np.abs(rest)) < 1e-10 * max(1.0, np.max(np.abs(nu)))


def test_a_projection_that_saturates_is_an_error():
    """Reached only with one weight at tau z = 66, where the potential is flat to rounding."""
    rng = np.random.default_rng(1)
    y, inside = rng.standard_normal((2, 6))
    matrix = rng.standard_normal((1, 6))
    with pytest.raises(ConvergenceError, match="smaller tau"):
        AffineSet(matrix, matrix @ inside).project(LNEPotential(3.0), y)


def test_affine_batches_and_pythagoras():
    rng = np.random.default_rng(4)
    potential, y = LNEPotential(0.8), rng.standard_normal((7, 5))
    matrix = rng.standard_normal((2, 5))
    plane = AffineSet(matrix, np.zeros(2))
    z = plane.project(potential, y)
    assert np.all(plane.contains(z, 1e-11))
    for row, start in zip(z, y, strict=True):
        np.testing.assert_allclose(plane.project(potential, start), row, atol=1e-12)
    other = plane.project(potential, rng.standard_normal((7, 5)))
    np.testing.assert_allclose(
        potential.divergence(other, y),
        potential.divergence(other, z) + potential.divergence(z, y),
        rtol=1e-9,
    )


def test_projections_on_every_library(backend):
    y = np.random.default_rng(2).standard_normal((3, 5))
    phi = LNEPotential(0.9)
    sets = [
        (Simplex(), Simplex()),
        (Box(-0.5, 0.5), Box(-0.5, 0.5)),
        (
            AffineSet(np.ones((1, 5)), np.asarray([1.0])),
            AffineSet(backend(np.ones((1, 5))), backend(np.asarray([1.0]))),
        ),
    ]
    for host, there in sets:
        result = there.project(phi, backend(y))
        assert type(result) is type(backend(y))
        np.testing.assert_allclose(np.asarray(result), host.project(phi, y), rtol=1e-11, atol=1e-12)
        single = np.asarray(host.project(phi, y.astype(np.float32)))
        assert single.dtype == np.float32
        np.testing.assert_allclose(single, host.project(phi, y), atol=2e-5)


# --- mirror descent ---


def problem(seed, n=12):
    """A convex, Lipschitz function with a kink, and its smallest value on the simplex."""
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((20, n))
    goal = rng.dirichlet(np.ones(n))
    b = a @ goal

    def objective(x):
        return np.mean(np.abs(a @ x - b))

    def gradient(x):
        return a.T @ np.sign(a @ x - b) / 20

    return objective, gradient, goal


@pytest.mark.parametrize("potential", POTENTIALS, ids=repr)
@pytest.mark.parametrize("seed", range(3))
def test_the_bound_holds_with_the_true_modulus(potential, seed):
    objective, gradient, goal = problem(seed)
    start = np.full(12, 1 / 12)
    for step_size in (0.003, 0.03, 0.3):
        run = mirror_descent(
            gradient, start, potential=potential, steps=150, step_size=step_size,
            constraint=Simplex(), objective=objective,
        )  # fmt: skip
        bound = run.bound(goal)
        assert objective(run.average) <= bound.run
        assert bound.run >= bound.theorem_12 * (1 - 1e-12)


@pytest.mark.parametrize("potential", POTENTIALS, ids=repr)
def test_the_step_of_the_theorem_gives_its_bound(potential):
    objective, gradient, goal = problem(7)
    start = np.full(12, 1 / 12)
    trial = mirror_descent(
        gradient, start, potential=potential, steps=200, step_size=0.01, constraint=Simplex()
    ).bound(goal)
    step = np.sqrt(trial.squared_radius) / trial.lipschitz * np.sqrt(2 * trial.modulus / 200)
    run = mirror_descent(
        gradient, start, potential=potential, steps=200, step_size=step, constraint=Simplex()
    )
    gap = objective(run.average)
    assert gap <= run.bound(goal).run
    assert gap < objective(start)


def test_the_bound_can_fail_with_a_modulus_that_is_too_large():
    """What the bound is worth: with modulus 1 everywhere it is broken by a run far out."""
    phi, tau_x = LNEPotential(1.0), 6.0
    start, minimizer = np.asarray([tau_x]), np.asarray([0.0])
    run = mirror_descent(
        lambda x: np.sign(x), start, potential=phi, steps=1, step_size=1.5,
    )  # fmt: skip
    bound = run.bound(minimizer)
    gap = abs(float(run.average[0]))
    assert gap <= bound.run
    claimed = bound.squared_radius / 1.5 + 1.5 / 2
    assert gap > claimed
    assert bound.modulus == pytest.approx(1 / np.cosh(6.0) ** 2, rel=1e-12, abs=0.0)


def test_euclidean_mirror_descent_is_gradient_descent():
    a = np.diag([1.0, 2.0, 5.0])
    x = np.asarray([1.0, -1.0, 0.5])
    run = mirror_descent(lambda z: a @ z, x, potential=EuclideanPotential(), steps=7, step_size=0.1)
    for _ in range(7):
        x = x - 0.1 * a @ x
    np.testing.assert_allclose(run.x, x, rtol=1e-13)


def test_one_step_is_the_argument_of_the_minimum():
    rng = np.random.default_rng(1)
    phi, x, shift = LNEPotential(1.2), rng.dirichlet(np.ones(4)), 0.2 * rng.standard_normal(4)
    z = Simplex().step(phi, x, shift)
    found = minimize(
        lambda w: float(shift @ w + phi.divergence(w, x)), x, bounds=[(0, None)] * 4,
        constraints=LinearConstraint(np.ones((1, 4)), 1.0, 1.0), method="SLSQP",
        options={"ftol": 1e-15},
    )  # fmt: skip
    np.testing.assert_allclose(z, found.x, atol=1e-6)
    matrix = rng.standard_normal((2, 4))
    plane = AffineSet(matrix, matrix @ x).step(phi, x, shift)
    assert np.max(np.abs(plane - x)) > 1e-2
    np.testing.assert_allclose(matrix @ plane, matrix @ x, atol=1e-12)
    left = shift + phi.gradient_difference(plane, x)
    rest = left - matrix.T @ np.linalg.lstsq(matrix.T, left, rcond=None)[0]
    assert np.max(np.abs(rest)) < 1e-12
    box = Box(0.0, 0.4).step(phi, x, shift)
    free = phi.inverse_gradient(phi.gradient(x) - shift)
    np.testing.assert_allclose(box, np.clip(free, 0.0, 0.4), rtol=1e-12)


def test_radius_of_the_simplex():
    for n in (2, 50):
        assert Simplex().squared_radius(EuclideanPotential(), n) == pytest.approx((1 - 1 / n) / 2)
        assert Simplex().squared_radius(NegativeEntropy(), n) == pytest.approx(np.log(n))
        expected = np.log(np.cosh(2.0)) / 4 - n * np.log(np.cosh(2.0 / n)) / 4
        assert Simplex().squared_radius(LNEPotential(2.0), n) == pytest.approx(expected)


def test_mirror_descent_on_torch(torch):
    _, gradient, _ = problem(0)
    start = np.full(12, 1 / 12)
    phi = LNEPotential(1.0)
    options = {"potential": phi, "steps": 20, "step_size": 0.1, "constraint": Simplex()}
    host = mirror_descent(gradient, start, **options)
    there = mirror_descent(
        lambda x: torch.asarray(gradient(x.numpy())), torch.asarray(start), **options
    )
    np.testing.assert_allclose(there.average.numpy(), host.average, rtol=1e-12)


def test_bad_input():
    phi, x = LNEPotential(1.0), np.full(3, 1 / 3)
    options = {"potential": phi, "steps": 5, "step_size": 0.1}
    for bad, words in (
        ({"steps": 0}, "steps must be at least 1"),
        ({"step_size": 0.0}, "steps must be at least 1"),
        ({"step_size": np.nan}, "step_size = nan; give a finite number"),
    ):
        with pytest.raises(InvalidArgumentError, match=words):
            mirror_descent(lambda z: z, x, **(options | bad))
    with pytest.raises(InvalidArgumentError, match="does not lie in the constraint set Simplex"):
        mirror_descent(lambda z: z, 2 * x, constraint=Simplex(), **options)
    with pytest.raises(InvalidArgumentError, match=r"range of the mirror map at index \(0,\)"):
        mirror_descent(lambda z: 100 * z, x, **options)
    with pytest.raises(NotFiniteError, match="gradient"):
        mirror_descent(lambda z: z * np.nan, x, **options)
    with pytest.raises(ShapeError):
        mirror_descent(lambda z: np.ones(2), x, **options)
    with pytest.raises(InvalidArgumentError, match="total"):
        Simplex(0.0)
    with pytest.raises(InvalidArgumentError, match="lower must be below"):
        Box(1.0, 1.0)
    with pytest.raises(InvalidArgumentError, match="have rank 1"):
        AffineSet(np.ones((2, 3)), np.ones(2))
    with pytest.raises(ShapeError, match=r"expected \(m, n\)"):
        AffineSet(np.ones((2, 3)), np.ones(3))
    with pytest.raises(ShapeError, match="the set needs 3 dimensions"):
        AffineSet(np.ones((1, 3)), np.ones(1)).project(phi, np.ones(4))
    with pytest.raises(InvalidArgumentError, match="modulus greater than 0"):
        mirror_descent_bound(1.0, 1.0, 0.0, 3)
    with pytest.raises(NotFiniteError):
        Simplex().project(phi, np.asarray([np.nan, 1.0]))
