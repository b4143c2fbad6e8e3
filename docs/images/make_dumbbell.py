"""Draw the README's moving picture: python docs/images/make_dumbbell.py."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from riemann_lne import plotting, symmetric

history = symmetric.flow_with_surgery(symmetric.dumbbell(160, neck=0.15, tilt=0.5))
target = Path(__file__).parent / "dumbbell.gif"
print(plotting.animate_surgery(history, target, frames=48, fps=10, dpi=80), history)
