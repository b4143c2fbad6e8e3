"""Functions and objects of the user's: called so that their errors are told in the kit's terms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import InvalidArgumentError, RiemannLNEError


def answer(
    function: Callable[..., Any],
    name: str | Callable[[], str],
    advice: str,
    /,
    *given: Any,
    **named: Any,
) -> Any:
    """The result of a function that the user gave; ``name`` and ``advice`` go into the message.

    A name that takes time to write may be a function, which is called only for the message.

    Raises
    ------
    InvalidArgumentError
        If the function breaks off with an error that is not the library's own.
    """
    try:
        return function(*given, **named)
    except RiemannLNEError:
        raise
    except Exception as error:
        if is_rejection(error):
            raise
        who = name if isinstance(name, str) else name()
        raise InvalidArgumentError(
            f"{who} broke off with {told(error)}; correct it: {advice}"
        ) from error


def told(error: Exception) -> str:
    """An error in one line: its class and its text."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ")


def is_rejection(error: Exception) -> bool:
    """Whether an error is Hypothesis' word for an example that ``assume`` leaves out."""
    kind = type(error)
    return kind.__name__ == "UnsatisfiedAssumption" and kind.__module__.startswith("hypothesis.")
