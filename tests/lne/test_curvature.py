"""Christoffel symbols and curvature against automatic differentiation of the matrix."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from riemann_lne.lne import HessianLNEMetric, LNEMetric, auto_tau

N = 6


def reference(torch, metric, x):
    """Gamma^k_ij, R^l_ijk, Ric_jk and R of metric.matrix at x, by differentiating it."""

    def christoffel(point):
        g = metric.matrix(point)
        dg = torch.func.jacrev(metric.matrix)(point)  # d_k g_ij at [i, j, k]
        lowered = 0.5 * (
            torch.einsum("pji->pij", dg)
            + torch.einsum("pij->pij", dg)
            - torch.einsum("ijp->pij", dg)
        )
        return torch.einsum("kp,pij->kij", torch.linalg.inv(g), lowered)

    gamma = christoffel(x)
    d = torch.func.jacrev(christoffel)(x)  # d_m Gamma^k_ij at [k, i, j, m]
    riemann = (
        torch.einsum("ljki->lijk", d)
        - torch.einsum("likj->lijk", d)
        + torch.einsum("pjk,lip->lijk", gamma, gamma)
        - torch.einsum("pik,ljp->lijk", gamma, gamma)
    )
    ricci = torch.einsum("iijk->jk", riemann)
    scalar = torch.einsum("jk,jk->", torch.linalg.inv(metric.matrix(x)), ricci)
    return gamma, riemann, ricci, scalar


@pytest.mark.parametrize("target", [0.1, 0.5, 0.9])
def test_closed_forms_against_automatic_differentiation(torch, target):
    x = torch.asarray(np.random.default_rng(5).standard_normal(N))
    u, v = torch.asarray(np.random.default_rng(6).standard_normal((2, N)))
    metric = LNEMetric(auto_tau(x, target))
    gamma, riemann, ricci, scalar = reference(torch, metric, x)
    scale = float(ricci.abs().max())
    assert scale > 0.05

    vector = torch.einsum("kij,i,j->k", gamma, u, v)
    torch.testing.assert_close(metric.christoffel(x, u, v), vector, rtol=0, atol=1e-10)
    mine = metric.ricci(x)
    torch.testing.assert_close(mine.matrix(), ricci, rtol=0, atol=1e-10 * max(1, scale))
    torch.testing.assert_close(mine.apply(u), ricci @ u, rtol=0, atol=1e-10 * max(1, scale))
    torch.testing.assert_close(metric.scalar_curvature(x), scalar, rtol=1e-11, atol=0)

    # sectional curvature <= 0: R_ijkl u^i v^j v^k u^l with R_ijkl = g_lm R^m_ijk
    lowered = torch.einsum("lm,mijk->ijkl", metric.matrix(x), riemann)
    for seed in range(20):
        a, b = torch.asarray(np.random.default_rng(seed).standard_normal((2, N)))
        assert torch.einsum("ijkl,i,j,k,l->", lowered, a, b, b, a) <= 1e-12


def test_hessian_metric_against_automatic_differentiation(torch):
    x = torch.asarray(np.random.default_rng(5).standard_normal(N))
    u, v = torch.asarray(np.random.default_rng(6).standard_normal((2, N)))
    metric = HessianLNEMetric(0.8)
    gamma, riemann, _, scalar = reference(torch, metric, x)
    vector = torch.einsum("kij,i,j->k", gamma, u, v)
    assert float(vector.abs().max()) > 0.1
    torch.testing.assert_close(metric.christoffel(x, u, v), vector, rtol=0, atol=1e-12)
    torch.testing.assert_close(riemann, torch.zeros_like(riemann), rtol=0, atol=1e-12)
    assert float(metric.scalar_curvature(x)) == 0.0
    assert abs(float(scalar)) < 1e-12
    assert float(metric.ricci(x).matrix().abs().max()) == 0.0


@pytest.mark.parametrize("n", [1, 2, 5])
def test_at_the_origin_the_metric_is_negatively_einstein(n):
    ric = LNEMetric(0.7).ricci(np.zeros((2, n)))
    expected = np.broadcast_to(-(n - 1) * 0.7**2 * np.eye(n), (2, n, n))
    np.testing.assert_allclose(ric.matrix(), expected, rtol=1e-14)
    np.testing.assert_allclose(
        LNEMetric(0.7).scalar_curvature(np.zeros((2, n))), -n * (n - 1) * 0.7**2, rtol=1e-14
    )


@given(st.integers(2, 8), st.floats(0.01, 0.99), st.integers(0, 2**32 - 1))
def test_ricci_is_not_positive(n, target, seed):
    x = np.random.default_rng(seed).standard_normal(n)
    metric = LNEMetric(auto_tau(x, target))
    ric = metric.ricci(x).matrix()
    largest = np.linalg.eigvalsh(ric)[-1]
    assert largest <= 1e-12 * np.max(np.abs(ric))
    assert metric.scalar_curvature(x) < 0.0


def test_scalar_curvature_is_the_trace_of_ricci():
    x = np.random.default_rng(3).standard_normal((4, 50))
    metric = LNEMetric(auto_tau(x, 0.8))
    ric, g = metric.ricci(x).matrix(), metric.matrix(x)
    trace = np.trace(np.linalg.solve(g, ric), axis1=-2, axis2=-1)
    np.testing.assert_allclose(metric.scalar_curvature(x), trace, rtol=1e-11)


def test_ricci_is_an_order_n_object():
    x = np.random.default_rng(3).standard_normal((2, 100_000))
    ric = LNEMetric(auto_tau(x, 0.5)).ricci(x)
    assert ric.diagonal.shape == ric.vector.shape == x.shape
    assert ric.coefficient.shape == (2,)
    assert ric.apply(x).shape == x.shape


def test_curvature_near_the_boundary_of_definiteness_keeps_its_digits(mp):
    # two weights, one saturated: 1 - tanh^2 has lost half of its digits there
    x, tau = [9.0, 1e-5], 1.0
    t = [mp.tanh(mp.mpf(v)) for v in x]
    d = [1 - a * a for a in t]
    s = 1 - t[0] ** 2 - t[1] ** 2
    tr = sum(b * (1 + a * a / s) for a, b in zip(t, d, strict=True))
    expected = [-(tr * b - b * b) / s for b in d]
    ric = LNEMetric(tau).ricci(np.asarray(x))
    np.testing.assert_allclose(ric.diagonal, [float(v) for v in expected], rtol=1e-7)


def test_geodesics_keep_their_speed():
    x = np.asarray([0.3, -0.2, 0.5])
    v = np.asarray([0.4, 0.5, -0.3])
    metric = LNEMetric(0.8)

    def rhs(_, state):
        point, velocity = state[:3], state[3:]
        return np.concatenate([velocity, -metric.christoffel(point, velocity, velocity)])

    end = solve_ivp(rhs, (0.0, 1.0), np.concatenate([x, v]), rtol=1e-11, atol=1e-12).y[:, -1]
    speed = v @ metric.apply(x, v)
    assert end[3:] @ metric.apply(end[:3], end[3:]) == pytest.approx(speed, rel=1e-9, abs=0.0)
    assert np.max(np.abs(end[3:] - v)) > 1e-2
