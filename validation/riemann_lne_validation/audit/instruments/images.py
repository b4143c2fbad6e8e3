"""Small images, their translations and losses with known gradients, in plain NumPy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from riemann_lne.errors import InvalidArgumentError

Shifts = tuple[tuple[int, int], tuple[int, int]]


def smooth_images(rng: np.random.Generator, count: int, size: int) -> np.ndarray:
    """Random images (count, size, size) with mean square 1, smooth to a pixel or so."""
    x = rng.normal(size=(count, size, size))
    x = sum(np.roll(x, s, axis=a) for s in (0, 1) for a in (1, 2)) + 0.5 * x
    return np.asarray(x / np.sqrt(np.mean(x**2)))


def copies(x: np.ndarray, shifts: Shifts) -> list[np.ndarray]:
    """The images moved by k1, k2 along rows and j1, j2 along columns, on a torus of pixels."""
    (k1, k2), (j1, j2) = shifts
    if k1 == k2 or j1 == j2 or max(abs(s) for s in (k1, k2, j1, j2)) >= x.shape[-1]:
        raise InvalidArgumentError(
            f"shifts = {shifts!r}; give ((k1, k2), (j1, j2)) with k1 different from k2, j1 from "
            f"j2, all smaller than the image of {x.shape[-1]} pixels"
        )
    moves = ((k1, 1), (k2, 1), (j1, 2), (j2, 2))
    return [np.roll(x, shift, axis=axis) for shift, axis in moves]


@dataclass(frozen=True)
class HiddenLayer:
    """First layer W of a classifier: cross entropy of V tanh(W x); only W is trained.

    ``gradient`` takes and gives W flattened, as one block of n = hidden * pixels weights.
    """

    labels: np.ndarray
    head: np.ndarray

    def gradient(self, w: np.ndarray, x: np.ndarray) -> np.ndarray:
        """dL/dW for images x, mean over them."""
        flat = x.reshape(len(x), -1)
        hidden = np.tanh(flat @ w.reshape(self.head.shape[1], -1).T)
        scores = hidden @ self.head.T
        p = np.exp(scores - scores.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        p[np.arange(len(x)), self.labels] -= 1
        back = (p @ self.head) * (1 - hidden**2) / len(x)
        return np.asarray((back.T @ flat).ravel())


@dataclass(frozen=True)
class PowerLoss:
    """L(w) = mean |w . x - b|^power / power with b = goal . x: least at w = goal."""

    goal: np.ndarray
    power: int

    def gradient(self, w: np.ndarray, x: np.ndarray) -> np.ndarray:
        """dL/dw for images x. With equal entries of ``goal`` it is zero there for all copies."""
        flat = x.reshape(len(x), -1)
        miss = flat @ (w - self.goal)
        return np.asarray((np.sign(miss) * np.abs(miss) ** (self.power - 1)) @ flat / len(x))

    def hessian(self, w: np.ndarray, x: np.ndarray) -> np.ndarray:
        """d^2 L / dw^2 for images x."""
        flat = x.reshape(len(x), -1)
        bend = (self.power - 1) * np.abs(flat @ (w - self.goal)) ** (self.power - 2)
        return np.asarray((flat.T * bend) @ flat / len(x))
