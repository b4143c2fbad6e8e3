"""The spectrum of the Lichnerowicz Laplacian, where it is known."""

import numpy as np
import pytest

import riemann_lne as rl
from riemann_lne.curvature import lichnerowicz
from riemann_lne.errors import InvalidArgumentError


def flat_spectrum(grid, k):
    squares = np.zeros(())
    for wave in grid.wavevectors():
        squares = np.add.outer(squares, wave**2)
    copies = grid.ndim * (grid.ndim + 1) // 2
    return -np.repeat(np.sort(squares.ravel()), copies)[:k]


@pytest.mark.parametrize("n", [2, 3])
def test_the_flat_torus_has_minus_k_squared_with_all_its_copies(n):
    grid = rl.Grid.torus((8,) * n, lengths=(6.0, 5.0, 4.5)[:n])
    k = 3 * n * (n + 1) // 2
    values = rl.lichnerowicz_spectrum(rl.flat_metric(grid), k)
    np.testing.assert_allclose(values, flat_spectrum(grid, k), atol=1e-10)


def test_coordinates_do_not_change_the_spectrum():
    bent = rl.exact.gauge_family(2, 0.3)
    g = bent.field(0.0, bent.grid(20))
    np.testing.assert_allclose(rl.lichnerowicz_spectrum(g, 6), flat_spectrum(g.grid, 6), atol=1e-8)


def test_a_curved_metric_has_the_largest_eigenvalues_of_the_dense_operator():
    grid = rl.Grid.torus((8, 8))
    g = rl.perturbed_euclidean(grid, 0.2, modes=1)
    basis = np.eye(3 * 64).reshape(-1, 3, 8, 8)
    columns = []
    for packed in basis:
        h = np.array([[packed[0], packed[1]], [packed[1], packed[2]]])
        image = lichnerowicz(g.components, h, grid, "fourier")
        columns.append(np.stack([image[0, 0], image[0, 1], image[1, 1]]).ravel())
    dense = np.sort(np.linalg.eigvals(np.array(columns).T).real)[::-1]
    np.testing.assert_allclose(rl.lichnerowicz_spectrum(g, 8), dense[:8], atol=1e-7)


def test_differences_of_low_order_have_their_own_spectrum():
    grid = rl.Grid.torus((12, 12))
    values = rl.lichnerowicz_spectrum(rl.flat_metric(grid), 6, order=2)
    h = 2 * np.pi / 12
    np.testing.assert_allclose(values[3:], -(2 - 2 * np.cos(h)) / h**2, atol=1e-9)


def test_what_it_cannot_do_is_refused():
    with pytest.raises(InvalidArgumentError, match="bounded"):
        rl.lichnerowicz_spectrum(rl.flat_metric(rl.Grid.box(0.0, 1.0, (9, 9))))
    with pytest.raises(InvalidArgumentError, match="between 1 and 12"):
        rl.lichnerowicz_spectrum(rl.flat_metric(rl.Grid.torus((4, 4))), k=13)
