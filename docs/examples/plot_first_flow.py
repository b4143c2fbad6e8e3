"""
A first flow: a perturbed flat torus
====================================

A random metric near the flat one is moved by the Ricci-DeTurck flow, g' = -2 Ric + L_W g. Its
curvature fades, and the metric tends to a constant one, g_inf.

Predicted: near its limit the Fourier mode with the integer wave vector m decays like
e^(-lambda_m t), lambda_m = g_inf^ab k_a k_b with k_a = 2 pi m_a / L_a. Measured: rates fitted to
the amplitudes of three modes along the run.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

import riemann_lne as rl

MODES = ((1, 0), (0, 1), (1, 1))
WINDOW = (1.0, 4.0)  # where the rates are fitted: late enough to be near the limit


# %%
# The start: eigenvalues of g - delta up to 0.3 in size, on a torus with uneven sides 2 pi and 5.
def flow() -> rl.FlowSolution:
    """The run of this example."""
    grid = rl.Grid.torus((64, 64), lengths=(2 * np.pi, 5))
    start = rl.perturbed_euclidean(grid, amplitude=0.3, seed=1)
    return rl.solve_flow(start, rl.RicciDeTurckFlow(), (0, 8), t_eval=np.linspace(0, 8, 65))


solution = flow()
print(solution.message, "with", solution.nfev, "evaluations of the right-hand side")


# %%
# Rates, measured and predicted. The limit is the last metric of the run, not the identity: the
# mean of the metric drifts at second order in the amplitude.
def rates(solution: rl.FlowSolution) -> list[tuple[np.ndarray, float, float]]:
    """For each mode its amplitudes, its fitted rate and its predicted rate."""
    result = []
    for mode in MODES:
        sizes = np.array([rl.mode_amplitude(metric, mode) for metric in solution.metrics])
        fit = rl.fit_decay_rate(solution.t, sizes, *WINDOW)
        predicted = rl.predicted_decay_rates(solution[-1], [mode])[0].rate
        result.append((sizes, fit.rate, predicted))
    return result


for mode, (_, measured, predicted) in zip(MODES, rates(solution), strict=True):
    print(
        f"mode {mode}: measured {measured:.4f}, predicted {predicted:.4f} per length^2, "
        f"off by {measured / predicted - 1:+.1e}"
    )


# %%
# The picture. Both maps share one colour scale. Dashed lines have the predicted slope and go
# through the measured amplitude at the start of the fit.
def draw(solution: rl.FlowSolution, index: int = 2) -> Figure:
    """Scalar curvature at the start and a little later, and the decay of the modes."""
    figure, (before, after, decay) = plt.subplots(
        1, 3, figsize=(12, 3.7), width_ratios=(1, 1, 1.3), layout="constrained"
    )
    grid = solution.grid
    maps = [solution[i].scalar_curvature() for i in (0, index)]
    limit = np.abs(maps[0]).max()
    for axes, values, i in ((before, maps[0], 0), (after, maps[1], index)):
        image = axes.pcolormesh(
            *grid.axes(), values.T, cmap="RdBu_r", vmin=-limit, vmax=limit, shading="nearest"
        )
        axes.set_title(f"t = {solution.t[i]:g}: largest |R| {np.abs(values).max():.2f}")
        axes.set_xlabel("x (length)")
        axes.set_aspect("equal")
    before.set_ylabel("y (length)")
    bar = figure.colorbar(image, ax=[before, after], shrink=0.75, pad=0.02)
    bar.set_label("scalar curvature R (1 / length$^2$)")

    t, start = solution.t, np.searchsorted(solution.t, WINDOW[0])
    for mode, (sizes, measured, predicted) in zip(MODES, rates(solution), strict=True):
        label = f"m = {mode}: rate {measured:.3f}, predicted {predicted:.3f}"
        (points,) = decay.semilogy(t[::2], sizes[::2], "o", markersize=4, label=label)
        line = sizes[start] * np.exp(-predicted * (t - t[start]))
        decay.semilogy(t, line, "--", color=points.get_color(), linewidth=1)
    decay.set_xlim(0, 5)
    decay.set_ylim(1e-8, 0.3)
    decay.set_box_aspect(0.75)
    decay.set_xlabel("t (length$^2$)")
    decay.set_ylabel("amplitude of the mode (dimensionless)")
    decay.set_title("Modes: measured (points), predicted (dashed)")
    decay.legend(loc="lower left", fontsize="small", frameon=False)
    return figure


draw(solution)
plt.show()

# %%
# The mode (1, 1) is a little off, and this is no error of the grid: the product of the modes (1, 0)
# and (0, 1) feeds it at second order, and decays at almost the same rate. Where the modes that feed
# are slower than the mode itself they win. Here, the mode (2, 0) ends by decaying at twice the rate
# of (1, 0), half of the rate that the linear theory has for it alone:
late = [rl.mode_amplitude(metric, (2, 0)) for metric in solution.metrics]
alone = rl.predicted_decay_rates(solution[-1], [(2, 0)])[0].rate
slowest = rl.predicted_decay_rates(solution[-1], [(1, 0)])[0].rate
print(
    f"mode (2, 0): measured {rl.fit_decay_rate(solution.t, late, 4, 7).rate:.4f}; "
    f"alone {alone:.4f}, fed by (1, 0) squared {2 * slowest:.4f}"
)
