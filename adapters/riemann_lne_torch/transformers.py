"""The corrector as a callback of the Hugging Face Trainer."""

from __future__ import annotations

from typing import Any

import torch

from riemann_lne.errors import MissingDependencyError

from .callbacks import refuse_both
from .corrector import LNECorrector
from .hooks import innermost, require_held
from .logging import Report, StatisticsLogger

try:
    from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
except ImportError as error:
    raise MissingDependencyError("transformers", "hosts", "its callback") from error

__all__ = ["LNECallback"]


class LNECallback(TrainerCallback):
    """Corrects the gradients in a training by the Hugging Face Trainer, before clipping.

    The dL/dw := g(w)^-1 dL/dQ of `LNECorrector`, in ``on_pre_optimizer_step``: after the
    gradients of all micro-batches are there, averaged over the processes and unscaled.

    The Trainer clips before it calls ``on_pre_optimizer_step``, and has no event in between. The
    correction does not commute with clipping, so this callback takes the clipping over: from the
    start to the end of training ``args.max_grad_norm`` is 0, and the callback clips to the value
    that it had, after the correction. The ``grad_norm`` that the Trainer logs is, as ever, the
    norm before clipping, and before the correction.

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
        weights.

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
        self._clips: Any = None  # the arguments whose clipping was taken over
        self._max_norm = 0.0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Make the corrector, if none was given, and take over the clipping."""
        if self._options is not None:
            self.corrector = LNECorrector(kwargs["model"], **self._options)
        assert self.corrector is not None
        require_held(self.corrector, innermost(kwargs["optimizer"]))
        if self.report is not None:
            steps = args.logging_steps
            every = int(steps) if steps >= 1 else 1
            self._logger = StatisticsLogger(
                self.corrector, self.report, every=every, prefix=self.prefix
            )
        # After a training that broke off the arguments may still be as this callback left them.
        if self._clips is not args or args.max_grad_norm:
            self._clips, self._max_norm = args, float(args.max_grad_norm or 0.0)
            args.max_grad_norm = 0.0

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Correct, then clip."""
        assert self.corrector is not None
        self.corrector.correct_()
        if self._max_norm > 0.0:
            torch.nn.utils.clip_grad_norm_(kwargs["model"].parameters(), self._max_norm)
        if self._logger is not None:
            self._logger.log(state.global_step)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Give the clipping back to the Trainer."""
        if self._clips is args:
            args.max_grad_norm, self._clips = self._max_norm, None
