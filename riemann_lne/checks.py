"""Checks of arguments: one for each kind of value, for the whole library.

Each takes a value and its name, and returns the value as a plain Python one. NumPy's scalars and
arrays of no dimensions (of any library) count as numbers; truth values and text do not.
"""

from __future__ import annotations

import inspect
import math
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .errors import DTypeError, InvalidArgumentError, NotFiniteError, UnknownNameError

_BOOLEANS = ("bool", "bool_")


def number(
    value: Any,
    name: str,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
) -> float:
    """A finite real number.

    Parameters
    ----------
    value : object
        The value that was given.
    name : str
        For the message.
    least, above, most, below : float, optional
        It must be at least ``least``, exceed ``above``, be at most ``most``, and lie under
        ``below``.

    Raises
    ------
    InvalidArgumentError
        If it is something else: NaN, infinity, text, a truth value, several numbers.

    Examples
    --------
    >>> number(np.float32(0.5), "dt", above=0)
    0.5
    >>> number(True, "dt")
    Traceback (most recent call last):
    riemann_lne.errors.InvalidArgumentError: dt = True; give a finite number
    """
    result = _as_float(value)
    if (
        result is None
        or (least is not None and result < least)
        or (above is not None and result <= above)
        or (most is not None and result > most)
        or (below is not None and result >= below)
    ):
        words = (("at least", least), ("above", above), ("at most", most), ("below", below))
        limits = " and ".join(f"{word} {limit:g}" for word, limit in words if limit is not None)
        comma = ", " if limits.startswith("at") else " "
        wanted = f"a finite number{comma if limits else ''}{limits}"
        raise InvalidArgumentError(f"{name} = {shown(value)}; give {wanted}")
    return result


def count(value: Any, name: str, *, least: int | None = 0) -> int:
    """A whole number, at least ``least`` if that is not None; 1e5 is one, 2.5 and True are not.

    Raises
    ------
    InvalidArgumentError
        If it is something else.

    Examples
    --------
    >>> count(1e5, "max_steps", least=1)
    100000
    >>> count(2.5, "max_steps", least=1)
    Traceback (most recent call last):
    riemann_lne.errors.InvalidArgumentError: max_steps = 2.5; give a whole number, at least 1
    """
    result: int | None
    if isinstance(value, int) and not isinstance(value, bool):
        result = value  # also if it is too large for a float
    else:
        real = _as_float(value)
        result = None if real is None or not real.is_integer() else int(real)
    if result is None or (least is not None and result < least):
        limit = "" if least is None else f", at least {least}"
        raise InvalidArgumentError(f"{name} = {shown(value)}; give a whole number{limit}")
    return result


def flag(value: Any, name: str) -> bool:
    """True or False; "False", 0 and None are neither.

    Raises
    ------
    InvalidArgumentError
        If it is something else.

    Examples
    --------
    >>> flag("False", "terminal")
    Traceback (most recent call last):
    riemann_lne.errors.InvalidArgumentError: terminal = 'False'; give True or False
    """
    if type(value).__name__ not in _BOOLEANS:
        raise InvalidArgumentError(f"{name} = {shown(value)}; give True or False")
    return bool(value)


def label(value: Any, name: str) -> str:
    """A name that something is called by: text that is not empty, without blanks at its ends.

    >>> label("", "name of the estimator")
    Traceback (most recent call last):
    riemann_lne.errors.InvalidArgumentError: name of the estimator = ''; give a text that is not \
empty and has no blanks at its ends
    """
    if not isinstance(value, str) or not value.strip() or value != value.strip():
        raise InvalidArgumentError(
            f"{name} = {shown(value)}; give a text that is not empty and has no blanks at its ends"
        )
    return value


def numbers(values: Any, name: str, *, wanted: str = "a sequence of finite numbers") -> list[float]:
    """Finite real numbers in a list, tuple or one-dimensional array.

    Raises
    ------
    InvalidArgumentError
        If it is no sequence, or an entry is no finite number.

    Examples
    --------
    >>> numbers((0, np.float64(1.5)), "times")
    [0.0, 1.5]
    """
    entries: Any = None
    if not isinstance(values, (str, bytes, dict, set)):
        try:
            entries = list(values)
        except TypeError:
            entries = None
    if entries is None:
        raise InvalidArgumentError(f"{name} = {shown(values)}; give {wanted}")
    return [number(v, f"{name}[{k}]") for k, v in enumerate(entries)]


def choice(value: Any, name: str, known: Iterable[str]) -> str:
    """One of the known names.

    Raises
    ------
    UnknownNameError
        If it is not; the message lists them.

    Examples
    --------
    >>> choice("steps", "observe_at", ["steps", "t_eval"])
    'steps'
    """
    names = list(known)
    if not isinstance(value, str) or value not in names:
        raise UnknownNameError(name, value, names)
    return value


def path(value: Any, name: str) -> Path:
    """A path, given as text or an object with ``__fspath__``.

    Raises
    ------
    InvalidArgumentError
        If it is something else, empty, or holds a NUL character.

    Examples
    --------
    >>> path("runs/a.zarr", "store").name
    'a.zarr'
    """
    text = os.fspath(value) if isinstance(value, (str, os.PathLike)) else None
    if isinstance(text, bytes):
        text = os.fsdecode(text)
    if not text or "\0" in text:
        raise InvalidArgumentError(
            f"{name} = {shown(value)}; give a path that is not empty and has no NUL characters"
        )
    return Path(text)


def require_members(
    value: Any, name: str, members: Mapping[str, Any], kind: str, minimal: str
) -> None:
    """An object with all members of a protocol.

    Parameters
    ----------
    value, name : object, str
        The object, and the argument that it was given as.
    members : mapping
        The members' names, each with the type or types of its value; for methods the names of
        the arguments that they are called with, in one string, or None where that is not checked.
    kind : str
        The noun for such an object, with its article.
    minimal : str
        The shortest right one, as code.

    Raises
    ------
    DTypeError
        If it is a class in place of an object, or lacks a member; the message names all that are
        missing and shows ``minimal``.

    Examples
    --------
    >>> class Flat:
    ...     order = "two"
    >>> minimal = "    class Right: ..."
    >>> require_members(Flat(), "method", {"order": int, "step": None}, "an integrator", minimal)
    Traceback (most recent call last):
    riemann_lne.errors.DTypeError: method is a Flat; give an integrator (order is 'two', \
not of type int; the method step is missing). A minimal right one:
    <BLANKLINE>
        class Right: ...
    """
    if isinstance(value, type):
        raise DTypeError(
            f"{name} is the class {value.__name__}; give an object of it, {value.__name__}(...)"
        )
    wrong = [w for w in (_wrong(value, m, kinds) for m, kinds in members.items()) if w]
    if wrong:
        raise DTypeError(
            f"{name} is a {type(value).__name__}; give {kind} ({'; '.join(wrong)}). "
            f"A minimal right one:\n\n{minimal}"
        )


def _wrong(value: Any, member: str, kinds: Any) -> str | None:
    """The fault of an object's member, in words; None if there is none."""
    method = kinds is None or isinstance(kinds, str)
    try:
        found = getattr(value, member)
    except AttributeError:
        return f"the {'method' if method else 'attribute'} {member} is missing"
    if method:
        if not callable(found):
            return f"{member} is {shown(found)}, not a method"
        return None if kinds is None else _misfit(found, member, kinds)
    if isinstance(found, kinds):
        return None
    names = [k.__name__ for k in (kinds if isinstance(kinds, tuple) else (kinds,))]
    return f"{member} is {shown(found)}, not of type {' or '.join(names)}"


def _misfit(function: Any, name: str, arguments: str) -> str | None:
    """Why a function cannot be called with so many arguments, in words; None if it can."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # a function of an extension module does not name its arguments
        return None
    try:
        signature.bind(*arguments.split(", ") if arguments else ())
    except TypeError as error:
        return f"{name} is not to be called as {name}({arguments}): {error}"
    return None


def require_call(function: Any, name: str, arguments: str, minimal: str) -> None:
    """A function that can be called with so many arguments, whose names are given in one string.

    Raises
    ------
    DTypeError
        If it cannot; the message shows ``minimal``, the shortest right one.

    Examples
    --------
    >>> require_call(lambda t: t, "rhs", "t, y", "    lambda t, y: -y")
    Traceback (most recent call last):
    riemann_lne.errors.DTypeError: rhs is not to be called as rhs(t, y): too many positional \
arguments. A minimal right one:
    <BLANKLINE>
        lambda t, y: -y
    """
    problem = _misfit(function, name, arguments)
    if problem:
        raise DTypeError(f"{problem}. A minimal right one:\n\n{minimal}")


def as_number(value: Any, what: str, least: float = -math.inf) -> float:
    """A value that a user's function returned, as a finite float; errors call it ``what``.

    Raises DTypeError, NotFiniteError, or InvalidArgumentError for an array that is not one number.
    """
    shape = tuple(getattr(value, "shape", ()))
    if shape != ():
        raise InvalidArgumentError(f"{what} is an array of shape {shape}; return one number")
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise DTypeError(f"{what} is {value!r}; return one number") from error
    if not math.isfinite(number):
        raise NotFiniteError(f"{what} is {number}; return a finite number")
    if number < least:
        raise InvalidArgumentError(f"{what} is {number}; return a number of at least {least}")
    return number


def require_function(value: Any, name: str, of: str) -> None:
    """DTypeError unless a value can be called; ``of`` says what it is a function of."""
    if not callable(value):
        raise DTypeError(f"{name} = {shown(value)}; give a function of {of}")


def shown(value: Any) -> str:
    """A value for a message: on one line, not longer than that, without an address in memory."""
    try:
        text = without_address(" ".join(repr(value).split()))
    except Exception:
        text = f"an object of type {type(value).__name__}"
    return text if len(text) <= 100 else text[:97] + "..."


def without_address(text: str) -> str:
    """The representation of an object without its place in memory, which differs in every run.

    Examples
    --------
    >>> without_address("<Mine object at 0x7f3c>")
    '<Mine object>'
    """
    return re.sub(r" at 0x[0-9a-fA-F]+", "", text)


def printable(text: object) -> str:
    r"""Text for a terminal or a page: what would act on it, and not be seen, is shown as a code.

    Escape sequences, other control characters, marks that turn the direction of writing, and halves
    of characters. Line ends and tabs stay.

    Examples
    --------
    >>> print(printable("a" + chr(27) + "[31mb"))
    a\x1b[31mb
    """
    return "".join(
        c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode("ascii")
        for c in str(text)
    )


def _as_float(value: Any) -> float | None:
    """The value as a finite float; None if it is no real number."""
    kind = type(value).__name__
    if kind in _BOOLEANS or isinstance(value, (str, bytes, complex)):
        return None
    if isinstance(value, (np.generic, np.ndarray)):
        if value.dtype.kind not in "iuf" or isinstance(value, np.ma.MaskedArray):
            return None
    elif any(kind in str(getattr(value, "dtype", "")) for kind in ("bool", "complex")):
        return None
    if tuple(getattr(value, "shape", ())) != ():
        return None
    try:
        result = float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return None
    return result if math.isfinite(result) else None
