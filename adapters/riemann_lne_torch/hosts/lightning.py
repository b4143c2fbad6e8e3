"""The corrector as a callback of PyTorch Lightning."""

from __future__ import annotations

from collections.abc import Mapping
from functools import wraps
from typing import Any

import torch

from riemann_lne.errors import InvalidArgumentError, MissingDependencyError

from ..natural.corrector import LNECorrector
from ..natural.hooks import act, held_weights, innermost, require_held
from .callbacks import refuse_attached, refuse_both, refuse_shared
from .logging import statistics_dict

try:
    from lightning.pytorch import Callback, LightningModule, Trainer
except ImportError as error:
    try:
        from pytorch_lightning import Callback, LightningModule, Trainer
    except ImportError:
        raise MissingDependencyError(
            "lightning", "hosts", "riemann_lne_torch.lightning", error
        ) from error

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
        the corrected weights, one holds a part of a block="network", has a corrector attached for
        one of them, or two callbacks share one.

    Notes
    -----
    With several optimisers each step corrects the weights of its optimiser. The tau that is
    followed goes into Lightning's checkpoints and comes back from them.

    In manual optimisation ``LightningModule.clip_gradients`` corrects first, while this callback
    is in the training. Before any other clipping call `correct_` of this callback, with the
    optimiser.

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
        kept = options.get("statistics", True) if corrector is None else corrector.keep_statistics
        if log and not kept:
            raise InvalidArgumentError("log=True needs a corrector with statistics=True")
        self.corrector, self.logs, self.prefix = corrector, bool(log), prefix
        self._options = None if corrector is not None else options
        self._pending: Mapping[str, Any] | None = None
        self._fitting = False
        self._checked: set[int] = set()
        self._done: set[int] = set()  # optimisers whose gradients are corrected for their next step
        self._steps: dict[int, int] = {}

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
        self._fitting = True
        self._checked, self._done, self._steps = set(), set(), {}
        self._take_up()
        if not pl_module.automatic_optimization:
            self._correct_before_clipping(trainer, pl_module)

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Correct those of the corrected layers that the optimiser holds."""
        if id(innermost(optimizer)) in self._done:
            self._done.remove(id(innermost(optimizer)))
        elif not self._correct(trainer, optimizer):
            return
        step = self._steps.get(id(optimizer), 0)
        self._steps[id(optimizer)] = step + 1
        if self.logs and step % trainer.log_every_n_steps == 0:
            assert self.corrector is not None
            held = {w.name for w in held_weights(self.corrector, innermost(optimizer))}
            pl_module.log_dict(statistics_dict(self.corrector, self.prefix, held))

    def correct_(self, trainer: Trainer, optimizer: Any) -> None:
        """Correct now, in manual optimisation before clipping, and not again before the step.

        Parameters
        ----------
        trainer : Trainer
            The module's ``trainer``.
        optimizer : Optimizer
            The one that takes the next step: of ``self.optimizers()``.
        """
        inner = innermost(optimizer)
        if id(inner) not in self._done and self._correct(trainer, inner):
            self._done.add(id(inner))

    def _correct_before_clipping(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let the module's ``clip_gradients`` correct first; until the end of the training."""
        plain = pl_module.clip_gradients

        @wraps(plain)
        def clip_gradients(optimizer: Any, *args: Any, **kwargs: Any) -> None:
            self.correct_(trainer, optimizer)
            plain(optimizer, *args, **kwargs)

        vars(pl_module)["clip_gradients"] = clip_gradients

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """After the training, or its error: give the module its ``clip_gradients`` back."""
        vars(pl_module).pop("clip_gradients", None)

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

    def _correct(self, trainer: Trainer, optimizer: torch.optim.Optimizer) -> bool:
        """Correct the weights that the optimiser holds; False if it holds none."""
        corrector, optimizer = self.corrector, innermost(optimizer)
        assert corrector is not None
        if id(optimizer) not in self._checked:
            self._check(corrector, trainer, optimizer)
            self._checked.add(id(optimizer))
        act(corrector, optimizer)
        return bool(held_weights(corrector, optimizer))

    def _check(
        self, corrector: LNECorrector, trainer: Trainer, optimizer: torch.optim.Optimizer
    ) -> None:
        callbacks: Any = trainer.callbacks
        others = [c.corrector for c in callbacks if isinstance(c, LNECallback) and c is not self]
        refuse_attached(corrector, optimizer)
        refuse_shared(corrector, others, optimizer)
        if not any(held_weights(corrector, innermost(o)) for o in trainer.optimizers):
            require_held(corrector, optimizer)
