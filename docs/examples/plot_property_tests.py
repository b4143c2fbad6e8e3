"""
Property tests of your own metric
=================================

``check_metric`` looks at what holds for every metric; ``perturbations`` draws metrics near yours,
from smooth to hostile; a property that fails comes back as its smallest counterexample.

Predicted: the checks find a metric with a mistake and name the place; in two dimensions the
scalar curvature integrates to zero on every torus (Gauss and Bonnet), whatever is drawn.
Measured: both.
"""

import matplotlib.pyplot as plt
import numpy as np
from hypothesis import given, settings

import riemann_lne as rl
from riemann_lne.testing import applicable_kinds, check_metric, perturbations, random_perturbation

grid = rl.Grid.torus((48, 48))


def mine(x, y):
    """Components of a metric of your own."""
    return [[2 + np.cos(y), 0.1], [0.1, 1.0 + 0 * x]]


# %%
# A metric that is right, and one with a mistake: it is not positive definite where cos y = -1.
print(check_metric(mine, rl.Grid.torus((24, 24))))
try:
    check_metric(lambda x, y: [[1 + np.cos(y), 0.1], [0.1, 1.0 + 0 * x]], grid)
except AssertionError as report:
    print(str(report)[:300])

# %%
# A property for every metric near it. Hypothesis draws, and would shrink what fails.
background = rl.MetricField.from_function(grid, mine)
seen = []


@settings(max_examples=40, deadline=None, database=None, derandomize=True)
@given(
    perturbations(background, 0.2, "sup", kinds=("one_directional", "band_limited", "localised"))
)
def gauss_and_bonnet(g):
    """The total curvature of every metric on a torus is zero."""
    seen.append(abs(rl.total_scalar_curvature(g, order=8)))
    assert seen[-1] < 0.5


gauss_and_bonnet()
print(f"{len(seen)} metrics; largest |integral of R dV| = {max(seen):.1e}")

# %%
# The kinds of perturbation on this torus, each at the same distance from the metric.
print(", ".join(kind.name for kind in applicable_kinds(background)))
chosen = ("one_directional", "band_limited", "localised", "steep", "chequered", "rough")
figure, axes = plt.subplots(2, 3, figsize=(8.4, 5.4), layout="constrained")
for axis, kind in zip(axes.flat, chosen, strict=True):
    g = random_perturbation(background, kind, 0.3, "sup", seed=4)
    change = (g.components - background.components)[0, 0]
    picture = axis.imshow(change.T, origin="lower", cmap="RdBu_r", vmin=-0.3, vmax=0.3)
    axis.set(title=kind, xticks=[], yticks=[])
figure.colorbar(picture, ax=axes, label="change of $g_{xx}$", shrink=0.7)
plt.show()
