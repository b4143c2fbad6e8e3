"""Curvature of metrics that are not definite: Schwarzschild, Kerr, FLRW, Gowdy; what is refused."""

import numpy as np
import pytest

import riemann_lne as rl
from riemann_lne import curvature
from riemann_lne.errors import (
    GridTooSmallError,
    InvalidArgumentError,
    NotPositiveDefiniteError,
    ShapeError,
    UnknownNameError,
)


def diagonal(*entries):
    """Rows of a diagonal metric."""
    return [[e if i == j else 0.0 for j in range(len(entries))] for i, e in enumerate(entries)]


def kerr_schild(mass, spin):
    """Kerr's metric in Kerr and Schild's coordinates (t, x, y, z): eta + 2 H l l."""

    def metric(t, x, y, z):
        r = boyer_lindquist_r(spin, x, y, z)
        H = mass * r**3 / (r**4 + spin**2 * z**2)
        covector = [
            1.0 + 0 * x,
            (r * x + spin * y) / (r**2 + spin**2),
            (r * y - spin * x) / (r**2 + spin**2),
            z / r,
        ]
        eta = (-1.0, 1.0, 1.0, 1.0)
        return [
            [2 * H * a * b + (eta[i] if i == j else 0.0) for j, b in enumerate(covector)]
            for i, a in enumerate(covector)
        ]

    return metric


def boyer_lindquist_r(spin, x, y, z):
    square = x**2 + y**2 + z**2 - spin**2
    return np.sqrt(0.5 * (square + np.sqrt(square**2 + 4 * spin**2 * z**2)))


def kerr_kretschmann(mass, spin, r, cos):
    """48 M^2 (r^2 - c^2) ((r^2 + c^2)^2 - 16 r^2 c^2) / (r^2 + c^2)^6, c = a cos(theta)."""
    c2 = (spin * cos) ** 2
    r2 = r**2
    return 48 * mass**2 * (r2 - c2) * ((r2 + c2) ** 2 - 16 * r2 * c2) / (r2 + c2) ** 6


def kerr_error(points, order):
    """Relative errors of Kretschmann's scalar away from the horizon: the largest, and all."""
    mass, spin = 1.0, 0.6
    grid = rl.Grid(
        (3, points, points, points), (0.0, 5.0, -1.0, 2.0), (1.0, 7.0, 1.0, 4.0),
        (True, False, False, False),
    )  # fmt: skip
    g = rl.MetricField.from_function(grid, kerr_schild(mass, spin), signature="lorentzian")
    _, x, y, z = grid.coordinates()
    r = boyer_lindquist_r(spin, x, y, z)
    exact = kerr_kretschmann(mass, spin, r, z / r)
    error = np.abs(g.kretschmann(order) / exact - 1)
    return float(error.max()), error


def test_kerr_converges():
    errors = [kerr_error(points, 4)[0] for points in (12, 18)]
    # One-sided differences at the faces of the cube: the order of the scheme, not more.
    assert np.log(errors[0] / errors[1]) / np.log(17 / 11) > 3.5
    assert errors[1] < 2e-4


def kerr_boyer_lindquist(mass, spin):
    """Kerr's metric in (t, r, theta, phi)."""

    def metric(t, r, theta, phi):
        sin2, zero = np.sin(theta) ** 2, 0 * r
        sigma, delta = r**2 + (spin * np.cos(theta)) ** 2, r**2 - 2 * mass * r + spin**2
        drag = 2 * mass * r / sigma
        around = (r**2 + spin**2 + drag * spin**2 * sin2) * sin2
        return [
            [drag - 1, zero, zero, -drag * spin * sin2],
            [zero, sigma / delta, zero, zero],
            [zero, zero, sigma, zero],
            [-drag * spin * sin2, zero, zero, around],
        ]

    return metric


def equatorial_errors(spin, inner, outer, points=24):
    """Relative errors of Kretschmann's scalar for inner < r < outer, half a radian either side of

    the equator, (points, points); and the grid's metric.
    """
    low, high = np.pi / 2 - 0.5, np.pi / 2 + 0.5
    grid = rl.Grid((3, points, points, 3), (0.0, inner, low, 0.0), (1.0, outer, high, 2 * np.pi),
                   (True, False, False, True))  # fmt: skip
    g = rl.MetricField.from_function(grid, kerr_boyer_lindquist(1.0, spin), signature="lorentzian")
    _, r, theta, _ = grid.coordinates()
    exact = kerr_kretschmann(1.0, spin, r, np.cos(theta))
    return np.abs(g.kretschmann(8) / exact - 1)[0, :, :, 0], g


@pytest.mark.slow
@pytest.mark.parametrize("spin", [0.0, 0.3, 0.6, 0.9, 0.99])
def test_kerr_to_1e_8_at_order_8(spin):
    """From the innermost stable orbit of a = 0 on, r = 6 M, where the grid resolves M / r."""
    error, g = equatorial_errors(spin, 6.0, 8.0)
    assert error.max() < 1e-8
    assert np.max(np.abs(g.ricci(8))) < 1e-8


@pytest.mark.slow
def test_one_sided_differences_at_the_faces_are_what_limits_kerr():
    """On ranges that are too long for 24 points the error is at the faces; inside it is not."""
    for inner, outer in ((4, 6), (5, 8), (6, 10), (8, 12)):
        for spin in (0.0, 0.9):
            error = equatorial_errors(spin, inner, outer)[0]
            assert error[4:-4, 4:-4].max() < 1e-9
            assert error.max() > 20 * error[4:-4, 4:-4].max()
    coarse, fine = (equatorial_errors(0.9, 5, 8, points)[0].max() for points in (16, 24))
    # Second derivatives by one-sided differences of one-sided differences lose one order.
    assert np.log(coarse / fine) / np.log(23 / 15) == pytest.approx(7, abs=0.4)


@pytest.mark.slow
def test_kerr_in_cartesian_coordinates_is_exact_inside_of_the_cube():
    """At its faces three extrapolations enlarge rounding to 1e-7; four points inside none does."""
    _, error = kerr_error(24, 8)
    assert error[:, 4:-4, 4:-4, 4:-4].max() < 1e-10
    assert error.max() < 3e-7


def schwarzschild(points=20, order=8):
    grid = rl.Grid.box((0, 4.0, 1.0, 0), (1, 6.0, 2.0, 1), (3, points, points, 3))
    grid = rl.Grid(grid.shape, grid.lower, grid.upper, (True, False, False, True))
    g = rl.MetricField.from_function(
        grid,
        lambda t, r, a, b: diagonal(-(1 - 2 / r), 1 / (1 - 2 / r), r**2, (r * np.sin(a)) ** 2),
        signature="lorentzian",
    )
    return grid, g


def test_schwarzschild():
    grid, g = schwarzschild()
    r = grid.coordinates()[1]
    assert np.max(np.abs(g.ricci(8))) < 2e-6
    np.testing.assert_allclose(g.kretschmann(8), 48 / r**6, rtol=1e-6)
    # A vacuum: the Weyl tensor is the whole of Riemann's.
    lowered = np.einsum("lp...,pijk...->lijk...", g.components, g.riemann(8))
    np.testing.assert_allclose(g.weyl(8), lowered, atol=1e-5)
    np.testing.assert_allclose(g.volume_element(), r**2 * np.sin(grid.coordinates()[2]), rtol=1e-12)


def test_friedmann_universe():
    """a(t) = t^(2/3): R = 6 (a'' / a + (a' / a)^2), Ric_tt = -3 a'' / a, conformally flat."""
    grid = rl.Grid((24, 3, 3, 3), (1.0, 0.0, 0.0, 0.0), (2.0, 1.0, 1.0, 1.0),
                   (False, True, True, True))  # fmt: skip
    g = rl.MetricField.from_function(
        grid, lambda t, *x: diagonal(-1.0, *(t ** (4 / 3),) * 3), signature="lorentzian"
    )
    t = grid.coordinates()[0]
    np.testing.assert_allclose(g.scalar_curvature(8), 6 * (-2 / 9 + 4 / 9) / t**2, rtol=1e-7)
    np.testing.assert_allclose(g.ricci(8)[0, 0], 3 * 2 / 9 / t**2, rtol=1e-7)
    np.testing.assert_allclose(g.einstein(8)[0, 0], 3 * (2 / 3 / t) ** 2, rtol=1e-7)
    np.testing.assert_allclose(
        g.kretschmann(8), 12 * ((2 / 9) ** 2 + (4 / 9) ** 2) / t**4, rtol=1e-7
    )
    assert np.max(np.abs(g.weyl(8))) < 1e-7


def test_gowdy_is_a_vacuum_that_depends_on_time_and_space():
    """P = J_0(t) cos(x), unpolarised part zero; lambda from its two first-order equations."""
    from scipy.special import j0, j1

    def metric(t, x, y, z):
        P = j0(t) * np.cos(x)
        # lambda_t = t (P_t^2 + P_x^2), lambda_x = 2 t P_t P_x
        lam = 0.5 * t**2 * (j0(t) ** 2 + j1(t) ** 2) - t * j0(t) * j1(t) * np.cos(x) ** 2
        block = np.exp(lam / 2) / np.sqrt(t)
        return diagonal(-block, block, t * np.exp(P), t * np.exp(-P))

    def largest_ricci(points):
        grid = rl.Grid((points, points, 3, 3), (1.0, 0.0, 0.0, 0.0), (1.5, 2 * np.pi, 1.0, 1.0),
                       (False, True, True, True))  # fmt: skip
        g = rl.MetricField.from_function(grid, metric, signature="lorentzian")
        assert np.max(np.abs(g.riemann(6))) > 0.5
        return np.max(np.abs(g.ricci(6)))

    coarse, fine = largest_ricci(16), largest_ricci(24)
    assert fine < 1e-3
    assert np.log(coarse / fine) / np.log(24 / 16) > 5.5


def test_identities_hold_in_every_signature():
    """The metric is parallel; nabla of a gradient is symmetric; a trace of Weyl's tensor is 0."""
    grid, g = schwarzschild(12)
    assert np.max(np.abs(g.covariant_derivative(g.components, "dd", 8))) < 1e-9
    assert np.max(np.abs(g.covariant_derivative(g.inverse(), "uu", 8))) < 1e-4
    r, a = grid.coordinates()[1:3]
    slope = np.stack([0 * r, np.sin(a), r * np.cos(a), 0 * r])  # of r sin(a)
    np.testing.assert_allclose(g.covariant_derivative(r * np.sin(a), "", 8), slope, atol=1e-5)
    hessian = g.covariant_derivative(slope, "d", 8)
    np.testing.assert_allclose(hessian, np.swapaxes(hessian, 0, 1), atol=1e-5)
    # The trace is the Laplacian in spherical symmetry; with an index up it is a divergence.
    raised = np.einsum("ij...,j...->i...", g.inverse(), slope)
    divergence = np.einsum("aa...->...", g.covariant_derivative(raised, "u", 8))
    trace = np.einsum("ij...,ij...->...", g.inverse(), hessian)
    np.testing.assert_allclose(divergence, trace, atol=1e-4)
    weyl = g.weyl(8)
    assert np.max(np.abs(np.einsum("il...,lijk...->jk...", g.inverse(), weyl))) < 1e-10


def test_the_weyl_tensor_is_conformal_and_kretschmann_the_square_of_riemann():
    grid = rl.Grid.torus((8, 8, 8))
    g = rl.perturbed_euclidean(grid, 0.2, seed=3, modes=1)
    assert np.max(np.abs(g.weyl("fourier"))) < 1e-10  # three dimensions
    up = g.inverse()
    lowered = np.einsum("lp...,pijk...->lijk...", g.components, g.riemann("fourier"))
    square = np.einsum(
        "lijk...,abcd...,la...,ib...,jc...,kd...->...", lowered, lowered, up, up, up, up,
        optimize=True,
    )  # fmt: skip
    np.testing.assert_allclose(g.kretschmann("fourier"), square, rtol=1e-10, atol=1e-12)


def test_what_is_refused():
    grid = rl.Grid.torus((8, 8))
    wrong = np.stack([np.stack([np.ones((8, 8)), np.zeros((8, 8))]),
                      np.stack([np.zeros((8, 8)), -np.ones((8, 8))])])  # fmt: skip
    with pytest.raises(NotPositiveDefiniteError, match="smallest eigenvalue -1"):
        rl.MetricField(grid, wrong)
    g = rl.MetricField(grid, wrong, signature="lorentzian")
    assert g.signature == (1, 1)
    assert g == rl.MetricField(grid, wrong, (1, 1))
    assert "signature (1, 1)" in repr(g)
    for signature in ((2, 0), "riemannian"):
        with pytest.raises(NotPositiveDefiniteError):
            rl.MetricField(grid, wrong, signature)
    with pytest.raises(NotPositiveDefiniteError, match=r"eigenvalues are 1, 1"):
        rl.MetricField(grid, np.abs(wrong), "lorentzian")
    with pytest.raises(UnknownNameError):
        rl.MetricField(grid, wrong, "minkowski")
    for signature in ((1, 2), (1,), 3, (0.5, 1.5)):
        with pytest.raises(InvalidArgumentError):
            rl.MetricField(grid, wrong, signature)
    flat = rl.flat_metric(grid)
    for call in (
        lambda: rl.solve_flow(g, rl.RicciDeTurckFlow(), (0, 1)),
        lambda: rl.RicciDeTurckFlow(g),
        lambda: rl.volume(g),
        lambda: g.l2_distance(flat),
        lambda: flat.l2_distance(g),
        lambda: rl.sup_norm(wrong, g),
        lambda: g.mean(),
    ):
        with pytest.raises(NotPositiveDefiniteError, match="Riemannian"):
            call()
    with pytest.raises(InvalidArgumentError, match="3 and more"):
        g.weyl()
    for indices in ("x", "uuddu", 3):
        with pytest.raises(InvalidArgumentError, match="indices"):
            curvature.covariant_derivative(flat.components, flat.components, grid, indices)
    with pytest.raises(ShapeError):
        flat.covariant_derivative(flat.components, "d")


def test_thin_axes_are_for_fields_that_do_not_change_along_them():
    grid = rl.Grid.torus((3, 16))
    still = rl.MetricField.from_function(grid, lambda x, y: diagonal(1 + 0 * x, 2 + np.sin(y)))
    assert np.max(np.abs(still.scalar_curvature(8))) < 1e-12
    moving = rl.MetricField.from_function(grid, lambda x, y: diagonal(2 + np.sin(x), 1 + 0 * x))
    with pytest.raises(GridTooSmallError):
        moving.scalar_curvature(8)
