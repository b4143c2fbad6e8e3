"""The paper's strong inverse: a small network that is trained to invert one matrix g."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..arrays import Array, like, require_finite, require_real_floating, to_numpy
from ..errors import InvalidArgumentError, MissingDependencyError, NotSymmetricError, ShapeError

_LARGEST = 64


@dataclass(frozen=True)
class StrongInverse:
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
    MissingDependencyError
        If PyTorch is not installed.
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
    if steps < 1 or not learning_rate > 0.0 or (hidden is not None and hidden < 1):
        raise InvalidArgumentError(
            f"steps and hidden must be at least 1 and learning_rate greater than 0; got steps = "
            f"{steps}, hidden = {hidden}, learning_rate = {learning_rate}"
        )
    try:
        import torch
    except ImportError as missing:
        raise MissingDependencyError("torch", "torch", "strong_inverse") from missing
    exact = np.linalg.inv(matrix)
    begin = time.perf_counter()
    inverse, losses, parameters = _train(torch, matrix, hidden, steps, learning_rate, seed)
    seconds = time.perf_counter() - begin
    return StrongInverse(
        inverse=like(inverse, g),
        residual=float(np.linalg.norm(np.eye(len(matrix)) - matrix @ inverse)),
        error=float(np.linalg.norm(inverse - exact) / np.linalg.norm(exact)),
        losses=losses,
        seconds=seconds,
        parameters=parameters,
    )


def _checked(g: Array) -> np.ndarray:
    require_real_floating(g, "g")
    if g.ndim != 2 or g.shape[0] != g.shape[1] or g.shape[0] == 0:
        raise ShapeError(f"g has shape {tuple(g.shape)}; expected one square matrix (n, n)")
    if g.shape[0] > _LARGEST:
        raise InvalidArgumentError(
            f"g is {g.shape[0]} by {g.shape[0]}; the network has about n^4/2 weights and is "
            f"limited to n = {_LARGEST}: use LNEMetric.solve, which is exact and O(n)"
        )
    require_finite(g, "g")
    matrix = np.asarray(to_numpy(g), dtype=np.float64)
    skew = np.abs(matrix - matrix.T)
    if skew.max() > 1e-5 * np.abs(matrix).max():
        index = tuple(int(i) for i in np.unravel_index(int(skew.argmax()), skew.shape))
        raise NotSymmetricError(
            f"g is not symmetric: entries {index} and {index[::-1]} differ by {skew.max():.3g}"
        )
    if not np.linalg.cond(matrix) < 1e14:
        raise InvalidArgumentError("g is singular to rounding: it has no inverse to train towards")
    return matrix


def _train(
    torch: Any, matrix: np.ndarray, hidden: int | None, steps: int, rate: float, seed: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """Train in double precision on the CPU: G, the losses, the number of parameters."""
    n = len(matrix)
    rows, columns = np.tril_indices(n)
    size = len(rows)
    width = min(max(size, 16), 256) if hidden is None else hidden
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int, scale: float) -> Any:
        w = torch.randn(*shape, generator=generator, dtype=torch.float64) * scale
        return w.requires_grad_()

    entries = torch.as_tensor(matrix[rows, columns])
    weights = [
        normal(width, size, scale=size**-0.5),
        normal(width, scale=0.1),
        normal(size, width, scale=0.1 * width**-0.5),
        # the zero vector is the start for the offsets of the output
        normal(size, scale=0.0),
    ]
    place = np.zeros((n, n), dtype=np.int64)
    place[rows, columns] = place[columns, rows] = np.arange(size)
    where = torch.as_tensor(place)
    g, eye = torch.as_tensor(matrix), torch.eye(n, dtype=torch.float64)
    optimizer = torch.optim.Adam(weights, lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    losses = np.empty(steps + 1)
    for step in range(steps + 1):
        inner = torch.tanh(weights[0] @ entries + weights[1])
        inverse = (weights[2] @ inner + weights[3])[where]
        loss = ((eye - g @ inverse) ** 2).sum()
        losses[step] = float(loss.detach())
        if step < steps:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return inverse.detach().numpy(), losses, sum(int(w.numel()) for w in weights)
