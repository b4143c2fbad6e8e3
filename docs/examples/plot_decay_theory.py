"""
Decay against theory, mode by mode
==================================

Near a flat metric the Ricci-DeTurck flow is the heat equation for every component, to first
order.

Predicted: the Fourier mode with the wave covector k decays at the rate ``g^ab k_a k_b``, with g
the limit metric. Measured: the rates of thirteen modes along one flow, by a fit to the logarithm
of each amplitude. A mode that decays much faster than others ends by following products of these,
which are of second order: so the fits are early, and the start is small.
"""

import matplotlib.pyplot as plt
import numpy as np

import riemann_lne as rl

# %%
# A torus with sides of different lengths, so that every mode has its own rate.
grid = rl.Grid.torus((48, 48), lengths=(2 * np.pi, 5.0))
times = np.linspace(0, 0.5, 26)
modes = [(a, b) for a in range(4) for b in range(4) if 0 < a**2 + b**2 < 11]

measured, predicted = {}, {}
for amplitude in (0.002, 0.3):
    start = rl.perturbed_euclidean(grid, amplitude=amplitude, seed=3, modes=4)
    flow = rl.solve_flow(start, rl.RicciDeTurckFlow(), (0, 8), t_eval=[*times, 8.0], rtol=1e-9)
    rates = {m.mode: m.rate for m in rl.predicted_decay_rates(flow[-1].mean(), modes)}
    predicted[amplitude] = [rates[mode] for mode in modes]
    measured[amplitude] = [
        rl.fit_decay_rate(
            times, [rl.mode_amplitude(g, mode) for g in flow.metrics[:-1]], t_min=0.1
        ).rate
        for mode in modes
    ]
    off = np.abs(np.divide(measured[amplitude], predicted[amplitude]) - 1)
    print(f"amplitude {amplitude}: largest relative difference {off.max():.1e}")

# %%
# The small start follows the linear theory. In the large one, modes feed one another.
figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4), layout="constrained")
top = 1.1 * max(predicted[0.3])
left.plot([0, top], [0, top], "--", color="0.4", linewidth=1, label="measured = predicted")
for (amplitude, rates), marker in zip(measured.items(), "ox", strict=True):
    left.plot(predicted[amplitude], rates, marker, label=f"amplitude {amplitude}")
    off = np.abs(np.divide(rates, predicted[amplitude]) - 1)
    right.semilogy(predicted[amplitude], off, marker)
left.set(
    xlabel="predicted rate (1 / length$^2$)",
    ylabel="measured rate (1 / length$^2$)",
    title="Thirteen modes",
)
left.legend(frameon=False)
right.set(
    xlabel="predicted rate (1 / length$^2$)",
    ylabel="|measured / predicted - 1|",
    title="How far they are apart",
)
plt.show()
