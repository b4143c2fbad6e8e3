"""A background plus a perturbation of a given kind and size."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays import like, to_numpy
from ..checks import count, number, shown
from ..errors import DTypeError, InvalidArgumentError
from ..metrics import MetricField
from ..tensors import pack
from .asking import answer
from .kinds import KINDS, Kind, find_kind
from .recipes import DrawnMetric, Recipe, drawn
from .sizes import Norm, min_max, perturbation_size, require_bound
from .spaces import Reals, Whole

FLOOR = 0.02
"""Smallest eigenvalue of gbar^-1 g that a perturbation leaves: below, differences say nothing."""

_BISECTIONS = 60


def perturbed(
    background: MetricField,
    kind: str | Kind,
    size: float,
    norm: Norm = "sup",
    **parameters: Any,
) -> MetricField:
    """G = gbar + s h, h of a kind, with s such that the size of g - gbar is ``size``.

    The size measured after rounding is never above ``size``. It is smaller where h vanishes, and
    where g would lose positive definiteness: eigenvalues of gbar^-1 g stay above 0.02.

    Parameters
    ----------
    background : MetricField
        gbar; array library, precision and device of the result are its own.
    kind : str or Kind
        A key of ``KINDS``, or a Kind of the user's.
    size : float
        Not negative, in the unit of the norm.
    norm : str, tuple or callable
        See ``perturbation_size``.
    **parameters
        Numbers of the kind; ``KINDS[kind].parameters(background)`` names them with their ranges.

    Raises
    ------
    DTypeError, InvalidArgumentError, UnknownNameError
        If the background is no metric, the size is negative or not finite, there is no such kind or
        norm, the kind does not exist on this background, or it breaks off.

    Examples
    --------
    >>> from riemann_lne import Grid, flat_metric
    >>> flat = flat_metric(Grid.torus((16, 16)))
    >>> g = perturbed(flat, "diagonal", 0.2, "epsilon", axes=(0, 0), waves=(1, 1),
    ...               offsets=(1.0, 0.0), slopes=(0.0, 0.5))
    >>> round(perturbation_size(g, flat, "epsilon"), 12)
    0.2
    """
    size, family = number(size, "size", least=0), find_kind(kind)
    if not isinstance(background, MetricField):
        raise DTypeError(f"background = {shown(background)}; give a MetricField")
    background.require_riemannian("a perturbation of a given size")
    require_bound(norm, background, size)
    _require_takes(family, background, parameters)
    unit = _tensor(family, background, 1.0, parameters)
    if size == 0 or not np.any(unit):
        return background

    def at(scale: float) -> MetricField:
        h = scale * unit if family.linear else _tensor(family, background, scale, parameters)
        values = to_numpy(background.packed) + pack(h)
        return MetricField.from_packed(background.grid, like(values, background.packed), False)

    def size_at(scale: float) -> float:
        metric = at(scale)
        low, _ = min_max(metric, background)
        return perturbation_size(metric, background, norm) if low >= FLOOR else math.inf

    if family.linear and not callable(norm):
        scale = _scale_of_linear(at(1.0), background, size, norm)
    else:
        scale = _scale_by_bisection(size_at, size, math.inf if family.linear else 1.0)
    # Rounding may leave the size a few units in the last place too large.
    shrink = 4 * float(np.finfo(to_numpy(background.packed).dtype).eps)
    while scale > 0 and size_at(scale) > size:
        scale, shrink = scale * (1 - shrink), 2 * shrink
    result = at(scale)
    return MetricField.from_packed(result.grid, result.packed)


def _require_takes(kind: Kind, background: MetricField, parameters: dict[str, Any]) -> None:
    """Raise InvalidArgumentError if the kind does not take parameters of these names."""
    amount = {} if kind.linear else {"amount": 1.0}
    try:
        inspect.signature(kind.build).bind(background, **amount, **parameters)
    except TypeError as error:
        names = ", ".join(kind.spaces(background))
        raise InvalidArgumentError(
            f"kind {kind.name!r} was given {sorted(parameters)}; it takes {names}"
        ) from error


def _scale_of_linear(one: MetricField, background: MetricField, size: float, norm: Norm) -> float:
    """The scale of h = one - gbar: norms are homogeneous, eigenvalues are 1 + scale times mu."""
    low, high = (value - 1.0 for value in min_max(one, background))
    limits = [(1 - FLOOR) / -low] if low < 0 else []
    if norm == "epsilon":
        limits += [size / high] if high > 0 else []
        limits += [size / (1 + size) / -low] if low < 0 else []
    else:
        unit = perturbation_size(one, background, norm)
        limits += [size / unit] if unit > 0 else []
    return min(limits, default=0.0)


def _scale_by_bisection(size_at: Callable[[float], float], size: float, cap: float) -> float:
    """The largest scale with a size within the bound; sizes grow with the scale."""
    low, high = 0.0, min(1.0, cap)
    while high < cap and size_at(high) < size:
        low, high = high, 2 * high
        if high > 1e12:
            return low  # the norm does not see this perturbation
    if size_at(high) <= size:
        return high
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        if size_at(middle) <= size:
            low = middle
        else:
            high = middle
        if high - low <= 1e-13 * high:
            break
    return low


def _tensor(
    kind: Kind, background: MetricField, amount: float, parameters: dict[str, Any]
) -> np.ndarray:
    extra = {} if kind.linear else {"amount": amount}
    given = ", ".join(f"{name}={shown(value)}" for name, value in {**extra, **parameters}.items())
    advice = "make it return h, (n, n, *shape), for every number of its ranges"
    h = answer(
        lambda: np.asarray(kind.build(background, **extra, **parameters), dtype=float),
        f"kind {kind.name!r} with {given}",
        advice,
    )
    expected = (background.n, background.n, *background.grid.shape)
    if h.shape != expected:
        raise InvalidArgumentError(
            f"kind {kind.name!r} made a tensor of shape {h.shape}; (n, n, *shape) = {expected} "
            "is needed"
        )
    if not np.all(np.isfinite(h)):
        raise InvalidArgumentError(
            f"kind {kind.name!r} made a tensor that is not finite; return finite numbers"
        )
    return (h + np.swapaxes(h, 0, 1)) / 2


def perturbation_recipe(
    background: MetricField, kind: Kind, size: float, norm: Norm, parameters: dict[str, Any]
) -> Recipe:
    """The recipe of ``perturbed`` with these arguments; its numbers may be varied."""
    spaces = kind.spaces(background)
    ranges = {name: (s.low, s.high) for name, s in spaces.items() if isinstance(s, (Reals, Whole))}
    name: Any = kind.name if _is_ours(kind) else kind
    arguments = {"background": background, "kind": name, "size": float(size), "norm": norm}
    return Recipe(perturbed, {**arguments, **parameters}, {"size": (0.0, float(size)), **ranges})


def random_perturbation(
    background: MetricField,
    kind: str | Kind,
    size: float,
    norm: Norm = "sup",
    seed: int = 0,
) -> DrawnMetric:
    """A perturbation of a kind with random numbers; without Hypothesis.

    Raises
    ------
    DTypeError, InvalidArgumentError, UnknownNameError
        As for ``perturbed``; or if the seed is no whole number.

    Examples
    --------
    >>> from riemann_lne import Grid, flat_metric
    >>> flat = flat_metric(Grid.torus((8, 8)))
    >>> g = random_perturbation(flat, "rough", 0.1, seed=3)
    >>> perturbation_size(g, flat) <= 0.1
    True
    """
    family, rng = find_kind(kind), np.random.default_rng(count(seed, "seed"))
    size = number(size, "size", least=0)
    if not isinstance(background, MetricField):
        raise DTypeError(f"background = {shown(background)}; give a MetricField")
    parameters = {name: s.sample(rng) for name, s in family.spaces(background).items()}
    return drawn(perturbation_recipe(background, family, size, norm, parameters))


def _is_ours(kind: Kind) -> bool:
    return KINDS.get(kind.name) is kind
