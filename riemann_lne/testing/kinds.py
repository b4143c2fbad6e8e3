"""Kinds of perturbations of a metric: smooth, rough, localised, pure gauge, adversarial.

A kind is a function that makes a symmetric tensor h on a background's grid from a few numbers,
with the ranges of these numbers. ``riemann_lne.testing.perturbed`` scales h to a size and adds it
to the background. Sizes of h itself have no meaning. Numbers are dimensionless; positions are
fractions of an axis, waves are counted along it, so that a recipe means the same on a finer grid.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import to_numpy
from ..checks import choice, shown
from ..errors import DTypeError, InvalidArgumentError
from ..metrics import MetricField
from ..tensors import pairs
from .asking import answer
from .findings import names_in
from .refinement import resampled
from .spaces import Choice, Reals, Space, Whole

_WAVES = 3
"""Waves of a band-limited field: few, so that a found example is readable."""


@dataclass(frozen=True)
class Kind:
    """A family of perturbations.

    Attributes
    ----------
    name : str
        Its name in recipes.
    build : callable
        ``build(background, **parameters) -> h``, an array (n, n, *shape), symmetric.
    parameters : callable
        ``parameters(background) -> dict`` of ranges (Reals, Whole, Choice) by name.
    linear : bool
        True if ``build`` is scaled from outside; False if it takes ``amount`` in [0, 1] and is
        scaled by that (a pulled-back metric is not linear in the diffeomorphism).

    Examples
    --------
    A kind of the user's own, for ``perturbations(..., kinds=[ramp])``:

    >>> def build(background, height):
    ...     x = background.grid.coordinates()[0]
    ...     return height * np.sin(x) * np.eye(2)[:, :, None, None]
    >>> ramp = Kind("ramp", build, lambda background: {"height": Reals(-1.0, 1.0)})
    """

    name: str
    build: Callable[..., np.ndarray]
    parameters: Callable[[MetricField], dict[str, Space]]
    linear: bool = True

    def __post_init__(self) -> None:
        for name in ("build", "parameters"):
            if not callable(value := getattr(self, name)):
                raise DTypeError(
                    f"{name} = {shown(value)} of the kind {self.name!r}; give a function of the "
                    'background, such as lambda background: {"height": Reals(-1.0, 1.0)}'
                )

    def spaces(self, background: MetricField) -> dict[str, Space]:
        """The ranges of the parameters by name.

        Raises
        ------
        InvalidArgumentError
            If ``parameters`` breaks off or returns something else.
        """
        advice = 'return ranges by name, such as {"height": Reals(-1.0, 1.0)}'
        name = f"parameters of the kind {self.name!r}"
        found = answer(self.parameters, name, advice, background)
        right = isinstance(found, Mapping) and all(
            isinstance(space, (Reals, Whole, Choice)) for space in found.values()
        )
        if not right:
            raise InvalidArgumentError(f"{name} returned {shown(found)}; {advice}")
        return dict(found)


def phases(background: MetricField) -> list[np.ndarray]:
    """2 pi times the fraction of every axis, arrays of the grid's shape."""
    grid = background.grid
    return [
        2 * np.pi * (x - low) / length
        for x, low, length in zip(grid.coordinates(), grid.lower, grid.lengths, strict=True)
    ]


def window(background: MetricField) -> np.ndarray:
    """A factor that vanishes, with its slope, at bounded ends: h then respects held ends."""
    result = np.ones(background.grid.shape)
    for phase, wraps in zip(phases(background), background.grid.periodic, strict=True):
        if not wraps:
            result = result * np.sin(phase / 2) ** 2
    return result


def symmetric(entries: Sequence[float], n: int) -> np.ndarray:
    """Symmetric matrix from its n (n + 1) / 2 entries i <= j."""
    matrix = np.zeros((n, n))
    for (i, j), value in zip(pairs(n), entries, strict=True):
        matrix[i, j] = matrix[j, i] = value
    return matrix


def framed(fields: np.ndarray, background: MetricField) -> np.ndarray:
    """Components h_ij = E^a_i E^b_j f_ab in an orthonormal frame E of the background."""
    metric = np.moveaxis(to_numpy(background.components), (0, 1), (-2, -1)).astype(float)
    frame = np.moveaxis(np.linalg.cholesky(metric), (-2, -1), (0, 1))  # gbar = L L^T, E = L^T
    half = np.einsum("ia...,ab...->ib...", frame, fields)
    return np.einsum("ib...,jb...->ij...", half, frame)


def _spread(scalar: np.ndarray, entries: Sequence[float], background: MetricField) -> np.ndarray:
    matrix = symmetric(entries, background.n)
    return framed(np.multiply.outer(matrix, scalar * window(background)), background)


def _entries(background: MetricField, *shape: int) -> Reals:
    return Reals(-1.0, 1.0, (*shape, len(pairs(background.n))))


def _one_directional(
    background: MetricField, axis: int, waves: int, phase: float, entries: Sequence[float]
) -> np.ndarray:
    """H depends on one coordinate alone: a wave along an axis times a matrix."""
    return _spread(np.cos(waves * phases(background)[axis] + phase), entries, background)


def _wave_fields(
    background: MetricField,
    waves: Sequence[Sequence[int]],
    cosines: Sequence[Any],
    sines: Sequence[Any],
) -> np.ndarray:
    """Sum of a cos(m.x) + b sin(m.x) for scalar or vector coefficients, (..., *shape)."""
    angles = phases(background)
    total: Any = 0.0
    for m, a, b in zip(waves, cosines, sines, strict=True):
        angle = sum(k * phase for k, phase in zip(m, angles, strict=True))
        total = total + np.multiply.outer(np.asarray(a), np.cos(angle))
        total = total + np.multiply.outer(np.asarray(b), np.sin(angle))
    return np.asarray(total)


def _band_limited(
    background: MetricField,
    waves: Sequence[Sequence[int]],
    cosines: Sequence[Sequence[float]],
    sines: Sequence[Sequence[float]],
) -> np.ndarray:
    """A trigonometric polynomial of few waves in every component."""
    n = background.n
    packed = _wave_fields(background, waves, cosines, sines) * window(background)
    return framed(_unpacked(packed, n), background)


def _unpacked(packed: np.ndarray, n: int) -> np.ndarray:
    result = np.zeros((n, n, *packed.shape[1:]))
    for k, (i, j) in enumerate(pairs(n)):
        result[i, j] = result[j, i] = packed[k]
    return result


def _conformal(
    background: MetricField,
    waves: Sequence[Sequence[int]],
    cosines: Sequence[float],
    sines: Sequence[float],
) -> np.ndarray:
    """H = v gbar with a smooth function v."""
    v = _wave_fields(background, waves, cosines, sines) * window(background)
    return v * to_numpy(background.components)


def _diagonal(
    background: MetricField,
    axes: Sequence[int],
    waves: Sequence[int],
    offsets: Sequence[float],
    slopes: Sequence[float],
    still: int = -1,
) -> np.ndarray:
    """Each diagonal entry is a constant plus a wave along an axis of its own choice.

    The entry ``still``, if there is one, is constant and the largest: what the others do to it is
    what a maximum principle for the largest eigenvalue would have to forbid.
    """
    n, angles = background.n, phases(background)
    fields = np.zeros((n, n, *background.grid.shape))
    for i in range(n):
        fields[i, i] = offsets[i] + slopes[i] * np.cos(waves[i] * angles[axes[i]])
    if still >= 0:
        fields[still, still] = 1.0
    return framed(fields * window(background), background)


def _localised(
    background: MetricField, centre: Sequence[float], width: float, entries: Sequence[float]
) -> np.ndarray:
    """A bump: exp(-distance^2 / width^2), distances as fractions of the axes."""
    return _spread(_bump(background, centre, width), entries, background)


def _bump(background: MetricField, centre: Sequence[float], width: float) -> np.ndarray:
    square: Any = 0.0
    for phase, c, wraps in zip(phases(background), centre, background.grid.periodic, strict=True):
        away = phase / (2 * np.pi) - c
        # On a closed axis the chord keeps the bump smooth where the coordinate jumps.
        square = square + (np.sin(np.pi * away) / np.pi) ** 2 if wraps else square + away**2
    return np.asarray(np.exp(-square / width**2))


def _steep(
    background: MetricField,
    axis: int,
    position: float,
    sharpness: float,
    entries: Sequence[float],
) -> np.ndarray:
    """A front across an axis: tanh(sharpness sin(x - position))."""
    angle = phases(background)[axis] - 2 * np.pi * position
    return _spread(np.tanh(sharpness * np.sin(angle)), entries, background)


def _degenerate(
    background: MetricField, centre: Sequence[float], width: float, direction: Sequence[float]
) -> np.ndarray:
    """One eigenvalue falls towards zero at a point: h = -bump u u^T, u a unit vector."""
    u = np.asarray(direction, dtype=float)
    length = float(np.linalg.norm(u))
    u = u / length if length > 1e-6 else np.eye(background.n)[0]
    bump = _bump(background, centre, width) * window(background)
    return framed(np.multiply.outer(-np.outer(u, u), bump), background)


def _anisotropic(
    background: MetricField,
    entries: Sequence[float],
    axis: int,
    waves: int,
    ripple: float,
    small: Sequence[float],
) -> np.ndarray:
    """A constant matrix, however uneven, with a ripple on it."""
    wave = np.cos(waves * phases(background)[axis])
    constant = _spread(np.ones(background.grid.shape), entries, background)
    return constant + ripple * _spread(wave, small, background)


def _rough(background: MetricField, seed: int, shape: Sequence[int]) -> np.ndarray:
    """White noise on the points of a grid of the given shape, interpolated to the background's."""
    n = background.n
    noise = np.random.default_rng(seed).normal(size=(len(pairs(n)), *shape))
    packed = resampled(noise, background.grid) * window(background)
    return framed(_unpacked(packed, n), background)


def _chequered(background: MetricField, seed: int, cells: int) -> np.ndarray:
    """Jumps between random constant matrices on boxes, half-way between points of the grid."""
    n, shape = background.n, background.grid.shape
    values = np.random.default_rng(seed).normal(size=(n, n, *(cells,) * n))
    boxes: list[Any] = [(np.arange(points) * cells) // points for points in shape]
    fields = (values + np.swapaxes(values, 0, 1))[(..., *np.ix_(*boxes))]
    return framed(fields * window(background), background)


def _checkerboard(
    background: MetricField,
    axes: Sequence[int],
    shape: Sequence[int],
    entries: Sequence[float],
) -> np.ndarray:
    """The shortest wave of a grid of the given shape, along the axes that are marked with 1."""
    scalar = np.ones(background.grid.shape)
    marked = axes if any(axes) else (1,) * background.n  # a constant is no wave
    for axis, phase in enumerate(phases(background)):
        if marked[axis]:
            scalar = scalar * np.cos(phase * (shape[axis] // 2))
    return _spread(scalar, entries, background)


def _pulled_back(
    background: MetricField,
    amount: float,
    waves: Sequence[Sequence[int]],
    shifts: Sequence[float],
    heights: Sequence[float],
) -> np.ndarray:
    """Pure gauge: J^T gbar J - gbar for x -> x + u(x), one wave in every component of u."""
    n, grid, angles = background.n, background.grid, phases(background)
    metric = constant_components(background, "pulled_back")
    jacobian = np.zeros((n, n, *grid.shape))
    edge = window(background)
    tallest = max(max(abs(h) for h in heights), 1e-300)
    for a in range(n):
        m = waves[a]
        angle = sum(k * phase for k, phase in zip(m, angles, strict=True)) + shifts[a]
        # Every slope of u is at most amount / n: the map stays one to one up to amount = 1.
        height = amount * (heights[a] / tallest) * min(grid.lengths) / (2 * np.pi * n)
        for b in range(n):
            per_length = 2 * np.pi / grid.lengths[b]
            slope = m[b] * per_length * np.cos(angle) * edge
            if not grid.periodic[b]:
                cut = edge * _cotangent(angles[b] / 2) * per_length
                slope = slope + np.sin(angle) * cut
            jacobian[a, b] = height * slope / max(1, max(abs(k) for k in m))
        jacobian[a, a] += 1.0
    half = np.einsum("ab,bj...->aj...", metric, jacobian)
    pulled = np.einsum("ai...,aj...->ij...", jacobian, half)
    return pulled - metric.reshape(n, n, *(1,) * n)


def _cotangent(angle: np.ndarray) -> np.ndarray:
    """Cos / sin, and 0 where both bounded ends make the product with sin^2 vanish anyway."""
    sine = np.sin(angle)
    safe = np.where(np.abs(sine) > 1e-12, sine, 1.0)
    return np.asarray(np.where(np.abs(sine) > 1e-12, np.cos(angle) / safe, 0.0))


def _transverse_traceless(
    background: MetricField,
    waves: Sequence[Sequence[int]],
    cosines: Sequence[Sequence[float]],
    sines: Sequence[Sequence[float]],
) -> np.ndarray:
    """Waves with k^i h_ij = 0 and g^ij h_ij = 0: neither gauge nor a stretch."""
    n, grid = background.n, background.grid
    if n < 3 or not grid.is_torus:
        raise InvalidArgumentError(
            f"transverse-traceless waves exist on tori of dimension 3 and 4; this is {background!r}"
        )
    metric = constant_components(background, "transverse_traceless")
    root = np.linalg.cholesky(metric)
    total = np.zeros((n, n, *grid.shape))
    angles = phases(background)
    for m, a, b in zip(waves, cosines, sines, strict=True):
        k = np.array([2 * np.pi * c / side for c, side in zip(m, grid.lengths, strict=True)])
        if not k.any():
            continue
        unit = np.linalg.solve(root, k)
        unit = unit / np.linalg.norm(unit)
        across = np.eye(n) - np.outer(unit, unit)
        angle = sum(c * phase for c, phase in zip(m, angles, strict=True))
        for entries, wave in ((a, np.cos(angle)), (b, np.sin(angle))):
            matrix = across @ symmetric(entries, n) @ across
            matrix = matrix - across * np.trace(matrix) / (n - 1)
            total += np.multiply.outer(root @ matrix @ root.T, wave)
    return total


def constant_components(background: MetricField, purpose: str) -> np.ndarray:
    """The matrix of a constant metric.

    Raises
    ------
    InvalidArgumentError
        If the metric depends on the place.
    """
    values = to_numpy(background.components)
    matrix = values.reshape(background.n, background.n, -1)[..., 0]
    if np.ptp(values.reshape(background.n**2, -1), axis=1).max() > 0:
        raise InvalidArgumentError(
            f"kind {purpose!r} is made for constant backgrounds; {background!r} depends on the "
            "place: leave this kind out of kinds=..."
        )
    return np.asarray(matrix, dtype=float)


def _few_waves(background: MetricField) -> Whole:
    return Whole(-2, 2, (_WAVES, background.n))


def _waves_of_all_components(background: MetricField) -> dict[str, Space]:
    entries = _entries(background, _WAVES)
    return {"waves": _few_waves(background), "cosines": entries, "sines": entries}


def _an_axis(background: MetricField) -> Choice:
    return Choice(tuple(range(background.n)))


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            "one_directional",
            _one_directional,
            lambda g: {
                "axis": _an_axis(g),
                "waves": Whole(1, 3),
                "phase": Reals(0.0, 6.28),
                "entries": _entries(g),
            },
        ),
        Kind(
            "conformal",
            _conformal,
            lambda g: {
                "waves": _few_waves(g),
                "cosines": Reals(-1.0, 1.0, (_WAVES,)),
                "sines": Reals(-1.0, 1.0, (_WAVES,)),
            },
        ),
        Kind(
            "diagonal",
            _diagonal,
            lambda g: {
                "axes": Whole(0, g.n - 1, (g.n,)),
                "waves": Whole(1, 3, (g.n,)),
                "offsets": Reals(-1.0, 1.0, (g.n,)),
                "slopes": Reals(-1.0, 1.0, (g.n,)),
                "still": Whole(-1, g.n - 1),
            },
        ),
        Kind(
            "band_limited",
            _band_limited,
            _waves_of_all_components,
        ),
        Kind(
            "localised",
            _localised,
            lambda g: {
                "centre": Reals(0.0, 1.0, (g.n,)),
                "width": Reals(0.1, 0.5),
                "entries": _entries(g),
            },
        ),
        Kind(
            "pulled_back",
            _pulled_back,
            lambda g: {
                "waves": Whole(-2, 2, (g.n, g.n)),
                "shifts": Reals(0.0, 6.28, (g.n,)),
                "heights": Reals(-1.0, 1.0, (g.n,)),
            },
            linear=False,
        ),
        Kind(
            "transverse_traceless",
            _transverse_traceless,
            _waves_of_all_components,
        ),
        Kind(
            "anisotropic",
            _anisotropic,
            lambda g: {
                "entries": _entries(g),
                "axis": _an_axis(g),
                "waves": Whole(1, 3),
                "ripple": Reals(0.0, 1.0),
                "small": _entries(g),
            },
        ),
        Kind(
            "steep",
            _steep,
            lambda g: {
                "axis": _an_axis(g),
                "position": Reals(0.0, 1.0),
                "sharpness": Reals(1.0, 8.0),
                "entries": _entries(g),
            },
        ),
        Kind(
            "degenerate",
            _degenerate,
            lambda g: {
                "centre": Reals(0.0, 1.0, (g.n,)),
                "width": Reals(0.1, 0.5),
                "direction": Reals(-1.0, 1.0, (g.n,)),
            },
        ),
        Kind(
            "chequered",
            _chequered,
            lambda g: {"seed": Whole(0, 2**32 - 1), "cells": Whole(2, 4)},
        ),
        Kind(
            "rough",
            _rough,
            lambda g: {"seed": Whole(0, 2**32 - 1), "shape": Choice((g.grid.shape,))},
        ),
        Kind(
            "checkerboard",
            _checkerboard,
            lambda g: {
                "axes": Whole(0, 1, (g.n,)),
                "shape": Choice((g.grid.shape,)),
                "entries": _entries(g),
            },
        ),
    )
}
"""The kinds by name, the smoothest first."""


def applicable_kinds(background: MetricField) -> list[Kind]:
    """The kinds that exist on a background (some need a constant metric, or three dimensions)."""
    if not isinstance(background, MetricField):
        raise DTypeError(f"background = {shown(background)}; give a MetricField")
    values = to_numpy(background.components).reshape(background.n**2, -1)
    constant = np.ptp(values, axis=1).max() == 0
    waves = constant and background.n >= 3 and background.grid.is_torus
    needs: Mapping[str, bool] = {"pulled_back": bool(constant), "transverse_traceless": bool(waves)}
    return [kind for kind in KINDS.values() if needs.get(kind.name, True)]


def kinds_of(background: MetricField, kinds: Any) -> list[Kind]:
    """Kinds by their names, or as given; all that exist on the background for None.

    Raises
    ------
    InvalidArgumentError, UnknownNameError
        If there is none, or it is no kind.
    """
    if kinds is None:
        return applicable_kinds(background)
    given = (kinds,) if isinstance(kinds, Kind) else names_in(kinds, "kinds")
    if not given:
        raise InvalidArgumentError(f"kinds = {kinds!r}; name at least one kind of perturbation")
    return [find_kind(kind) for kind in given]


def find_kind(kind: str | Kind) -> Kind:
    """A kind by its name, or as given.

    Raises
    ------
    UnknownNameError
        If there is none of that name.
    """
    if isinstance(kind, Kind):
        return kind
    return KINDS[choice(kind, "kind of perturbation", KINDS)]
