"""Closed surfaces of genus 0 and 1 without symmetry: metrics e^(2u) g_0 and their Ricci flow.

On the sphere by spherical harmonics, on the torus by Fourier modes; every metric of a torus is
brought to this form by ``uniformize``.
"""

from .metric import ConformalMetric
from .solutions import king_rosenau, round_sphere
from .solve import ConformalSolution, solve
from .surfaces import Sphere, Torus
from .uniformize import Uniformization, uniformize

__all__ = [
    "ConformalMetric",
    "ConformalSolution",
    "Sphere",
    "Torus",
    "Uniformization",
    "king_rosenau",
    "round_sphere",
    "solve",
    "uniformize",
]
