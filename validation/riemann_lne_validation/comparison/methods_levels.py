"""Methods that act on weights and their levels around the step: damping, freezing, pulls, PARQ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from riemann_lne.errors import UnknownNameError
from riemann_lne_torch import (
    CAGE,
    AnnealedLevels,
    Estimator,
    LNECorrector,
    Lookahead,
    OscillationDamping,
    OscillationFreezing,
    get_estimator,
)

from .methods import KINDS, Context, Method, check_inner, register_method
from .protocol import Arm

CORRECTORS: dict[str, dict[str, Any] | None] = {
    "none": None,
    "lne-exact": {},
    "lne-weak": {"inverse": "weak"},
    "lne-flowed": {"metric": "flowed"},
    "lne-fisher": {"curvature": "fisher"},
}
"""Options of `LNECorrector` for each value of ``corrector``: those methods at their defaults."""


@dataclass
class _AroundStep(Method):
    """Straight-through training, or another estimator, with a wrapped optimiser."""

    kind: ClassVar[str] = KINDS[5]

    inner: str = "ste"
    corrector: str = "none"

    def estimator(self) -> Estimator:
        """The estimator by its name."""
        return get_estimator(self.inner)

    def check(self, arm: Arm) -> None:
        """The estimator must know the number of bits; the corrector must be known."""
        check_inner(self.inner, arm)
        if self.corrector not in CORRECTORS:
            raise UnknownNameError("corrector", self.corrector, CORRECTORS)

    def begin(self, context: Context) -> None:
        """Wrap the optimiser."""
        steps = context.epochs * context.steps_per_epoch
        context.optimizer = self._wrapped(context, steps)
        super().begin(context)
        options = CORRECTORS[self.corrector]
        self._corrector: LNECorrector | None = None
        if options is not None:
            self._corrector = LNECorrector(context.model, statistics=False, **options)

    def correct(self) -> None:
        """The correction, of the loss's gradient alone: before the wrapper adds to it."""
        if self._corrector is not None:
            self._corrector.correct_()

    def gradient(self, x: Tensor, y: Tensor) -> list[Tensor]:
        """The corrector's running means stay as they are."""
        before = self.state()
        try:
            return super().gradient(x, y)
        finally:
            self.load_state(before)

    def state(self) -> dict[str, Any]:
        """That of the corrector."""
        return {} if self._corrector is None else {"corrector": self._corrector.state_dict()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take it up."""
        if self._corrector is not None:
            self._corrector.load_state_dict(state["corrector"])

    def _wrapped(self, context: Context, steps: int) -> Any:
        raise NotImplementedError


@register_method("damping")
@dataclass
class Damping(_AroundStep):
    """Oscillation damping: the loss draws weights to the middle of their levels, ever more."""

    strength: float = 0.1

    def _wrapped(self, context: Context, steps: int) -> Any:
        return OscillationDamping(context.optimizer, context.model, self.strength, steps=steps)


@register_method("freezing")
@dataclass
class Freezing(_AroundStep):
    """Iterative freezing: weights that go to and fro between two levels are held in one."""

    momentum: float = 0.01
    threshold: float = 0.1
    last_threshold: float = 0.01

    def _wrapped(self, context: Context, steps: int) -> Any:
        return OscillationFreezing(
            context.optimizer,
            context.model,
            self.momentum,
            self.threshold,
            self.last_threshold,
            steps=steps,
        )


@register_method("cage")
@dataclass
class Pull(_AroundStep):
    """A pull of the weights to their levels after the step, decoupled, in the later part."""

    strength: float = 1.0
    silent: float = 0.5

    def _wrapped(self, context: Context, steps: int) -> Any:
        return CAGE(context.optimizer, context.model, self.strength, self.silent, steps=steps)


@register_method("lookahead")
@dataclass
class LookaheadMethod(_AroundStep):
    """Lookahead: every k-th step all weights go back part of their way."""

    hosted: ClassVar[bool] = True

    every: int = 5
    alpha: float = 0.5

    def _wrapped(self, context: Context, steps: int) -> Any:
        return Lookahead(context.optimizer, self.every, self.alpha)


@register_method(
    "parq",
    "PARQ: floats that a piecewise map draws to their levels, by a sigmoid schedule.",
    form="parq",
)
@register_method(
    "binaryrelax",
    "BinaryRelax: floats mixed with their levels, ever more, by a sigmoid schedule.",
    form="relax",
)
@dataclass
class Annealed(Method):
    """Floating-point training on weights that become discrete by and by.

    ``scale`` is that of the levels, one a layer, whatever the arm's ``weight_scale`` is.
    """

    kind: ClassVar[str] = KINDS[5]
    discrete: ClassVar[bool] = False
    measurable: ClassVar[bool] = False

    form: str = "parq"
    scale: str = "mean"
    steepness: float = 10.0

    def estimator(self) -> None:
        """None: the optimiser makes the weights discrete."""
        return None

    def begin(self, context: Context) -> None:
        """Wrap the optimiser."""
        context.optimizer = AnnealedLevels(
            context.optimizer,
            context.latents.values(),
            self.form,
            context.arm.weight_bits,
            self.scale,
            self.steepness,
            steps=context.epochs * context.steps_per_epoch,
        )
        super().begin(context)

    @contextmanager
    def evaluated(self) -> Iterator[None]:
        """The levels in place of the weights."""
        optimizer: Any = self.optimizer
        optimizer.harden_()
        try:
            yield
        finally:
            optimizer.restore_()
