"""The old name of ``riemann_lne.coefficients``, which goes on working; deprecated."""

from .coefficients import *  # noqa: F403
