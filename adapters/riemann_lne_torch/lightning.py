"""The corrector as a callback of PyTorch Lightning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from riemann_lne.errors import InvalidArgumentError, MissingDependencyError

from .callbacks import refuse_both
from .corrector import LNECorrector
from .hooks import held_weights, require_held
from .logging import statistics_dict

try:
    from lightning.pytorch import Callback, LightningModule, Trainer
except ImportError:
    try:
        from pytorch_lightning import Callback, LightningModule, Trainer
    except ImportError as error:
        raise MissingDependencyError("lightning", "hosts", "its callback") from error

__all__ = ["LNECallback"]


class LNECallback(Callback):
    """Corrects the gradients in a Lightning training, before clipping and the step.

    The dL/dw := g(w)^-1 dL/dQ of `LNECorrector`, in ``on_before_optimizer_step``: after the
    gradients of all micro-batches are there, averaged over the processes and unscaled, and before
    ``gradient_clip_val`` acts. `LNECorrector.attach` is not for Lightning, whose optimisers step
    with a closure that holds the backward pass.

    Parameters
    ----------
    corrector : LNECorrector, optional
        By default one is made of the module when training starts, after it was moved or sharded.
    log : bool
        Log the statistics with ``LightningModule.log_dict`` every ``log_every_n_steps`` steps.
    prefix : str
        First part of the logged names, as in `riemann_lne_torch.logging.statistics_dict`.
    **options
        Of `LNECorrector`: tau, target, block, metric, select, ... All dimensionless but tau.

    Attributes
    ----------
    corrector : LNECorrector or None
        None until training starts.

    Raises
    ------
    MissingDependencyError
        On import of this module, if Lightning is not installed.
    InvalidArgumentError, TypeError
        If both a corrector and options are given, or an option is not known. When training
        starts: what `LNECorrector` raises. At the first step: if no optimiser of the module holds
        the corrected weights, or one holds only a part of them.

    Notes
    -----
    With several optimisers, give each a callback of its own, with `select`. The tau that is
    followed goes into Lightning's checkpoints and comes back from them.

    References
    ----------
    Eq. 5 and Algorithm 1 of arXiv 2302.03390 v3.

    Examples
    --------
    >>> import lightning.pytorch as pl
    >>> from riemann_lne_torch.lightning import LNECallback
    >>> callback = LNECallback(target=0.5, block="channel")
    >>> trainer = pl.Trainer(
    ...     callbacks=[callback], gradient_clip_val=1.0, accelerator="cpu", logger=False
    ... )
    >>> # trainer.fit(module, data): its quantised layers are corrected
    """

    def __init__(
        self,
        corrector: LNECorrector | None = None,
        *,
        log: bool = False,
        prefix: str = "lne",
        **options: Any,
    ) -> None:
        super().__init__()
        refuse_both(corrector, options)
        if log and not options.get("statistics", True):
            raise InvalidArgumentError("log=True needs a corrector with statistics=True")
        self.corrector, self.logs, self.prefix = corrector, bool(log), prefix
        self._options = None if corrector is not None else options
        self._pending: Mapping[str, Any] | None = None
        self._fitting = False
        self._of: dict[int, bool] = {}

    @property
    def state_key(self) -> str:
        """Name of the state in checkpoints; two callbacks differ if their options do."""
        if self._options is None:
            assert self.corrector is not None
            names = tuple(w.name for w in self.corrector.weights)
            return self._generate_state_key(layers=names)
        return self._generate_state_key(**self._options)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make the corrector of the module's quantised layers, if none was given."""
        if self._options is not None:
            self.corrector = LNECorrector(pl_module, **self._options)
        self._fitting, self._of = True, {}
        self._take_up()

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Correct, if it is the optimiser of the corrected layers."""
        corrector = self.corrector
        assert corrector is not None
        if id(optimizer) not in self._of:
            self._of[id(optimizer)] = self._is_ours(corrector, trainer, optimizer)
        if not self._of[id(optimizer)]:
            return
        corrector.correct_()
        if self.logs and trainer.global_step % trainer.log_every_n_steps == 0:
            pl_module.log_dict(statistics_dict(corrector, self.prefix))

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Training is over: a state that is loaded from now on is for the next one."""
        self._fitting = False

    def state_dict(self) -> dict[str, Any]:
        """The corrector's state, for checkpoints; empty before training."""
        return {} if self.corrector is None else self.corrector.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the corrector's state, now or when training starts."""
        self._pending = state_dict
        if self._fitting:
            self._take_up()

    def _take_up(self) -> None:
        if self._pending is not None and self.corrector is not None:
            self.corrector.load_state_dict(self._pending)
            self._pending = None

    @staticmethod
    def _is_ours(
        corrector: LNECorrector, trainer: Trainer, optimizer: torch.optim.Optimizer
    ) -> bool:
        held = held_weights(corrector, optimizer)
        if 0 < len(held) < len(corrector.weights):
            missing = [w.name for w in corrector.weights if w not in held]
            raise InvalidArgumentError(
                f"this optimiser holds {len(held)} of the {len(corrector.weights)} corrected "
                f"layers, without {', '.join(missing)}: give each optimiser an LNECallback of its "
                "own, with select"
            )
        if not any(held_weights(corrector, other) for other in trainer.optimizers):
            require_held(corrector, optimizer)
        return bool(held)
