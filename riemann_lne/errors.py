"""The errors of this library: one family, each member also the built-in error it stands for.

Every message says what was wrong, where (grid index, argument name, time) and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class RiemannLNEError(Exception):
    """Base class: ``except RiemannLNEError`` catches all that this library raises on purpose."""

    def __str__(self) -> str:
        # Names of files and variables need not be text: halves of characters cannot be printed.
        return super().__str__().encode("utf-8", "backslashreplace").decode("utf-8")

    def __reduce__(self) -> tuple[Any, ...]:
        # Python would call the class with the message alone. Where the constructor wants more, that
        # is another error, which takes down the pool of processes that hands this one on.
        state = self.__dict__
        if isinstance(self, OSError):
            state = {**state, "errno": self.errno}
        return _restored, (type(self), self.args), state


def _restored(kind: type[RiemannLNEError], arguments: tuple[Any, ...]) -> RiemannLNEError:
    """An error with its message as it was; its constructor, which writes it, is not called."""
    error = kind.__new__(kind)
    error.args = arguments
    return error


class InvalidArgumentError(RiemannLNEError, ValueError):
    """An argument has a value that makes no sense here."""


class ShapeError(RiemannLNEError, ValueError):
    """An array has the wrong shape; the message names the expected and the actual one."""


class DTypeError(RiemannLNEError, TypeError):
    """An array is not of a real floating-point type (float32 or float64)."""


class NotFiniteError(RiemannLNEError, ValueError):
    """An array holds NaN or infinity; the message names the first such place."""


class NotSymmetricError(RiemannLNEError, ValueError):
    """A metric is not symmetric; the message names the worst place."""


class NotPositiveDefiniteError(RiemannLNEError, ValueError):
    """A metric is not positive definite.

    Attributes
    ----------
    index : tuple of int or None
        Grid index (or batch index) of the worst place.
    eigenvalue : float or None
        Smallest eigenvalue there.
    """

    def __init__(
        self,
        message: str,
        index: tuple[int, ...] | None = None,
        eigenvalue: float | None = None,
    ) -> None:
        super().__init__(message)
        self.index = index
        self.eigenvalue = eigenvalue


class GridTooSmallError(RiemannLNEError, ValueError):
    """The grid has fewer points along an axis than the stencil needs."""


class NoClosedFormError(InvalidArgumentError, AttributeError):
    """An exact solution has no closed form of what was asked; the message names the way around.

    Also an AttributeError, so that ``hasattr(solution, "ricci")`` says whether there is one.
    """


class MissingMemberError(InvalidArgumentError, NotImplementedError):
    """A class of a user lacks a method that is needed; the message shows what to write."""


class UnknownNameError(RiemannLNEError, ValueError):
    """A name (of a method, a check, ...) is not known; the message lists the known ones."""

    def __init__(self, kind: str, name: object, known: Iterable[str]) -> None:
        names = sorted(known)
        close = difflib.get_close_matches(str(name), names, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        super().__init__(f"unknown {kind} {name!r}; known: {', '.join(names) or 'none'}.{hint}")


class StorageError(RiemannLNEError, OSError):
    """A file could not be written or read; the message says what is still good.

    ``errno`` is the system's number, if the system gave one.
    """

    def __init__(self, message: str, errno: int | None = None) -> None:
        super().__init__(message)
        self.errno = errno


class DamagedFileError(StorageError, InvalidArgumentError):
    """A file is not what this library wrote: damaged, edited by hand, or of another kind.

    The message says which file, what is wrong with it, and what to do.
    """


class FolderInUseError(StorageError):
    """Another run owns the folder, store or file; the message says which one, and since when."""


class ConvergenceError(RiemannLNEError, RuntimeError):
    """An iteration did not reach its tolerance; the message says how far it came."""


class CheckFailedError(RiemannLNEError, AssertionError):
    """A property that was tested does not hold; the message has numbers, place and example.

    Attributes
    ----------
    value : float or None
        By how much it fails, where the check measures that.
    report : object or None
        The whole report of the check.
    """

    def __init__(
        self, message: str, value: float | None = None, report: object | None = None
    ) -> None:
        super().__init__(message)
        self.value = value
        self.report = report


class MissingDependencyError(RiemannLNEError, ImportError):
    """An optional library cannot be imported; the message names the extra that brings it.

    Parameters
    ----------
    library, extra, purpose : str
        What is needed, by which extra it is installed, and for what.
    cause : ImportError or None
        What Python said. If the library is there, and something that it imports is missing or of
        another version, the message quotes it.

    Examples
    --------
    >>> print(MissingDependencyError("rich", "verify", "the report"))
    the report needs rich, which is not installed; install it with: pip install \
'riemann-lne[verify]'
    """

    def __init__(
        self, library: str, extra: str, purpose: str, cause: ImportError | None = None
    ) -> None:
        missing = isinstance(cause, ModuleNotFoundError) and cause.name == library.lower()
        why = "is not installed" if cause is None or missing else f"cannot be imported ({cause})"
        super().__init__(
            f"{purpose} needs {library}, which {why}; "
            f"install it with: pip install 'riemann-lne[{extra}]'"
        )


class KernelUnavailableError(RiemannLNEError, RuntimeError):
    """There is no fused kernel for what was asked, or it cannot be built; the message says why."""
