"""The methods of a comparison: what each does in a training step, through the public API alone.

A method is a dataclass of its options, registered by name. One object belongs to one run: `begin`
gives it model and optimiser.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from riemann_lne.errors import InvalidArgumentError, UnknownNameError
from riemann_lne_torch import BinaryConnect, Estimator, get_estimator

from .protocol import Arm

__all__ = ["Context", "Method", "available_methods", "get_method", "options_of", "register_method"]

loss_function = nn.functional.cross_entropy


@dataclass
class Context:
    """What a method works with.

    Attributes
    ----------
    arm : Arm
    model : nn.Module
    latents : dict
        The latent weights (or floating-point weights that are to become discrete) by layer.
    optimizer : torch.optim.Optimizer
    epochs, steps_per_epoch : int
    """

    arm: Arm
    model: nn.Module
    latents: dict[str, nn.Parameter]
    optimizer: torch.optim.Optimizer
    epochs: int
    steps_per_epoch: int


@dataclass
class Method:
    """Base: straight-through training. A subclass changes what it must.

    Attributes
    ----------
    summary : str
        First line of the docstring.
    discrete : bool
        Whether the forward pass of training runs on Q(w).
    measurable : bool
        Whether `gradient` tells what the optimiser is given.
    reestimates : bool
        Whether batch-norm statistics are computed anew before each evaluation.
    """

    discrete: ClassVar[bool] = True
    measurable: ClassVar[bool] = True
    reestimates: ClassVar[bool] = False

    def estimator(self) -> Estimator | None:
        """Gradient of the quantiser; None where the model runs in floating point."""
        return get_estimator("ste")

    def check(self, arm: Arm) -> None:
        """Refuse an arm that the method is not made for."""

    def epochs(self, count: int) -> int:
        """Number of epochs for an arm that asks for ``count``."""
        return count

    @property
    def period(self) -> int:
        """Number of steps after which the cost of a step repeats itself."""
        return 1

    def begin(self, context: Context) -> None:
        """Take up model and optimiser, before the first step."""
        self.context = context
        self.model = context.model
        self.optimizer = context.optimizer

    def begin_epoch(self) -> None:
        """Called at the start of an epoch."""

    def step(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """One training step; loss and output of the network, detached."""
        self.optimizer.zero_grad()
        output = self.model(x)
        loss = loss_function(output, y)
        loss.backward()  # type: ignore[no-untyped-call]
        self.correct()
        self.optimizer.step()
        self.after_step()
        return loss.detach(), output.detach()

    def correct(self) -> None:
        """Between the backward pass and the step."""

    def after_step(self) -> None:
        """After the step."""

    def gradient(self, x: Tensor, y: Tensor) -> list[Tensor]:
        """What the optimiser is given for the latent weights, for the loss on one batch."""
        self.optimizer.zero_grad()
        loss_function(self.model(x), y).backward()  # type: ignore[no-untyped-call]
        self.correct()
        found = [p.grad for p in self.context.latents.values()]
        self.optimizer.zero_grad()
        return [g for g in found if g is not None]

    @contextmanager
    def evaluated(self) -> Iterator[None]:
        """Inside of it the model is the discrete one whose accuracy counts."""
        yield

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs beside model and optimiser."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up such a state."""


Kind = TypeVar("Kind", bound=type[Method])

_REGISTRY: dict[str, Callable[..., Method]] = {}
_OPTIONS: dict[str, dict[str, Any]] = {}
_SUMMARIES: dict[str, str] = {}


def register_method(name: str, **fixed: Any) -> Callable[[Kind], Kind]:
    """Make a method known by a name, with some of its options fixed by the name."""

    def decorate(kind: Kind) -> Kind:
        if name in _REGISTRY:
            raise InvalidArgumentError(f"a method {name!r} is registered already")

        known = {f.name: f.default for f in fields(kind) if f.name not in fixed}

        def build(**options: Any) -> Method:
            for option in options:
                if option not in known:
                    raise UnknownNameError(f"option of method {name!r}", option, known)
            return kind(**fixed, **options)

        _REGISTRY[name], _OPTIONS[name] = build, known
        _SUMMARIES[name] = (kind.__doc__ or "").strip().splitlines()[0]
        return kind

    return decorate


def available_methods() -> dict[str, str]:
    """The methods by name, with a line about each.

    >>> from riemann_lne_validation.comparison.methods import available_methods
    >>> "ste" in available_methods() and "rf-dnn" in available_methods()
    True
    """
    _load()
    return dict(_SUMMARIES)


def get_method(name: str, options: Mapping[str, Any] | None = None) -> Method:
    """A fresh method of that name.

    Raises
    ------
    UnknownNameError
        If there is no such method, or it has no such option; the message lists those there are.
    """
    _load()
    if name not in _REGISTRY:
        raise UnknownNameError("method", name, _REGISTRY)
    return _REGISTRY[name](**(options or {}))


def options_of(name: str) -> dict[str, Any]:
    """The options of a method with their defaults.

    >>> from riemann_lne_validation.comparison.methods import options_of
    >>> options_of("ewgs")
    {'delta': 0.001}
    """
    get_method(name)
    return dict(_OPTIONS[name])


def _load() -> None:
    """Import the modules that register methods."""
    from . import methods_geometry, methods_optimizer  # noqa: F401


# -- methods that are an estimator --------------------------------------------------------------


@register_method("full-precision")
@dataclass
class FullPrecision(Method):
    """Floating-point weights and activations: what could be reached."""

    discrete: ClassVar[bool] = False
    measurable: ClassVar[bool] = False

    def estimator(self) -> None:
        """None: nothing is quantised."""
        return None


@register_method("ste")
@dataclass
class StraightThrough(Method):
    """Straight-through estimator; with its weight decay tuned it is the control."""


@register_method("ste-long")
@dataclass
class LongStraightThrough(Method):
    """STE for ``factor`` times the epochs: the control at equal cost."""

    factor: float = 5.0

    def check(self, arm: Arm) -> None:
        """The factor must be above 0."""
        if not self.factor > 0.0:
            raise InvalidArgumentError(f"factor of ste-long must be above 0, got {self.factor}")

    def epochs(self, count: int) -> int:
        """The epochs times the factor, at least one."""
        return max(1, round(self.factor * count))


@register_method("clipped-ste")
@dataclass
class Clipped(Method):
    """Gradient 1[|w| <= bound]; latent weights kept there after the step if ``clamp``."""

    bound: float = 1.0
    clamp: bool = True

    def estimator(self) -> Estimator:
        """The clipped estimator."""
        return get_estimator("clipped-ste", bound=self.bound)

    def begin(self, context: Context) -> None:
        """Wrap the optimiser."""
        if self.clamp:
            context.optimizer = BinaryConnect(
                context.optimizer, context.latents.values(), self.bound
            )
        super().begin(context)


@dataclass
class _Standardizable(Method):
    """An estimator of w, or of scale times w over the standard deviation of its channel."""

    standardize: bool = False
    scale: float = 1.0
    center: bool = False

    def _inner(self) -> Estimator:
        raise NotImplementedError

    def estimator(self) -> Estimator:
        """The inner one, on standardised weights if asked."""
        inner = self._inner()
        if not self.standardize:
            return inner
        return get_estimator("standardized", inner=inner, scale=self.scale, center=self.center)


@register_method("dorefa")
@dataclass
class DoReFa(_Standardizable):
    """DoReFa: gradient times (1 - tanh^2 w)/max|tanh w|; ``standardize``: of scale w/sd."""

    def _inner(self) -> Estimator:
        return get_estimator("dorefa")


@register_method("reste")
@dataclass
class ReSTE(_Standardizable):
    """ReSTE: a power of |w| that sharpens; on scale w/sd unless ``standardize`` is off."""

    standardize: bool = True
    o_max: float = 3.0
    bound: float = 1.5
    small: float = 0.1

    def _inner(self) -> Estimator:
        return get_estimator("reste", o_max=self.o_max, bound=self.bound, small=self.small)


@register_method("bwn")
@dataclass
class BinaryWeightNetwork(Method):
    """BWN: levels times the mean magnitude of the layer or channel."""

    block: str = "layer"

    def estimator(self) -> Estimator:
        """BWN."""
        return get_estimator("bwn", block=self.block)


@register_method("ede")
@dataclass
class ErrorDecay(Method):
    """EDE of IR-Net: a tanh that sharpens from t_min to t_max, on standardised weights."""

    t_min: float = 0.1
    t_max: float = 10.0

    def estimator(self) -> Estimator:
        """EDE."""
        return get_estimator("ede", t_min=self.t_min, t_max=self.t_max)


@register_method("ewgs")
@dataclass
class ElementWise(Method):
    """EWGS: gradient times 1 + delta sign(G)(x - x_q)."""

    delta: float = 1e-3

    def estimator(self) -> Estimator:
        """EWGS."""
        return get_estimator("ewgs", delta=self.delta)
