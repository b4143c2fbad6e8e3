"""Estimators by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from riemann_lne import checks
from riemann_lne.errors import InvalidArgumentError, UnknownNameError

from .base import Estimator, example, lack

__all__ = ["available_estimators", "get_estimator", "register_estimator"]

Factory = TypeVar("Factory", bound=Callable[..., Estimator])

_REGISTRY: dict[str, Callable[..., Estimator]] = {}


def register_estimator(name: str) -> Callable[[Factory], Factory]:
    """Decorator: make an estimator known by a name, for configurations and the command line.

    Parameters
    ----------
    name : str
        Not yet taken.

    Returns
    -------
    decorator
        For a subclass of `Estimator`, or a function that returns one.

    Raises
    ------
    InvalidArgumentError
        If another estimator has the name (the same definition run again, as notebooks do,
        replaces the earlier one) or it is empty, or the class is no estimator: it must extend
        `Estimator` and have ``backward(self, w, q, grad, site)``.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch.estimators import Estimator, get_estimator, register_estimator
    >>> @register_estimator("half")
    ... class Half(Estimator):
    ...     def backward(self, w, q, grad, site):
    ...         return 0.5 * grad
    >>> type(get_estimator("half")).__name__
    'Half'
    """
    checks.label(name, "name of the estimator")

    def decorate(factory: Factory) -> Factory:
        _check(name, factory)
        known = _REGISTRY.get(name)
        if known is not None and _origin(known) != _origin(factory):
            raise InvalidArgumentError(
                f"the name {name!r} belongs to the estimator {known!r}; choose another one"
            )
        _REGISTRY[name] = factory
        return factory

    return decorate


def _minimal(kind: object = None) -> str:
    """The code of a right estimator; with a learned step if the class says that it has one."""
    members = [example("backward")]
    if getattr(kind, "learned", False) is True:
        members = ["        learned = True", example("first_step"), *members]
        members.append(example("backward_step"))
    head = '    @register_estimator("mine")\n    class Mine(Estimator):\n'
    return head + "\n\n".join(members)


def _check(name: str, factory: object) -> None:
    """Refuse a class that breaks the protocol, naming the member."""
    problem = ""
    if not callable(factory):
        problem = "is no class or function"
    elif isinstance(factory, type):
        if not issubclass(factory, Estimator):
            problem = f"the class {factory.__name__} does not extend Estimator"
        else:
            problem = _wrong_member(factory)
    if problem:
        raise InvalidArgumentError(
            f"estimator {name!r}: {problem}. A minimal one that is right:\n{_minimal(factory)}"
        )


def _wrong_member(kind: type[Estimator]) -> str:
    """The first wrong member of a class, in words; empty if all are right."""
    needed = {"backward": 5}
    if kind.learned is True:
        needed |= {"first_step": 3, "backward_step": 5}
    for member, arguments in {**needed, "forward": 3}.items():
        given = getattr(kind, member)
        if member in needed and given is getattr(Estimator, member):
            return lack(kind, member)
        try:
            inspect.signature(given).bind(*[None] * arguments)
        except TypeError as error:
            return f"its member {member!r} does not take what it is given: {error}"
    return ""


def _origin(factory: Any) -> tuple[Any, Any]:
    return getattr(factory, "__module__", None), getattr(factory, "__qualname__", repr(factory))


def available_estimators() -> list[str]:
    """Names of all registered estimators, sorted.

    >>> from riemann_lne_torch.estimators import available_estimators
    >>> "ste" in available_estimators()
    True
    """
    return sorted(_REGISTRY)


def factories() -> dict[str, Callable[..., Estimator]]:
    """Maker of each registered estimator, by name: a class or a function of its options."""
    return dict(_REGISTRY)


def get_estimator(name: str | Estimator, **options: Any) -> Estimator:
    """The estimator of that name with the given options; an estimator is passed on as it is.

    Parameters
    ----------
    name : str or Estimator
    **options
        Of the estimator's constructor.

    Returns
    -------
    Estimator

    Raises
    ------
    UnknownNameError
        If no estimator has the name; the message lists those there are.
    InvalidArgumentError
        If what was given is neither a name nor an estimator (or is its class), or an option
        does not exist.

    Examples
    --------
    >>> from riemann_lne_torch.estimators import get_estimator
    >>> get_estimator("ewgs", delta=0.01)
    EWGS(delta=0.01)
    """
    if isinstance(name, Estimator):
        if options:
            raise InvalidArgumentError(f"options are for a name, and {name!r} is an estimator")
        return name
    if not isinstance(name, str):
        hint = f"; write {name.__name__}()" if isinstance(name, type) else ""
        raise InvalidArgumentError(f"expected an estimator or its name, got {name!r}{hint}")
    if name not in _REGISTRY:
        raise UnknownNameError("estimator", name, _REGISTRY)
    try:
        made = _REGISTRY[name](**options)
    except TypeError as error:
        raise InvalidArgumentError(f"estimator {name!r}: {error}; correct its options") from error
    if not isinstance(made, Estimator):
        raise InvalidArgumentError(
            f"estimator {name!r}: what was registered gave {made!r:.100}, which is no Estimator. A "
            f"minimal one that is right:\n{_minimal()}"
        )
    return made
