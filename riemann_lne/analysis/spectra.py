"""Spectrum of the Lichnerowicz Laplacian."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..arrays import Array, device, like, namespace, to_numpy
from ..checks import count
from ..coefficients import Order
from ..curvature import lichnerowicz_tensor
from ..errors import InvalidArgumentError, RiemannLNEError
from ..flows.laplacian import mean_laplacian_symbol
from ..jets import MetricJet
from ..metrics import MetricField, of_metric
from ..stencils import LocalField, evaluate
from ..tensors import metric_dimension, packed_size, pairs

_SOLVER_TOLERANCE = 1e-10
_CHANGE = 1e-9
_MAX_BLOCKS = 40


class SpectrumError(RiemannLNEError, RuntimeError):
    """The eigenvalue iteration did not converge."""


@of_metric
def lichnerowicz_spectrum(metric: MetricField, k: int = 10, order: Order = "fourier") -> np.ndarray:
    """The k eigenvalues of the Lichnerowicz Laplacian with the largest real parts, on a torus.

    Delta_L h_ij = g^ab nabla_a nabla_b h_ij + 2 R_ipjq h^pq - R_ip h^p_j - R_jp h^p_i on symmetric
    tensors. A metric is linearly stable if the spectrum lies in (-inf, 0] (Def. 29 of the paper).
    Found on a block Krylov space of the shifted inverse, whose systems are solved by GMRES
    preconditioned with the Laplacian of the mean metric, in Fourier space. Degenerate eigenvalues
    are given as often as they occur.

    Parameters
    ----------
    metric : MetricField
        On a torus.
    k : int
        How many.
    order : int or "fourier"
        Of the derivatives.

    Returns
    -------
    ndarray, (k,)
        Real eigenvalues in 1 / length^2, largest first (imaginary parts are those of the
        discretisation and are dropped).

    Raises
    ------
    InvalidArgumentError
        If the grid is not a torus or k is too large for it.
    SpectrumError
        If the iteration does not converge.

    Examples
    --------
    >>> from riemann_lne import Grid, flat_metric
    >>> values = lichnerowicz_spectrum(flat_metric(Grid.torus((8, 8))), k=4)
    >>> bool(np.allclose(values, [0, 0, 0, -1]))
    True
    """
    grid, n = metric.grid, metric_dimension(metric.grid)
    grid.require_torus("the spectrum")
    grid.require_whole("the spectrum")
    size = packed_size(n) * grid.size
    k = count(k, "k")
    if not 1 <= k <= size // 4:
        raise InvalidArgumentError(f"k = {k}; between 1 and {size // 4} on this grid")
    shape = (packed_size(n), *grid.shape)
    operator = _PointwiseCoefficients(metric, order)

    def apply(flat: np.ndarray) -> np.ndarray:
        h = like(np.ascontiguousarray(flat.reshape(shape)), metric.packed)
        return to_numpy(operator(h)).reshape(-1).astype(float)

    # A shift of the size of the first gap: close to the eigenvalues wanted, safely above them.
    shift = float(min(2 * np.pi / length for length in grid.lengths) ** 2)
    symbol = mean_laplacian_symbol(metric.packed, grid, order)
    axes = tuple(range(1, n + 1))

    def precondition(flat: np.ndarray) -> np.ndarray:
        hat = np.fft.rfftn(flat.reshape(shape), axes=axes) / (shift - symbol)
        return np.fft.irfftn(hat, s=grid.shape, axes=axes).reshape(-1)

    def solve(flat: np.ndarray) -> np.ndarray:
        """(shift - Delta_L)^(-1) of a tensor field, flattened."""
        flat = np.asarray(flat, dtype=float).reshape(-1)
        from scipy.sparse.linalg import LinearOperator, gmres

        shifted = LinearOperator((size, size), matvec=lambda v: shift * v - apply(v), dtype=float)
        inverse = LinearOperator((size, size), matvec=precondition, dtype=float)
        solution, failed = gmres(
            shifted, flat, rtol=_SOLVER_TOLERANCE, atol=0.0, restart=60, maxiter=20, M=inverse
        )
        if failed:
            raise SpectrumError(
                "GMRES did not converge: the metric is too far from a constant one for the "
                "preconditioner; refine the grid or take a smaller perturbation"
            )
        return solution

    return _largest_by_block_krylov(apply, solve, size, k)


class _PointwiseCoefficients:
    """Delta_L of one metric as K0 h + K1^a d_a h + g^ab d_a d_b h, with K0 and K1 computed once.

    The iteration applies the operator of the same metric many hundred times. The coefficients are
    the formula's own values at tensors of which one number of the jet is 1 and all others are 0.
    """

    def __init__(self, metric: MetricField, order: Order) -> None:
        self._grid, self._order = metric.grid, order
        self._n = n = metric_dimension(metric.grid)
        count, numbers = packed_size(n), packed_size(n) * (n + 1)

        def formula(local: LocalField) -> list[Array]:
            jet = MetricJet(local, n)
            images = lichnerowicz_tensor(jet, _UnitJets(local.value(), n))
            lower = [image[j, ...] for image in images for j in range(numbers)]
            return [*lower, *((1.0 + (a != b)) * jet.inverse[a, b] for a, b in pairs(n))]

        flat = evaluate(
            formula, (metric.packed,), self._grid, order, count * (numbers + 1), tensor=False
        )
        xp, shape = namespace(flat), metric.grid.shape
        self._lower = xp.reshape(flat[: count * numbers, ...], (count, numbers, *shape))
        self._upper = flat[count * numbers :, ...]

    def __call__(self, h: Array) -> Array:
        """Delta_L of a packed tensor field."""
        n, count = self._n, packed_size(self._n)

        def formula(local: LocalField) -> list[Array]:
            below = [local.value(), *(local.first(a) for a in range(n))]
            second = [local.second(a, b) for a, b in pairs(n)]
            return [part[c, ...] for part in (*below, *second) for c in range(count)]

        jet = evaluate(
            formula, (h,), self._grid, self._order, count * (1 + n + count), tensor=False
        )
        xp, numbers = namespace(jet), self._lower.shape[1]
        return xp.stack(
            [
                xp.sum(self._lower[c, ...] * jet[:numbers, ...], axis=0)
                + xp.sum(self._upper * jet[numbers + c :: count, ...], axis=0)
                for c in range(count)
            ]
        )


class _UnitJets:
    """Tensor fields h, numbered along an axis: in each, one of all h_ij and d_a h_ij is 1.

    All others are 0, and so are second derivatives. A ``LocalField`` over a tile of the grid.
    """

    def __init__(self, like_this: Array, n: int) -> None:
        xp, count = namespace(like_this), packed_size(n)
        unit = xp.eye(count * (n + 1), dtype=like_this.dtype, device=device(like_this))
        # Over all points: sums are added to in place.
        self._units = xp.reshape(unit, (n + 1, count, -1, *(1,) * n)) + 0 * like_this[0, ...]

    def value(self) -> Array:
        return self._units[0, ...]

    def first(self, a: int) -> Array:
        return self._units[a + 1, ...]

    def second(self, a: int, b: int) -> Array:
        return 0 * self._units[0, ...]


def _largest_by_block_krylov(
    apply: Callable[[np.ndarray], np.ndarray],
    solve: Callable[[np.ndarray], np.ndarray],
    size: int,
    k: int,
) -> np.ndarray:
    """Ritz values of the operator on the block Krylov space of its shifted inverse.

    Eigenvalues here are many times degenerate (n (n + 1) / 2 polarisations, signs of the wave
    vector). A single start vector sees each eigenspace once; a block of more than k vectors sees
    as many copies as are asked for.
    """
    rng = np.random.default_rng(0)  # fixed: the same call, the same answer
    block = np.linalg.qr(rng.normal(size=(size, min(k + 4, size))))[0]
    basis, images = np.empty((size, 0)), np.empty((size, 0))
    before = np.full(k, np.inf)
    for _ in range(_MAX_BLOCKS):
        basis = np.hstack([basis, block])
        images = np.hstack([images, np.stack([apply(v) for v in block.T], axis=1)])
        values = np.sort(np.linalg.eigvals(basis.T @ images).real)[::-1][:k]
        if np.all(np.abs(values - before) <= _CHANGE * (1 + np.abs(values))):
            return values
        before = values
        room = size - basis.shape[1]
        if room <= 0:
            return values  # the whole space: the values are exact
        block = np.stack([solve(v) for v in block.T], axis=1)[:, :room]
        for _twice in range(2):  # once leaves what rounding puts back
            block = block - basis @ (basis.T @ block)
            block = np.linalg.qr(block)[0]
    raise SpectrumError(
        f"the {k} largest eigenvalues did not settle in {_MAX_BLOCKS} blocks; ask for fewer"
    )
