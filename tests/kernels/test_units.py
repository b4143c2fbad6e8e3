"""Differences as whole numbers, and coordinates in which all axes have the same spacing."""

from __future__ import annotations

import numpy as np
import pytest

from riemann_lne.coefficients import central_weights, half_width
from riemann_lne.kernels.units import unit_factors, units
from riemann_lne.tensors import pairs


@pytest.mark.parametrize("order", [2, 4, 6])
def test_the_whole_numbers_are_the_weights_over_one_denominator(order: int) -> None:
    w, unit = half_width(order), units(order)
    assert [c / unit.first for c in unit.first_weights] == [
        float(c) for c in central_weights(1, order)[w + 1 :]
    ]
    assert [c / unit.second for c in unit.second_weights] == [
        float(c) for c in central_weights(2, order)[w:]
    ]
    # A product of first differences is so many times the unit of a compact second one.
    assert unit.ratio * unit.second == unit.first**2


def test_factors_stretch_a_metric_and_bring_a_tensor_back() -> None:
    spacing = (0.1, 0.4, 0.2)
    factors = unit_factors(spacing, 4, "float64", True)
    inward, outward = factors[:6], factors[6:]
    mean = 0.2  # the geometric one
    stretch = np.array(spacing) / mean
    assert inward == pytest.approx([stretch[a] * stretch[b] for a, b in pairs(3)])
    # With f in the new coordinates, 12 mean d_a f there is a difference of whole weights.
    assert outward * inward == pytest.approx(np.full(6, 1 / (12 * mean) ** 2))
    scalar = unit_factors(spacing, 4, "float64", False)
    assert scalar[6:] == pytest.approx([1 / (12 * mean) ** 2])


def test_equal_spacings_change_no_bit_of_a_metric() -> None:
    for h in (0.1, 1 / 3, 2 * np.pi / 96):
        assert unit_factors((h, h, h), 6, "float64", True)[:6].tolist() == [1.0] * 6
