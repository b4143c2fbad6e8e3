"""An independent reference geometry for the core's tests."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest
import sympy as sp

from riemann_lne import Grid


class Jet:
    """Value, first and second derivatives of symbolic entries at the points of a grid.

    The derivatives are SymPy's, so that nothing here knows about differences or transforms.
    Arrays have the shape of the entries with the derivative indices in front, and the grid's axes
    flattened into one last axis.
    """

    def __init__(
        self, entries: np.ndarray, symbols: Sequence[sp.Symbol], points: Sequence[np.ndarray]
    ) -> None:
        flat = [np.ravel(x) for x in points]
        n = len(symbols)

        def numeric(expressions: np.ndarray) -> np.ndarray:
            f = sp.lambdify(symbols, list(expressions.ravel()), modules="numpy")
            values = [np.broadcast_to(v, flat[0].shape) for v in f(*flat)]
            return np.array(values, dtype=float).reshape(*expressions.shape, -1)

        def derivative(expressions: np.ndarray) -> np.ndarray:
            return np.array(
                [[sp.diff(e, s) for e in expressions.ravel()] for s in symbols], dtype=object
            ).reshape(n, *expressions.shape)

        first = derivative(entries)
        self.value = numeric(entries)
        self.d = numeric(first)
        # derivative(first)[b, a] is d_b d_a: symmetric, so the order does not matter.
        self.dd = numeric(derivative(first))


class Geometry:
    """Textbook formulas, evaluated from the definition with the product rule and numpy.linalg.

    Nothing is simplified or reordered as the library does: R^l_ijk comes from derivatives of the
    Christoffel symbols. Index order as in the library, grid axes flattened into one last axis.
    """

    def __init__(
        self, metric: np.ndarray, symbols: Sequence[sp.Symbol], points: Sequence[np.ndarray]
    ) -> None:
        self.symbols, self.points = symbols, points
        self.shape = np.shape(points[0])
        jet = Jet(metric, symbols, points)
        self.g, self.dg, self.ddg = jet.value, jet.d, jet.dd
        e = np.einsum
        self.inv = np.moveaxis(np.linalg.inv(np.moveaxis(self.g, -1, 0)), 0, -1)
        self.det = np.linalg.det(np.moveaxis(self.g, -1, 0))
        self.dinv = -e("kax,iabx,bqx->ikqx", self.inv, self.dg, self.inv)
        low = 0.5 * (e("ipjx->pijx", self.dg) + e("jpix->pijx", self.dg) - e("pijx->pijx", self.dg))
        dlow = 0.5 * (
            e("aipjx->apijx", self.ddg) + e("ajpix->apijx", self.ddg) - e("apijx->apijx", self.ddg)
        )
        self.gamma = e("kpx,pijx->kijx", self.inv, low)
        self.dgamma = e("akpx,pijx->akijx", self.dinv, low) + e("kpx,apijx->akijx", self.inv, dlow)
        self.riemann = (
            e("iljkx->lijkx", self.dgamma)
            - e("jlikx->lijkx", self.dgamma)
            + e("pjkx,lipx->lijkx", self.gamma, self.gamma)
            - e("pikx,ljpx->lijkx", self.gamma, self.gamma)
        )
        self.lowered = e("lpx,pijkx->lijkx", self.g, self.riemann)
        self.ricci = e("iijkx->jkx", self.riemann)
        self.scalar = e("jkx,jkx->x", self.inv, self.ricci)
        self.einstein = self.ricci - 0.5 * self.scalar * self.g

    def on_grid(self, values: np.ndarray) -> np.ndarray:
        """Values with the grid's axes restored."""
        return values.reshape(*values.shape[:-1], *self.shape)

    def jet(self, entries: np.ndarray) -> Jet:
        """Jet of other symbolic entries at the same points."""
        return Jet(np.asarray(entries, dtype=object), self.symbols, self.points)

    def lie(self, v: np.ndarray, dv: np.ndarray) -> np.ndarray:
        """(L_V g)_ij from V^k and d_i V^k."""
        return (
            np.einsum("kx,kijx->ijx", v, self.dg)
            + np.einsum("kjx,ikx->ijx", self.g, dv)
            + np.einsum("ikx,jkx->ijx", self.g, dv)
        )

    def deturck(self, background: Geometry | None) -> tuple[np.ndarray, np.ndarray]:
        """W^k = g^pq (Gamma - Gammabar)^k_pq and d_i W^k."""
        gap, dgap = self.gamma, self.dgamma
        if background is not None:
            gap, dgap = gap - background.gamma, dgap - background.dgamma
        w = np.einsum("pqx,kpqx->kx", self.inv, gap)
        dw = np.einsum("ipqx,kpqx->ikx", self.dinv, gap)
        return w, dw + np.einsum("pqx,ikpqx->ikx", self.inv, dgap)

    def laplacian(self, f: np.ndarray) -> np.ndarray:
        """g^ab (d_a d_b f - Gamma^k_ab d_k f) of a symbolic function."""
        jet = self.jet(f)
        return np.einsum("abx,abx->x", self.inv, jet.dd) - np.einsum(
            "abx,kabx,kx->x", self.inv, self.gamma, jet.d
        )

    def lichnerowicz(self, h: np.ndarray) -> np.ndarray:
        """Delta_L h of a symbolic symmetric tensor, by two covariant derivatives."""
        e, jet = np.einsum, self.jet(h)
        G, dG = self.gamma, self.dgamma
        t = jet.d - e("pbix,pjx->bijx", G, jet.value) - e("pbjx,ipx->bijx", G, jet.value)
        dt = (
            jet.dd
            - e("apbix,pjx->abijx", dG, jet.value)
            - e("pbix,apjx->abijx", G, jet.d)
            - e("apbjx,ipx->abijx", dG, jet.value)
            - e("pbjx,aipx->abijx", G, jet.d)
        )
        nabla = (
            dt
            - e("pabx,pijx->abijx", G, t)
            - e("paix,bpjx->abijx", G, t)
            - e("pajx,bipx->abijx", G, t)
        )
        up = e("pax,qbx,abx->pqx", self.inv, self.inv, jet.value)
        mixed = e("pax,ajx->pjx", self.inv, jet.value)
        turn = e("ipx,pjx->ijx", self.ricci, mixed)
        # With these slots the contraction of p, q with g^pq gives R_ij: positive on spheres.
        return (
            e("abx,abijx->ijx", self.inv, nabla)
            + 2 * e("pqijx,pqx->ijx", self.lowered, up)
            - turn
            - e("ijx->jix", turn)
        )


def coordinates(n: int) -> tuple[sp.Symbol, ...]:
    return sp.symbols("x y z w", real=True)[:n]


def trigonometric(
    n: int, count: int, seed: int, lengths: Sequence[float], size: float
) -> np.ndarray:
    """Random trigonometric polynomials with wave numbers |m_a| <= 1, as SymPy expressions.

    On any grid of at least 3 points a side their Fourier derivatives are exact.
    """
    rng = np.random.default_rng(seed)
    symbols = coordinates(n)
    result = []
    for _ in range(count):
        terms: sp.Expr = sp.Integer(0)
        for _ in range(3):
            m = rng.integers(-1, 2, size=n)
            phase = sum(
                (
                    int(k) * 2 * sp.pi / sp.Rational(str(length)) * s
                    for k, s, length in zip(m, symbols, lengths, strict=True)
                ),
                sp.Rational(int(rng.integers(0, 60)), 10),
            )
            terms += sp.Rational(int(rng.integers(-9, 10)), 10) * sp.cos(phase)
        result.append(size * terms)
    return np.array(result, dtype=object)


def polynomial(n: int, count: int, seed: int, degree: int, size: float) -> np.ndarray:
    """Random polynomials of a total degree, as SymPy expressions: exact for differences."""
    rng = np.random.default_rng(seed)
    symbols = coordinates(n)
    result = []
    for _ in range(count):
        expression: sp.Expr = sp.Integer(0)
        for _ in range(5):
            powers = rng.multinomial(int(rng.integers(1, degree + 1)), [1 / n] * n)
            factor = sp.Rational(int(rng.integers(-9, 10)), 10)
            for s, p in zip(symbols, powers, strict=True):
                factor *= s ** int(p)
            expression += factor
        result.append(size * expression)
    return np.array(result, dtype=object)


def symmetric(n: int, entries: np.ndarray, identity: float = 0.0) -> np.ndarray:
    """Symmetric object matrix from n (n + 1) / 2 expressions, plus a multiple of the identity."""
    matrix = np.empty((n, n), dtype=object)
    index = iter(entries)
    for i in range(n):
        for j in range(i, n):
            matrix[i, j] = matrix[j, i] = next(index) + (identity if i == j else 0)
    return matrix


def exact_case(n: int, kind: str) -> SimpleNamespace:
    """A grid with unequal sides and sizes, an order, and data on it that the order treats exactly.

    ``kind`` is "fourier", an even order (polynomials on a box, closures included).
    """
    m = n * (n + 1) // 2
    if kind == "fourier":
        lengths = (6.0, 5.0, 7.0, 4.0)[:n]
        grid = Grid.torus((5, 4, 6, 5)[:n], lengths, origin=0.3)
        order: int | str = "fourier"

        def make(count: int, seed: int, size: float) -> np.ndarray:
            return trigonometric(n, count, seed, lengths, size)
    else:
        order = int(kind)
        # Mixed kinds of axes are not exact for polynomials; boxes are, ends included.
        points = (order + 2, order + 3, order + 2, order + 2)[:n]
        grid = Grid.box((-0.4, -0.6, -0.5, -0.3)[:n], (0.5, 0.4, 0.6, 0.5)[:n], points)

        def make(count: int, seed: int, size: float) -> np.ndarray:
            return polynomial(n, count, seed, order, size)

    symbols, points_ = coordinates(n), grid.coordinates()
    metric = symmetric(n, make(m, 1, 0.08), 1.0)
    background = symmetric(n, make(m, 2, 0.06), 1.2)
    case = SimpleNamespace(n=n, grid=grid, order=order, symbols=symbols, metric=metric)
    # Rounding, amplified by 1 / h^2 and, on boxes, by the extrapolation to the ghost points.
    case.noise = 1e-9 if order == 8 else 1e-11
    case.geometry = Geometry(metric, symbols, points_)
    case.background = Geometry(background, symbols, points_)
    case.g = case.geometry.on_grid(case.geometry.g)
    case.gbar = case.background.on_grid(case.background.g)
    case.h_symbolic = symmetric(n, make(m, 3, 0.5))
    case.vector_symbolic = make(n, 4, 0.5)
    case.scalar_symbolic = make(1, 5, 0.5)[0]
    return case


EXACT_CASES = (
    (2, "fourier"),
    (2, "2"),
    (2, "4"),
    (2, "8"),
    (3, "fourier"),
    (3, "4"),
    (4, "fourier"),
)


@pytest.fixture(scope="session", params=EXACT_CASES, ids=lambda p: f"{p[0]}d-{p[1]}")
def exact(request: pytest.FixtureRequest) -> SimpleNamespace:
    """Data on which the discrete operators are exact, with the reference geometry at hand."""
    return exact_case(*request.param)


@pytest.fixture(scope="session")
def geometry_of() -> type[Geometry]:
    """The reference geometry, to be built from (metric, symbols, points)."""
    return Geometry
