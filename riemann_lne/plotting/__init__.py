"""Pictures of metrics and flows. Needs matplotlib (extra ``plot``), imported on first use.

Every function takes the axes to draw on (``ax``; new ones by default), returns what it drew, and
shows nothing unless ``show=True``. Units are those of the grid's coordinates, called "length".
Colours are those of Okabe and Ito, and maps that stay distinct for the colour-blind.
"""

from ._common import COLOURS
from .animation import animate
from .decay import plot_decay
from .maps import plot_scalar_curvature
from .revolution import animate_surgery, draw_moment, plot_neck, plot_revolution
from .surfaces import plot_embedding, plot_profiles

__all__ = [
    "COLOURS",
    "animate",
    "animate_surgery",
    "draw_moment",
    "plot_decay",
    "plot_embedding",
    "plot_neck",
    "plot_profiles",
    "plot_revolution",
    "plot_scalar_curvature",
]
