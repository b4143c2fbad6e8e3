"""Decay fits, predicted rates and mode amplitudes, against data whose answer is known."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import riemann_lne as rl
from riemann_lne.errors import InvalidArgumentError


@given(rate=st.floats(0.01, 50), size=st.floats(1e-6, 1e3))
def test_an_exponential_gives_back_its_rate_and_size(rate, size):
    t = np.linspace(0, 3 / rate, 12)
    fit = rl.fit_decay_rate(t, size * np.exp(-rate * t))
    assert fit.rate == pytest.approx(rate, rel=1e-10)
    assert fit.amplitude == pytest.approx(size, rel=1e-10)
    assert fit.stderr < 1e-8 * rate


@given(exponent=st.floats(-3, 3), offset=st.floats(0, 5))
def test_a_power_law_gives_back_its_exponent(exponent, offset):
    t = np.geomspace(0.5, 50, 9)
    fit = rl.fit_power_law(t, 2 * (t + offset) ** exponent, offset=offset)
    assert fit.exponent == pytest.approx(exponent, abs=1e-9)
    assert fit.amplitude == pytest.approx(2, rel=1e-8)


def test_the_standard_error_is_that_of_repeated_noise(rng):
    t, sigma = np.linspace(0, 2, 40), 0.05
    fits = [rl.fit_decay_rate(t, np.exp(-t + sigma * rng.normal(size=t.size))) for _ in range(400)]
    spread = np.std([f.rate for f in fits])
    assert np.mean([f.stderr for f in fits]) == pytest.approx(spread, rel=0.1)
    inside = [low <= 1 <= high for low, high in (f.confidence_interval(0.9) for f in fits)]
    assert 0.85 < np.mean(inside) < 0.95


def test_the_window_leaves_out_what_is_outside():
    t = np.linspace(0, 4, 41)
    norm = np.where(t < 2, np.exp(-t), np.exp(-2) * np.exp(-3 * (t - 2)))
    assert rl.fit_decay_rate(t, norm, t_max=2.05).rate == pytest.approx(1)
    fit = rl.fit_decay_rate(t, norm, t_min=2.05)
    assert fit.rate == pytest.approx(3)
    assert fit.n_points == 20


@pytest.mark.parametrize(
    ("t", "norm", "message"),
    [
        ([0, 1], [1, 2], "at least 3"),
        ([0, 1, 2], [1, 2], "shapes"),
        ([0, 1, 2], [1, 0, 1], "norm = 0.0 at t = 1.0"),
        ([0, 1, 2], [1, np.nan, 1], "norm = nan"),
    ],
)
def test_what_cannot_be_fitted_is_refused(t, norm, message):
    with pytest.raises(InvalidArgumentError, match=message):
        rl.fit_decay_rate(t, norm)
    if message == "at least 3":
        with pytest.raises(InvalidArgumentError, match="must be positive"):
            rl.fit_power_law([-1, 1, 2], [1, 1, 1])


def test_rates_on_a_torus_are_those_of_the_limit_metric():
    grid = rl.Grid.torus((8, 6), lengths=(2.0, 3.0))
    g = rl.MetricField.from_function(grid, lambda x, y: [[2.0, 0.5], [0.5, 1.0]])
    inverse = np.linalg.inv([[2.0, 0.5], [0.5, 1.0]])
    k = 2 * np.pi * np.array([1 / 2.0, -2 / 3.0])
    (rate,) = rl.predicted_decay_rates(g, [(1, -2)])
    assert rate.mode == (1, -2)
    assert rate.rate == pytest.approx(k @ inverse @ k)
    every = rl.predicted_decay_rates(g, max_mode=2)
    assert len(every) == (5 * 5 - 1) // 2
    assert [r.rate for r in every] == sorted(r.rate for r in every)


def test_rates_on_a_held_box_are_those_of_sines():
    grid = rl.Grid.box(0.0, (1.0, 2.0), (9, 9))
    rates = rl.predicted_decay_rates(rl.flat_metric(grid), max_mode=2)
    assert rates[0].mode == (1, 1)
    assert rates[0].rate == pytest.approx(math.pi**2 * (1 + 1 / 4))
    tilted = rl.MetricField.from_function(grid, lambda x, y: [[1, 0.1], [0.1, 1]])
    with pytest.raises(InvalidArgumentError, match="diagonal"):
        rl.predicted_decay_rates(tilted)


def test_a_held_box_decays_at_its_predicted_rate():
    grid = rl.Grid.box(0.0, (1.0, 1.5), (17, 25))

    def start(x, y):
        bump = 0.05 * np.sin(np.pi * x) * np.sin(np.pi * y / 1.5)
        return [[1 + bump, 0.5 * bump], [0.5 * bump, 1 - bump]]

    g, flat = rl.MetricField.from_function(grid, start), rl.flat_metric(grid)
    times = np.linspace(0, 0.4, 21)
    solution = rl.solve_flow(g, rl.RicciDeTurckFlow(), (0, 0.4), "rkl2", times, rtol=1e-7, order=4)
    fit = rl.fit_decay_rate(times, [m.l2_distance(flat) for m in solution.metrics], t_min=0.2)
    assert fit.rate == pytest.approx(rl.predicted_decay_rates(flat)[0].rate, rel=2e-3)


def test_modes_are_counted_in_the_field():
    with pytest.raises(InvalidArgumentError, match="give one for each of 2 axes"):
        rl.predicted_decay_rates(rl.flat_metric(rl.Grid.torus((8, 8))), [(1, 0, 0)])


def test_the_amplitude_of_a_mode_is_its_fourier_coefficient(backend):
    h = np.array([[1.0, 0.2, 0.0], [0.2, -1.0, 0.3], [0.0, 0.3, 0.5]])
    mode = rl.exact.linear_mode((1, -2, 0), h, amplitude=0.1)
    g = mode.field(0.0, mode.grid(8), xp=backend.xp)
    expected = 0.05 * np.linalg.norm(h)  # cos = (e^i + e^-i) / 2
    assert rl.mode_amplitude(g, (1, -2, 0)) == pytest.approx(expected, rel=1e-12)
    assert rl.mode_amplitude(g, (1, 2, 0)) == pytest.approx(0, abs=1e-15)
    with pytest.raises(InvalidArgumentError, match="torus of 2 axes"):
        rl.mode_amplitude(g, (1, 0))


def test_norms_that_differ_in_the_last_digit_have_the_rate_zero():
    norm = np.full(10, 0.017511107893000567)
    norm[3] = np.nextafter(norm[3], 1)
    fit = rl.fit_decay_rate(np.linspace(0.3, 1, 10), norm)
    assert fit.rate == pytest.approx(0, abs=1e-14)
    assert fit.confidence_interval()[1] < 1e-14
