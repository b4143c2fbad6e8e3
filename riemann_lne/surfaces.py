"""The old name of ``riemann_lne.curvature_2d``, which goes on working; deprecated."""

from .curvature_2d import *  # noqa: F403
