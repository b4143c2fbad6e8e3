"""N of the discrete Ricci flow against dense matrices, and its accuracy in single precision."""

import numpy as np
import pytest

from riemann_lne.errors import InvalidArgumentError
from riemann_lne.lne import discrete_flow_defect, discrete_flow_defect_of_steps

N, DK, DJ = 40, 2, -3


def vectors(spread, n=N, batch=(), seed=0):
    """Five t = tanh(tau w) of weights that differ by a relative spread, |t|^2 near 0.5."""
    rng = np.random.default_rng(seed)
    w = rng.standard_normal((*batch, n))
    steps = spread * rng.standard_normal((5, *batch, n))
    return list(np.tanh(np.sqrt(0.5 / n) * (w + steps)))


def coefficients(dk, dj):
    return (1.0, -1.0 - 1.0 / dk, 1.0 / dk, 1.0 / dj, -1.0 / dj)


def dense(t, dk, dj):
    """Eq. 35 as it stands."""
    following, k1, k2, j1, j2 = (np.eye(N) - a[..., :, None] * a[..., None, :] for a in t)
    defect = following - k1 - (k1 - k2) / dk + (j1 - j2) / dj
    return np.sum(defect**2, axis=(-2, -1))


def plain(t, dk, dj):
    """The uncentred sum over inner products."""
    c = np.asarray(coefficients(dk, dj), dtype=t[0].dtype)
    t = np.stack(t)
    return np.sum(np.outer(c, c) * (t @ t.T) ** 2)


@pytest.mark.parametrize("spread", [1.0, 0.1, 1e-3])
@pytest.mark.parametrize("batch", [(), (3,), (2, 2)])
def test_against_dense_matrices(spread, batch):
    t = vectors(spread, batch=batch)
    value = discrete_flow_defect(*t, DK, DJ)
    assert value.shape == batch
    np.testing.assert_allclose(value, dense(t, DK, DJ), rtol=1e-9)


@pytest.mark.parametrize("position", range(5))
def test_any_centre_gives_the_same(position):
    t = vectors(0.1)
    expected = discrete_flow_defect(*t, DK, DJ)
    assert discrete_flow_defect(*t, DK, DJ, center=t[position]) == pytest.approx(
        expected, rel=1e-12
    )
    far = np.full(N, 0.3)
    assert discrete_flow_defect(*t, DK, DJ, center=far) == pytest.approx(
        expected, rel=1e-10, abs=0.0
    )


@pytest.mark.parametrize("n", [1000, 1_000_000])
def test_single_precision_needs_the_centred_formula(n):
    t = [a.astype(np.float32) for a in vectors(1e-3, n=n)]
    exact = discrete_flow_defect(*(a.astype(float) for a in t), DK, DJ)
    assert plain([a.astype(float) for a in t], DK, DJ) == pytest.approx(exact, rel=1e-6, abs=0.0)
    value = discrete_flow_defect(*t, DK, DJ)
    assert value.dtype == np.float32
    assert value == pytest.approx(exact, rel=1e-5, abs=0.0)
    assert abs(plain(t, DK, DJ) / exact - 1.0) > 1e-2


def test_zero_for_equal_vectors():
    assert discrete_flow_defect(*vectors(0.0), DK, DJ) == 0.0


def test_zero_and_never_negative_where_the_step_is_the_discrete_ricci_flow():
    # one weight: g is a number, so t(t+1) can be solved for, and only rounding is left of N
    k1, k2, j1, j2 = np.random.default_rng(0).uniform(0.4, 0.5, (4, 200, 1))
    g = [1.0 - a * a for a in (k1, k2, j1, j2)]
    following = np.sqrt(1.0 - (g[0] + (g[0] - g[1]) / DK - (g[2] - g[3]) / DJ))
    value = discrete_flow_defect(following, k1, k2, j1, j2, DK, DJ)
    assert np.all(value >= 0.0)
    assert np.max(value) < 1e-16
    assert np.min(discrete_flow_defect(1.01 * following, k1, k2, j1, j2, DK, DJ)) > 1e-6


@pytest.mark.parametrize("with_center", [False, True])
def test_derivative(torch, with_center):
    """dN/dt_a = 4 c_a sum_b c_b (t_a . t_b) t_b."""
    t = [torch.asarray(a).requires_grad_() for a in vectors(0.3)]
    center = t[2] if with_center else None
    discrete_flow_defect(*t, DK, DJ, center=center).backward()
    c = coefficients(DK, DJ)
    for a, ca in zip(t, c, strict=True):
        expected = 4 * ca * sum(cb * (a @ b) * b for b, cb in zip(t, c, strict=True)).detach()
        assert float(expected.abs().max()) > 1e-3
        torch.testing.assert_close(a.grad, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("dk", "dj", "name"), [(0, 1, "dk"), (1, 0.0, "dj"), (np.nan, 1, "dk")])
def test_shifts_must_differ(dk, dj, name):
    with pytest.raises(InvalidArgumentError, match=f"^{name} is the difference"):
        discrete_flow_defect(*vectors(0.1), dk, dj)


@pytest.mark.parametrize("relative_step", [1.0, 1e-2, 1e-4, 1e-6])
def test_from_steps_single_precision_is_kept_however_small(backend, relative_step):
    rng = np.random.default_rng(4)
    x = rng.standard_normal(500).astype(np.float32)
    steps = (relative_step * rng.standard_normal((5, 500))).astype(np.float32)
    exact = discrete_flow_defect_of_steps(x.astype(float), *steps.astype(float), DK, DJ, tau=0.03)
    value = discrete_flow_defect_of_steps(
        backend(x), *(backend(s) for s in steps), DK, DJ, tau=0.03
    )
    assert float(value) == pytest.approx(float(exact), rel=1e-6, abs=0.0)


def test_from_steps_is_the_same_as_from_vectors():
    rng = np.random.default_rng(4)
    x, steps, tau = rng.standard_normal((2, N)), rng.standard_normal((5, 2, N)), 0.1
    expected = discrete_flow_defect(*np.tanh(tau * (x + steps)), DK, DJ)
    found = discrete_flow_defect_of_steps(x, *steps, DK, DJ, tau=np.asarray([tau, tau]))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    with pytest.raises(InvalidArgumentError, match="dk is the difference of two shifts"):
        discrete_flow_defect_of_steps(x, *steps, 0, DJ, tau=tau)


@pytest.mark.parametrize("batch", [3, 5])  # 5 is also the number of the vectors
@pytest.mark.parametrize("batched", ["x", "a step", "tau"])
def test_batches_broadcast(batch, batched):
    rng = np.random.default_rng(4)
    x, *steps = rng.normal(size=(6, N))
    rows = [[x, *steps, 0.1] for _ in range(batch)]
    place = {"x": 0, "a step": 3, "tau": 6}[batched]
    for k, row in enumerate(rows):
        row[place] = row[place] * (1.0 + 0.1 * k)
    together = [x, *steps, 0.1]
    together[place] = np.stack([row[place] for row in rows])
    *arrays, tau = together
    found = discrete_flow_defect_of_steps(*arrays, 2, 3, tau)
    single = [discrete_flow_defect_of_steps(*row[:6], 2, 3, row[6]) for row in rows]
    np.testing.assert_allclose(found, single, rtol=1e-13)
    if batched != "tau":
        rows = [[np.tanh(a) for a in row[:5]] for row in rows]
        arrays = [np.tanh(a) for a in arrays[:5]]
        single = [discrete_flow_defect(*row, 2, 3) for row in rows]
        np.testing.assert_allclose(discrete_flow_defect(*arrays, 2, 3), single, rtol=1e-13)
