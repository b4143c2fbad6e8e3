"""Base of estimators: a value for the forward pass and a gradient for the backward pass."""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from riemann_lne import checks
from riemann_lne.errors import DTypeError, InvalidArgumentError, MissingMemberError, ShapeError

from ..levels import max_magnitude, quantize_tensor, require_floating

__all__ = ["Estimator", "Site", "estimate"]


@dataclass(frozen=True)
class Site:
    """The place where an estimator is applied: facts that the tensor does not tell.

    Attributes
    ----------
    bits : int
        Number of bits k; the quantiser has 2^k levels.
    channel_axis : int
        Axis of the output channels (1 for transposed convolutions, 0 for all other layers).
    progress : float or Tensor of shape ()
        Fraction of the training that is done, 0 to 1; schedules depend on it.
    step : Tensor, optional
        The learned steps of the blocks, for estimators that have them.
    training : bool
        Whether this is a forward pass of training, for estimators whose value differs there.
    largest : float, optional
        In place of max|w|, where the range of the numbers is known: inputs of a fixed range.

    Examples
    --------
    >>> from riemann_lne_torch.estimators import Site
    >>> Site(bits=2).progress
    0.0
    """

    bits: int = 1
    channel_axis: int = 0
    progress: float | Tensor = 0.0
    step: Tensor | None = None
    training: bool = False
    largest: float | None = None


_EXAMPLES = {
    "backward": ("self, w, q, grad, site", "return grad * torch.cos(w)"),
    "forward": ("self, w, site", "return torch.sign(w)"),
    "first_step": ("self, w, site", "return w.abs().mean().reshape(1)"),
    "backward_step": ("self, w, q, grad, site", "return (grad * q).sum() / site.step"),
}


def example(member: str) -> str:
    """Code of a member that is right, for a class in a message."""
    arguments, body = _EXAMPLES[member]
    return f"        def {member}({arguments}):\n            {body}"


def lack(kind: type, member: str) -> str:
    """The sentence that a class does not define a member."""
    learned = "" if member == "backward" else ", which an estimator with learned = True needs"
    return f"the class {kind.__name__} has no member {member!r}{learned}"


def _missing(estimator: Estimator, member: str) -> MissingMemberError:
    text = f"{lack(type(estimator), member)}; write in it, for instance,\n{example(member)}"
    return MissingMemberError(text)


def checked(estimator: Estimator, member: str, value: Any, like: Tensor | None) -> Tensor:
    """The result of a method of an estimator, if it is a tensor of the shape of ``like``.

    The value of the forward pass must have its type too; autograd converts that of a gradient.
    Raises DTypeError or ShapeError, with an example of the method.
    """
    kind: type[DTypeError] | type[ShapeError] = DTypeError
    if not isinstance(value, Tensor):
        problem = f"a {type(value).__name__}; return a tensor"
    elif like is not None and value.shape != like.shape:
        kind = ShapeError
        problem = f"the shape {tuple(value.shape)}, not {tuple(like.shape)}"
    elif like is not None and member == "forward" and not _fits(value, like):
        problem = f"the type {value.dtype}, not {like.dtype} of w; end it with .to(w.dtype)"
    else:
        return value
    text = f"{member} of {type(estimator).__name__} returned {problem}"
    raise kind(f"{text}. One that is right:\n{example(member)}")


def _fits(value: Tensor, w: Tensor) -> bool:
    """Whether a value has the type of w, or that to which autocast takes matrix products."""
    if value.dtype == w.dtype:
        return True
    kind = w.device.type
    return torch.is_autocast_enabled(kind) and value.dtype == torch.get_autocast_dtype(kind)


class Estimator:
    """Base class: the value Q(w) of the forward pass and the stand-in for dL/dw of the backward.

    A subclass gives at least `backward`. Both methods are plain functions of tensors, without
    state; options are fields of a frozen dataclass. `estimate` joins the two for autograd.

    Attributes
    ----------
    scheduled : bool
        Whether it uses ``site.progress``. Quantisers then keep the progress in a buffer, set by
        `set_progress`.
    scales : bool
        Whether the estimator computes a scale, so that no other may be asked for.
    per_channel : bool
        Whether the result depends on which axis holds the channels.
    natural : bool
        Whether `backward` gives a natural gradient, as `LNECorrector` does: one of them is enough.
    learned : bool
        Whether it has a step that is trained: `first_step` and `backward_step` are then given.
    bits_needed : str
        In words, which numbers of bits it knows; empty if it knows all.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch.estimators import Estimator, estimate, register_estimator
    >>> @register_estimator("cosine")
    ... class Cosine(Estimator):
    ...     def backward(self, w, q, grad, site):
    ...         return grad * torch.cos(w)
    >>> w = torch.tensor([0.0, 1.0], requires_grad=True)
    >>> estimate(w, Cosine()).sum().backward()
    >>> w.grad
    tensor([1.0000, 0.5403])
    """

    scheduled: bool = False
    scales: bool = False
    per_channel: bool = False
    natural: bool = False
    bits_needed: str = ""
    learned: bool = False

    def admits(self, bits: int) -> bool:
        """Whether it is made for that number of bits.

        >>> from riemann_lne_torch.estimators import STE
        >>> STE().admits(2)
        True
        """
        return True

    def forward(self, w: Tensor, site: Site) -> Tensor:
        """Value Q(w), shape and type of w, which may be w itself.

        Q1 or Qk of Eq. 37 and 38 unless a subclass says otherwise.
        """
        return quantize_tensor(w, site.bits, site.largest)

    def transformed(self, w: Tensor, site: Site) -> Tensor:
        """The tensor that is rounded: w, or its transformation A(w) of MetaQuant.

        Shape of w, dimensionless or in the unit of w.
        """
        return w

    def backward(self, w: Tensor, q: Tensor, grad: Tensor, site: Site) -> Tensor:
        """Stand-in for dL/dw, shape of w.

        Parameters
        ----------
        w : Tensor
            Latent weights.
        q : Tensor
            Value that `forward` gave for them.
        grad : Tensor
            Gradient dL/dQ with respect to that value.
        site : Site

        Raises
        ------
        MissingMemberError
            If the subclass does not give it.
        """
        raise _missing(self, "backward")

    def unit(self, w: Tensor, site: Site) -> Tensor | None:
        """The unit of the values, of which value/unit is the level; None for 1.

        In the unit of w; broadcasts against it.
        """
        return None

    def first_step(self, w: Tensor, site: Site) -> Tensor:
        """Where learned steps start, one a block; in the unit of w.

        Raises MissingMemberError if a subclass with ``learned`` does not give it.
        """
        raise _missing(self, "first_step")

    def backward_step(self, w: Tensor, q: Tensor, grad: Tensor, site: Site) -> Tensor:
        """Stand-in for dL/ds, shape of ``site.step``.

        Raises MissingMemberError if a subclass with ``learned`` does not give it.
        """
        raise _missing(self, "backward_step")


@dataclass(frozen=True)
class Wrapping(Estimator):
    """An estimator around an inner one, which says what both know and need."""

    inner: Estimator

    @property
    def scheduled(self) -> bool:  # type: ignore[override]
        """As the inner estimator."""
        return self.inner.scheduled

    @property
    def scales(self) -> bool:  # type: ignore[override]
        """As the inner estimator."""
        return self.inner.scales

    @property
    def natural(self) -> bool:  # type: ignore[override]
        """As the inner estimator."""
        return self.inner.natural

    @property
    def learned(self) -> bool:  # type: ignore[override]
        """As the inner estimator."""
        return self.inner.learned

    @property
    def bits_needed(self) -> str:  # type: ignore[override]
        """As the inner estimator."""
        return self.inner.bits_needed

    def admits(self, bits: int) -> bool:
        """As the inner estimator."""
        return self.inner.admits(bits)


def largest(w: Tensor, site: Site) -> Tensor:
    """The largest |w|, 1 for zeros, held constant; the site's own where it has one."""
    known = max_magnitude(w) if site.largest is None else torch.full_like(w.sum(), site.largest)
    return known.to(w.dtype)


def as_numbers(estimator: Any, *names: str, unbounded: bool = False) -> None:
    """Options of a frozen dataclass that are numbers, as plain Python ones.

    Raises InvalidArgumentError if one is no finite number. With ``unbounded`` infinity passes too:
    a bound may be absent.
    """
    for name in names:
        value = getattr(estimator, name)
        infinite = unbounded and isinstance(value, float) and value == math.inf
        object.__setattr__(estimator, name, value if infinite else checks.number(value, name))


class _Estimate(torch.autograd.Function):
    """Drives every estimator. Progress and step are separate arguments, as they are tensors."""

    generate_vmap_rule = True  # both methods are functions of tensors without state

    @staticmethod
    def forward(
        w: Tensor, progress: Tensor | None, step: Tensor | None, estimator: Estimator, site: Site
    ) -> Tensor:
        value = checked(estimator, "forward", estimator.forward(w, _at(site, progress, step)), w)
        # autograd cannot save an input that is the output too
        return value.clone() if value is w else value

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        w, progress, step, ctx.estimator, ctx.site = inputs
        ctx.timed, ctx.learned = progress is not None, step is not None
        ctx.save_for_backward(w, output, *(t for t in (progress, step) if t is not None))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        w, q, *rest = ctx.saved_tensors
        step = rest[-1] if ctx.learned else None
        site = _at(ctx.site, rest[0] if ctx.timed else None, step)
        own, change = ctx.estimator, None
        if step is not None:
            change = checked(own, "backward_step", own.backward_step(w, q, grads[0], site), None)
        slope = checked(own, "backward", own.backward(w, q, grads[0], site), w)
        return slope, None, change, None, None


# PyTorch binds the arguments of every call to the signature of `forward`; that it is at hand saves
# the third part of a call's time.
_Estimate.forward.__signature__ = inspect.signature(_Estimate.forward)  # type: ignore[attr-defined]


def _at(site: Site, progress: Tensor | None, step: Tensor | None) -> Site:
    if progress is None and step is None:
        return site
    time = site.progress if progress is None else progress
    return Site(site.bits, site.channel_axis, time, step, site.training, site.largest)


def _refuse_tangent(w: Tensor) -> None:
    """Refuse forward-mode derivatives. Not a `jvp` of the function: a compiler refuses those."""
    if forward_ad._current_level < 0:
        return
    if forward_ad.unpack_dual(w).tangent is not None:  # type: ignore[no-untyped-call]
        raise InvalidArgumentError(
            f"an estimator of a weight of shape {tuple(w.shape)} stands in for the derivative of "
            "a quantiser in the backward pass only: "
            "forward-mode derivatives (jvp, jacfwd, hessian of torch.func) are not defined; take "
            "reverse-mode ones (grad, vjp, jacrev)"
        )


def estimate(w: Tensor, estimator: Estimator, site: Site | None = None) -> Tensor:
    """Value ``estimator.forward(w)``; autograd gets ``estimator.backward`` for its derivative.

    Parameters
    ----------
    w : Tensor, any shape
        Latent weights or activations.
    estimator : Estimator
    site : Site, optional
        Bits, channel axis and progress; one bit and no progress by default.

    Returns
    -------
    Tensor, shape and type of w

    Raises
    ------
    InvalidArgumentError, DTypeError, ShapeError
        As `quantize_tensor`, or as the estimator says.

    References
    ----------
    The straight-through idea: Eq. 1 and 25 of arXiv 2302.03390 v3.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch.estimators import STE, estimate
    >>> w = torch.tensor([-0.2, 1.5], requires_grad=True)
    >>> q = estimate(w, STE())
    >>> q.backward(torch.tensor([3.0, 4.0]))
    >>> w.grad
    tensor([3., 4.])
    """
    require_floating(w)
    site = Site() if site is None else site
    if not torch.compiler.is_compiling():
        _refuse_tangent(w)
    progress = site.progress if isinstance(site.progress, Tensor) else None
    time = 0.0 if progress is not None else site.progress
    plain = Site(site.bits, site.channel_axis, time, None, site.training, site.largest)
    result: Tensor = _Estimate.apply(  # type: ignore[no-untyped-call]
        w, progress, site.step, estimator, plain
    )
    return result
