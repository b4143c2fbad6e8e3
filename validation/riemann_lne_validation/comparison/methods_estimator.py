"""Every registered estimator as a method, with the options of its constructor."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from riemann_lne.errors import InvalidArgumentError, UnknownNameError
from riemann_lne_torch import Estimator, available_estimators, get_estimator
from riemann_lne_torch.quantize.estimators import registry

from .methods import KINDS, DoesNotApplyError, Method, first_line
from .protocol import Arm

# An estimator whose thresholds lie at fixed |w| is given weights of known size.
_STANDARDIZED_BY_DEFAULT = ("reste",)
_STANDARDIZE: dict[str, Any] = {"standardize": False, "scale": 1.0, "center": False}
# These are other methods: the corrector gives the same gradients, and one needs another inside.
_NOT_OFFERED = ("standardized",)


@dataclass
class EstimatorMethod(Method):
    """An estimator at the quantiser, plain steps of the optimiser.

    Attributes
    ----------
    name : str
        Of the estimator.
    options : dict
        Of its constructor.
    standardize, scale, center
        Whether it works on scale times w over the standard deviation of each channel, less its
        mean with ``center``.
    """

    kind: ClassVar[str] = KINDS[1]

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    standardize: bool = False
    scale: float = 1.0
    center: bool = False

    def estimator(self) -> Estimator:
        """The estimator, on standardised weights if asked."""
        inner = get_estimator(self.name, **self.options)
        if not self.standardize:
            return inner
        return get_estimator("standardized", inner=inner, scale=self.scale, center=self.center)

    def check(self, arm: Arm) -> None:
        """The estimator must know the number of bits."""
        inner = get_estimator(self.name, **self.options)
        if not inner.admits(arm.weight_bits):
            raise DoesNotApplyError(
                f"arm {arm.label!r}: estimator {self.name!r} {inner.bits_needed}, and the arm has "
                f"weight_bits = {arm.weight_bits}"
            )


def names() -> list[str]:
    """The estimators that are methods."""
    return [n for n in available_estimators() if n not in _NOT_OFFERED and not _corrects(n)]


def summaries(users: Iterable[str], taken: Mapping[str, str]) -> dict[str, str]:
    """First lines of the estimators of the package and of a user's task files.

    Others that a program registers work by their name, and are not in lists.
    """
    users = set(users)
    return {
        name: _summary(name)
        for name in names()
        if name not in taken and (name in users or is_packaged(name))
    }


def options(name: str) -> dict[str, Any]:
    """The options of an estimator's constructor with their defaults, and the common ones.

    An estimator that standardises the weights itself has none of the common ones.
    """
    parameters = inspect.signature(registry.factories()[name]).parameters.values()
    own = {
        p.name: p.default
        for p in parameters
        if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) and _is_plain(p.default)
    }
    if "standardize" in own or not _takes_weights_as_they_are(name):
        return own
    common = {**_STANDARDIZE, "standardize": name in _STANDARDIZED_BY_DEFAULT}
    return {**own, **{k: v for k, v in common.items() if k not in own}}


def make(name: str, given: dict[str, Any]) -> EstimatorMethod:
    """The method of an estimator."""
    known = options(name)
    for option in given:
        if option not in known:
            raise UnknownNameError(f"option of method {name!r}", option, known)
    common = {k: v for k, v in known.items() if k in _STANDARDIZE and k not in _own(name)}
    changed = {k: given[k] for k in given if k in common}
    rest = {k: v for k, v in given.items() if k not in common}
    try:
        return EstimatorMethod(name, rest, **{**common, **changed})
    except TypeError as error:
        raise InvalidArgumentError(f"method {name!r}: change its options: {error}") from error


def _own(name: str) -> Iterable[str]:
    return inspect.signature(registry.factories()[name]).parameters


def _is_plain(value: Any) -> bool:
    """Whether a default can be written in a configuration."""
    return value is None or isinstance(value, (bool, int, float, str))


def _takes_weights_as_they_are(name: str) -> bool:
    made = get_estimator(name)
    return not made.per_channel and not made.scales


def is_packaged(name: str) -> bool:
    """Whether an estimator is the package's own."""
    factory: Any = registry.factories()[name]
    return str(getattr(_definition(factory), "__module__", "")).startswith("riemann_lne_torch")


def _definition(factory: Any) -> Any:
    """The class or function itself, of a `functools.partial` too."""
    return getattr(factory, "func", factory)


def _summary(name: str) -> str:
    """First line of the definition's docstring, and what the name fixes."""
    factory: Any = registry.factories()[name]
    fixed = ", ".join(f"{k}={v!r}" for k, v in getattr(factory, "keywords", {}).items())
    return first_line(_definition(factory)) + (f" Here with {fixed}." if fixed else "")


def _corrects(name: str) -> bool:
    """Whether it is one of the natural gradients, which the corrector's methods give."""
    try:
        return bool(get_estimator(name).natural) and name.startswith("lne")
    except InvalidArgumentError:
        return False  # it has options without a default
