"""Appendix: coercivity of the linearised flow, on flat and on curved backgrounds."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from riemann_lne import exact, flat_metric

from ...lab.parameters import require_number, require_numbers
from ..backends import Backend
from ..frame import Evidence, Line, Measurement, Plot, claim
from ..guards import known_spectrum
from ..instruments.coercive import (
    by_curvature,
    closed_ratios,
    eq_16_on_a_box,
    gauss_curvature,
    smallest_ratio,
    waves_of,
)
from ..instruments.flowing import random_start, torus


@claim(
    "coercivity",
    "Thm 32",
    guard=partial(known_spectrum, dimensions=(2, 3, 4)),
    quick={
        "bends": (0.2, 0.4),
        "modes": 2,
        "points": (16, 24),
        "curved": (0.1, 0.3, 0.6),
        "taus": (0.6, 2.5),
        "half_widths": (0.2, 0.4, 0.6),
    },
    full={
        "bends": (0.1, 0.2, 0.4, 0.6),
        "modes": 3,
        "points": (24, 36),
        "half_widths": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7),
    },
)
def coercivity(
    backend: Backend,
    bends: Sequence[float],
    modes: int,
    points: Sequence[int],
    curved: Sequence[float],
    taus: Sequence[float],
    half_widths: Sequence[float],
) -> Evidence:
    """Near a linearly stable, integrable g0 the linearised Ricci-DeTurck flow is coercive: (L d, d)
    <= -alpha |nabla d|^2 in L2 of g0, with one alpha > 0 for all d orthogonal to the kernel.

    Measured: alpha, the smallest -(L d, d) / |nabla d|^2 over the space of trigonometric
    polynomials d, as the smallest eigenvalue of the one quadratic form with respect to the other; L
    is the Lichnerowicz operator and nabla d is computed apart from it. Predicted: on flat g0 the
    curvature terms vanish and alpha = 1, in any coordinates: constant flat metrics in 2 to 4
    dimensions, and flat metrics in wavy coordinates. On the torus a Ricci-flat g0 is flat in 2 and
    3 dimensions, so that these are all. Where g0 is curved the theorem does not apply, and the
    curvature enters alpha. There the quotient is measured against known ones: on S^2 x S^1 and the
    round S^3, where it is above 1 for some tensors, and with what the normalised flow adds negative
    for others, so that the flow is not coercive about the round sphere; on curved tori and about
    Eq. 16 itself, n = 2, on boxes with held boundary, against -(L d, d) = |nabla d|^2 + 4 (K e, e)
    with K the Gauss curvature and e the part of d without trace. Eq. 16 has K < 0 and so alpha < 1,
    but positive on these boxes.
    """
    require_numbers("bends", bends, 0.0, 1.0)
    require_numbers("curved", curved, 0.0, 1.0)
    require_numbers("taus", taus, above=0.0)
    require_numbers("half_widths", half_widths, 0.0, 0.85)
    require_number("modes", modes, 0, 6, whole=True)
    require_numbers("points", points, 4 * modes, whole=True, count=2)
    alphas = {}
    for n in (2, 3, 4):
        g = flat_metric(torus(n, 2 * modes + 4 if n < 4 else 6), backend.xp)
        alphas[f"flat, n = {n}"] = smallest_ratio(backend, g, modes if n == 2 else 1, n == 2)
    coarse: dict[str, float] = {}
    fine: dict[str, float] = {}
    for bend in bends:
        wavy = exact.gauge_family(ndim=2, amplitude=bend)
        for found, size in ((coarse, min(points)), (fine, max(points))):
            g = wavy.field(0.0, wavy.grid(size), xp=backend.xp)
            found[f"wavy, {bend:g}"] = smallest_ratio(backend, g, modes)
    alphas |= fine
    change = max(abs(coarse[k] - fine[k]) for k in fine)
    closed, closed_known = closed_ratios(backend)
    outside, outside_known = {}, {}
    for a in curved:
        g = random_start(backend, torus(2, max(points)), a, 0, 1)
        gauss = gauss_curvature(g, "fourier")
        pair = by_curvature(backend, g, waves_of(g, modes), gauss, "fourier")
        outside[f"amplitude {a:g}"], outside_known[f"amplitude {a:g}"] = pair
    held, held_known = {}, {}
    for tau in taus:
        for width in half_widths:
            name = f"tau = {tau:g}, half width {width:g} / tau"
            held[name], held_known[name], _ = eq_16_on_a_box(backend, tau, width, 21, 3)
    least = min(held.values())
    return Evidence(
        Measurement.near(
            "alpha on flat metrics",
            alphas,
            1.0,
            1e-3,
            "Fourier derivatives of wavy metrics (see resolution)",
        ),
        resolution=[
            Measurement.vanishing(
                "change of alpha on the wavy metrics between the two grids",
                change,
                5e-2,
                "the coarser grid has two thirds of the points: the error falls exponentially",
            )
        ],
        also=[
            Measurement(
                "-(L d, d) / |nabla d|^2 of known tensors on S^2 x S^1 and S^3",
                closed,
                closed_known,
                max(abs(closed[k] - closed_known[k]) for k in closed_known),
                1e-3,
                "differences of order 6 at the centre of a small box",
            ),
            Measurement(
                "alpha on curved tori, n = 2: by L, and by the Gauss curvature",
                outside,
                outside_known,
                max(abs(outside[k] - outside_known[k]) for k in outside),
                1e-4,
                "Fourier derivatives on both sides; what is left is their resolution",
            ),
            Measurement(
                "alpha about Eq. 16, n = 2, held boundary: by L, and by the closed form of K",
                held,
                held_known,
                max(abs(held[k] - held_known[k]) for k in held),
                1e-3,
                "differences of order 6 with one-sided ends on 21 points",
            ),
            Measurement(
                "smallest of these: still coercive, though Eq. 16 is not Ricci-flat",
                least,
                "above 0, below 1",
                max(0.0, -least, least - 1),
                0.0,
                "an inequality",
            ),
        ],
        plots=[
            Plot(
                "alpha where the torus is curved",
                "amplitude of g0 - delta",
                "smallest -(L d, d) / |nabla d|^2",
                [
                    Line("by L", list(curved), list(outside.values()), "points"),
                    Line("by the curvature", list(curved), list(outside_known.values())),
                    Line("flat", list(curved), [1.0] * len(curved), "dashed"),
                ],
            ),
            Plot(
                "alpha about Eq. 16 on boxes with held boundary",
                "half width of the box times tau",
                "smallest -(L d, d) / |nabla d|^2",
                [
                    Line(
                        f"tau = {tau:g}",
                        list(half_widths),
                        [v for k, v in held.items() if k.startswith(f"tau = {tau:g},")],
                        "points",
                    )
                    for tau in taus
                ],
            ),
        ],
    )
