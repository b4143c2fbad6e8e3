"""Ends of bounded axes: held, driven by a function, reflecting or free."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np

from ..arrays import Array, device, first_true, namespace, put, read_only, total
from ..atlas import Atlas
from ..coefficients import fd_weights
from ..errors import (
    InvalidArgumentError,
    NotFiniteError,
    NotPositiveDefiniteError,
    ShapeError,
    UnknownNameError,
)
from ..grids import Grid
from ..metrics import MetricField, assemble
from ..stencils import reflection_signs
from ..tensors import (
    is_positive_definite,
    pack,
    packed_size,
    pairs,
    require_symmetric,
    smallest_eigenvalue,
)

BoundaryFunction: TypeAlias = Callable[..., Any]
FaceChoice: TypeAlias = str | BoundaryFunction
Boundary: TypeAlias = (
    FaceChoice
    | Mapping[int | tuple[int, str], FaceChoice]
    | Sequence[FaceChoice | tuple[FaceChoice, FaceChoice] | None]
    | None
)
"""Argument of ``solve_flow``: one choice for all ends, or one an axis, or one a face."""

Face: TypeAlias = tuple[int, int]
_CHOICES = ("held", "free", "reflecting")
_SIDES = {"lower": 0, "upper": 1}


def choices(boundary: Boundary, grid: Grid) -> dict[Face, FaceChoice]:
    """The choice at every (axis, side) of the bounded axes.

    Raises
    ------
    UnknownNameError, InvalidArgumentError, ShapeError
        If a choice is not known, or names an axis that is periodic or does not exist.
    """
    faces = [(a, side) for a, wraps in enumerate(grid.periodic) if not wraps for side in (0, 1)]
    if boundary is None:
        return dict.fromkeys(faces, "held")
    if isinstance(boundary, str) or callable(boundary):
        # On a torus nothing has a boundary, but a wrong name is refused there too.
        chosen = _checked(boundary)
        return dict.fromkeys(faces, chosen)
    result: dict[Face, FaceChoice] = dict.fromkeys(faces, "held")
    if isinstance(boundary, Mapping):
        # Axes first, so that a single face can differ from its axis.
        for key in sorted(boundary, key=lambda k: isinstance(k, tuple)):
            for face in _faces_of_key(key, grid):
                result[face] = _checked(boundary[key])
        return result
    if isinstance(boundary, Sequence):
        if len(boundary) != grid.ndim:
            raise ShapeError(
                f"boundary has {len(boundary)} entries; give one for each of {grid.ndim} axes"
            )
        for axis, entry in enumerate(boundary):
            if grid.periodic[axis]:
                if entry not in (None, "periodic"):
                    raise InvalidArgumentError(_has_no_ends(axis, entry))
                continue
            pair = entry if isinstance(entry, (tuple, list)) else (entry, entry)
            if len(pair) != 2:
                raise ShapeError(f"boundary of axis {axis} is {entry!r}; give (lower, upper)")
            for side, choice in enumerate(pair):
                result[axis, side] = _checked(choice)
        return result
    chosen = _checked(boundary)  # which raises, and says what there is
    return dict.fromkeys(faces, chosen)


def _checked(choice: Any) -> FaceChoice:
    if callable(choice):
        return choice
    if isinstance(choice, str):
        if choice not in _CHOICES:
            raise UnknownNameError("boundary", choice, _CHOICES)
        return choice
    raise InvalidArgumentError(
        f"boundary = {choice!r}; give 'held', 'free', 'reflecting' or a function "
        "(t, *coordinates) -> metric, for all ends, for each axis or for each face"
    )


def _faces_of_key(key: Any, grid: Grid) -> list[Face]:
    axis, side = key if isinstance(key, tuple) and len(key) == 2 else (key, None)
    known = isinstance(axis, (int, np.integer)) and 0 <= axis < grid.ndim
    if not known or (side is not None and side not in _SIDES):
        raise InvalidArgumentError(
            f"boundary names {key!r}; give an axis from 0 to {grid.ndim - 1}, or (axis, 'lower') "
            "or (axis, 'upper')"
        )
    if grid.periodic[axis]:
        raise InvalidArgumentError(_has_no_ends(int(axis), key))
    return [(int(axis), s) for s in ((0, 1) if side is None else (_SIDES[side],))]


def _has_no_ends(axis: int, given: Any) -> str:
    return (
        f"axis {axis} is periodic and has no ends, but boundary names {given!r} for it; leave it "
        "out"
    )


class _FaceCondition(Protocol):
    def set_rate(self, t: float, rate: Array) -> Array: ...

    def set_values(self, t: float, y: Array) -> Array: ...


class BoundaryConditions:
    """The conditions at all ends of a grid, as the solver applies them.

    Attributes
    ----------
    grid : Grid
        The grid with the mirrors of its reflecting ends.
    choices : dict
        The condition chosen at each (axis, side).
    """

    def __init__(
        self, boundary: Boundary, grid: Grid, initial: Array, span: tuple[float, float]
    ) -> None:
        self._atlas = grid if isinstance(grid, Atlas) else None
        if self._atlas is not None:
            self.grid, self.choices = grid, {}
            self._conditions: list[_FaceCondition] = [_Seam(self._atlas, boundary, initial)]
            return
        self.choices = choices(boundary, grid)
        mirrors = [face for face, choice in self.choices.items() if choice == "reflecting"]
        self.grid = grid.with_mirrors(mirrors) if mirrors else grid
        # A block of a larger grid has only some of its ends.
        here = {face: choice for face, choice in self.choices.items() if grid.touches(*face)}
        mirrors = [face for face in mirrors if face in here]
        coordinates = grid.coordinates(namespace(initial), initial.dtype, device(initial))
        # Where faces meet, prescribed values win over those that follow from a symmetry.
        self._conditions = [_Mirror(grid, face, initial) for face in mirrors]
        self._conditions += [_Held(grid, face, initial) for face, c in here.items() if c == "held"]
        # A function of several faces is called once for all of them.
        driven: dict[int, tuple[BoundaryFunction, list[Face]]] = {}
        for face, choice in here.items():
            if callable(choice):
                driven.setdefault(id(choice), (choice, []))[1].append(face)
        self._conditions += [
            _Driven(grid, faces, coordinates, function, initial, span)
            for function, faces in driven.values()
        ]

    @property
    def sets_rates(self) -> bool:
        """Whether there is anything for `set_rate` to do."""
        return bool(self._conditions)

    def set_rate(self, t: float, rate: Array) -> Array:
        """The rate of change with the prescribed rates put into it."""
        for condition in self._conditions:
            rate = condition.set_rate(t, rate)
        return rate

    def set_values(self, t: float, y: Array) -> Array:
        """The state with the prescribed values put into it."""
        for condition in self._conditions:
            y = condition.set_values(t, y)
        return y

    def start(self, y: Array) -> Array:
        """The state that a metric is the start of; of an atlas with the fringe that follows."""
        return y if self._atlas is None else self._atlas.transition.fill(y)

    def moving_part(self, y: Array) -> Array:
        """The packed metric as explicit steps are limited by it: of an atlas the moving points."""
        return y if self._atlas is None else self._atlas.transition.moving_part(y)


class _Seam:
    """The fringe of each patch of an atlas follows the other patch.

    Interpolation is linear: with the rates interpolated, all stages of a method are as if the
    states were.
    """

    def __init__(self, atlas: Atlas, boundary: Boundary, initial: Array) -> None:
        if boundary is not None:
            raise InvalidArgumentError(
                f"boundary = {boundary!r}, but a sphere has no boundary: leave it out"
            )
        atlas.require_one_metric(MetricField.from_packed(atlas, initial, check=False))
        self._transition = atlas.transition

    def set_rate(self, t: float, rate: Array) -> Array:
        return self._transition.fill(rate)

    def set_values(self, t: float, y: Array) -> Array:
        return self._transition.fill(y)


def _face_slices(grid: Grid, face: Face) -> tuple[slice, ...]:
    axis, side = face
    start = grid.shape[axis] - 1 if side else 0
    part = slice(start, start + 1)
    return tuple(part if a == axis else slice(None) for a in range(grid.ndim))


class _Held:
    """The metric of the end points stays as it was at the start."""

    def __init__(self, grid: Grid, face: Face, initial: Array) -> None:
        self._where = (slice(None), *_face_slices(grid, face))
        self._known = namespace(initial).asarray(initial[self._where], copy=True)

    def set_rate(self, t: float, rate: Array) -> Array:
        return put(rate, self._where, 0.0)

    def set_values(self, t: float, y: Array) -> Array:
        # Schemes that combine several states do not give back a constant to the last bit.
        return put(y, self._where, self._known)


class _Mirror:
    """Reflection: the components that change sign vanish on the mirror.

    The stencils do the rest (``Grid.with_mirrors``).
    """

    def __init__(self, grid: Grid, face: Face, initial: Array) -> None:
        n = grid.ndim
        signs = reflection_signs(packed_size(n), n, face[0])
        place = _face_slices(grid, face)
        odd = [c for c, sign in enumerate(signs) if sign < 0]
        self._odd: list[tuple[Any, ...]] = [(c, *place) for c in odd]
        xp = namespace(initial)
        # Start values that miss zero by rounding are meant to be zero.
        limit = float(xp.finfo(initial.dtype).eps) ** 0.5 * float(xp.max(xp.abs(initial)))
        for where in self._odd:
            at = first_true(xp.abs(initial[where]) > limit)
            if at is None:
                continue
            index = tuple(k + (s.start or 0) for k, s in zip(at, place, strict=True))
            raise InvalidArgumentError(
                f"the start has g_{pairs(n)[where[0]]} = {float(initial[where][at]):.3g} at grid "
                f"index {index}, on the reflecting {('lower', 'upper')[face[1]]} end of axis "
                f"{face[0]}, where it must vanish: a reflection changes its sign"
            )

    def set_rate(self, t: float, rate: Array) -> Array:
        return self.set_values(t, rate)

    def set_values(self, t: float, y: Array) -> Array:
        for where in self._odd:
            y = put(y, where, 0.0)
        return y


class _Driven:
    """The metric of the end points of some faces is a function of time.

    The rate of the boundary points is the prescribed one, so that the boundary is integrated by the
    method like every other point and every stage sees values that fit together.
    The function's rate comes from five-point differences in time, which never look beyond the span
    of the flow: the function may not exist there. After every step the values are set exactly, so
    nothing accumulates.
    """

    def __init__(
        self,
        grid: Grid,
        faces: Sequence[Face],
        coordinates: tuple[Array, ...],
        function: BoundaryFunction,
        initial: Array,
        span: tuple[float, float],
    ) -> None:
        self._grid, self._function, self._span = grid, function, span
        self._step = 1e-4 * (span[1] - span[0])
        self._places = [_face_slices(grid, face) for face in faces]
        self._shapes = [
            tuple(1 if a == axis else size for a, size in enumerate(grid.shape))
            for axis, _ in faces
        ]
        self._coordinates = tuple(
            read_only(self._together([x[place] for place in self._places])) for x in coordinates
        )
        # Errors that the start shows are raised before the first step.
        values = self._metric(span[0])
        self._require_metric(span[0], values)
        there = self._apart(values)
        for face, place, part in zip(faces, self._places, there, strict=True):
            self._require_start(span[0], part, initial[(slice(None), *place)], face, place)

    def _together(self, parts: list[Array]) -> Array:
        """Values of all faces as one array; of several faces (points, 1, ...), as many axes."""
        if len(parts) == 1:
            return parts[0]
        xp, rest = namespace(*parts), (1,) * (self._grid.ndim - 1)
        return xp.concat([xp.reshape(part, (-1, *rest)) for part in parts], axis=0)

    def _apart(self, values: Array) -> list[Array]:
        """The parts of packed values over all faces, each of the shape of its face."""
        if len(self._shapes) == 1:
            return [values]
        xp, parts, first = namespace(values), [], 0
        for shape in self._shapes:
            last = first + math.prod(shape)
            parts.append(xp.reshape(values[:, first:last, ...], (-1, *shape)))
            first = last
        return parts

    def _put(self, field: Array, values: Array) -> Array:
        """The field with the values of all faces put into it."""
        for place, part in zip(self._places, self._apart(values), strict=True):
            field = put(field, (slice(None), *place), part)
        return field

    def _metric(self, t: float) -> Array:
        x = self._coordinates
        components = assemble(self._function(t, *x), x[0], self._grid)
        return pack(require_symmetric(components, f"the boundary function's metric at t = {t:.6g}"))

    def set_rate(self, t: float, rate: Array) -> Array:
        h = self._step
        # How many of the five points lie before t, such that all lie within the span.
        before = 2 if t - 2 * h >= self._span[0] else 0
        before = 4 if t + 2 * h > self._span[1] else before
        offsets = tuple(range(-before, 5 - before))
        slope = total(
            (float(w) / h, (self._metric(t + j * h),))
            for j, w in zip(offsets, fd_weights(1, offsets), strict=True)
            if w
        )
        return self._put(rate, slope)

    def set_values(self, t: float, y: Array) -> Array:
        values = self._metric(t)
        self._require_metric(t, values)
        return self._put(y, values)

    def _require_metric(self, t: float, values: Array) -> None:
        xp, n = namespace(values), self._grid.ndim
        name = f"the boundary function's metric at t = {t:.6g}"
        at = first_true(~xp.isfinite(values))
        if at is not None:
            raise NotFiniteError(
                f"{name} has g_{pairs(n)[at[0]]} = {float(values[at])} at grid index "
                f"{self._grid_index(at[1:])}; give finite values"
            )
        if first_true(~is_positive_definite(values, n)) is None:
            return
        eigenvalue, at = smallest_eigenvalue(values, n)
        raise NotPositiveDefiniteError(
            f"{name} is not positive definite: smallest eigenvalue {eigenvalue:.6g} at grid index "
            f"{self._grid_index(at)}",
            self._grid_index(at),
            eigenvalue,
        )

    def _require_start(
        self, t: float, values: Array, start: Array, face: Face, place: tuple[slice, ...]
    ) -> None:
        """A boundary that disagrees with the start would be a jump in time, which no step meets."""
        xp = namespace(start)
        # Values that differ by rounding are meant to be the same.
        limit = float(xp.finfo(start.dtype).eps) ** 0.5 * float(xp.max(xp.abs(start)))
        at = first_true(xp.abs(values - start) > limit)
        if at is None:
            return
        raise InvalidArgumentError(
            f"the start and the boundary function disagree at t = {t:.6g} on the "
            f"{('lower', 'upper')[face[1]]} end of axis {face[0]}: at grid index "
            f"{_index(at[1:], place)} g_{pairs(self._grid.ndim)[at[0]]} is {float(start[at]):.9g} "
            f"in the start and {float(values[at]):.9g} by the function; make them agree at the "
            "start of t_span"
        )

    def _grid_index(self, at: tuple[int, ...]) -> tuple[int, ...]:
        """Index on the grid of an index in the array of all faces."""
        if len(self._places) == 1:
            return _index(at, self._places[0])
        point = at[0]
        for shape, place in zip(self._shapes, self._places, strict=True):
            if point < math.prod(shape):
                return _index(tuple(map(int, np.unravel_index(point, shape))), place)
            point -= math.prod(shape)
        raise IndexError(at)


def _index(at: tuple[int, ...], place: tuple[slice, ...]) -> tuple[int, ...]:
    """Index on the grid of an index on a face."""
    return tuple(k + (s.start or 0) for k, s in zip(at, place, strict=True))
