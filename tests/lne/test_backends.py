"""The same numbers from every array library; precision, device and gradients follow the input."""

import numpy as np
import pytest

from riemann_lne.lne import (
    HessianLNEMetric,
    LNEMetric,
    auto_tau,
    discrete_flow_defect,
    lne_divergence,
    lne_dual_divergence,
    lne_dual_potential,
    lne_potential,
    max_tau,
    minkowski_product,
)

X, U, V = np.random.default_rng(0).standard_normal((3, 4, 6))
LNE, HESSIAN = LNEMetric(0.25), HessianLNEMetric(0.6)

CALLS = {
    "matrix": lambda x, u, v: LNE.matrix(x),
    "norm2": lambda x, u, v: LNE.norm2(x),
    "apply": lambda x, u, v: LNE.apply(x, v),
    "solve exact": lambda x, u, v: LNE.solve(x, v),
    "solve weak": lambda x, u, v: LNE.solve(x, v, method="weak"),
    "determinant": lambda x, u, v: LNE.determinant(x),
    "eigenvalues": lambda x, u, v: LNE.eigenvalues(x),
    "positive definite": lambda x, u, v: LNE.is_positive_definite(x),
    "dominant": lambda x, u, v: LNE.is_diagonally_dominant(x),
    "christoffel": LNE.christoffel,
    "ricci matrix": lambda x, u, v: LNE.ricci(x).matrix(),
    "ricci apply": lambda x, u, v: LNE.ricci(x).apply(u),
    "scalar": lambda x, u, v: LNE.scalar_curvature(x),
    "divergence": lambda x, u, v: lne_divergence(x, u, 0.5),
    "potential": lambda x, u, v: lne_potential(x, 0.5),
    "hessian matrix": lambda x, u, v: HESSIAN.matrix(x),
    "hessian apply": lambda x, u, v: HESSIAN.apply(x, v),
    "hessian solve": lambda x, u, v: HESSIAN.solve(x, v),
    "hessian determinant": lambda x, u, v: HESSIAN.determinant(x),
    "hessian definite": lambda x, u, v: HESSIAN.is_positive_definite(x),
    "hessian christoffel": HESSIAN.christoffel,
    "hessian ricci": lambda x, u, v: HESSIAN.ricci(x).apply(u),
    "hessian scalar": lambda x, u, v: HESSIAN.scalar_curvature(x),
    "to_flat": lambda x, u, v: HESSIAN.to_flat(x),
    "from_flat": lambda x, u, v: HESSIAN.from_flat(x * 0.3),
    "exp": lambda x, u, v: HESSIAN.exp(x, v * 0.1),
    "log": lambda x, u, v: HESSIAN.log(x, v),
    "distance": lambda x, u, v: HESSIAN.distance(x, v),
    "hessian geodesic": lambda x, u, v: HESSIAN.geodesic(x, v * 0.1, [0.5, -1.0]),
    "hessian transport": lambda x, u, v: HESSIAN.transport(x, v * 0.1, u),
    "lne exp": lambda x, u, v: LNE.exp(x, v * 0.1),
    "lne geodesic": lambda x, u, v: LNE.geodesic(x, v * 0.1, [0.5, -1.0]),
    "lne transport": lambda x, u, v: LNE.transport(x, v * 0.1, u),
    "lne log": lambda x, u, v: LNE.log(x, v),
    "lne distance": lambda x, u, v: LNE.distance(x, v),
    "embedding": lambda x, u, v: LNE.embedding(x),
    "riemann": lambda x, u, v: LNE.riemann(x, u, v, u),
    "sectional": lambda x, u, v: LNE.sectional_curvature(x, u, v),
    "minkowski": lambda x, u, v: minkowski_product(u, v),
    "dual potential": lambda x, u, v: lne_dual_potential(x * 0.3, 0.5),
    "dual divergence": lambda x, u, v: lne_dual_divergence(x * 0.3, u * 0.3, 0.5),
    "max_tau": lambda x, u, v: max_tau(x),
    "max_tau dominant": lambda x, u, v: max_tau(x, "diagonally-dominant"),
    "auto_tau": lambda x, u, v: auto_tau(x, 0.3),
    "auto_tau high": lambda x, u, v: auto_tau(x, 0.8),
    "tau per block": lambda x, u, v: LNEMetric(auto_tau(x, 0.3)).solve(x, v),
    "defect": lambda x, u, v: discrete_flow_defect(x, u, v, x + u, u - v, 2, 3),
}


@pytest.mark.parametrize("name", CALLS)
def test_libraries_agree(backend, name):
    call = CALLS[name]
    expected = call(X, U, V)
    result = call(*(backend(a) for a in (X, U, V)))
    assert type(result) is type(backend(X)) or isinstance(result, np.generic)
    host = np.asarray(result)
    assert host.dtype == expected.dtype
    assert host.shape == expected.shape
    np.testing.assert_allclose(host, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", CALLS)
def test_single_precision(backend, name):
    call = CALLS[name]
    expected = call(X, U, V)
    result = np.asarray(call(*(backend(a.astype(np.float32)) for a in (X, U, V))))
    assert result.dtype == (np.bool_ if expected.dtype == np.bool_ else np.float32)
    np.testing.assert_allclose(result, expected, rtol=3e-4, atol=3e-5)
    if expected.dtype != np.bool_:
        assert np.max(np.abs(result - expected)) < 1e-4 * max(1.0, np.max(np.abs(expected)))


@pytest.mark.parametrize("name", CALLS)
def test_inputs_stay_as_they_are(name):
    arrays = [a.copy() for a in (X, U, V)]
    for a in arrays:
        a.flags.writeable = False
    CALLS[name](*arrays)
    for a, original in zip(arrays, (X, U, V), strict=True):
        np.testing.assert_array_equal(a, original)


@pytest.mark.parametrize("shape", [(6,), (1, 6), (2, 3, 6), (0, 6)])
@pytest.mark.parametrize("name", CALLS)
def test_batch_shapes(name, shape):
    arrays = [np.resize(a, shape) for a in (X, U, V)]
    result = np.asarray(CALLS[name](*arrays))
    assert result.shape[: len(shape) - 1] == shape[:-1]
    if name not in {"tau per block"} and len(shape) > 1 and shape[0]:
        first = CALLS[name](*(a[0] for a in arrays))
        np.testing.assert_allclose(result[0], first, rtol=1e-12, atol=1e-13)


CONSTANT = {
    "positive definite", "dominant", "hessian definite", "hessian ricci", "hessian scalar",
    "lne log",
}  # fmt: skip


@pytest.mark.parametrize("name", [n for n in CALLS if "tau" not in n and n not in CONSTANT])
def test_gradients_pass(torch, name):
    """Reverse-mode derivative against a central difference."""
    call = CALLS[name]
    arrays = [torch.asarray(a).requires_grad_() for a in (X, U, V)]
    rng = np.random.default_rng(1)
    result = call(*arrays)
    cotangent = torch.asarray(rng.standard_normal(result.shape))
    used = torch.autograd.grad((result * cotangent).sum(), arrays, allow_unused=True)
    directions = rng.standard_normal((3, *X.shape))
    slope = sum(
        float((g * torch.asarray(d)).sum())
        for g, d in zip(used, directions, strict=True)
        if g is not None
    )
    step = 1e-5
    ends = []
    for sign in (1, -1):
        moved = [a + sign * step * d for a, d in zip((X, U, V), directions, strict=True)]
        ends.append(np.sum(call(*moved) * cotangent.numpy()))
    difference = (ends[0] - ends[1]) / (2 * step)
    assert slope == pytest.approx(difference, rel=1e-6, abs=1e-8)


def test_gradient_of_the_determinant_for_equal_weights(torch):
    x = torch.full((3,), 0.5, dtype=torch.float64, requires_grad=True)
    LNEMetric(0.8).determinant(x).backward()
    t = np.tanh(0.4)
    np.testing.assert_allclose(x.grad.numpy(), [-2 * t * 0.8 * (1 - t * t)] * 3, rtol=1e-13)


def test_second_derivatives_at_the_origin(torch):
    """Kinks of absolute values must not show: sech^2 = 1 - (tau x)^2 + ..."""
    x = torch.zeros(1, dtype=torch.float64)
    second = torch.func.jacrev(torch.func.jacrev(HESSIAN.determinant))(x)
    np.testing.assert_allclose(second.numpy(), [[-2 * 0.6**2]], rtol=1e-13)
    second = torch.func.jacrev(torch.func.jacrev(lambda a: HESSIAN.apply(a, torch.ones_like(a))))(x)
    np.testing.assert_allclose(second.numpy(), [[[-2 * 0.6**2]]], rtol=1e-13)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_computed_in_single(torch, dtype):
    half = getattr(torch, dtype)
    rng = np.random.default_rng(2)
    x, v = (torch.asarray(a).to(half) for a in rng.standard_normal((2, 20_000)))
    tau = auto_tau(x, 0.5)
    metric = LNEMetric(tau)
    wide = [a.to(torch.float64) for a in (x, v)]
    assert metric.norm2(x).dtype == torch.float32
    assert float(metric.norm2(x)) == pytest.approx(0.5, rel=1e-5, abs=0.0)
    for function in (
        metric.apply,
        metric.solve,
        lambda a, b: metric.ricci(a).apply(b),
        lambda a, b: metric.christoffel(a, b, b),
    ):
        result, expected = function(x, v), function(*wide)
        assert result.dtype == half
        # half a unit in the last place of the largest entries, and nothing from the sums
        eps = torch.finfo(half).eps
        assert float((result - expected).abs().max() / expected.abs().max()) < eps
    x.requires_grad_()
    v.requires_grad_()
    metric.solve(x, v).sum().backward()
    assert x.grad.dtype == v.grad.dtype == half
    assert bool(torch.isfinite(x.grad).all())


def test_mixed_precision_promotes(torch):
    x, v = torch.ones(3, dtype=torch.float32), torch.ones(3, dtype=torch.bfloat16)
    assert LNEMetric(0.2).solve(x, v).dtype == torch.float32
    assert LNEMetric(0.2).solve(X.astype(np.float32), V).dtype == np.float64


def test_tau_from_another_library_or_precision(torch):
    x, v = torch.asarray(X), torch.asarray(V)
    tau = np.asarray([0.1, 0.2, 0.1, 0.15], dtype=np.float32)
    expected = LNEMetric(tau.astype(float)).solve(X, V)
    for given in (tau, torch.asarray(tau)):
        np.testing.assert_allclose(LNEMetric(given).solve(x, v).numpy(), expected, rtol=1e-14)


def test_vmap_and_per_sample_gradients(torch):
    x, v = torch.asarray(X), torch.asarray(V)
    result = torch.func.vmap(lambda a, b: LNE.solve(a, b, check=False))(x, v)
    torch.testing.assert_close(result, LNE.solve(x, v))
    shared = torch.func.vmap(lambda b: LNE.apply(x[0], b))(v)
    torch.testing.assert_close(shared, LNE.apply(x[0], v))
