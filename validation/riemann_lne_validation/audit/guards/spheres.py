"""Known answers for flows on the sphere without symmetry."""

from __future__ import annotations

import numpy as np

from riemann_lne import Atlas, RicciDeTurckFlow, exact
from riemann_lne.arrays import to_numpy

from ..backends import Backend
from ..evidence import Measurement
from ..instruments.flowing import run

_POINTS = {2: (24, 36), 3: (22, 28)}
_WIDTH = {2: 1.6, 3: 2.0}


def known_sphere_flow(backend: Backend, order: int = 4) -> Measurement:
    """Round spheres in coordinates without symmetry shrink as (1 - 2 (n - 1) t) g on the atlas.

    With the start as background the DeTurck field of the exact solution vanishes. The error must
    fall from one grid to the next as the order of the differences has it.
    """
    shares = {}
    for n, sizes in _POINTS.items():
        solution = exact.projective_sphere(n, strength=0.1, seed=1)
        end = 0.02 / (n - 1) ** 2
        errors = []
        for points in sizes:
            atlas = Atlas.sphere(n, points, _WIDTH[n], order)
            start = solution.field(0.0, atlas, backend.xp)
            last = run(start, RicciDeTurckFlow(start), (0.0, end), "rkl2", rtol=1e-6, order=order)
            known = to_numpy(solution.field(end, atlas).components)
            change = known - to_numpy(start.components)
            differ = to_numpy(last[-1].components) - known
            errors.append(float(np.abs(differ).max() / np.abs(change).max()))
        nominal = ((sizes[0] - 1) / (sizes[1] - 1)) ** order
        shares[f"n = {n}"] = errors[1] / errors[0] / nominal
    worst = max(shares.values())
    return Measurement(
        f"flow on the atlas of a sphere without symmetry: how the error falls from {_POINTS[2]} "
        f"points (n = 2) and {_POINTS[3]} (n = 3), over the nominal fall",
        shares,
        1.0,
        max(0.0, worst - 1),
        0.5,
        "two grids that are not fully in the asymptotic range; a faster fall is no fault",
    )
