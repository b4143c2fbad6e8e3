"""Spherical harmonics and Fourier modes on closed surfaces: bases, projections, refusals."""

import numpy as np
import pytest
import scipy

from riemann_lne import Grid
from riemann_lne.conformal import Sphere, Torus
from riemann_lne.errors import (
    DTypeError,
    GridTooSmallError,
    InvalidArgumentError,
    NotFiniteError,
    NotPositiveDefiniteError,
    NotSymmetricError,
    ShapeError,
)


def drawn(lmax, seed=0):
    """Random coefficients of all degrees up to lmax, (2, l, m)."""
    c = np.random.default_rng(seed).standard_normal((2, lmax + 1, lmax + 1))
    c *= np.tril(np.ones((lmax + 1, lmax + 1)))
    c[1, :, 0] = 0
    return c


@pytest.mark.parametrize("lmax", [2, 5, 40])
def test_coefficients_survive_the_way_to_values_and_back(lmax):
    sphere, c = Sphere(lmax), drawn(lmax)
    values = sphere.synthesis(c[None])[0]
    np.testing.assert_allclose(sphere.analysis(values), c, atol=1e-12)
    assert sphere.mean(values**2) == pytest.approx((c**2).sum(), rel=1e-13)


def test_the_harmonics_are_those_of_scipy():
    sphere = Sphere(9)
    x, y, z = sphere.coordinates
    for degree, m in ((0, 0), (3, 0), (4, 1), (9, 9), (7, 5)):
        c = np.zeros((2, 10, 10))
        c[0, degree, m] = 1.0
        theirs = scipy.special.sph_harm_y(degree, m, np.arccos(z), np.arctan2(y, x))
        scale = np.sqrt(4 * np.pi) * (-1) ** m * (np.sqrt(2) if m else 1)
        np.testing.assert_allclose(sphere.synthesis(c[None])[0], scale * theirs.real, atol=1e-12)
        if m:
            sine = sphere.synthesis(c[None, ::-1])[0]
            np.testing.assert_allclose(sine, scale * theirs.imag, atol=1e-12)


@pytest.mark.parametrize("surface", [Sphere(10), Torus(Grid.torus((24, 21)))], ids=repr)
def test_products_are_projected_without_aliasing(surface):
    """That of two functions of the basis on a surface three times as fine, cut to the basis."""
    rng = np.random.default_rng(1)
    f, g = (surface.synthesis(surface.analysis(rng.standard_normal(surface.shape))[None])[0]
            for _ in range(2))  # fmt: skip
    found = surface.analysis(f * g)
    if isinstance(surface, Sphere):
        fine = Sphere(30)
        c = [np.zeros((2, 31, 31)) for _ in range(2)]
        for values, there in zip((f, g), c, strict=True):
            there[:, :11, :11] = surface.analysis(values)
        product = np.prod(fine.synthesis(np.stack(c)), axis=0)
        expected = fine.analysis(product)[:, :11, :11]
    else:
        x, y = Grid.torus((48, 42)).coordinates()  # holds all products exactly
        fine = [np.zeros((48, 42), dtype=complex) for _ in range(2)]
        for values, there in zip((f, g), fine, strict=True):
            hat = np.fft.fft2(values) / values.size
            for a in range(-7, 8):
                for b in range(-6, 7):
                    there += hat[a, b] * np.exp(1j * (a * x + b * y))
        hat = np.fft.rfft2((fine[0] * fine[1]).real) / (48 * 42)
        hat = np.concatenate([hat[:12], hat[-12:]])[:, :11] * surface._mask * surface._scale
        expected = np.stack([hat.real, hat.imag])
    np.testing.assert_allclose(found, expected, atol=1e-11)


def test_the_laplacian_of_the_sphere():
    sphere = Sphere(8)
    x, y, z = sphere.coordinates
    for f, eigenvalue in ((z, -2), (x * y, -6), (x * y * z, -12)):
        found = sphere.synthesis((sphere.laplacian * sphere.analysis(f))[None])[0]
        np.testing.assert_allclose(found, eigenvalue * f, atol=1e-12)


def test_the_laplacian_and_the_means_of_a_torus():
    torus = Torus(Grid.torus((18, 24), (2.0, 3.0), (0.5, -1.0)), [[2.0, 0.5], [0.5, 1.0]])
    x, y = torus.coordinates
    k = np.array([2 * 2 * np.pi / 2, -3 * 2 * np.pi / 3])
    f = np.sin(k[0] * x + k[1] * y + 0.3)
    c = torus.analysis(f)
    found = torus.synthesis((torus.laplacian * c)[None])[0]
    np.testing.assert_allclose(found, -k @ np.linalg.inv(torus.flat) @ k * f, rtol=0, atol=1e-10)
    assert (c**2).sum() == pytest.approx(torus.mean(f * f), rel=1e-13) == 0.5
    assert torus.area == pytest.approx(6 * np.sqrt(1.75))


def test_the_class_of_a_torus_does_not_depend_on_the_basis_of_its_lattice():
    grid = Grid.torus((12, 12))
    flat = np.array([[1.3, 0.37], [0.37, 0.8]])
    tau = Torus(grid, flat).tau
    for change in ([[1, 3], [0, 1]], [[0, -1], [1, 0]], [[2, 1], [1, 1]]):
        m = np.array(change)
        assert Torus(grid, m.T @ flat @ m).tau == pytest.approx(tau, abs=1e-12)
    assert Torus(grid, 5 * flat).tau == pytest.approx(tau, abs=1e-12)
    assert Torus(Grid.torus((12, 12), (1.0, 2.0))).tau == pytest.approx(2j)
    assert Torus(grid, [[1, -0.5], [-0.5, 1]]).tau == pytest.approx(0.5 + 0.75**0.5 * 1j)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: Sphere(1), InvalidArgumentError, "lmax = 1"),
        (lambda: Sphere(1000), InvalidArgumentError, "up to 400"),
        (lambda: Sphere("a"), InvalidArgumentError, "lmax"),
        (lambda: Torus(8), DTypeError, "give a Grid"),
        (lambda: Torus(Grid.torus((8, 8, 8))), InvalidArgumentError, "two periodic axes"),
        (lambda: Torus(Grid.box(0, 1, (8, 8))), InvalidArgumentError, "two periodic axes"),
        (lambda: Torus(Grid.torus((8, 7))), GridTooSmallError, "at least 8"),
        (lambda: Torus(Grid.torus(8), 1.0), InvalidArgumentError, "two periodic axes"),
        (lambda: Torus(Grid.torus((8, 8)), 1.0), ShapeError, r"\(2, 2\)"),
        (lambda: Torus(Grid.torus((8, 8)), [[1, 0.5], [0, 1]]), NotSymmetricError, "symmetric"),
        (lambda: Torus(Grid.torus((8, 8)), [[1, 2], [2, 1]]), NotPositiveDefiniteError, "-1"),
        (lambda: Torus(Grid.torus((8, 8)), [[1, 0], [0, np.nan]]), NotFiniteError, "finite"),
    ],
)
def test_surfaces_that_are_none(make, error, words):
    with pytest.raises(error, match=words):
        make()
