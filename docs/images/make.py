"""Draw the README's picture from the first example: python docs/images/make.py."""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "examples"))

from plot_first_flow import draw, solution  # noqa: E402

draw(solution).savefig(HERE / "first-flow.png", dpi=100, facecolor="white")
