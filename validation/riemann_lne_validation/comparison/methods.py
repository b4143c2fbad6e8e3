"""The methods of a comparison: their part of a training step, through the public API alone.

A method is a dataclass of its options, registered by name. One object belongs to one run: `begin`
gives it model and optimiser.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from riemann_lne import checks
from riemann_lne.errors import InvalidArgumentError, UnknownNameError
from riemann_lne_torch import BinaryConnect, Estimator, get_estimator

from .protocol import Arm
from .registered import names_of, note_origin

if TYPE_CHECKING:
    from .problems import Problem

__all__ = [
    "Context",
    "DoesNotApplyError",
    "Method",
    "available_methods",
    "get_method",
    "options_of",
    "register_method",
]

KINDS = (
    "controls: what the others are compared with",
    "estimators: another gradient at the quantiser, nothing else",
    "quantisers: other levels or a learned step, with their gradient",
    "corrected gradients: the LNE metric between backward pass and step",
    "regularisers: another term in the loss",
    "steps: what happens to the weights after or around the step",
)


class DoesNotApplyError(InvalidArgumentError):
    """A method is not made for the bits, the network or the samples of an arm."""


@dataclass
class Context:
    """Objects that a method works with.

    Attributes
    ----------
    arm : Arm
    model : nn.Module
    latents : dict
        The latent weights (or floating-point weights that are to become discrete) by layer.
    optimizer : torch.optim.Optimizer
    epochs, steps_per_epoch : int
    problem : Problem
        With the loss.
    hosted : bool
        Whether another library quantises the model.
    """

    arm: Arm
    model: nn.Module
    latents: dict[str, nn.Parameter]
    optimizer: torch.optim.Optimizer
    epochs: int
    steps_per_epoch: int
    problem: Problem
    hosted: bool = False


@dataclass
class Method:
    """Base class: straight-through training. A subclass overrides the members that differ.

    Attributes
    ----------
    summary : str
        First line of the docstring.
    discrete : bool
        Whether the forward pass of training runs on Q(w).
    measurable : bool
        Whether `gradient` returns the gradient that the optimiser gets.
    reestimates : bool
        Whether batch-norm statistics are computed anew before each evaluation.
    hosted : bool
        Whether it works on a network that another library quantises.
    kind : str
        Its place in a list: one of `KINDS`.
    """

    discrete: ClassVar[bool] = True
    measurable: ClassVar[bool] = True
    reestimates: ClassVar[bool] = False
    hosted: ClassVar[bool] = False
    kind: ClassVar[str] = KINDS[0]

    def estimator(self) -> Estimator | None:
        """Gradient of the quantiser; None where the model runs in floating point."""
        return get_estimator("ste")

    def check(self, arm: Arm) -> None:
        """Refuse an arm that the method is not made for, with DoesNotApplyError."""

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
        self.loss = context.problem.loss

    def begin_epoch(self) -> None:
        """Called at the start of an epoch."""

    def step(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """One training step; loss and output of the network, detached."""
        self.optimizer.zero_grad()
        output = self.model(x)
        loss = self.loss(output, y)
        self.backward(loss)
        self.correct()
        self.optimizer.step()
        self.after_step()
        return loss.detach(), output.detach()

    def backward(self, loss: Tensor) -> None:
        """The gradient of the loss."""
        loss.backward()  # type: ignore[no-untyped-call]

    def correct(self) -> None:
        """Between the backward pass and the step."""

    def after_step(self) -> None:
        """After the step."""

    def gradient(self, x: Tensor, y: Tensor) -> list[Tensor]:
        """Gradients of the latent weights for the optimiser, from the loss on one batch.

        Zeros for a weight that is frozen, or that the loss does not depend on.
        """
        self.optimizer.zero_grad()
        self.loss(self.model(x), y).backward()
        self.correct()
        latents = self.context.latents.values()
        found = [torch.zeros_like(p) if p.grad is None else p.grad for p in latents]
        self.optimizer.zero_grad()
        return found

    @contextmanager
    def evaluated(self) -> Iterator[None]:
        """Inside of it the model is the discrete one whose accuracy counts."""
        yield

    def state(self) -> dict[str, Any]:
        """State for a checkpoint, beside model and optimiser."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up such a state."""


@contextmanager
def differentiable_twice() -> Iterator[None]:
    """Attention has second derivatives inside of it, which its fused kernels do not have.

    For steps that differentiate a gradient, and no others: results change by rounding.
    """
    with sdpa_kernel(SDPBackend.MATH):
        yield


def check_inner(name: str, arm: Arm) -> None:
    """Refuse an estimator that a method is to work with, where it does not know the arm's bits.

    Raises
    ------
    DoesNotApplyError
        If it does not, or is a natural gradient itself.
    """
    made = get_estimator(name)
    if not made.admits(arm.weight_bits):
        raise DoesNotApplyError(
            f"arm {arm.label!r}: estimator {name!r} {made.bits_needed}, and the arm has "
            f"weight_bits = {arm.weight_bits}"
        )
    if made.natural and arm.method.startswith("lne"):
        raise DoesNotApplyError(
            f"arm {arm.label!r}: estimator {name!r} is a natural gradient itself, which "
            f"{arm.method!r} would correct a second time"
        )


def refuse_inner(name: str, context: Context) -> None:
    """Refuse an estimator in a network that another library quantises.

    Raises
    ------
    DoesNotApplyError
        If the name is not "ste": there it would have nothing to act on.
    """
    if context.hosted and name != "ste":
        raise DoesNotApplyError(
            f"arm {context.arm.label!r}: another library quantises this model, with its own "
            f"gradient; inner = {name!r} has nothing to act on there"
        )


Kind = TypeVar("Kind", bound=type[Method])

_REGISTRY: dict[str, Callable[..., Method]] = {}
_OPTIONS: dict[str, dict[str, Any]] = {}
_SUMMARIES: dict[str, str] = {}
_KINDS: dict[str, type[Method]] = {}


def register_method(name: str, summary: str = "", **fixed: Any) -> Callable[[Kind], Kind]:
    """Make a method known by a name, with some of its options fixed by the name.

    ``summary`` stands in lists in place of the first line of the docstring. Raises
    InvalidArgumentError if the name is taken, by an estimator of the package too, or is empty.
    """
    checks.label(name, "name of the method")

    def decorate(kind: Kind) -> Kind:
        if name in _REGISTRY or (not _is_ours(kind) and _is_packaged_estimator(name)):
            raise InvalidArgumentError(
                f"a method {name!r} is registered already; choose another name"
            )

        known = {f.name: f.default for f in fields(kind) if f.name not in fixed}

        def build(**options: Any) -> Method:
            for option in options:
                if option not in known:
                    raise UnknownNameError(f"option of method {name!r}", option, known)
            return kind(**fixed, **options)

        _REGISTRY[name], _OPTIONS[name] = build, known
        _SUMMARIES[name] = summary or first_line(kind)
        _KINDS[name] = kind
        note_origin("method", name)
        return kind

    return decorate


def _is_ours(kind: type) -> bool:
    return kind.__module__.startswith("riemann_lne_validation.")


def _is_packaged_estimator(name: str) -> bool:
    """Whether an estimator of the package has the name, which makes it a method."""
    _load()
    return name in by_estimator.names() and by_estimator.is_packaged(name)


def require_new_methods(names: Iterable[str]) -> None:
    """Refuse estimators of a user's file whose name a method of the package has.

    The method would be measured in their place.

    Raises
    ------
    InvalidArgumentError
        Names the first of them.
    """
    _load()
    for name in names:
        if name in _REGISTRY and _is_ours(_KINDS[name]):
            raise InvalidArgumentError(
                f"the estimator {name!r} has the name of a method of the package "
                f"({_SUMMARIES[name]}), which would be measured in its place; give it another name"
            )


def first_line(thing: Any) -> str:
    """The first line of a docstring."""
    return ((getattr(thing, "__doc__", None) or "").strip().splitlines() or [""])[0]


def available_methods() -> dict[str, str]:
    """The methods by name, with a line about each.

    Every estimator that is registered (`riemann_lne_torch.register_estimator`) by the package or
    by a user's task file is a method too, with the options of its constructor.

    >>> from riemann_lne_validation.comparison.methods import available_methods
    >>> "ste" in available_methods() and "rf-dnn" in available_methods()
    True
    """
    _load()
    return {**_SUMMARIES, **by_estimator.summaries(names_of("method"), _SUMMARIES)}


def traits(name: str) -> tuple[str, list[str]]:
    """The kind of a method, and what sets it apart from others of its kind, in words."""
    _load()
    kind = _KINDS.get(name, by_estimator.EstimatorMethod)
    words = []
    if name not in _KINDS:
        made = get_estimator(name)
        words += [made.bits_needed] if made.bits_needed else []
        words += ["follows a schedule"] if made.scheduled else []
        words += ["has a scale of its own"] if made.scales else []
        if made.scales:
            return KINDS[2], words
    if kind.hosted:
        words.append("also for models quantised by Brevitas or torchao")
    if not kind.discrete:
        words.append("trains in floating point")
    if kind.reestimates:
        words.append("re-estimates batch norm")
    return kind.kind, words


def get_method(name: str, options: Mapping[str, Any] | None = None) -> Method:
    """A fresh method of that name.

    Raises
    ------
    UnknownNameError
        If there is no such method, or it has no such option; the message lists those there are.
    """
    _load()
    if name in _REGISTRY:
        return _REGISTRY[name](**(options or {}))
    if name in by_estimator.names():
        return by_estimator.make(name, dict(options or {}))
    raise UnknownNameError("method", name, available_methods())


def options_of(name: str) -> dict[str, Any]:
    """The options of a method with their defaults.

    >>> from riemann_lne_validation.comparison.methods import options_of
    >>> options_of("clipped-ste")
    {'bound': 1.0, 'clamp': True}
    """
    _load()
    if name in _OPTIONS:
        return dict(_OPTIONS[name])
    if name in by_estimator.names():
        return by_estimator.options(name)
    raise UnknownNameError("method", name, available_methods())


def _load() -> None:
    """Import the modules that register methods."""
    global by_estimator
    from . import (
        adapted,  # noqa: F401
        methods_estimator,
        methods_geometry,  # noqa: F401
        methods_levels,  # noqa: F401
        methods_optimizer,  # noqa: F401
    )

    by_estimator = methods_estimator


by_estimator: Any = None


# -- methods that are STE, or nothing at all -----------------------------------------------------


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

    hosted: ClassVar[bool] = True


@register_method("ste-long")
@dataclass
class LongStraightThrough(Method):
    """STE for ``factor`` times the epochs: the control at equal cost."""

    hosted: ClassVar[bool] = True
    factor: float = 5.0

    def check(self, arm: Arm) -> None:
        """The factor must be above 0."""
        if not self.factor > 0.0:
            raise InvalidArgumentError(f"factor of ste-long must be above 0, got {self.factor}")

    def epochs(self, count: int) -> int:
        """The epochs times the factor, at least one."""
        return max(1, round(self.factor * count))


@register_method("last-bit")
@dataclass
class LastBit(Method):
    """STE from first weights that differ in their last bit: the noise floor of the task.

    Half of all parameters, drawn with the seed, are moved to the next floating-point number. Zeros
    stay: a learned range of inputs is 0 until the first batch gives it its value.
    At the end the runs differ by rounding, amplified by training: no comparison on the task
    resolves less. ``inner`` is the estimator of the arm that it is compared with.
    """

    hosted: ClassVar[bool] = True

    inner: str = "ste"

    def estimator(self) -> Estimator:
        """The quantiser and gradient, by the name of an estimator."""
        return get_estimator(self.inner)

    def check(self, arm: Arm) -> None:
        """The inner estimator must know the bits."""
        check_inner(self.inner, arm)

    def begin(self, context: Context) -> None:
        """Move the weights."""
        super().begin(context)
        refuse_inner(self.inner, context)
        generator = torch.Generator().manual_seed(torch.initial_seed() % 2**63)
        with torch.no_grad():
            for p in context.model.parameters():
                moved = torch.rand(p.shape, generator=generator).to(p.device) < 0.5
                away = torch.nextafter(p, torch.full_like(p, float("inf")))
                p.copy_(torch.where(moved & (p != 0.0), away, p))


@register_method("clipped-ste")
@dataclass
class Clipped(Method):
    """Gradient 1[|w| <= bound]; latent weights kept there after the step if ``clamp``."""

    kind: ClassVar[str] = KINDS[1]

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
