"""Any function (t, y) -> y' as a system for the integrators, with an estimate of its stiffness."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from .. import checks
from ..arrays import (
    Array,
    device,
    dtype_name,
    first_true,
    guarded,
    like,
    namespace,
    read_only,
    to_numpy,
)
from ..errors import DTypeError, ShapeError
from ..stencils import tile_points, tile_slices
from ..team import ALONE
from .events import blame
from .methods.blockwise import Combination, combination
from .methods.pooled import Pool
from .methods.state import Words

RightHandSide = Callable[[float, Array], Any]
"""(t, y) -> y', of the shape of y."""

Radius = Callable[[float, Array], float]
"""(t, y) -> bound of the spectral radius of the Jacobian of the right-hand side."""

_WORDS = Words(
    broken="the state stopped being finite",
    ends="the solution ceases to exist",
    about_to_end="the solution is about to cease to exist (an event ends the integration before)",
    event="close to a singularity an event ends the integration",
    stiff="method 'rkl2' or 'rkg2' if the Jacobian's eigenvalues are real and negative, as those "
    "of diffusion",
)


class ArraySystem:
    """The system y' = f(t, y) of a function, for an array y of any shape.

    Parameters
    ----------
    rhs : callable
        f.
    like : array
        The start: shape, type, library and device of all states.
    shape : tuple of int
        The shape in which the user sees states.
    radius : callable or None
        Bound of the spectral radius. None: estimated where a method asks for it.
    valid : callable or None
        y -> bool, whether the integration can go on from a state.
    """

    words = _WORDS
    team = ALONE

    def __init__(
        self,
        rhs: RightHandSide,
        like: Array,
        shape: tuple[int, ...],
        radius: Radius | None,
        valid: Callable[[Array], Any] | None = None,
    ) -> None:
        self.nfev = 0
        self.pool = Pool(self.team)
        self._rhs, self._shape, self._valid = rhs, shape, valid
        self._dtype = like.dtype
        self._radius = radius
        self._estimate = None if radius is not None else SpectralRadiusEstimate(self)

    def usual_method(self, y: Array, tolerance: float | None) -> str:
        """Nothing is known of the function: no stabilised method."""
        return "tsit5"

    def __call__(self, t: float, y: Array) -> Array:
        """The right-hand side."""
        self.nfev += 1
        with blame(f"the right-hand side at t = {t:.6g}"):
            rate = self._rhs(t, self.given(read_only(y)))
        return self._checked(rate, y, t)

    def _checked(self, rate: Any, y: Array, t: float) -> Array:
        """The user's right-hand side as a new array like the state."""
        if not hasattr(rate, "dtype"):
            try:
                if rate is None:
                    raise TypeError("nothing was returned")
                rate = like(rate, y)
            except (TypeError, ValueError) as error:
                raise DTypeError(
                    f"the right-hand side at t = {t:.6g} is a {type(rate).__name__} that is no "
                    f"array of numbers ({error}); return an array of the shape of y"
                ) from error
        xp = namespace(rate, y)
        if tuple(rate.shape) != self._shape:
            raise ShapeError(
                f"the right-hand side at t = {t:.6g} has shape {tuple(rate.shape)}; it must be "
                f"that of the state, {self._shape}"
            )
        if rate.dtype != y.dtype:
            if dtype_name(rate).startswith(("complex", "bool", "object", "str")):
                raise DTypeError(
                    f"the right-hand side at t = {t:.6g} has dtype {rate.dtype}; real numbers are "
                    "needed (integrate real and imaginary part as two entries)"
                )
            return xp.reshape(xp.astype(rate, y.dtype), tuple(y.shape))
        # The function may return its argument, or one array again and again.
        return xp.reshape(xp.asarray(rate, copy=True), tuple(y.shape))

    def given(self, y: Array) -> Array:
        """A state in the shape that the user gave."""
        return y if tuple(y.shape) == self._shape else namespace(y).reshape(y, self._shape)

    def update(
        self,
        t: float,
        y: Array,
        scale: float,
        terms: Sequence[tuple[float, Array]],
        out: Array | None = None,
    ) -> Array:
        """``scale`` times the right-hand side plus the sum of coefficient times array."""
        rate = self(t, y)
        return combination([*terms, (scale, rate)], rate if out is None else out)

    def combination(self, terms: Sequence[tuple[float, Array]], out: Array | None = None) -> Array:
        """The sum of coefficient times array."""
        return combination(terms, out)

    def spectral_radius(self, t: float, y: Array) -> float:
        """The bound that was given, or an estimate."""
        if self._radius is None:
            assert self._estimate is not None
            return self._estimate(t, y)
        what = f"spectral_radius at t = {t:.6g}"
        with blame(what):
            return checks.as_number(self._radius(t, self.given(read_only(y))), what, 0)

    def limiting_radius(self, t: float, y: Array) -> float:
        """The bound that was given; an estimate only if a method has asked for one."""
        if self._radius is None:
            assert self._estimate is not None
            return self._estimate.latest
        return self.spectral_radius(t, y)

    def memory(self, y: Array) -> dict[str, np.ndarray]:
        """Memory of the estimate of the spectral radius at a state; for checkpoints."""
        return {} if self._estimate is None else self._estimate.memory(y)

    def recall(self, memory: dict[str, np.ndarray], y: Array) -> None:
        """Take over what ``memory`` gave."""
        if self._estimate is not None and memory:
            self._estimate.recall(memory, y)

    def settle(self, t: float, y: Array) -> Array:
        """The state as it is."""
        return y

    def admissible(self, y: Array) -> bool:
        """Whether a state is finite, and one that the user calls valid."""
        xp = namespace(y)
        if not bool(xp.all(xp.isfinite(y))):
            return False
        return self._valid is None or bool(self._valid(self.given(read_only(y))))

    def fault(self, y: Array) -> str:
        """The first entry that is not finite."""
        index = first_true(~namespace(y).isfinite(self.given(y)))
        if index is None:
            return "it is not valid"
        return f"{float(self.given(y)[index])}{f' at index {index}' if index else ''}"

    def output(self, t: float, y: Array) -> Array:
        """The state itself."""
        return y

    def seen(self, t: float, y: Array) -> Array:
        """The state, guarded."""
        return guarded(self.given(y))

    def scaled_size(
        self, error: Array | Combination, before: Array, y: Array, rtol: float, atol: float
    ) -> float:
        """Root mean square of e / (atol + rtol max(|before|, |y|)), as in SciPy."""
        xp = namespace(y)
        square = 0.0
        for block in _blocks(y):
            scale = xp.maximum(xp.abs(before[block]), xp.abs(y[block])) * rtol + atol
            square += float(xp.sum((error[block] / scale) ** 2))
        return math.sqrt(square / math.prod(y.shape)) if square == square else math.inf

    def size_if_admissible(
        self,
        error: Array | Combination | None,
        before: Array,
        y: Array,
        rtol: float,
        atol: float,
    ) -> float:
        """The size of an error, 0 without one; infinite for a state not admissible."""
        if not self.admissible(y):
            return math.inf
        return 0.0 if error is None else self.scaled_size(error, before, y, rtol, atol)

    def speed(self, rate: Array, y: Array, rtol: float, atol: float) -> float:
        """|y'| / |y| in the norm of the tolerances (Hairer, Norsett & Wanner, section II.4)."""
        size = self.scaled_size(y, y, y, rtol, atol)
        change = self.scaled_size(rate, y, y, rtol, atol)
        if not (size >= 1e-5 and change >= 1e-5 and math.isfinite(size)):
            return 1e4  # a state of zero says nothing of the time in which it changes
        return change / size

    def rate_size(self, rate: Array, y: Array) -> float:
        """The largest |y'| of an entry."""
        xp = namespace(rate)
        return float(xp.max(xp.abs(rate)))


def _blocks(y: Array) -> Iterator[tuple[slice, ...]]:
    return tile_slices(tuple(y.shape), tile_points(y))


class SpectralRadiusEstimate:
    """Estimate of the spectral radius of the Jacobian by power iteration with differences of f.

    v -> f(y + v) - f(y) for a small v, begun with a fixed random vector, which holds all modes, and
    later with the vector of the last estimate (Sommeijer, Shampine & Verwer, J. Comput. Appl.
    Math. 88 (1998) 315). The factor 1.2 covers what an iteration stopped at 1 % change misses.

    Attributes
    ----------
    latest : float
        The last estimate; 0 before the first.
    """

    _SAFETY = 1.2
    _LEAST_CHANGE = 0.01
    _MOST_ITERATIONS = 50
    # The stiffness of a smooth problem changes slowly; a step that is rejected has it estimated
    # again.
    _STATES = 5

    def __init__(self, system: ArraySystem) -> None:
        self._system = system
        self.latest = 0.0
        self._at: Array | None = None
        self._age = self._STATES
        self._vector: Array | None = None

    def __call__(self, t: float, y: Array) -> float:
        if self._at is y:
            wanted = self._age > 0
        else:
            self._at, self._age = y, self._age + 1
            wanted = self._age >= self._STATES
        if wanted:
            self.latest, self._age = self._iterate(t, y), 0
        return self.latest

    def memory(self, y: Array) -> dict[str, np.ndarray]:
        """Arrays on which later estimates depend; empty before the first estimate."""
        if self._vector is None:
            return {}
        numbers = np.array([self.latest, self._age, float(self._at is y)])
        return {"vector": to_numpy(self._vector), "numbers": numbers}

    def recall(self, memory: dict[str, np.ndarray], y: Array) -> None:
        """Take over what ``memory`` gave at the same state."""
        self._vector = like(memory["vector"], y)
        latest, age, here = memory["numbers"].tolist()
        self.latest, self._age = latest, int(age)
        self._at = y if here else None

    def _iterate(self, t: float, y: Array) -> float:
        xp = namespace(y)
        size = math.sqrt(float(xp.finfo(y.dtype).eps)) * (self._norm(y) or 1.0)
        rate = self._system(t, y)
        v = self._vector
        if v is None:
            v = like(np.random.default_rng(0).standard_normal(tuple(y.shape)), y)
        found, length = 0.0, self._norm(v)
        for iteration in range(self._MOST_ITERATIONS):
            v = v * (size / length)
            v = self._system(t, y + v) - rate
            length = self._norm(v)
            before, found = found, length / size
            if not (math.isfinite(found) and length > 0):
                return found
            if iteration >= 2 and abs(found - before) <= self._LEAST_CHANGE * found:
                break
        self._vector = v
        return self._SAFETY * found

    @staticmethod
    def _norm(v: Array) -> float:
        xp = namespace(v)
        return math.sqrt(float(xp.sum(v * v)))


def start_of(y0: Any) -> tuple[Array, tuple[int, ...]]:
    """The start as a new array with at least one axis, and the shape that the user gave.

    Raises
    ------
    DTypeError, NotFiniteError, ShapeError
        If it is no array or sequence of finite real floating-point numbers, or is empty.
    """
    from ..arrays import detached, host_numbers, require_finite, require_real_floating

    if not hasattr(y0, "dtype"):
        y0 = host_numbers(y0, "y0")
    xp = require_real_floating(y0, "y0")
    require_finite(y0, "y0")
    shape = tuple(int(n) for n in y0.shape)
    if math.prod(shape) == 0:
        raise ShapeError(f"y0 has shape {shape}; at least one entry is needed")
    y = xp.asarray(detached(y0), copy=True, device=device(y0))
    return xp.reshape(y, shape or (1,)), shape
