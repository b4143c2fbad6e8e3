"""The paper's methods: LNE natural gradients, RF-DNN, and the control of its regulariser."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from riemann_lne.errors import InvalidArgumentError, UnknownNameError
from riemann_lne_torch import (
    Estimator,
    LNECorrector,
    RicciFlowRegularizer,
    algorithm_2_step,
    get_estimator,
)
from riemann_lne_torch.penalty.algorithms import clamped

from .methods import (
    KINDS,
    Context,
    DoesNotApplyError,
    Method,
    check_inner,
    differentiable_twice,
    refuse_inner,
    register_method,
)
from .protocol import Arm

_DENOMINATORS = ("constant", "differentiated")


@register_method(
    "lne-flowed",
    "Metric after one real step of the Ricci flow: diagonal and rank two, exact inverse.",
    metric="flowed",
    inverse="exact",
)
@register_method(
    "lne-dual",
    "Diagonal metric dual to the Hessian one: gradient times sech^2(tau w).",
    metric="dual",
    inverse="exact",
)
@register_method(
    "lne-hessian",
    "Hessian metric of the LNE potential: gradient times cosh^2(tau w), cut off.",
    metric="hessian",
    inverse="exact",
)
@register_method(
    "lne-exact",
    "LNE metric I - t t^T, t = tanh(tau w), exact inverse: G + t (t.G)/(1 - |t|^2).",
    metric="lne",
    inverse="exact",
)
@register_method(
    "lne-weak",
    "LNE metric, weak inverse of the paper: G + t (t.G).",
    metric="lne",
    inverse="weak",
)
@dataclass
class NaturalGradient(Method):
    """Algorithm 1: STE with the gradient corrected by an LNE metric before the step."""

    hosted: ClassVar[bool] = True
    kind: ClassVar[str] = KINDS[3]

    metric: str = "lne"
    inverse: str = "exact"
    block: str | int = "layer"
    target: float = 0.5
    tau: float | str = "auto"
    flow_time: float = 0.5
    largest_factor: float = 10.0
    inner: str = "ste"
    steps: str = "apart"

    def estimator(self) -> Estimator:
        """The quantiser and gradient that are corrected, by the name of an estimator."""
        return get_estimator(self.inner)

    def check(self, arm: Arm) -> None:
        """The inner estimator must know the bits, and have a step where that is to be joined."""
        check_inner(self.inner, arm)
        if self.steps == "together" and not self.estimator().learned:
            raise DoesNotApplyError(
                f"arm {arm.label!r}: steps = 'together' joins learned steps to the weights, and "
                f"estimator {self.inner!r} has none; take inner = 'lsq' or 'seq'"
            )

    def _options(self) -> dict[str, Any]:
        """Further options of the corrector."""
        return {}

    def begin(self, context: Context) -> None:
        """Make the corrector."""
        super().begin(context)
        refuse_inner(self.inner, context)
        self.corrector = LNECorrector(
            context.model,
            self.tau,
            self.target,
            inverse=self.inverse,
            block=self.block,
            metric=self.metric,
            flow_time=self.flow_time,
            largest_factor=self.largest_factor,
            statistics=False,
            steps=self.steps,
            **self._options(),
        )

    def correct(self) -> None:
        """dL/dw := g^-1 dL/dQ."""
        self.corrector.correct_()

    def state(self) -> dict[str, Any]:
        """The followed tau, to the last bit."""
        return {"corrector": self.corrector.state_dict()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up the followed tau."""
        self.corrector.load_state_dict(state["corrector"])


@register_method(
    "lne-fisher",
    "LNE metric plus a running diagonal Fisher matrix of the loss: cheap, one vector more.",
    metric="lne",
    inverse="exact",
    flow_time=0.5,
    largest_factor=10.0,
)
@dataclass
class FisherNaturalGradient(NaturalGradient):
    """Corrected by the LNE metric plus the running mean of squared gradients on its diagonal."""

    curvature: ClassVar[str] = "fisher"

    damping: float = 1.0
    keep: float = 0.99

    def _options(self) -> dict[str, Any]:
        return {"curvature": self.curvature, "damping": self.damping, "keep": self.keep}

    def gradient(self, x: Tensor, y: Tensor) -> list[Tensor]:
        """As without curvature; the running means stay as they are."""
        before = self.corrector.state_dict()
        try:
            return super().gradient(x, y)
        finally:
            self.corrector.load_state_dict(before)


@register_method(
    "lne-hutchinson",
    "LNE metric plus a running diagonal of the loss's Hessian, by a random probe now and then.",
    metric="lne",
    inverse="exact",
    flow_time=0.5,
    largest_factor=10.0,
)
@dataclass
class HessianNaturalGradient(FisherNaturalGradient):
    """Corrected by the LNE metric plus Hutchinson's estimate of the Hessian's diagonal.

    A probe costs about two backward passes and is taken at every ``every``-th step, counted from
    the start of an epoch.
    """

    hosted: ClassVar[bool] = False  # their gradients cannot be differentiated again
    curvature: ClassVar[str] = "hutchinson"

    keep: float = 0.9
    every: int = 10

    def check(self, arm: Arm) -> None:
        """A whole number of steps."""
        super().check(arm)
        if isinstance(self.every, bool) or not isinstance(self.every, int) or self.every < 1:
            raise InvalidArgumentError(f"every must be an integer of at least 1, got {self.every}")

    @property
    def period(self) -> int:
        """Steps from one probe to the next."""
        return self.every

    def begin_epoch(self) -> None:
        """Count from the start of the epoch, as a resumed run does."""
        self.calls = 0

    def step(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """As without the probe, with attention that has second derivatives."""
        with differentiable_twice():
            return super().step(x, y)

    def backward(self, loss: Tensor) -> None:
        """A probe where one is due, then the gradient."""
        if self.calls % self.every == 0:
            self.corrector.observe_curvature_(loss)
        self.calls += 1
        super().backward(loss)


class _NoCorrection:
    """In place of a corrector, to see what N does alone."""

    def correct_(self) -> None:
        """Leave the gradients as they are."""


@register_method("rf-dnn")
@dataclass
class RicciFlowNetwork(Method):
    """RF-DNN, Algorithm 2: corrected gradients of L + alpha N, gated.

    ``corrected = false`` leaves the correction out. Of the regulariser: see
    `riemann_lne_torch.RicciFlowRegularizer`; ``denominator`` "constant" holds |w| constant,
    ``max_ratio`` clamps the gradient of alpha N in every layer to a multiple of that of L. The
    regulariser begins anew with every epoch.
    """

    hosted: ClassVar[bool] = True
    kind: ClassVar[str] = KINDS[4]

    alpha: float = 1e-3
    max_ratio: float | None = None
    corrected: bool = True
    inverse: str = "weak"
    block: str = "layer"
    target: float = 0.5
    gate: str = "off"
    eps: float | None = None
    derivative: str = "first"
    denominator: str = "constant"
    next_step: str = "virtual"
    relative: bool = True
    reduction: str = "mean"
    every: int = 1
    part: float = 1.0
    fill: str = "zero"
    shift: int = 1

    @property
    def period(self) -> int:
        """Steps from one computation of N and P to the next."""
        return self.every

    def check(self, arm: Arm) -> None:
        """Alpha must not be negative."""
        _check_penalty(self.alpha, self.max_ratio)

    def begin(self, context: Context) -> None:
        """Make the corrector; the samples must be images, which can be shifted."""
        arm, shape = context.arm, context.problem.shape
        if len(shape) != 3:
            raise DoesNotApplyError(
                f"arm {arm.label!r}: rf-dnn shifts images by a pixel, and an input of "
                f"{arm.dataset!r} has shape {shape}, which is no (channels, height, width)"
            )
        super().begin(context)
        self.corrector: Any = _NoCorrection()
        if self.corrected:
            self.corrector = LNECorrector(
                context.model,
                target=self.target,
                inverse=self.inverse,
                block=self.block,
                statistics=False,
            )
        self.begin_epoch()

    def begin_epoch(self) -> None:
        """A fresh regulariser, so that a resumed run is the same as one that was not broken off.

        It keeps the last iteration (``next_step``) and a count (``every``), which a checkpoint
        would have to hold.
        """
        s = self.shift
        self.penalty = RicciFlowRegularizer(
            self.model,
            self.loss,
            ((s, -s), (s, -s)),
            step=self.optimizer,
            target=self.target,
            next_step=self.next_step,
            derivative=self.derivative,
            gate=self.gate,
            eps=self.eps,
            relative=self.relative,
            denominator=self.denominator,
            reduction=self.reduction,
            every=self.every,
            part=self.part,
            fill=self.fill,
        )

    def step(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Algorithm 2."""
        outputs: list[Tensor] = []

        def loss_and_output(output: Tensor, labels: Tensor) -> Tensor:
            outputs.append(output.detach())
            return self.loss(output, labels)

        with differentiable_twice() if self.derivative == "second" else nullcontext():
            result = algorithm_2_step(
                self.model,
                loss_and_output,
                self.optimizer,
                self.corrector,
                self.penalty,
                self.alpha,
                x,
                y,
                max_ratio=self.max_ratio,
            )
        return result.loss, outputs[0]

    def correct(self) -> None:
        """For the gradient angle: the correction, without N."""
        self.corrector.correct_()

    def state(self) -> dict[str, Any]:
        """The followed tau."""
        return {"corrector": self.corrector.state_dict()} if self.corrected else {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up the followed tau."""
        if self.corrected:
            self.corrector.load_state_dict(state["corrector"])


@register_method("gradient-norm")
@dataclass
class GradientNorm(Method):
    """The control of N: STE on L + alpha P, P the mean over layers of 2 lr^2 |dL/dw|^2/|w|^2.

    At small steps N/|t|^4 is such a term, with another gradient and a factor up to 2 more: alpha
    means about the same. The penalty is differentiated through the gradient (a second backward
    pass). ``relative = false``: without the division by |w|^2, whose ``denominator`` is held
    constant or differentiated. ``max_ratio`` as in RF-DNN.
    """

    kind: ClassVar[str] = KINDS[4]

    alpha: float = 1e-3
    max_ratio: float | None = None
    relative: bool = True
    denominator: str = "constant"
    every: int = 1

    @property
    def period(self) -> int:
        """Steps from one computation of N and P to the next."""
        return self.every

    def check(self, arm: Arm) -> None:
        """Options in range."""
        _check_penalty(self.alpha, self.max_ratio)
        if self.denominator not in _DENOMINATORS:
            raise UnknownNameError("denominator", self.denominator, _DENOMINATORS)
        if isinstance(self.every, bool) or not isinstance(self.every, int) or self.every < 1:
            raise InvalidArgumentError(f"every must be an integer of at least 1, got {self.every}")

    def begin(self, context: Context) -> None:
        """Keep the latent weights."""
        super().begin(context)
        self.latents = list(context.latents.values())
        self.calls = 0

    def begin_epoch(self) -> None:
        """Count from the start of the epoch, as a resumed run does."""
        self.calls = 0

    def step(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The gradient of L, then that of alpha P added."""
        with differentiable_twice():
            return self._step(x, y)

    def _step(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        due = self.calls % self.every == 0
        self.calls += 1
        if not due:
            return super().step(x, y)
        self.optimizer.zero_grad()
        output = self.model(x)
        loss = self.loss(output, y)
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        first = torch.autograd.grad(loss, parameters, create_graph=True, allow_unused=True)
        penalty = self.alpha * self._penalty(dict(zip(parameters, first, strict=True)))
        second = torch.autograd.grad(penalty, parameters, materialize_grads=True)
        for p, g, extra in zip(parameters, first, second, strict=True):
            if g is None:  # the loss does not depend on it, and as in other methods it rests
                continue
            if self.max_ratio is not None:
                extra = clamped(extra, g.detach(), self.max_ratio)
            p.grad = g.detach() + extra
        self.optimizer.step()
        return loss.detach(), output.detach()

    def _penalty(self, gradients: Mapping[Tensor, Tensor | None]) -> Tensor:
        terms = []
        for w in self.latents:
            gradient = gradients.get(w)
            if gradient is None:  # frozen or not used: it takes no step
                terms.append(w.new_zeros(()))
                continue
            term = 2.0 * self._rate() ** 2 * gradient.square().sum()
            if self.relative:
                size = w.square().sum()
                term = term / (size.detach() if self.denominator == "constant" else size)
            terms.append(term)
        return torch.stack(terms).mean()

    def _rate(self) -> float:
        return float(self.optimizer.param_groups[0]["lr"])


def _check_penalty(alpha: float, max_ratio: float | None) -> None:
    if not alpha >= 0.0:
        raise InvalidArgumentError(f"alpha must be at least 0, got {alpha}")
    if max_ratio is not None and not max_ratio > 0.0:
        raise InvalidArgumentError(f"max_ratio must be above 0, got {max_ratio}")
