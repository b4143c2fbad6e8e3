"""The corrector as a callback of the Hugging Face Trainer."""

from __future__ import annotations

import math
from functools import wraps
from typing import Any
from weakref import ref

import torch

from riemann_lne.errors import InvalidArgumentError, MissingDependencyError

from ..natural.corrector import LNECorrector
from ..natural.hooks import act, innermost, require_held
from .callbacks import refuse_attached, refuse_both, refuse_shared
from .logging import Report, StatisticsLogger

try:
    from accelerate import Accelerator
    from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
except ImportError as error:
    raise MissingDependencyError(
        "transformers", "hosts", "riemann_lne_torch.transformers", error
    ) from error

__all__ = ["LNECallback"]


class LNECallback(TrainerCallback):
    """Corrects the gradients in a training by the Hugging Face Trainer, before clipping.

    The dL/dw := g(w)^-1 dL/dQ of `LNECorrector`, in ``on_pre_optimizer_step``: after the
    gradients of all micro-batches are there, averaged over the processes and unscaled.

    The Trainer clips before it calls ``on_pre_optimizer_step``, and has no event in between. The
    correction does not commute with clipping, so the correction takes place at the start of the
    Trainer's call of ``Accelerator.clip_grad_norm_``, which this module wraps: all callbacks of the
    training correct, then the Trainer clips to its ``max_grad_norm``. The training arguments are
    not touched. The ``grad_norm`` that the Trainer logs is, as ever, the norm before clipping, and
    before the correction. Where the Trainer does not clip, the correction takes place in
    ``on_pre_optimizer_step``.

    Parameters
    ----------
    corrector : LNECorrector, optional
        By default one is made of the Trainer's model when training starts, after it was moved or
        sharded.
    report : callable, optional
        ``report(values, step)`` gets the statistics, as in
        `riemann_lne_torch.logging.StatisticsLogger`, every ``args.logging_steps`` steps (every
        step, if that is a fraction).
    prefix : str
        First part of the reported names.
    **options
        Of `LNECorrector`: tau, target, block, metric, select, ... All dimensionless but tau.

    Attributes
    ----------
    corrector : LNECorrector or None
        None until training starts.

    Raises
    ------
    MissingDependencyError
        On import of this module, if transformers is not installed.
    InvalidArgumentError, TypeError
        If both a corrector and options are given, or an option is not known. When training
        starts: what `LNECorrector` raises, or if the optimiser does not hold the corrected
        weights, has a corrector attached for one of them, or two callbacks share one. At a step:
        if the Trainer has clipped by other means, before the correction.

    Notes
    -----
    Nothing has to be saved: an "auto" tau is a function of the weights, and is found again from
    them when training resumes.

    References
    ----------
    Eq. 5 and Algorithm 1 of arXiv 2302.03390 v3.

    Examples
    --------
    >>> from riemann_lne_torch.transformers import LNECallback
    >>> callback = LNECallback(target=0.5, block="channel")
    >>> # Trainer(model=model, args=args, train_dataset=data, callbacks=[callback]).train()
    """

    def __init__(
        self,
        corrector: LNECorrector | None = None,
        *,
        report: Report | None = None,
        prefix: str = "lne",
        **options: Any,
    ) -> None:
        super().__init__()
        refuse_both(corrector, options)
        self.corrector, self.report, self.prefix = corrector, report, prefix
        self._options = None if corrector is not None else options
        self._logger: StatisticsLogger | None = None
        self._optimizer: torch.optim.Optimizer | None = None
        self._due = False

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Make the corrector, if none was given, and take the place before the clipping."""
        if self._options is not None:
            self.corrector = LNECorrector(kwargs["model"], **self._options)
        assert self.corrector is not None
        optimizer = kwargs["optimizer"]
        require_held(self.corrector, innermost(optimizer))
        refuse_attached(self.corrector, optimizer)
        if self.report is not None:
            steps = args.logging_steps
            every = int(steps) if steps >= 1 else 1
            self._logger = StatisticsLogger(
                self.corrector, self.report, every=every, prefix=self.prefix
            )
        # Each training has another state: callbacks of a training that broke off are left behind.
        others = [(s, c) for s, c in _waiting(optimizer) if s() is state and c is not self]
        refuse_shared(self.corrector, [c.corrector for _, c in others], optimizer)
        setattr(optimizer, _WAITING, [*others, (ref(state), self)])
        _wrap_clipping()
        self._optimizer, self._due = optimizer, True

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Correct, unless that was done before the clipping."""
        limit = args.max_grad_norm
        if self._due and limit is not None and 0.0 < limit < math.inf:
            raise InvalidArgumentError(
                f"max_grad_norm = {limit}: this Trainer clips by other means than "
                "Accelerator.clip_grad_norm_, and has clipped before the correction; set "
                "max_grad_norm=0 and clip after the correction, in a callback of yours"
            )
        self._correct()
        self._due = True
        if self._logger is not None:
            self._logger.log(state.global_step)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Leave the place before the clipping."""
        if self._optimizer is not None:
            kept = [(s, c) for s, c in _waiting(self._optimizer) if c is not self]
            setattr(self._optimizer, _WAITING, kept)
        self._optimizer, self._due = None, False

    def _correct(self) -> None:
        """Correct the weights that this training's optimiser holds, once a step."""
        if self._due:
            self._due = False
            assert self.corrector is not None
            assert self._optimizer is not None
            act(self.corrector, innermost(self._optimizer))


_WAITING = "_riemann_lne_callbacks"
"""Attribute of a training's optimiser: the callbacks that correct before it is clipped for."""


def _waiting(optimizer: Any) -> list[tuple[Any, LNECallback]]:
    found: list[tuple[Any, LNECallback]] = vars(optimizer).get(_WAITING, [])
    return found


def _wrap_clipping() -> None:
    """Let ``Accelerator.clip_grad_norm_`` correct first, where callbacks wait for it."""
    plain = Accelerator.clip_grad_norm_
    if hasattr(plain, _WAITING):
        return

    @wraps(plain)
    def clip_grad_norm_(
        self: Any, parameters: Any, max_norm: Any, *args: Any, **kwargs: Any
    ) -> Any:
        due = [c for o in self._optimizers for _, c in _waiting(o) if c._due]
        if not due or not float(max_norm) < math.inf:  # infinity: only the norm is asked for
            return plain(self, parameters, max_norm, *args, **kwargs)
        parameters = [parameters] if isinstance(parameters, torch.Tensor) else list(parameters)
        norm = plain(self, parameters, math.inf, *args, **kwargs)
        for callback in due:
            callback._correct()
        plain(self, parameters, max_norm, *args, **kwargs)
        return norm

    setattr(clip_grad_norm_, _WAITING, True)
    Accelerator.clip_grad_norm_ = clip_grad_norm_
