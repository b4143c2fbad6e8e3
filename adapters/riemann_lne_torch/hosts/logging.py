"""The corrector's statistics for a logger: a flat dictionary, any callback, TensorBoard."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypeAlias

import torch

from riemann_lne import checks
from riemann_lne.errors import InvalidArgumentError, MissingDependencyError

from ..natural.corrector import LNECorrector
from ..natural.hooks import Attachment, held_weights, innermost, refuse_second, require_held
from ..natural.selection import Weight

__all__ = ["Report", "StatisticsLogger", "TensorBoardReport", "statistics_dict"]

Report: TypeAlias = Callable[[dict[str, float], int], None]
"""Takes named values and the number of the step: ``report(values, step)``."""


def statistics_dict(
    corrector: LNECorrector, prefix: str = "lne", layers: Collection[str] | None = None
) -> dict[str, float]:
    """The statistics of the corrector's last call under names such as ``lne/layer1.conv/norm2``.

    Parameters
    ----------
    corrector : LNECorrector
    prefix : str
        First part of the names, which are ``prefix/layer/statistic``; without one if empty.
    layers : collection of str, optional
        Leave out all other layers.

    Returns
    -------
    dict from str to float
        The fields of `LayerStatistics`, in its units. Fields without a value are left
        out: the condition number of ``metric="flowed"``, and tau where each weight has another.
        Empty before the first call, and with ``statistics=False``.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch import LNECorrector
    >>> from riemann_lne_torch.logging import statistics_dict
    >>> weight = torch.ones(4, requires_grad=True)
    >>> weight.grad = torch.ones(4)
    >>> corrector = LNECorrector([("fc", weight)], target=0.75)
    >>> corrector.correct_()
    >>> for name, value in statistics_dict(corrector).items():
    ...     print(name, round(value, 3))
    lne/fc/tau 0.464
    lne/fc/norm2 0.75
    lne/fc/condition 4.0
    lne/fc/relative_change 3.0
    lne/fc/angle 0.0
    lne/fc/indefinite 0.0
    lne/fc/corrected 1.0
    """
    return {
        "/".join(part for part in (prefix, layer, name) if part): value
        for layer, statistics in corrector.statistics.items()
        if layers is None or layer in layers
        for name, value in statistics.as_dict().items()
        if not math.isnan(value)
    }


class StatisticsLogger:
    """Hands the corrector's statistics to a callback, at every step or at every ``every``-th.

    Parameters
    ----------
    corrector : LNECorrector
    report : callable
        ``report(values, step)`` with the values of `statistics_dict`: ``print``, a method of a
        logger such as ``wandb.log``, or a `TensorBoardReport`.
    every : int
        Report at the steps 0, every, 2 every, ...
    prefix : str
        First part of the names.

    Attributes
    ----------
    step : int
        Number of the next step.

    Raises
    ------
    InvalidArgumentError
        If `every` is not a whole number above 0, the corrector keeps no statistics, or `report`
        cannot be called.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch import LNECorrector, QuantConfig, quantize_
    >>> from riemann_lne_torch.logging import StatisticsLogger
    >>> model = quantize_(torch.nn.Linear(4, 2), QuantConfig(weight_bits=1))
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> corrector = LNECorrector(model, target=0.25)
    >>> def report(values, step):
    ...     print(step, round(values["lne/weight/norm2"], 4))
    >>> handles = corrector.attach(optimizer), StatisticsLogger(corrector, report).attach(optimizer)
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     model(torch.ones(3, 4)).square().sum().backward()
    ...     optimizer.step()
    0 0.25
    1 0.25
    """

    def __init__(
        self, corrector: LNECorrector, report: Report, *, every: int = 1, prefix: str = "lne"
    ) -> None:
        every = checks.count(every, "every", least=1)
        if not callable(report):
            raise InvalidArgumentError(
                f"report must be a function of (values, step), got {type(report).__name__}; for "
                "TensorBoard give TensorBoardReport(writer or folder)"
            )
        if not corrector.keep_statistics:
            raise InvalidArgumentError(
                "this corrector keeps no statistics; make it with statistics=True"
            )
        self.corrector, self.report, self.every, self.prefix = corrector, report, every, prefix
        self.step = 0
        self._stepped: set[int] = set()  # optimisers that have taken the step before `step`

    @property
    def weights(self) -> list[Weight]:
        """The corrector's weights."""
        return self.corrector.weights

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def log(self, step: int | None = None) -> None:
        """Report if it is time; call it after ``correct_()``.

        Parameters
        ----------
        step : int, optional
            Number of the step; counted from 0 by default.
        """
        step = self.step if step is None else step
        self.step, self._stepped = step + 1, set()
        self._report(step, None)

    def _report(self, step: int, layers: Collection[str] | None) -> None:
        if step % self.every == 0:
            self.report(statistics_dict(self.corrector, self.prefix, layers), step)

    def attach(self, optimizer: torch.optim.Optimizer, *, replace: bool = False) -> Attachment:
        """Report after every ``optimizer.step()``; ``handle.remove()`` ends it.

        It reports the layers that this optimiser holds. Optimisers that step in turn share the
        number of the step, which goes up when one of them steps again.

        Parameters
        ----------
        optimizer : Optimizer
        replace : bool
            Take off the loggers that are attached to this optimiser for the same weights.

        Raises
        ------
        InvalidArgumentError
            If the optimiser holds none of the corrector's weights, or this logger is attached to
            it already.
        """
        inner = innermost(optimizer)
        require_held(self, inner)
        refuse_second(self, inner, "logger", replace, same_owner=True)

        @torch.compiler.disable  # type: ignore[untyped-decorator]
        def after_step(opt: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if not self._stepped or id(inner) in self._stepped:
                self.step, self._stepped = self.step + 1, set()
            self._stepped.add(id(inner))
            self._report(self.step - 1, {w.name for w in held_weights(self, inner)})

        attachment = Attachment(self, "logger", inner)
        attachment.register(inner.register_step_post_hook, after_step)
        return attachment


class TensorBoardReport:
    """Writes named values as scalars for TensorBoard: a `report` for `StatisticsLogger`.

    Parameters
    ----------
    writer : SummaryWriter, str or Path
        A writer of yours (anything with ``add_scalar(name, value, step)``), or the folder for a
        new one, which `close` closes.

    Raises
    ------
    MissingDependencyError
        If a folder is given and the package tensorboard is not installed.
    InvalidArgumentError
        If it is neither a writer nor a folder.

    Examples
    --------
    >>> from riemann_lne_torch.logging import TensorBoardReport
    >>> class Writer:
    ...     def add_scalar(self, name, value, step):
    ...         print(name, value, step)
    >>> TensorBoardReport(Writer())({"lne/fc/norm2": 0.5}, 7)
    lne/fc/norm2 0.5 7
    """

    def __init__(self, writer: Any) -> None:
        self._own = isinstance(writer, (str, Path))
        if self._own:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError as error:
                raise MissingDependencyError(
                    "tensorboard", "hosts", "writing to a TensorBoard folder", error
                ) from error
            writer = SummaryWriter(str(writer))
        if not callable(getattr(writer, "add_scalar", None)):
            raise InvalidArgumentError(
                "expected a SummaryWriter (with add_scalar) or the folder for a new one, got "
                f"{type(writer).__name__}"
            )
        self.writer = writer

    def __call__(self, values: dict[str, float], step: int) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write out the buffer; close the writer if it was made here."""
        if self._own:
            self.writer.close()
        elif hasattr(self.writer, "flush"):
            self.writer.flush()
