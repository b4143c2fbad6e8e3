r"""Real spherical harmonics by Gauss-Legendre nodes and fast Fourier transforms.

Y_lm = P_lm(cos theta) cos(m phi) or sin(m phi), 0 <= m <= l, scaled such that the mean of Y^2 over
the sphere is 1: the sum of the squares of all coefficients of a function is its mean square. No
factor (-1)^m. P_lm is computed by the recurrence in l at fixed m, which loses no digits.
"""

from __future__ import annotations

import numpy as np
import scipy


def legendre_table(lmax: int, z: np.ndarray) -> np.ndarray:
    """P_lm at heights z = cos theta, (lmax + 1 [m], len(z), lmax + 1 [l]); zero where l < m.

    Scaled such that P_lm cos(m phi) has the mean square 1 over the sphere.
    """
    sine = np.sqrt((1 - z) * (1 + z))
    table = np.zeros((lmax + 1, len(z), lmax + 1))
    first = np.ones(len(z))  # P_mm
    for m in range(lmax + 1):
        if m:
            first = first * sine * np.sqrt((2 * m + 1) / (2 * m) * (2 if m == 1 else 1))
        table[m, :, m:] = np.transpose(_degrees(m, first, lmax, z))
    return table


def _degrees(m: int, first: np.ndarray, lmax: int, z: np.ndarray) -> list[np.ndarray]:
    """P_lm for l = m to lmax, from P_mm."""
    before, now, found = np.zeros(len(z)), first, [first]
    for degree in range(m + 1, lmax + 1):
        a = np.sqrt((4 * degree**2 - 1) / (degree**2 - m**2))
        b = np.sqrt(((degree - 1) ** 2 - m**2) / (4 * (degree - 1) ** 2 - 1))
        before, now = now, a * (z * now - b * before)
        found.append(now)
    return found


class HarmonicTransform:
    """Transforms between coefficients up to a degree and values on a Gauss-Legendre grid.

    Parameters
    ----------
    lmax : int
        The largest degree.
    rows, columns : int
        Points in latitude (Gauss-Legendre) and longitude (equally spaced).

    Attributes
    ----------
    z, weights : ndarray, (rows,)
        Heights from the north pole down, and parts of the sphere's area; the weights add up to 1.
    """

    def __init__(self, lmax: int, rows: int, columns: int) -> None:
        self.lmax, self.columns = lmax, columns
        self.z = scipy.special.roots_legendre(rows)[0][::-1].copy()
        # SciPy's weights lose digits for many points (1e-10 of 193); this sum of squares does not.
        self.weights = 1 / (np.square(_degrees(0, np.ones(rows), rows - 1, self.z))).sum(axis=0)
        self._table = legendre_table(lmax, self.z)

    def synthesis(self, coefficients: np.ndarray) -> np.ndarray:
        """Values (k, rows, columns) of coefficients (k, 2, lmax + 1 [l], lmax + 1 [m])."""
        k = len(coefficients)
        stacked = coefficients.transpose(3, 2, 0, 1).reshape(self.lmax + 1, self.lmax + 1, 2 * k)
        rows = (self._table @ stacked).reshape(self.lmax + 1, len(self.z), k, 2)
        rows = rows.transpose(2, 1, 0, 3)
        hat = 0.5 * (rows[..., 0] - 1j * rows[..., 1])
        hat[..., 0] = rows[..., 0, 0]  # cos(0 phi) alone
        return np.asarray(scipy.fft.irfft(hat, self.columns, axis=-1, norm="forward"))

    def analysis(self, values: np.ndarray) -> np.ndarray:
        """Coefficients (2, lmax + 1, lmax + 1) of values (rows, columns): the projection."""
        hat = scipy.fft.rfft(values, axis=-1, norm="forward")[:, : self.lmax + 1]
        hat = hat * self.weights[:, None]
        stacked = np.stack([hat.real, -hat.imag], axis=-1).transpose(1, 0, 2)
        # (m, l, 2): the transposed table applied to each order.
        found = self._table.transpose(0, 2, 1) @ stacked
        return np.ascontiguousarray(found.transpose(2, 1, 0))
