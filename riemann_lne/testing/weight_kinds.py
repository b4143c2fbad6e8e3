"""Weights as training leaves them: heavy tails, clipped, tied, with zero rows."""

from __future__ import annotations

import numpy as np

WEIGHTS = ("zero", "gaussian", "uniform", "heavy", "clipped", "binary", "tied", "zero_rows", "tiny")
"""Kinds of weights; ``weight_tensors`` describes them."""


def weights_of_kind(kind: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Random weights of one of the kinds of ``weight_tensors``, of unit size."""
    rng = np.random.default_rng(seed)
    plain = rng.normal(size=shape)
    rows = shape[0] if shape else 1
    if kind == "zero":
        return np.zeros(shape)
    if kind == "uniform":
        return rng.uniform(-1.0, 1.0, shape)
    if kind == "heavy":
        return np.clip(rng.standard_t(2, size=shape), -1e3, 1e3)
    if kind == "clipped":
        return np.clip(2.0 * plain, -1.0, 1.0)
    if kind == "binary":
        return np.where(plain >= 0, 1.0, -1.0)
    if kind == "tied" and shape:
        return plain[rng.integers(rows, size=rows)]
    if kind == "zero_rows" and shape:
        return plain * (rng.random(rows) < 0.5).reshape(-1, *(1,) * (len(shape) - 1))
    return 1e-20 * plain if kind == "tiny" else plain
