"""Methods that need more than a backward pass: projections, mirror descent, MetaQuant, averages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from riemann_lne.errors import InvalidArgumentError
from riemann_lne_torch import (
    BinaryConnect,
    Estimator,
    FCGrad,
    MirrorDescentTanh,
    MultiFC,
    ProxQuant,
    get_estimator,
)
from riemann_lne_torch.quantizers import quantize_binary

from .methods import KINDS, Context, DoesNotApplyError, Method, register_method
from .protocol import Arm


@register_method("binaryconnect")
@dataclass
class Connect(Method):
    """BinaryConnect: STE, latent weights clipped to [-bound, bound] after the step."""

    hosted: ClassVar[bool] = True
    kind: ClassVar[str] = KINDS[5]

    bound: float = 1.0

    def begin(self, context: Context) -> None:
        """Wrap the optimiser."""
        context.optimizer = BinaryConnect(context.optimizer, context.latents.values(), self.bound)
        super().begin(context)


@dataclass
class _FloatTraining(Method):
    """The network runs in floating point while it is trained, and on signs when it is judged."""

    kind: ClassVar[str] = KINDS[5]
    discrete: ClassVar[bool] = False
    measurable: ClassVar[bool] = False

    def estimator(self) -> None:
        """None: the optimiser makes the weights discrete."""
        return None

    def check(self, arm: Arm) -> None:
        """One bit without a scale is all that these methods know."""
        if arm.weight_bits != 1 or arm.weight_scale != "none":
            raise DoesNotApplyError(
                f"arm {arm.label!r}: method {arm.method!r} makes weights -1 and 1 and nothing "
                "else; it needs weight_bits = 1 and weight_scale = 'none'"
            )

    @contextmanager
    def evaluated(self) -> Iterator[None]:
        """The signs in place of the weights."""
        latents = list(self.context.latents.values())
        before = [p.detach().clone() for p in latents]
        with torch.no_grad():
            for p in latents:
                p.copy_(quantize_binary(p))
        try:
            yield
        finally:
            with torch.no_grad():
                for p, old in zip(latents, before, strict=True):
                    p.copy_(old)


@register_method("proxquant")
@dataclass
class Proximal(_FloatTraining):
    """ProxQuant: floating-point steps, then a pull towards -1 and 1; signs for the last third."""

    rate: float = 1e-4
    hard_after: float = 2.0 / 3.0
    clip: bool = False

    def begin(self, context: Context) -> None:
        """Wrap the optimiser."""
        context.optimizer = ProxQuant(
            context.optimizer,
            context.latents.values(),
            epochs=context.epochs,
            steps_per_epoch=context.steps_per_epoch,
            rate=self.rate,
            hard_after=self.hard_after,
            clip=self.clip,
        )
        super().begin(context)


@register_method("md-tanh")
@dataclass
class Mirror(_FloatTraining):
    """MD-tanh: mirror descent in (-1, 1)^n with a growing beta.

    beta grows evenly, in logarithm, from ``beta`` to ``last_beta`` at the end of the training, in
    about 100 steps: at 1 % every 100 iterations, as in the authors' code, it would do so only in
    runs of their length. ``growth`` and ``every`` set it as there. A layer whose weights start at
    |w| >= 1 is divided by its largest, which batch norm undoes.
    """

    beta: float = 1.0
    last_beta: float = 1e5
    growth: float | None = None
    every: int | None = None

    def check(self, arm: Arm) -> None:
        """The last beta must not be below the first."""
        super().check(arm)
        if not 0.0 < self.beta <= self.last_beta:
            raise InvalidArgumentError(
                f"beta must be above 0 and at most last_beta, got {self.beta}, {self.last_beta}"
            )

    def begin(self, context: Context) -> None:
        """Bring the weights into the cube, and wrap the optimiser."""
        with torch.no_grad():
            for p in context.latents.values():
                largest = float(p.abs().max())
                if largest >= 1.0:
                    p.mul_(0.999 / largest)
        steps = context.epochs * context.steps_per_epoch
        every = max(1, steps // 100) if self.every is None else self.every
        even = (self.last_beta / self.beta) ** (every / steps)
        context.optimizer = MirrorDescentTanh(
            context.optimizer,
            context.latents.values(),
            beta=self.beta,
            growth=even if self.growth is None else self.growth,
            every=every,
        )
        super().begin(context)


@dataclass
class _Meta(Method):
    """Base of the two methods of MetaQuant."""

    measurable: ClassVar[bool] = False
    kind: ClassVar[str] = KINDS[5]

    inner: str = "dorefa"
    hidden: int = 100
    meta_lr: float = 1e-3
    start: str = "identity"

    def estimator(self) -> Estimator:
        """The layer's own estimator, whose derivative A' the meta network corrects."""
        return get_estimator(self.inner)

    def _options(self) -> dict[str, Any]:
        return {"hidden": self.hidden, "meta_lr": self.meta_lr, "start": self.start}


@register_method("fcgrad")
@dataclass
class MetaFCGrad(_Meta):
    """FCGrad of MetaQuant: the gradient times a learned number."""

    def begin(self, context: Context) -> None:
        """Wrap the optimiser."""
        context.optimizer = FCGrad(context.optimizer, context.model, **self._options())
        super().begin(context)


@register_method("multifc")
@dataclass
class MetaMultiFC(_Meta):
    """MultiFC of MetaQuant: the gradient times a learned multiple of the transformed weight."""

    def begin(self, context: Context) -> None:
        """Wrap the optimiser."""
        context.optimizer = MultiFC(context.optimizer, context.model, **self._options())
        super().begin(context)


@register_method("ema")
@dataclass
class Average(Method):
    """STE, judged at an exponential moving average of its weights, batch norm re-estimated.

    Its reference is STE with ``reestimate_norms``, not plain STE.
    """

    reestimates: ClassVar[bool] = True
    hosted: ClassVar[bool] = True
    kind: ClassVar[str] = KINDS[5]

    decay: float = 0.99

    def check(self, arm: Arm) -> None:
        """The decay must lie between 0 and 1."""
        if not 0.0 < self.decay < 1.0:
            raise InvalidArgumentError(f"decay of ema must lie between 0 and 1, got {self.decay}")

    def begin(self, context: Context) -> None:
        """Start the average at the first weights."""
        super().begin(context)
        self.live = [p.detach() for p in context.model.parameters()]
        self.average = [p.clone() for p in self.live]
        self._begun = False

    @torch.no_grad()
    def correct(self) -> None:
        """Before the first step: the start again, with ranges of inputs that its batch has set."""
        if not self._begun:
            self._begun = True
            torch._foreach_copy_(self.average, self.live)

    @torch.no_grad()
    def after_step(self) -> None:
        """Move the averages by (1 - decay)(w - average)."""
        torch._foreach_lerp_(self.average, self.live, 1.0 - self.decay)

    @contextmanager
    def evaluated(self) -> Iterator[None]:
        """The averages in place of the weights."""
        before = [p.clone() for p in self.live]
        self._set(self.average)
        try:
            yield
        finally:
            self._set(before)

    @torch.no_grad()
    def _set(self, values: list[Tensor]) -> None:
        for p, value in zip(self.live, values, strict=True):
            p.copy_(value)

    def state(self) -> dict[str, Any]:
        """The averages."""
        return {"average": self.average}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up the averages."""
        self._begun = True
        for p, value in zip(self.average, state["average"], strict=True):
            p.copy_(value)
