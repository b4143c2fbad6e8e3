"""
The LNE metric: admissible tau and the two inverses
===================================================

``g = I - t t^T`` with ``t = tanh(tau x)`` is positive definite exactly if ``|t|^2 < 1``. The
weights x decide how large tau may be. ``max_tau`` finds the limit, ``auto_tau`` the tau for a
wanted ``|t|^2``.

Predicted: ``|t|^2`` crosses 1 at ``max_tau``; the paper's weak inverse ``I + t t^T`` (Cor. 19)
leaves the error ``g (I + t t^T) - I = -|t|^2 t t^T``, whose Frobenius norm is ``|t|^4``; the exact
inverse ``I + t t^T / s``, ``s = 1 - |t|^2``, leaves rounding alone. Measured: smallest eigenvalues
and products of dense matrices.
"""

import matplotlib.pyplot as plt
import numpy as np

import riemann_lne as rl

# %%
# Three blocks of weights of one standard deviation. More weights leave less room for tau.
rng = np.random.default_rng(0)
blocks = {n: 0.05 * rng.normal(size=n) for n in (10, 100, 1000)}
limits = {n: rl.max_tau(x) for n, x in blocks.items()}
dominant = {n: rl.max_tau(x, condition="diagonally-dominant") for n, x in blocks.items()}
for n in blocks:
    print(
        f"n = {n:4d}: positive definite below tau = {limits[n]:.4f}, "
        f"diagonally dominant below tau = {dominant[n]:.4f}"
    )

# %%
# The limit against eigenvalues of the dense matrix, which know nothing of the closed form: the
# smallest one changes sign there.
for n, x in blocks.items():
    lowest = [
        np.linalg.eigvalsh(rl.LNEMetric(limits[n] * factor).matrix(x))[0]
        for factor in (0.999, 1.001)
    ]
    print(f"n = {n:4d}: smallest eigenvalue {lowest[0]:+.2e} just below, {lowest[1]:+.2e} above")

# %%
# Errors of the inverses at a given ``|t|^2``, by dense products with 100 weights.
targets = np.geomspace(1e-3, 0.99, 13)
x = blocks[100]
eye = np.eye(len(x))
columns = np.broadcast_to(x, eye.shape)
errors: dict[str, list[float]] = {"weak": [], "exact": []}
for target in targets:
    lne = rl.LNEMetric(rl.auto_tau(x, target))
    g = lne.matrix(x)
    for method, values in errors.items():
        inverse = lne.solve(columns, eye, method=method).T
        values.append(float(np.linalg.norm(g @ inverse - eye)))
worst = np.max(np.abs(np.array(errors["weak"]) / targets**2 - 1))
print(
    f"weak: |error| / |t|^4 - 1 is at most {worst:.1e}; exact: at most {max(errors['exact']):.1e}"
)

# %%
# The picture.
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
for n, x in blocks.items():
    taus = np.geomspace(0.05, 60, 200)
    norms = [float(rl.LNEMetric(tau).norm2(x)) for tau in taus]
    (line,) = left.loglog(taus, norms, label=f"n = {n}")
    left.plot(limits[n], 1, "o", color=line.get_color())
    level = float(rl.LNEMetric(dominant[n]).norm2(x))
    left.plot(dominant[n], level, "s", color=line.get_color(), markerfacecolor="none")
left.plot([], [], "o", color="0.4", label="max_tau: positive definite")
left.plot([], [], "s", color="0.4", markerfacecolor="none", label="max_tau: diagonally dominant")
left.axhline(1, color="0.4", linewidth=1, linestyle="--")
left.set_ylim(1e-4, 30)
left.set_xlabel("tau (1 / unit of the weights)")
left.set_ylabel("$|t|^2$ (dimensionless)")
left.set_title("g is a metric below the dashed line")
left.legend(fontsize="small", frameon=False)

right.loglog(targets, errors["weak"], "o", markersize=5, label="weak, $I + t\\,t^T$")
right.loglog(targets, targets**2, "--", color="0.4", linewidth=1, label="$|t|^4$, predicted")
right.loglog(targets, errors["exact"], "^", label="exact, $I + t\\,t^T / s$")
right.set_xlabel("$|t|^2$ (dimensionless)")
right.set_ylabel("Frobenius norm of $g\\,g^{-1} - I$ (dimensionless)")
right.set_title("Error of the inverse, n = 100")
right.legend(fontsize="small", frameon=False, loc="center right")
plt.show()

# %%
# Both inverses cost O(n) and differ by the factor 1 / s alone. Where ``|t|^2`` is 0.5, the weak
# one leaves an error of 0.25.
