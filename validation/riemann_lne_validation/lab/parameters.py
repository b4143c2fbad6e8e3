"""Parameters that a user may set: refused with a sentence where they make no sense."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from riemann_lne.errors import InvalidArgumentError


def require_numbers(
    name: str,
    values: Any,
    above: float = -math.inf,
    below: float = math.inf,
    count: int = 1,
    whole: bool = False,
) -> None:
    """Refuse what is not a sequence of ``count`` or more distinct numbers between the bounds.

    Raises
    ------
    InvalidArgumentError
    """
    kind = "whole numbers" if whole else "numbers"
    wanted = (
        f"give at least {count} different {kind} between {above:g} and {below:g}, both excluded"
    )
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise InvalidArgumentError(f"{name} = {values!r} is not a sequence; {wanted}")
    good = all(_is_number(v, whole) and above < v < below for v in values)
    if not good or len(set(values)) < max(count, len(values)):
        raise InvalidArgumentError(f"{name} = {values!r}; {wanted}")


def require_dimensions(dimensions: Sequence[int], **others: Sequence[Any]) -> None:
    """Raise InvalidArgumentError unless dimensions are 1 to 5, and every other has one for each."""
    require_numbers("dimensions", dimensions, 1, 5, whole=True)
    for name, values in others.items():
        if len(values) != len(dimensions):
            raise InvalidArgumentError(
                f"{name} = {values!r}; give one number for each of the dimensions {dimensions!r}"
            )


def require_number(
    name: str, value: Any, above: float = -math.inf, below: float = math.inf, whole: bool = False
) -> None:
    """Refuse what is not one number between the bounds.

    Raises
    ------
    InvalidArgumentError
    """
    if not (_is_number(value, whole) and above < value < below):
        kind = "a whole number" if whole else "a number"
        raise InvalidArgumentError(
            f"{name} = {value!r}; give {kind} between {above:g} and {below:g}, both excluded"
        )


def _is_number(value: Any, whole: bool) -> bool:
    kinds = int if whole else (int, float)
    return isinstance(value, kinds) and not isinstance(value, bool) and math.isfinite(value)
