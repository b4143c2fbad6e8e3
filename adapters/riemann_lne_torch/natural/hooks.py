"""Attachments: which optimiser corrects, or gates, which gradients before its step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from riemann_lne.errors import InvalidArgumentError

from ..quantize.idle import idle_parameters
from .selection import Weight

_KEPT_AT = "_riemann_lne_attachments"
"""Attribute of an optimiser. Copies of an optimiser have neither its hooks nor this list."""

_CLOSURE = (
    "optimizer.step was called with a closure: the corrector would run before the backward pass "
    "that the closure holds, on stale gradients. Call correct_() at the end of the closure "
    "instead; with Lightning, which steps with a closure, use "
    "riemann_lne_torch.lightning.LNECallback, and with the Hugging Face Trainer "
    "riemann_lne_torch.transformers.LNECallback"
)


class Holds(Protocol):
    """An object that has weights."""

    @property
    def weights(self) -> list[Weight]: ...


class Acts(Protocol):
    """An object that can be attached: it has weights and changes their gradients."""

    caller: Caller | None

    @property
    def weights(self) -> list[Weight]: ...

    def correct_(self, parameters: Sequence[Tensor] | None = None) -> None: ...


@dataclass(frozen=True)
class Caller:
    """The optimiser whose hook is running, for messages about gradients that it corrects."""

    optimizer: torch.optim.Optimizer

    @property
    def idle(self) -> frozenset[int]:
        """The ids of parameters that have no gradient on purpose: see `leave_idle`."""
        return idle_parameters(self.optimizer)


class Attachment:
    """The result of `attach`: ``remove()`` detaches, also when called twice; works in ``with``.

    Attributes
    ----------
    owner : LNECorrector, RicciFlowRegularizer or StatisticsLogger
    kind : str
        "corrector", "gate" or "logger".
    """

    def __init__(self, owner: Any, kind: str, optimizer: torch.optim.Optimizer) -> None:
        self.owner, self.kind = owner, kind
        self._optimizer = optimizer
        self._handle: RemovableHandle | None = None

    def __repr__(self) -> str:
        state = "removed" if self._handle is None else "active"
        return f"{type(self).__name__}({self.owner!r}, {state})"

    def remove(self) -> None:
        """Take the hook off the optimiser."""
        if self._handle is not None:
            self._handle.remove()
            self._handle = None
            attachments(self._optimizer).remove(self)

    def __enter__(self) -> Attachment:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()

    def register(self, register: Callable[[Any], RemovableHandle], hook: Any) -> None:
        """Set the hook by one of the optimiser's functions that do so."""
        if self._handle is None:
            attachments(self._optimizer).append(self)
        else:
            self._handle.remove()
        self._again = register, hook
        self._handle = register(hook)

    def to_the_end(self) -> None:
        """Run after all hooks that are there now."""
        self.register(*self._again)


def attachments(optimizer: torch.optim.Optimizer) -> list[Attachment]:
    """The objects attached to the optimiser, in the order of attaching."""
    found: list[Attachment] = vars(optimizer).setdefault(_KEPT_AT, [])
    return found


def innermost(optimizer: Any) -> torch.optim.Optimizer:
    """The optimiser whose step updates the latent weights, inside of others that wrap it.

    torchao's PARQ puts the latent weights in place before the step of its ``base_optimizer``; the
    wrappers of `riemann_lne_torch.optimizers` keep theirs as ``inner``, and write gradients, or
    evaluate the closure, before its step; Accelerate's and Lightning's wrappers, with
    ``optimizer``, keep no hooks of their own.

    Raises
    ------
    InvalidArgumentError
        If it is not an optimiser.
    """
    names = ("base_optimizer", "optimizer", "inner")
    while True:
        held = (getattr(optimizer, name, None) for name in names)
        inner = next((o for o in held if isinstance(o, torch.optim.Optimizer)), None)
        if inner is None:
            break
        optimizer = inner
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise InvalidArgumentError(
            f"expected a torch.optim.Optimizer, got {type(optimizer).__name__}; for anything else "
            "call correct_() between the backward pass and the step"
        )
    return optimizer


def held_weights(owner: Holds, optimizer: torch.optim.Optimizer) -> list[Weight]:
    """The owner's weights that the optimiser updates, parameter groups added later included."""
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    return [w for w in owner.weights if id(w.parameter) in held]


def require_held(owner: Holds, optimizer: torch.optim.Optimizer) -> list[Weight]:
    """The owner's weights that the optimiser updates; refused if there are none."""
    held = held_weights(owner, optimizer)
    if not held:
        raise InvalidArgumentError(
            f"{type(optimizer).__name__} holds none of the corrected parameters: it was made "
            "from another "
            "model, or before the model was quantised, moved or sharded; make it anew afterwards"
        )
    return held


def refuse_second(
    owner: Holds,
    optimizer: torch.optim.Optimizer,
    kind: str,
    replace: bool = False,
    same_owner: bool = False,
) -> None:
    """Refuse a second action of one kind on a weight of the optimiser, or take the first off.

    Raises
    ------
    InvalidArgumentError
        Names the layers, and says whose hook is there.
    """
    held = {id(w.parameter): w.name for w in held_weights(owner, optimizer)}
    for other in list(attachments(optimizer)):
        if other.kind != kind or (same_owner and not replace and other.owner is not owner):
            continue
        names = [held[id(w.parameter)] for w in other.owner.weights if id(w.parameter) in held]
        if not names:
            continue
        if replace:
            other.remove()
            continue
        what = f"this {kind}" if other.owner is owner else f"another {kind}, {other.owner!r},"
        raise InvalidArgumentError(
            f"{what} is attached to this optimiser already and acts on {', '.join(names)}: each "
            "step would do twice what it does. Keep one: remove the first with handle.remove(), "
            "attach with replace=True, or make the optimiser anew"
        )


def attach(
    owner: Acts, optimizer: torch.optim.Optimizer, kind: str = "corrector", replace: bool = False
) -> Attachment:
    """Run ``owner.correct_()`` before each step of the optimiser, on its parameters alone."""
    optimizer = innermost(optimizer)
    require_held(owner, optimizer)
    if isinstance(optimizer, torch.optim.LBFGS):
        raise InvalidArgumentError(f"LBFGS cannot be attached to. {_CLOSURE}")
    refuse_second(owner, optimizer, kind, replace)
    caller = Caller(optimizer)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def before_step(opt: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        # args may or may not begin with the optimiser itself, depending on who calls the hook
        given = [a for a in (*args, kwargs.get("closure")) if a is not None and a is not opt]
        if given:
            raise InvalidArgumentError(_CLOSURE)
        act(owner, optimizer, caller)

    attachment = Attachment(owner, kind, optimizer)
    attachment.register(optimizer.register_step_pre_hook, before_step)
    if kind == "corrector":  # a gate comes after every correction
        for other in list(attachments(optimizer)):
            if other.kind == "gate":
                other.to_the_end()
    return attachment


def act(owner: Acts, optimizer: torch.optim.Optimizer, caller: Caller | None = None) -> None:
    """Let the owner act on the gradients of the parameters that the optimiser holds."""
    held = held_weights(owner, optimizer)
    owner.caller = caller
    try:
        if len(held) == len(owner.weights):
            owner.correct_()
        elif held:
            owner.correct_([w.parameter for w in held])
    finally:
        owner.caller = None


def select_weights(weights: Sequence[Weight], parameters: Sequence[Tensor] | None) -> list[Weight]:
    """Those of the weights whose parameters are given; all of them for None."""
    if parameters is None:
        return list(weights)
    wanted = {id(p) for p in parameters}
    return [w for w in weights if id(w.parameter) in wanted]
