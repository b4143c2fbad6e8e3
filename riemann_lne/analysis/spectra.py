"""Spectrum of the Lichnerowicz Laplacian."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..arrays import Array, like, to_numpy
from ..checks import count
from ..coefficients import Order
from ..curvature import lichnerowicz_tensor
from ..errors import InvalidArgumentError, RiemannLNEError
from ..flows.laplacian import mean_laplacian_symbol
from ..jets import MetricJet
from ..metrics import MetricField, of_metric
from ..stencils import LocalField, evaluate
from ..tensors import metric_dimension, packed_size

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

    def formula(local: LocalField, local_h: LocalField) -> list[Array]:
        return lichnerowicz_tensor(MetricJet(local, n), local_h)

    def apply(flat: np.ndarray) -> np.ndarray:
        h = like(np.ascontiguousarray(flat.reshape(shape)), metric.packed)
        image = evaluate(formula, (metric.packed, h), grid, order, packed_size(n))
        return to_numpy(image).reshape(-1).astype(float)

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
