"""
Weak against exact inverse, as gradients see them
=================================================

The paper trains with ``I + t t^T`` in the place of the inverse of ``g = I - t t^T``. Both turn a
gradient v towards t, by different amounts.

Predicted: the exact natural gradient is ``v + t (t . v) / s``, ``s = 1 - |t|^2``, the weak one
``v + t (t . v)``. For a gradient at the angle a to t, the exact one has the angle b to t with
``tan b = s tan a``, the weak one ``tan b = tan a / (1 + |t|^2)``. Measured: angles by
``LNEMetric.solve`` on 1000 weights, and how fast a loss falls along each.
"""

import matplotlib.pyplot as plt
import numpy as np

import riemann_lne as rl

rng = np.random.default_rng(0)
x = 0.05 * rng.normal(size=1000)
targets = np.linspace(0.02, 0.98, 25)


def angle(u, v):
    """Angle between two vectors, in degrees."""
    return np.degrees(np.arccos(np.clip(u @ v / np.sqrt(u @ u * (v @ v)), -1, 1)))


# %%
# A gradient that makes 60 degrees with t, whatever tau is.
measured = {"exact": [], "weak": []}
speed = {"exact": [], "weak": [], "plain": []}
for target in targets:
    metric = rl.LNEMetric(rl.auto_tau(x, target))
    t = np.tanh(metric.tau * x)
    t /= np.sqrt(t @ t)
    other = rng.normal(size=x.size)
    other -= (other @ t) * t
    v = 0.5 * t + np.sqrt(0.75) * other / np.sqrt(other @ other)
    for method, angles in measured.items():
        natural = metric.solve(x, v, method=method)
        angles.append(angle(natural, t))
        # How fast a loss with the gradient v falls for a step of unit length in g.
        speed[method].append(natural @ v / np.sqrt(natural @ metric.apply(x, natural)))
    speed["plain"].append(v @ v / np.sqrt(v @ metric.apply(x, v)))

tangent = np.tan(np.radians(60))
predicted = {
    "exact": np.degrees(np.arctan((1 - targets) * tangent)),
    "weak": np.degrees(np.arctan(tangent / (1 + targets))),
}
for method in measured:
    worst = np.abs(np.subtract(measured[method], predicted[method])).max()
    print(f"{method}: measured and predicted angle differ by at most {worst:.1e} degrees")
best = np.array(speed["exact"])
share = speed["weak"][-1] / best[-1]
print(f"at |t|^2 = 0.98 the weak form reaches {share:.0%} of the steepest descent")

# %%
# At a small ``|t|^2`` the two agree. Near 1 the exact one turns wholly into t, the weak one does
# not.
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for (method, angles), colour in zip(measured.items(), ("C0", "C1"), strict=True):
    left.plot(targets, angles, "o", color=colour, markersize=4, label=f"{method}, measured")
    left.plot(targets, predicted[method], "-", color=colour, linewidth=1, label="predicted")
left.axhline(60, color="0.4", linestyle="--", linewidth=1, label="plain gradient")
left.set(xlabel="$|t|^2$", ylabel="angle to t (degrees)", title="Direction")
left.legend(frameon=False, fontsize="small")
for method, colour in (("exact", "C0"), ("weak", "C1"), ("plain", "0.4")):
    right.plot(targets, np.divide(speed[method], best), color=colour, label=method)
right.set(
    xlabel="$|t|^2$",
    ylabel="share of the steepest descent",
    title="What the direction is worth",
    ylim=(0, 1.05),
)
right.legend(frameon=False)
plt.show()
