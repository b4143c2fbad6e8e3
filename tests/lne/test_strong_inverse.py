"""The network of Eq. 28: what it reaches, that it is repeatable, and what it refuses."""

import subprocess
import sys

import numpy as np
import pytest

from riemann_lne.errors import (
    InvalidArgumentError,
    NotSymmetricError,
    ShapeError,
    UnknownNameError,
)
from riemann_lne.lne import LNEMetric, auto_tau, strong_inverse, train_inverse

module = sys.modules["riemann_lne.lne.strong_inverse"]  # its function has the same name


def matrix(n, target=0.5):
    x = np.random.default_rng(n).standard_normal(n)
    return LNEMetric(auto_tau(x, target)).matrix(x)


@pytest.mark.parametrize("n", [1, 4, 16])
def test_it_learns_the_inverse(n):
    g = matrix(n)
    result = strong_inverse(g, steps=300)
    exact = np.linalg.inv(g)
    assert result.losses.shape == (301,)
    assert result.losses[-1] < 1e-3 * result.losses[0]
    np.testing.assert_allclose(result.inverse, result.inverse.T, rtol=0, atol=0)
    # what it reports is what it is
    residual = np.linalg.norm(np.eye(n) - g @ result.inverse)
    assert result.residual == pytest.approx(residual, rel=1e-9, abs=1e-14)
    assert result.residual**2 == pytest.approx(result.losses[-1], rel=1e-6, abs=1e-20)
    error = np.linalg.norm(result.inverse - exact) / np.linalg.norm(exact)
    assert result.error == pytest.approx(error, rel=1e-6, abs=1e-12)
    assert result.seconds > 0.0
    size = n * (n + 1) // 2
    width = min(max(size, 16), 256)
    assert result.parameters == 2 * size * width + width + size


def test_seed():
    g = matrix(5)
    first, same, other = (strong_inverse(g, steps=20, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.inverse, same.inverse)
    assert np.max(np.abs(first.inverse - other.inverse)) > 0.0


def test_library_and_precision_follow_the_input(torch):
    g = torch.asarray(matrix(3)).to(torch.float32)
    result = strong_inverse(g, steps=10)
    assert result.inverse.dtype == torch.float32


def test_bad_input():
    with pytest.raises(ShapeError, match="one square matrix"):
        strong_inverse(np.ones((2, 3)))
    with pytest.raises(InvalidArgumentError, match="limited to n = 64"):
        strong_inverse(np.eye(65))
    with pytest.raises(NotSymmetricError, match=r"\(0, 1\)"):
        strong_inverse(np.asarray([[1.0, 0.5], [0.0, 1.0]]))
    with pytest.raises(InvalidArgumentError, match="singular"):
        strong_inverse(np.ones((2, 2)))
    with pytest.raises(InvalidArgumentError, match="steps"):
        strong_inverse(np.eye(2), steps=0)


def test_it_needs_numpy_alone():
    code = (
        "import sys\n"
        "class NoTorch:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] == 'torch': raise ImportError(name)\n"
        "sys.meta_path.insert(0, NoTorch())\n"
        "import numpy as np, riemann_lne as rl\n"
        "print(rl.lne.strong_inverse(np.eye(2), steps=300).residual < 1e-2)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "True", done.stderr


def test_the_gradients_are_those_of_the_loss():
    rng = np.random.default_rng(0)
    g = np.stack([matrix(3, target) for target in (0.2, 0.5)])
    weights = [rng.normal(size=s) for s in ((4, 6), (4,), (6, 4), (6,))]
    slopes = module._loss(weights, g)[1]
    for w, slope in zip(weights, slopes, strict=True):
        for place in np.ndindex(*w.shape):
            keep, values = w[place], []
            for h in (1e-5, -1e-5):
                w[place] = keep + h
                values.append(module._loss(weights, g)[0])
            w[place] = keep
            assert slope[place] == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-5, abs=1e-7)


def test_a_network_trained_on_several_matrices_inverts_one_that_it_has_not_seen():
    x = np.random.default_rng(0).normal(size=(60, 2))
    g = LNEMetric(1.0).matrix(0.6 * x / np.linalg.norm(x, axis=1, keepdims=True))
    network = train_inverse(g[:50], steps=600)
    trained, others = (
        max(np.linalg.norm(np.eye(2) - one @ network(one)) for one in part)
        for part in (g[:50], g[50:])
    )
    assert trained < 0.02
    assert others < 0.02
    with pytest.raises(ShapeError, match="takes matrices of size 2"):
        network(np.eye(3))
    with pytest.raises(ShapeError, match="a stack of matrices"):
        train_inverse(np.eye(3))


def test_both_methods_train_the_same_network_on_the_same_loss():
    g = np.stack([matrix(2, target) for target in (0.2, 0.4, 0.6)])
    for method, allowed in (("l-bfgs", 1e-3), ("adam", 0.1)):
        network = train_inverse(g, steps=400, method=method)
        assert np.linalg.norm(np.eye(2) - g[1] @ network(g[1])) < allowed
    with pytest.raises(UnknownNameError, match="adam"):
        train_inverse(g, method="adams")
