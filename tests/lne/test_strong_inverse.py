"""The network of Eq. 28: what it reaches, that it is repeatable, and what it refuses."""

import subprocess
import sys

import numpy as np
import pytest

from riemann_lne.errors import InvalidArgumentError, NotSymmetricError, ShapeError
from riemann_lne.lne import LNEMetric, auto_tau, strong_inverse


def matrix(n, target=0.5):
    x = np.random.default_rng(n).standard_normal(n)
    return LNEMetric(auto_tau(x, target)).matrix(x)


@pytest.mark.parametrize("n", [1, 4, 16])
def test_it_learns_the_inverse(torch, n):
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


def test_seed(torch):
    g = matrix(5)
    first, same, other = (strong_inverse(g, steps=20, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.inverse, same.inverse)
    assert np.max(np.abs(first.inverse - other.inverse)) > 0.0


def test_library_and_precision_follow_the_input(torch):
    g = torch.asarray(matrix(3)).to(torch.float32)
    result = strong_inverse(g, steps=10)
    assert result.inverse.dtype == torch.float32


def test_bad_input(torch):
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


def test_without_torch_the_error_names_the_extra():
    code = (
        "import sys, numpy as np, riemann_lne as rl\n"
        "sys.modules['torch'] = None\n"
        "from riemann_lne.errors import MissingDependencyError\n"
        "try:\n    rl.lne.strong_inverse(np.eye(2))\n"
        "except MissingDependencyError as e:\n    print(e)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert "pip install 'riemann-lne[torch]'" in done.stdout, done.stderr
