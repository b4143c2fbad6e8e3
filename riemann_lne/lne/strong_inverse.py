"""The paper's strong inverse: a small network that is trained to invert matrices g."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import scipy

from ..arrays import (
    Array,
    like,
    require_finite,
    require_real_floating,
    to_numpy,
    wants_gradient,
)
from ..checks import count, number
from ..errors import InvalidArgumentError, NotSymmetricError, ShapeError, UnknownNameError
from ..finite import finite_result
from ..identity import ByValue

_LARGEST = 64
_METHODS = ("l-bfgs", "adam")


@dataclass(frozen=True, eq=False)
class StrongInverse(ByValue):
    """A trained inverse and what it cost.

    Attributes
    ----------
    inverse : array, shape (n, n)
        G, symmetric; in the library, type and device of g.
    residual : float
        Frobenius norm of I - g G.
    error : float
        Frobenius norm of G - g^-1 over that of g^-1, g^-1 by a dense solver.
    losses : array, shape (steps + 1,)
        |I - g G|^2 before every step of training and after the last.
    seconds : float
        Wall time of the training.
    parameters : int
        Number of trained numbers.
    """

    inverse: Array = field(repr=False)
    residual: float
    error: float
    losses: np.ndarray = field(repr=False)
    seconds: float
    parameters: int


@finite_result
def strong_inverse(
    g: Array,
    *,
    hidden: int | None = None,
    steps: int = 500,
    learning_rate: float = 1e-2,
    seed: int = 0,
) -> StrongInverse:
    """Inverse of g by a one-hidden-layer network trained on g alone (Eq. 28).

    The n (n + 1)/2 entries of the lower triangle of g, diagonal included, go through one hidden
    layer (tanh) to as many entries of a symmetric G; the weights are trained with Adam, the rate
    decreasing to 0 along a cosine, to minimise |I - g G|^2. The exact inverse of Eq. 16 costs
    O(n), `LNEMetric.solve`; this is O(n^2) in memory and for comparison.

    Parameters
    ----------
    g : array, shape (n, n)
        A symmetric, invertible matrix, n <= 64 (dimensionless).
    hidden : int, optional
        Width of the hidden layer; by default n (n + 1)/2, at least 16 and at most 256.
    steps : int
        Steps of training.
    learning_rate : float
        Of Adam, at the start.
    seed : int
        Of the first weights; the result is the same for the same seed and machine.

    Returns
    -------
    StrongInverse

    Raises
    ------
    ShapeError
        If g is not one square matrix.
    InvalidArgumentError
        If n > 64, g is singular, or an option is out of its range.
    NotSymmetricError, NotFiniteError, DTypeError
        If g is not a symmetric, finite, real floating-point array.

    Notes
    -----
    The paper gives neither the width, the activation nor the training; these are choices.

    References
    ----------
    Eq. 28 and Fig. 4 of arXiv 2302.03390 v3.

    Examples
    --------
    >>> import numpy as np
    >>> from riemann_lne.lne import LNEMetric, strong_inverse
    >>> g = LNEMetric(0.5).matrix(np.asarray([0.5, -1.0, 0.2]))
    >>> result = strong_inverse(g, steps=200)
    >>> print(result.parameters, bool(result.residual < 1e-2))
    214 True
    """
    matrix = _checked(g)
    _check_training(steps, hidden, learning_rate, seed)
    exact = np.linalg.inv(matrix)
    begin = time.perf_counter()
    network, losses = _trained(matrix[None], hidden, steps, learning_rate, seed)
    inverse = network(matrix)
    seconds = time.perf_counter() - begin
    return StrongInverse(
        inverse=like(inverse, g),
        residual=float(np.linalg.norm(np.eye(len(matrix)) - matrix @ inverse)),
        error=float(np.linalg.norm(inverse - exact) / np.linalg.norm(exact)),
        losses=losses,
        seconds=seconds,
        parameters=network.parameters,
    )


@dataclass(frozen=True, eq=False)
class InverseNetwork(ByValue):
    """A trained network from the lower triangle of g to that of a symmetric G, g G near I.

    Attributes
    ----------
    n : int
        Size of the matrices.
    weights : tuple of four arrays
        Of the hidden layer and of the output, each a matrix and an offset (dimensionless).

    Examples
    --------
    >>> import numpy as np
    >>> from riemann_lne.lne import LNEMetric, train_inverse
    >>> g = LNEMetric(0.5).matrix(np.random.default_rng(0).normal(size=(30, 2)) / 2)
    >>> network = train_inverse(g, steps=300)
    >>> bool(np.linalg.norm(np.eye(2) - g[0] @ network(g[0])) < 0.05)
    True
    """

    n: int
    weights: tuple[np.ndarray, ...] = field(repr=False)

    @property
    def parameters(self) -> int:
        """Number of trained numbers."""
        return sum(w.size for w in self.weights)

    def __call__(self, g: Array) -> Array:
        """G for one matrix g, shape (n, n), which the network need not have been trained on.

        Raises ShapeError, NotSymmetricError, NotFiniteError, DTypeError or InvalidArgumentError
        for a matrix that does not fit.
        """
        matrix = _checked(g)
        if len(matrix) != self.n:
            raise ShapeError(
                f"g is {len(matrix)} by {len(matrix)}; the network takes matrices of size {self.n}"
            )
        return like(_forward(self.weights, matrix[None])[0][0], g)


@finite_result
def train_inverse(
    g: Array,
    *,
    hidden: int | None = None,
    steps: int = 1000,
    seed: int = 0,
    method: str = "l-bfgs",
) -> InverseNetwork:
    """The network of Eq. 28 trained on several matrices at once, to invert others like them.

    Minimises the mean of |I - g G|^2 over the matrices by SciPy's L-BFGS, or by Adam; see
    `strong_inverse` for the network.

    Parameters
    ----------
    g : array, shape (m, n, n)
        Symmetric, invertible matrices, n <= 64 (dimensionless).
    hidden, seed
        As for `strong_inverse`.
    steps : int
        Largest number of steps of the method.
    method : "l-bfgs" or "adam"
        Adam as in `strong_inverse`, with its rate of 0.01; the paper names no method.

    Returns
    -------
    InverseNetwork

    Raises
    ------
    ShapeError
        If g is not a stack of square matrices.
    InvalidArgumentError, NotSymmetricError, NotFiniteError, DTypeError
        As for `strong_inverse`.
    UnknownNameError
        If the method has another name.

    References
    ----------
    Eq. 28 and Fig. 4 of arXiv 2302.03390 v3.

    Examples
    --------
    See `InverseNetwork`.
    """
    if method not in _METHODS:
        raise UnknownNameError("method", method, _METHODS)
    require_real_floating(g, "g")
    if g.ndim != 3 or g.shape[0] == 0:
        raise ShapeError(f"g has shape {tuple(g.shape)}; expected a stack of matrices (m, n, n)")
    _check_training(steps, hidden, 1.0, seed)
    matrices = np.stack([_checked(one) for one in to_numpy(g)])
    if method == "adam":
        return _trained(matrices, hidden, steps, 1e-2, seed)[0]
    first = _first_weights(matrices.shape[-1], hidden, seed)
    shapes, ends = [w.shape for w in first], np.cumsum([w.size for w in first])[:-1]

    def unpacked(y: np.ndarray) -> list[np.ndarray]:
        return [a.reshape(s) for a, s in zip(np.split(y, ends), shapes, strict=True)]

    def value(y: np.ndarray) -> tuple[float, np.ndarray]:
        loss, slopes = _loss(unpacked(y), matrices)
        return loss, np.concatenate([a.ravel() for a in slopes])

    found = scipy.optimize.minimize(
        value,
        np.concatenate([w.ravel() for w in first]),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": steps, "maxfun": 2 * steps, "ftol": 0.0, "gtol": 1e-10},
    )
    return InverseNetwork(matrices.shape[-1], tuple(unpacked(found.x)))


def _check_training(steps: int, hidden: int | None, learning_rate: float, seed: int) -> None:
    count(seed, "seed")
    number(learning_rate, "learning_rate")
    wanted = [(steps, "steps")] + ([] if hidden is None else [(hidden, "hidden")])
    for value, name in wanted:
        if count(value, name) != value or not isinstance(value, (int, np.integer)):
            raise InvalidArgumentError(f"{name} = {value}; give it as an int")
    if steps < 1 or not learning_rate > 0.0 or (hidden is not None and hidden < 1):
        raise InvalidArgumentError(
            f"steps and hidden must be at least 1 and learning_rate greater than 0; got steps = "
            f"{steps}, hidden = {hidden}, learning_rate = {learning_rate}"
        )


def _checked(g: Array) -> np.ndarray:
    require_real_floating(g, "g", half=True)
    if wants_gradient(g):
        raise InvalidArgumentError(
            "g has requires_grad=True, but no gradient passes through strong_inverse; give "
            "g.detach(), or use LNEMetric.solve"
        )
    if g.ndim != 2 or g.shape[0] != g.shape[1] or g.shape[0] == 0:
        raise ShapeError(f"g has shape {tuple(g.shape)}; expected one square matrix (n, n)")
    if g.shape[0] > _LARGEST:
        raise InvalidArgumentError(
            f"g is {g.shape[0]} by {g.shape[0]}; the network has about n^4/2 weights and is "
            f"limited to n = {_LARGEST}: use LNEMetric.solve, which is exact and O(n)"
        )
    require_finite(g, "g")
    matrix = np.array(to_numpy(g), dtype=np.float64)
    skew = np.abs(matrix - matrix.T)
    if skew.max() > 1e-5 * np.abs(matrix).max():
        index = tuple(int(i) for i in np.unravel_index(int(skew.argmax()), skew.shape))
        raise NotSymmetricError(
            f"g is not symmetric: entries {index} and {index[::-1]} differ by {skew.max():.3g}; "
            "symmetrise it first"
        )
    if not np.linalg.cond(matrix) < 1e14:
        raise InvalidArgumentError(
            f"g of size {len(g)} is singular to rounding: give a matrix that has an inverse"
        )
    return matrix


def _trained(
    matrices: np.ndarray, hidden: int | None, steps: int, rate: float, seed: int
) -> tuple[InverseNetwork, np.ndarray]:
    """The network and the losses, by Adam with gradients written out, in double precision."""
    weights = _first_weights(matrices.shape[-1], hidden, seed)
    mean = [np.zeros_like(w) for w in weights]
    square = [np.zeros_like(w) for w in weights]
    losses = np.empty(steps + 1)
    for step in range(steps + 1):
        losses[step], slopes = _loss(weights, matrices)
        if step == steps:
            break
        now = rate * (1 + np.cos(np.pi * step / steps)) / 2
        for w, slope, m, v in zip(weights, slopes, mean, square, strict=True):
            m += 0.1 * (slope - m)
            v += 0.001 * (slope * slope - v)
            unbiased = np.sqrt(v / (1 - 0.999 ** (step + 1))) + 1e-8
            w -= now * (m / (1 - 0.9 ** (step + 1))) / unbiased
    return InverseNetwork(matrices.shape[-1], tuple(weights)), losses


def _first_weights(n: int, hidden: int | None, seed: int) -> list[np.ndarray]:
    size = n * (n + 1) // 2
    width = min(max(size, 16), 256) if hidden is None else hidden
    rng = np.random.default_rng(seed)
    return [
        rng.normal(size=(width, size)) * size**-0.5,
        rng.normal(size=width) * 0.1,
        rng.normal(size=(size, width)) * 0.1 * width**-0.5,
        np.zeros(size),
    ]


def _forward(
    weights: Sequence[np.ndarray], matrices: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """G, the entries that went in, and the hidden layer, for a stack of matrices."""
    n = matrices.shape[-1]
    rows, columns = np.tril_indices(n)
    entries = matrices[:, rows, columns]
    inner = np.tanh(entries @ weights[0].T + weights[1])
    output = inner @ weights[2].T + weights[3]
    inverse = np.empty_like(matrices)
    inverse[:, rows, columns] = output
    inverse[:, columns, rows] = output
    return inverse, entries, inner


def _loss(weights: list[np.ndarray], matrices: np.ndarray) -> tuple[float, list[np.ndarray]]:
    """The mean of |I - g G|^2 and its gradient in every weight."""
    count, n = len(matrices), matrices.shape[-1]
    rows, columns = np.tril_indices(n)
    inverse, entries, inner = _forward(weights, matrices)
    defect = np.eye(n) - matrices @ inverse
    of_inverse = -2 * np.swapaxes(matrices, -2, -1) @ defect / count
    # An entry off the diagonal stands at two places of G.
    twice = of_inverse + np.swapaxes(of_inverse, -2, -1)
    of_output = twice[:, rows, columns] * np.where(rows == columns, 0.5, 1.0)
    of_inner = (of_output @ weights[2]) * (1 - inner**2)
    slopes = [of_inner.T @ entries, of_inner.sum(0), of_output.T @ inner, of_output.sum(0)]
    return float((defect**2).sum() / count), slopes
