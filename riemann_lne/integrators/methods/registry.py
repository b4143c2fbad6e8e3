"""The methods by name, and the registering of further names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ... import checks
from ...arrays import Array
from ...errors import InvalidArgumentError, UnknownNameError
from .base import Integrator, System
from .etd import ETDRK4
from .protocol import require_integrator
from .rkl import RKG2, RKL2
from .runge_kutta import BS32, RK4, TSIT5, ExplicitRungeKutta

Maker = Callable[[System, Array], Integrator]
"""Takes a system and its start, and returns the integrator set up for them."""

_MAKERS: dict[str, Maker] = {
    "rk4": lambda system, y: ExplicitRungeKutta("rk4", RK4),
    "tsit5": lambda system, y: ExplicitRungeKutta("tsit5", TSIT5),
    "bs32": lambda system, y: ExplicitRungeKutta("bs32", BS32),
    "rkl2": lambda system, y: RKL2(),
    "rkg2": lambda system, y: RKG2(),
    "etdrk4": lambda system, y: ETDRK4(system, y),
}

METHODS = ("auto", *_MAKERS)
"""The names of the methods that come with the library."""


def known_methods() -> tuple[str, ...]:
    """The names that ``solve_flow`` and ``integrate`` know: METHODS, and those registered since."""
    return ("auto", *_MAKERS)


def register_method(name: str, maker: Maker | type[Any]) -> None:
    """Give a method a name, for ``solve_flow(method=...)``, ``integrate`` and ``riemann-lne flow``.

    Parameters
    ----------
    name : str
        Not that of another method. Registering the same maker again changes nothing.
    maker : callable or class
        ``maker(system, y)`` returns the integrator for a system and its start, anew for every
        integration; or a class that is called without arguments.

    Raises
    ------
    InvalidArgumentError
        If the name is taken or no name, or ``maker`` is not callable.
    DTypeError
        If ``maker`` cannot be called like that.

    Examples
    --------
    >>> from riemann_lne.integrators import RKL2, register_method
    >>> register_method("rkl2-9", lambda system, y: RKL2(stages=9))
    """
    checks.label(name, "name")
    if not callable(maker):
        raise InvalidArgumentError(
            f"maker = {checks.shown(maker)}; give a function (system, y) -> integrator, or a class"
        )
    arguments = "" if isinstance(maker, type) else "system, y"
    checks.require_call(maker, "maker", arguments, _MINIMAL)
    made: Maker = _without_arguments(maker) if isinstance(maker, type) else maker
    if _REGISTERED.get(name) is maker:
        return
    if name in known_methods():
        raise InvalidArgumentError(f"the method {name!r} is there already; give another name")
    _REGISTERED[name] = maker
    _MAKERS[name] = made


_REGISTERED: dict[str, Any] = {}

_MINIMAL = '    register_method("rkl2-9", lambda system, y: RKL2(stages=9))\n'


def _without_arguments(kind: type[Any]) -> Maker:
    return lambda system, y: kind()


def make_integrator(
    method: str | Integrator, system: System, y: Array, tolerance: float | None = None
) -> Integrator:
    """The integrator of a name, set up for a system and its start; or the object given.

    ``tolerance`` is that of adapted steps, for the choice that "auto" makes.

    Raises
    ------
    UnknownNameError
        If the name is not known.
    DTypeError
        If the object lacks a member of ``Integrator``; the message shows a minimal right one.
    """
    if not isinstance(method, str):
        return require_integrator(method)
    if method == "auto":
        method = system.usual_method(y, tolerance)
    if method not in _MAKERS:
        raise UnknownNameError("method", method, known_methods())
    return require_integrator(_MAKERS[method](system, y))
