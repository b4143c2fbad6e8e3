"""The step of ETDRK4 with the least memory, for arrays that can be written to.

The scheme is that of ``etd.advance``; the same sums, in an order that lets arrays be overwritten.
Arrays that are held at the same time, in units of the state's transform, which has the size of the
state:

- the state ``v`` and its nonlinear part ``n_v``, which are used up by the last step from them;
- ``n_a``, from the second evaluation on; then it becomes the part of the result that is known:
  e v + f1 n_v + f2 n_a (``_without_b_and_c``). ``n_v`` becomes the part of stage c that is known,
  e_half a - q n_v (``_without_b``);
- one field and its rate, while the right-hand side is evaluated;
- the transforms of single components: ``spare``, ``other``.

The transforms of the stages b and c are not held. They are made again, one component at a time,
from the fields of the stages, which are there. On small grids all components are taken at once:
the calls take longer there than what they do. The values are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ...arrays import Array, device, namespace
from ...fourier import Part, Transform
from ...grids import Grid
from .base import State, Step, System
from .blockwise import blockwise


class LinearPart(Protocol):
    """The part of a right-hand side that is integrated exactly, as a method holds it."""

    grid: Grid
    transform: Transform
    linear: Array

    def weights(self, dt: float, v: Array) -> tuple[Array, ...]:
        """The coefficients e^(L dt / 2), Q, f2 and f3 of ``etdrk4_coefficients``."""


class StepInPlace:
    """One step, from the part that a method integrates exactly."""

    def __init__(self, method: LinearPart) -> None:
        self._method, self._grid, self._linear = method, method.grid, method.linear
        self._transform = method.transform

    def __call__(self, system: System, state: State, dt: float, estimate: bool) -> Step:
        """Advance by dt, or by two half steps with the difference as the estimate."""
        t, y, rate = state.t, state.y, state.rate
        del state
        v = self._forward(y)
        if rate is None:
            rate = system(t, y)
        start = self._nonlinear(rate, v)
        del rate
        if not estimate:
            return Step(self._back(self._advance(system, t, v, start, dt, keep=False)))
        coarse = self._advance(system, t, v, start, dt, keep=True)
        fine = self._advance(system, t, v, start, dt / 2, keep=False)
        del v, start
        middle = self._field(self._copies(fine), fine)
        again = self._nonlinear(system(t + dt / 2, middle), fine)
        del middle
        fine = self._advance(system, t + dt / 2, fine, again, dt / 2, keep=False)
        del again
        gap = blockwise(lambda a, b: (a - b) * (1 / 15), (fine, coarse), out=coarse)
        return Step(self._back(fine), None, self._back(gap))

    def _forward(self, y: Array) -> Array:
        """The transform of a field."""
        xp = namespace(y)
        kind = xp.complex64 if xp.finfo(y.dtype).bits == 32 else xp.complex128
        v = xp.empty((y.shape[0], *self._transform.spectrum), dtype=kind, device=device(y))
        for c in self._transform.parts(y.shape[0]):
            self._transform.forth(v[c, ...], y[c, ...])
        return v

    def _back(self, v: Array) -> Array:
        """The field of a transform, which is used up."""
        return self._field(lambda c: v[c, ...], v)

    def _nonlinear(self, rate: Array, v: Array) -> Array:
        """Transform of the right-hand side less the part that is integrated exactly."""
        result = namespace(v).empty_like(v)
        for c in self._transform.parts(v.shape[0]):
            self._remainder(rate[c, ...], v[c, ...], out=result[c, ...])
        return result

    def _remainder(self, rate: Array, v: Array, out: Array) -> None:
        """The transform of a part's right-hand side less its linear part."""
        self._transform.forth(out, rate)
        blockwise(_minus, (out, v, self._linear), out=out)

    def _advance(
        self, system: System, t: float, v: Array, n_v: Array, dt: float, keep: bool
    ) -> Array:
        """One step in Fourier space, from the state and its nonlinear part.

        Both are used up unless ``keep``. While the right-hand side is evaluated the only other
        array of their size is the part of the result that is known already. The transforms of the
        stages b and c are not held: they are made again from the fields of the stages.
        """
        e_half, q, f2, f3 = self._method.weights(dt, v)
        components = self._transform.parts(v.shape[0])
        spare, other = (namespace(v).empty_like(v[components[0], ...]) for _ in range(2))

        def stage_of(n: Array) -> Callable[[Part], Array]:
            """e_half v + q n: stage a from the state's nonlinear part, b from that of a."""
            return lambda c: blockwise(_pair, (v[c, ...], e_half, n[c, ...], q), out=spare)

        rate = system(t + dt / 2, self._field(stage_of(n_v), v))
        n_a = namespace(v).empty_like(v)
        for c in components:
            self._remainder(rate[c, ...], stage_of(n_v)(c), out=n_a[c, ...])
        del rate
        y = self._field(stage_of(n_a), v)
        result = n_a if keep else v
        for c in components:
            both = v[c, ...], n_v[c, ...]
            blockwise(_without_b_and_c, (*both, n_a[c, ...], e_half, q, f2, f3), out=n_a[c, ...])
            if not keep:
                blockwise(_without_b, (*both, e_half, q), out=n_v[c, ...])
                v[c, ...] = n_a[c, ...]
        del n_a
        rate = system(t + dt / 2, y)
        for c in components:
            self._transform.forth(other, y[c, ...])
            self._remainder(rate[c, ...], other, out=spare)
            blockwise(_plus, (result[c, ...], spare, f2), out=result[c, ...])
            if keep:
                both = v[c, ...], n_v[c, ...]
                blockwise(_without_b, (*both, e_half, q), out=other)
                blockwise(_plus_twice, (other, spare, q), out=other)
            else:
                blockwise(_plus_twice, (n_v[c, ...], spare, q), out=n_v[c, ...])
                other[...] = n_v[c, ...]
            self._transform.back(y[c, ...], other)
        del rate
        y = y[...]  # it holds the last stage now
        rate = system(t + dt, y)
        for c in components:
            if keep:
                self._transform.forth(other, y[c, ...])
            self._remainder(rate[c, ...], other if keep else n_v[c, ...], out=spare)
            blockwise(_plus, (result[c, ...], spare, f3), out=result[c, ...])
        return result

    def _field(self, stage: Callable[[Part], Array], like: Array) -> Array:
        """The field whose transform has these components; they are made and used up one by one."""
        xp = namespace(like)
        real = xp.real(like[..., :1]).dtype
        y = xp.empty((like.shape[0], *self._grid.shape), dtype=real, device=device(like))
        for c in self._transform.parts(like.shape[0]):
            self._transform.back(y[c, ...], stage(c))
        return y

    def _copies(self, v: Array) -> Callable[[Part], Array]:
        """The components of an array that is still needed, each as a copy to be used up."""
        out = namespace(v).empty_like(v[self._transform.parts(v.shape[0])[0], ...])

        def copy(c: Part) -> Array:
            out[...] = v[c, ...]
            return out

        return copy


def _pair(x: Array, a: Array, y: Array, b: Array) -> Array:
    return a * x + b * y


def _plus(x: Array, y: Array, b: Array) -> Array:
    return x + b * y


def _minus(x: Array, y: Array, b: Array) -> Array:
    return x - b * y


def _plus_twice(x: Array, y: Array, b: Array) -> Array:
    return x + 2.0 * (b * y)


def _without_b_and_c(
    v: Array, n_v: Array, n_a: Array, e_half: Array, q: Array, f2: Array, f3: Array
) -> Array:
    """The step but for the parts of the stages b and c: e v + f1 n_v + f2 n_a.

    The weights of a constant add up to its integral, f1 + 2 f2 + f3 = dt (e^z - 1)/z = q (e_half +
    1): f1 need not be held.
    """
    f1 = q * (e_half + 1.0) - 2.0 * f2 - f3
    return e_half * (e_half * v) + f1 * n_v + f2 * n_a


def _without_b(v: Array, n_v: Array, e_half: Array, q: Array) -> Array:
    """Stage c, e_half a + q (2 n_b - n_v) with a = e_half v + q n_v, but for 2 q n_b."""
    return e_half * (e_half * v + q * n_v) - q * n_v
