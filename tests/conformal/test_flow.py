"""Ricci flow on closed surfaces: exact solutions, orders, rates, monotone quantities, ends."""

import sys
from contextlib import nullcontext
from itertools import pairwise

import numpy as np
import pytest

from riemann_lne import Checkpoint, Grid, events, exact
from riemann_lne.conformal import (
    ConformalMetric,
    ConformalSolution,
    Sphere,
    Torus,
    king_rosenau,
    round_sphere,
    solve,
)
from riemann_lne.conformal.flow import ConformalETDRK4, ConformalFlow
from riemann_lne.errors import DTypeError, InvalidArgumentError, UnknownNameError

AXIS = (1.0, -2.0, 0.7)


def lumpy(lmax=20, size=0.3):
    """A metric on the sphere without any symmetry."""
    return ConformalMetric.from_function(
        Sphere(lmax), lambda x, y, z: size * (x * y + 0.5 * z**3 - 0.4 * y * y * z + 0.3 * x)
    )


def test_a_round_sphere_in_moved_coordinates_until_99_percent_of_its_life():
    end = 0.99 * 0.5
    start = round_sphere(Sphere(14), 1.0, (0.1, -0.05, 0.12))
    flow = solve(start, (0, end), method="tsit5", rtol=1e-11, t_eval=[end])
    np.testing.assert_allclose(flow[-1].u, start.u + np.log(1 - 2 * end) / 2, atol=1e-10)


@pytest.mark.parametrize(
    ("method", "rtol", "error"), [("etdrk4", 1e-7, 1e-6), ("rkl2", 1e-5, 2e-3)]
)
def test_king_and_rosenau_about_an_axis_that_no_coordinate_knows(method, rtol, error):
    sphere = Sphere(20)
    flow = solve(king_rosenau(sphere, -1.0, AXIS), (-1, -0.3), method=method, rtol=rtol,
                 t_eval=[-0.3])  # fmt: skip
    assert flow.success
    np.testing.assert_allclose(flow[-1].u, king_rosenau(sphere, -0.3, AXIS).u, atol=error)


def test_the_flow_has_spectral_accuracy_in_space():
    errors = []
    for lmax in (8, 12, 16):
        sphere = Sphere(lmax)
        with pytest.warns(UserWarning, match="resolved") if lmax == 8 else nullcontext():
            start = king_rosenau(sphere, -1.5, AXIS)
            end = king_rosenau(sphere, -1.0, AXIS)
        found = solve(start, (-1.5, -1.0), t_eval=[-1.0], method="tsit5", rtol=1e-12)[-1]
        errors.append(abs(found.curvature() / end.curvature() - 1).max())
    ratios = np.array(errors[:-1]) / errors[1:]
    assert ratios.min() > 8
    assert 0.5 < ratios[0] / ratios[1] < 2


@pytest.mark.parametrize(("method", "order", "steps"), [("etdrk4", 4, 12), ("rkl2", 2, 24)])
def test_orders_in_time(method, order, steps):
    ends = [
        solve(lumpy(6, 0.2), (0, 0.24), method=method, dt=0.24 / n, t_eval=[0.24])[-1].u
        for n in (steps, 2 * steps, 4 * steps)
    ]
    coarse, fine = (abs(a - b).max() for a, b in pairwise(ends))
    assert np.log2(coarse / fine) == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize(("part", "degree", "m"), [(0, 2, 1), (1, 3, 3), (0, 5, 0)])
def test_modes_decay_at_their_rate_near_the_round_metric(part, degree, m):
    """k_t = Lap k + 2 k for K = 1 + k: the rate l (l + 1) - 2 (Hamilton 1988)."""
    sphere = Sphere(8)
    c = np.zeros((2, 9, 9))
    c[part, degree, m] = 1e-5
    rate = degree * (degree + 1) - 2
    end = 2 / rate
    flow = solve(ConformalMetric.from_coefficients(sphere, c), (0, end), normalized=True,
                 t_eval=[0, end], rtol=1e-9)  # fmt: skip
    before, after = (sphere.analysis(g.curvature())[part, degree, m] for g in flow)
    assert np.log(before / after) / end == pytest.approx(rate, rel=1e-4)


def test_everything_goes_round_and_the_entropy_falls_under_the_normalised_flow():
    start = lumpy()
    flow = solve(start, (0, 2.5), normalized=True, rtol=1e-8)
    assert start.curvature().min() < 0
    assert flow[-1].distance_to_constant_curvature() < 1e-3
    np.testing.assert_allclose([g.area() for g in flow], start.area(), rtol=1e-7)
    entropy = [g.entropy() for g in flow if g.curvature().min() > 0]
    assert len(entropy) > 10
    assert np.diff(entropy).max() < 0
    assert abs(flow[-1].u - flow[-1].u.mean()).max() > 0.01  # round, but not in these coordinates


def test_the_least_curvature_rises_and_the_area_falls_at_8_pi():
    start = lumpy()
    end = 0.9 * start.extinction_time()
    flow = solve(start, (0, end), rtol=1e-8)
    assert np.diff([g.scalar_curvature().min() for g in flow]).min() > 0
    areas = np.array([g.area() for g in flow])
    np.testing.assert_allclose(areas, start.area() - 8 * np.pi * flow.t, atol=1e-6)
    np.testing.assert_allclose([g.total_curvature() for g in flow], 4 * np.pi, rtol=1e-10)


def test_a_sphere_that_vanishes_ends_the_flow_with_a_status():
    start = lumpy(12, 0.1)
    flow = solve(start, (0, 1), rtol=1e-5)
    end = start.extinction_time()
    assert (flow.status, flow.success) == (-1, False)
    assert f"the sphere vanishes at t = {end:.5g}"[:-1] in flow.message
    assert flow.t[-1] == pytest.approx(end, rel=1e-4)
    assert flow[-1].distance_to_constant_curvature() < 1e-2
    assert np.all(np.isfinite(flow[-1].u))


def test_a_flow_that_stops_long_before_the_sphere_vanishes_says_why():
    flow = solve(lumpy(8, 0.1), (0, 0.4), max_steps=3)
    assert (flow.status, flow.n_accepted) == (-1, 3)
    assert "max_steps" in flow.message
    assert "vanishes" not in flow.message


def test_a_start_that_is_not_resolved_is_warned_about_or_refused():
    sphere = Sphere(12)
    with pytest.warns(UserWarning, match="not resolved"):
        start = king_rosenau(sphere, -2.8)
    with pytest.warns(UserWarning, match=r"mean square 0\.000\d+: Sphere\(12\) does not resolve"):
        solve(start, (0, 1e-3))
    c = np.array(start.coefficients)
    c[0, 11, 3] = 0.02
    rough = ConformalMetric.from_coefficients(sphere, c)
    with pytest.raises(InvalidArgumentError, match=r"mean square 0\.02"):
        solve(rough, (0, 1))


class Forcing(ConformalFlow):
    """The flow with a source in a high mode."""

    def __call__(self, t, state):
        rate = np.array(super().__call__(t, state))
        rate[0, 11, 3] += 10.0
        return rate


def test_the_end_by_resolution(monkeypatch):
    monkeypatch.setattr(sys.modules["riemann_lne.conformal.solve"], "ConformalFlow", Forcing)
    flow = solve(round_sphere(Sphere(12)), (0, 0.3))
    assert flow.status == -1
    assert "no longer resolves" in flow.message
    assert flow[-1].tail() == pytest.approx(1e-2, rel=1e-3)


def test_a_torus_becomes_flat_as_the_sausage_does():
    sausage, torus = exact.periodic_sausage((2, 1)), Torus(Grid.torus((32, 32)))
    u = [np.log(sausage.metric(t, *torus.coordinates)[0, 0]) / 2 for t in (0.5, 1.0)]
    flow = solve(ConformalMetric(torus, u[0]), (0.5, 1.0), t_eval=[1.0], rtol=1e-8)
    np.testing.assert_allclose(flow[-1].u, u[1], atol=1e-7)


def test_modes_of_an_oblique_torus_decay_at_the_eigenvalues_of_its_laplacian():
    torus = Torus(Grid.torus((12, 12)), [[1.0, 0.5], [0.5, 1.0]])
    start = ConformalMetric.from_function(torus, lambda x, y: 1e-6 * np.cos(x))
    for normalized in (False, True):
        flow = solve(start, (0, 1), normalized=normalized, t_eval=[0, 1], rtol=1e-9)
        before, after = (abs(g.curvature()).max() for g in flow)
        assert np.log(before / after) == pytest.approx(4 / 3, rel=1e-4)


@pytest.mark.parametrize(
    ("surface", "u"),
    [
        (Sphere(6), lambda x, y, z: 0.4 * x * y),
        (Torus(Grid.torus((12, 12))), lambda x, y: 0.4 * np.sin(x)),
        # where the part without derivatives, -2 u_t, is more than half of it
        (Torus(Grid.torus((12, 12))), lambda x, y: np.cos(3 * x) + np.cos(3 * y)),
    ],
)
def test_the_bound_of_the_spectral_radius_holds(surface, u):
    """Against the largest eigenvalue of the Jacobian, by differences; it is not far above."""
    start = ConformalMetric.from_function(surface, u)
    flow, c = ConformalFlow(surface), np.array(start.coefficients)
    base, columns = flow(0.0, c), []
    noise = surface.analysis(np.random.default_rng(0).standard_normal(surface.shape))
    keep = np.flatnonzero(noise.ravel())
    for k in keep:
        step = np.zeros(c.size)
        step[k] = 1e-6
        columns.append(((flow(0.0, c + step.reshape(c.shape)) - base) / 1e-6).ravel()[keep])
    eigenvalues = np.linalg.eigvals(np.array(columns).T)
    largest = abs(eigenvalues).max()
    assert largest < flow.spectral_radius(0.0, c) < 3 * largest
    assert abs(eigenvalues.imag).max() < 0.05 * largest


def test_what_the_exponential_method_integrates_exactly_is_half_of_the_largest_at_least():
    """The remainder is then no stronger than that part, for which long steps are stable."""
    torus = Torus(Grid.torus((12, 12)))
    start = ConformalMetric.from_function(torus, lambda x, y: np.cos(x) + np.cos(y))
    inverse = np.exp(-2 * start.u)
    assert inverse.mean() < 0.1 * inverse.max()
    method = ConformalETDRK4(ConformalFlow(torus), start.coefficients)
    np.testing.assert_allclose(method.linear, inverse.max() / 2 * torus.laplacian, rtol=1e-12)


def test_the_splitting_goes_on_from_a_checkpoint_as_it_was():
    flow, small, large = ConformalFlow(Sphere(6)), lumpy(6, 0.1), lumpy(6, 0.5)
    method, other = (ConformalETDRK4(flow, g.coefficients) for g in (small, large))
    assert abs(method.linear - other.linear).max() > 1
    other.recall(method.memory())
    np.testing.assert_array_equal(method.linear, other.linear)


def test_events_and_messages():
    def halved(t, g):
        return g.area() - 0.5 * area

    halved.terminal = True
    start = lumpy(10, 0.1)
    area = start.area()
    flow = solve(start, (0, 0.4), events=halved, rtol=1e-6)
    assert flow.status == 1
    assert flow.metrics_events[0][0].area() == pytest.approx(area / 2, rel=1e-6)
    assert flow.t_events[0][0] == pytest.approx(start.extinction_time() / 2, rel=1e-5)
    halved.terminal = False
    flow = solve(start, (0, 0.01), events=[halved])
    assert flow.message == "reached the end of t_span; event halved never changed sign"
    assert solve(start, (0, 0.01)).message == "reached the end of t_span"
    rest = solve(start, (0, 50), normalized=True, events=events.SteadyState(1e-6))
    assert rest.status == 1
    assert "SteadyState" in rest.message


def test_bad_arguments_of_solve():
    g = round_sphere(Sphere(4))
    for call, error, words in (
        (lambda: solve(g.u, (0, 1)), DTypeError, "ConformalMetric"),
        (lambda: solve(g, (0, 1), method="euler"), UnknownNameError, "euler"),
        (lambda: solve(g, (1, 0)), InvalidArgumentError, "t_span"),
        (lambda: solve(g, (0, 1), rtol=0), InvalidArgumentError, "rtol"),
        (lambda: solve(g, (0, 1), normalized=1), InvalidArgumentError, "normalized"),
        (lambda: solve(g, (0, 1), events=3), DTypeError, "event 3"),
        (lambda: solve(g, (0, 1), resume=True), InvalidArgumentError, "checkpoint"),
    ):
        with pytest.raises(error, match=words):
            call()


# ---- files -----------------------------------------------------------------------------------


@pytest.mark.parametrize("surface", [Sphere(6), Torus(Grid.torus((8, 9)), [[2, 0.5], [0.5, 1]])],
                         ids=repr)  # fmt: skip
def test_a_solution_survives_its_file(surface, tmp_path):
    x = surface.coordinates
    flow = solve(ConformalMetric(surface, 0.0 * x[0] + 0.1), (0, 0.1), normalized=True)
    flow.save(tmp_path / "a.npz")
    again = ConformalSolution.load(tmp_path / "a.npz")
    assert again.metrics == flow.metrics
    assert again.t.tolist() == flow.t.tolist()
    assert again.parameters == flow.parameters
    assert (again.message, again.nfev) == (flow.message, flow.nfev)
    with pytest.raises(FileNotFoundError):
        ConformalSolution.load(tmp_path / "b.npz")
    with pytest.raises(InvalidArgumentError, match="npz"):
        flow.save(tmp_path / "a.txt")


def test_damaged_files_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    solve(round_sphere(Sphere(4)), (0, 0.1)).save(path)
    whole = dict(np.load(path))
    for name, value in (("states", whole["states"][:, :, :-1]), ("numbers", whole["numbers"][1:]),
                        ("record", np.array('{"kind": "else"}')),
                        ("states", whole["states"] * np.nan)):  # fmt: skip
        np.savez(path, **{**whole, name: value})
        with pytest.raises(InvalidArgumentError, match="conformal flow"):
            ConformalSolution.load(path)


class StopError(Exception):
    pass


@pytest.mark.parametrize("method", ["etdrk4", "rkl2"])
def test_a_killed_flow_goes_on_from_its_checkpoint_to_the_last_bit(method, tmp_path):
    calls = []

    def crossing(t, g):
        calls.append(t)
        if stop and t > 0.1:
            raise StopError
        return g.area() - 12.0

    options = {"method": method, "events": crossing, "rtol": 1e-5}
    start, stop = lumpy(8, 0.1), False
    whole = solve(start, (0, 0.3), **options)
    stop, plan = True, Checkpoint(tmp_path / "run", steps=2)
    with pytest.raises(StopError):
        solve(start, (0, 0.3), checkpoint=plan, **options)
    stop = False
    calls.clear()
    again = solve(start, (0, 0.3), checkpoint=plan, resume=True, **options)
    assert min(calls) > 0.02
    assert again.t.tolist() == whole.t.tolist()
    assert again.metrics == whole.metrics
    assert again.t_events[0].tolist() == whole.t_events[0].tolist() != []
    assert (again.nfev, again.message) == (whole.nfev, whole.message)
    with pytest.raises(InvalidArgumentError, match="rhs is"):
        solve(start, (0, 0.3), normalized=True, checkpoint=plan, resume=True, **options)
