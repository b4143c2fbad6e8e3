"""
Stop a run, go on, and read it with xarray
==========================================

A long flow writes its metrics to a zarr group and its state to a checkpoint. It is stopped in the
middle, taken up again, and read piece by piece.

Predicted: the run that was stopped ends with the same bits as one that never was. Measured: that,
and a picture that xarray draws from the store.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import riemann_lne as rl

folder = Path(tempfile.mkdtemp())
start = rl.perturbed_euclidean(rl.Grid.torus((48, 48)), amplitude=0.4, seed=5)
settings = {
    "t_span": (0, 1.5),
    "t_eval": np.linspace(0, 1.5, 31),
    "observe": {"volume": rl.volume, "largest R": rl.scalar_curvature_max},
}
flow = rl.RicciDeTurckFlow()


# %%
# Something stops the run: here an event that, once, does what Ctrl-C does.
ready = [True]


def interrupt(t, metric):
    """An event that presses Ctrl-C once, after t = 0.7."""
    if t > 0.7 and ready:
        ready.pop()
        raise KeyboardInterrupt
    return 1.0


kept = {"store": folder / "run.zarr", "checkpoint": rl.Checkpoint(folder / "checkpoint", steps=1)}
stopped = rl.solve_flow(start, flow, **settings, **kept, events=interrupt)
print(f"status {stopped.status}, {len(stopped.t)} metrics: {stopped.message}")

# %%
# The same call with ``resume=True``.
resumed = rl.solve_flow(start, flow, **settings, **kept, events=interrupt, resume=True)
print(resumed.message)
whole = rl.solve_flow(start, flow, **settings, events=interrupt)
same = len(resumed.metrics) == len(whole.metrics) and all(
    np.array_equal(a.packed, b.packed) for a, b in zip(resumed.metrics, whole.metrics, strict=True)
)
print(f"the same bits as a run that was never stopped: {same}")

# %%
# ``to_xarray`` reads from the store only what is asked for.
data = rl.FlowSolution.load(folder / "run.zarr").to_xarray()
print(dict(data.sizes))

# %%
# One component at four times, and what was observed at every step.
figure, axes = plt.subplots(1, 4, figsize=(11, 2.9), layout="constrained", sharey=True)
component = data.isel(i=0, j=0)
for axis, t in zip(axes, (0, 0.2, 0.5, 1.5), strict=True):
    picture = component.sel(t=t, method="nearest").plot(
        ax=axis, x="x0", add_colorbar=False, vmin=0.6, vmax=1.4, cmap="RdBu_r"
    )
    axis.set(title=f"t = {t}", xlabel="x", ylabel="y" if t == 0 else "")
    axis.set_aspect("equal")
figure.colorbar(picture, ax=axes, label="$g_{xx}$")
plt.show()
