"""One run: an arm and a seed, from the first weights to a record, resumable after every epoch."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from riemann_lne.errors import InvalidArgumentError, RiemannLNEError
from riemann_lne_torch.quantizers import ActivationQuantizer, WeightQuantizer

from .augmentation import batches, plan_epoch
from .checkpoints import load_tree, save_tree, tree_errors
from .datasets import Samples
from .image_hits import ImageHits
from .measurements import (
    PlainSteps,
    flip_gradient,
    float_gradient,
    kept_buffers,
    mean_angle,
    plain_steps,
    prepare,
    reestimated_norms,
    signs,
)
from .methods import get_method
from .models import build_model, hash_tensors
from .pairing import data_fingerprints
from .problems import problem_of
from .protocol import Arm
from .records import Divergence, EpochRecord, RunRecord
from .statistics import window
from .user_calls import seed_all

__all__ = ["Run", "Start", "train"]

# Images of the batch on which gradient angles are measured: the first ones, not augmented.
_PROBE = 256
# The fastest on a CPU, whose caches a larger one leaves.
_EVALUATION_BATCH = 500
# Most images in a pass of batch-norm re-estimation.
_REESTIMATION = 10_000
# Numbers of all outputs of an epoch that are kept until its end.
_KEPT_OUTPUTS = 2**24

Observer = Callable[[Tensor, Tensor], None]


class Start:
    """The start of a fine-tuned run: the state dict of a float network, and its cost."""

    def __init__(self, state: Mapping[str, Tensor], cost: float) -> None:
        self.state, self.cost = state, cost


class Run:
    """The state of one run between epochs.

    Parameters
    ----------
    arm : Arm
    seed : int
    images : Samples
        On the device of the run.
    start : Start, optional
        For arms with start="fine-tune".
    observe : callable (x, y), optional
        Called with every training batch, for tests.
    folder : path, optional
        Where the data of the arm are, if they are in one.
    """

    def __init__(
        self,
        arm: Arm,
        seed: int,
        images: Samples,
        start: Start | None = None,
        observe: Observer | None = None,
        folder: Path | None = None,
    ) -> None:
        self.folder = folder
        self.arm, self.seed, self.images, self.observe = arm, seed, images, observe
        self.metric = problem_of(arm).metric
        if arm.augmentation != "none" and images.train.ndim != 4:
            raise InvalidArgumentError(
                f"arm {arm.label!r}: augmentation {arm.augmentation!r} is for images, and the "
                f"inputs of {arm.dataset!r} have shape {tuple(images.train.shape)}"
            )
        model = build_model(arm, seed)
        if arm.start == "fine-tune":
            if start is None:
                raise InvalidArgumentError(f"arm {arm.label!r} needs a full-precision start")
            model.load_state_dict(dict(start.state))
        self.initial = hash_tensors(dict(model.named_parameters()))
        self.pretraining_cost = start.cost if start is not None else 0.0
        self.model = model.to(images.train.device)
        count = len(images.train)
        rest = count % arm.batch_size
        self.steps_per_epoch = count // arm.batch_size + (rest > 1)
        self.method = get_method(arm.method, arm.options)
        seed_all(_mixed(seed, 0))  # for methods that draw numbers of their own
        self.context = prepare(arm, self.model, self.steps_per_epoch, self.method, folder)
        self.optimizer = self.context.optimizer
        kinds = (WeightQuantizer, ActivationQuantizer)
        quantizers = [m for m in self.model.modules() if isinstance(m, kinds)]
        self.scheduled = [m for m in quantizers if m.progress is not None]
        self.rows: list[EpochRecord] = []
        self.recent: list[Tensor] = []  # hits of single images in the last epochs
        self.diverged: Divergence | None = None
        self.data_hash = ""
        self.notes: list[str] = []
        self.seconds = self.total_seconds = 0.0
        self._held_out = self._inputs(images.held_out, _EVALUATION_BATCH)
        self._probe = images.normalise(images.train[:_PROBE]), images.train_labels[:_PROBE]

    @property
    def epochs(self) -> int:
        """Number of epochs of the whole run."""
        return self.context.epochs

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.diverged is not None or len(self.rows) >= self.epochs

    def epoch(self) -> None:
        """Train and measure for one epoch; a breakdown is noted and ends the run."""
        began = time.perf_counter()
        number = len(self.rows) + 1
        before = signs(self.context.latents)
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                loss, hits = self._train(number)
        except RiemannLNEError as error:
            reason = self._broken()
            if reason is None:
                raise
            self.diverged = Divergence(number, f"{reason} ({type(error).__name__})")
        else:
            trained = time.perf_counter() - began
            self._note(caught)
            if not math.isfinite(loss):
                self.diverged = Divergence(number, f"the training loss is {loss}")
            elif (reason := self._broken(zeros=False)) is not None:
                self.diverged = Divergence(number, reason)
            else:
                self.seconds += trained
                found = self.hits()
                if (reason := self._unmeasured(hits, _mean(found))) is not None:
                    self.diverged = Divergence(number, reason)
                    self.total_seconds += time.perf_counter() - began
                    return
                self.recent = [*self.recent, found][-window(self.epochs) :]
                flips = (signs(self.context.latents) != before).double().mean()
                self.rows.append(
                    EpochRecord(
                        epoch=number,
                        learning_rate=self._rate(number),
                        train_loss=loss,
                        train_accuracy=hits,
                        accuracy=_mean(found),
                        sign_flip_rate=float(flips),
                        gradient_angle=self._angle(number),
                        seconds=round(trained, 6),
                    )
                )
        self.total_seconds += time.perf_counter() - began

    def _train(self, number: int) -> tuple[float, float]:
        """The steps of an epoch; mean loss and fraction of hits."""
        seed_all(_mixed(self.seed, number))
        plan = plan_epoch(len(self.images.train), self.seed, number, self.arm.augmentation)
        self.data_hash = plan.hash(self.data_hash)
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate(number)
        for quantizer in self.scheduled:
            quantizer.set_progress((number - 1) / self.epochs)
        self.model.train()
        self.method.begin_epoch()
        step, observe = self.method.step, self.observe
        losses, outputs, labels, values = [], [], [], []
        for x, y in batches(self.images, plan, self.arm.batch_size):
            if observe is not None:
                observe(x, y)
            loss, output = step(x, y)
            losses.append(loss)
            if output.numel() * self.steps_per_epoch > _KEPT_OUTPUTS:
                values.append(self.metric.of(output, y))
                continue
            outputs.append(output)  # one call for the whole epoch costs less
            labels.append(y)
        if outputs:
            values.append(self.metric.of(torch.cat(outputs), torch.cat(labels)))
        return float(torch.stack(losses).double().mean()), _mean(torch.cat(values))

    def _rate(self, number: int) -> float:
        """Half a cosine over the epochs."""
        return 0.5 * self.arm.learning_rate * (1.0 + math.cos(math.pi * (number - 1) / self.epochs))

    def hits(self) -> Tensor:
        """The metric of the discrete network on each item of the split: hits, for accuracy."""
        with self.method.evaluated():
            if self.arm.reestimate_norms or self.method.reestimates:
                images = self.images.train[:_REESTIMATION]
                inputs = self._inputs(images, self.arm.batch_size)
                with reestimated_norms(self.model, inputs):
                    return self._hits()
            return self._hits()

    @torch.no_grad()
    def _hits(self) -> Tensor:
        self.model.eval()
        labels = iter(torch.split(self.images.held_out_labels, [len(x) for x in self._held_out]))
        found = [self.metric.of(self.model(x), next(labels)) for x in self._held_out]
        return torch.cat(found).cpu()

    def _inputs(self, images: Tensor, size: int) -> list[Tensor]:
        """Network inputs in batches; a last batch of one image joins the one before."""
        parts = list(torch.split(images, size))
        if len(parts) > 1 and len(parts[-1]) == 1:
            parts[-2:] = [torch.cat(parts[-2:])]
        return [self.images.normalise(p) for p in parts]

    def _angle(self, number: int) -> float | None:
        every = self.arm.angle_every
        if not every or not self.method.measurable:
            return None
        if number % every and number != self.epochs:
            return None
        reference = flip_gradient if self.arm.angle_reference == "flip" else float_gradient
        self.model.train()
        with kept_buffers(self.model):
            given = self.method.gradient(*self._probe)
            return mean_angle(given, reference(self.context, *self._probe))

    def _broken(self, zeros: bool = True) -> str | None:
        """The fault of the weights, in words; None if there is none."""
        for name, p in self.context.latents.items():
            # squares: beyond their range no geometry of the weights can be computed
            if not bool(torch.isfinite(p.detach().square().sum())):
                return f"the weights of layer {name!r} are not finite, or their squares are not"
            if zeros and not bool(p.any()):
                return f"the weights of layer {name!r} are all zero"
        return None

    def _unmeasured(self, trained: float, held_out: float) -> str | None:
        """Why the metric is no number, in words; None if it is one."""
        for value, items in ((trained, "training"), (held_out, self.arm.split)):
            if not math.isfinite(value):
                return f"the metric {self.metric.name!r} of the {items} items is {value}"
        return None

    def _note(self, caught: list[warnings.WarningMessage]) -> None:
        for message in caught:
            text = str(message.message)
            if len(self.notes) < 20 and text not in self.notes:
                self.notes.append(text)

    # -- checkpoint and record --------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """All that a resumed run needs."""
        return {
            "arm": self.arm.digest,
            "seed": self.seed,
            "initial": self.initial,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "method": self.method.state(),
            "rows": [asdict(row) for row in self.rows],
            "recent": self.recent,
            "data_hash": self.data_hash,
            "notes": self.notes,
            "seconds": [self.seconds, self.total_seconds],
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up the run where it was."""
        if (state["arm"], state["seed"], state["initial"]) != (
            self.arm.digest,
            self.seed,
            self.initial,
        ):
            raise InvalidArgumentError(
                f"the checkpoint of {self.arm.label!r} is that of another arm, seed or version; "
                "delete it"
            )
        self.model.load_state_dict(dict(state["model"]))
        self.optimizer.load_state_dict(state["optimizer"])
        self.method.load_state(state["method"])
        self.rows = [EpochRecord(**row) for row in state["rows"]]
        self.recent = list(state.get("recent", ()))  # not in checkpoints of earlier versions
        self.data_hash, self.notes = state["data_hash"], state["notes"]
        self.seconds, self.total_seconds = state["seconds"]

    def record(self, environment: Mapping[str, Any]) -> RunRecord:
        """The record of the run so far."""
        epochs = len(self.rows)
        # no epoch, no cost; where the loss is NaN from the start the steps could not be counted
        cost = plain_steps(self.arm, self.folder) if epochs else PlainSteps(0.0, 0.0)
        total = epochs * cost.step
        if self.arm.reestimate_norms or self.method.reestimates:
            share = min(_REESTIMATION, len(self.images.train)) / len(self.images.train)
            total += epochs * share * cost.forward
        return RunRecord(
            arm=self.arm,
            seed=self.seed,
            epochs=tuple(self.rows),
            diverged=self.diverged,
            cost=total,
            pretraining_cost=self.pretraining_cost,
            seconds=self.seconds,
            total_seconds=self.total_seconds,
            environment=environment,
            fingerprints=self._fingerprints(),
            notes=tuple(self.notes),
            hits=self._image_hits(),
        )

    def _fingerprints(self) -> dict[str, str]:
        """Of first weights, order of the data and, where a file may change them, its items."""
        order = {"initial_weights": self.initial, "data": self.data_hash}
        return {**order, **data_fingerprints(self.arm, self.images)}

    def _image_hits(self) -> ImageHits | None:
        """Of the last epochs; None for a run without an end, or without all of these epochs."""
        complete = self.finished and len(self.recent) == window(self.epochs)
        if self.diverged is not None or not complete or self.recent[0].dtype != torch.bool:
            return None
        return ImageHits.of(torch.stack(self.recent).numpy())


def load_start(path: Path) -> Start:
    """The full-precision network that a run starts from.

    Raises
    ------
    StorageError
        If the file cannot be read, is damaged, or is another one.
    """
    with tree_errors(path):
        tree = load_tree(path)
        return Start(dict(tree["state"]), float(tree["cost"]))


def train(
    arm: Arm,
    seed: int,
    images: Samples,
    environment: Mapping[str, Any],
    *,
    start: Start | None = None,
    checkpoint: Path | None = None,
    checkpoint_seconds: float = 60.0,
    on_epoch: Callable[[EpochRecord, int], None] | None = None,
    observe: Observer | None = None,
    folder: Path | None = None,
) -> tuple[RunRecord, nn.Module]:
    """Run an arm with a seed to its end, from its checkpoint if there is one.

    Parameters
    ----------
    arm, seed, images, start, observe, folder
        As `Run`.
    environment : mapping
        For the record.
    checkpoint : path, optional
        Written after an epoch if the last one is ``checkpoint_seconds`` old.
    on_epoch : callable, optional
        Called after each epoch with its record and the number of epochs of the run.

    Returns
    -------
    record : RunRecord
    model : nn.Module
        As trained.
    """
    run = Run(arm, seed, images, start, observe, folder)
    if checkpoint is not None and checkpoint.exists():
        with tree_errors(checkpoint):
            run.load_state(load_tree(checkpoint))
    saved = time.monotonic()
    while not run.finished:
        done = len(run.rows)
        run.epoch()
        if on_epoch is not None and len(run.rows) > done:
            on_epoch(run.rows[-1], run.epochs)
        due = time.monotonic() - saved >= checkpoint_seconds
        if checkpoint is not None and due and not run.finished:
            save_tree(checkpoint, run.state())
            saved = time.monotonic()
    return run.record(environment), run.model


def _mean(values: Tensor) -> float:
    """The mean; of hits their number over that of the items."""
    if values.dtype == torch.bool:
        return int(values.sum()) / len(values)
    return float(values.double().mean())


def _mixed(seed: int, epoch: int) -> int:
    """The seed of an epoch of a run."""
    return (seed * 1_000_003 + epoch) % 2**63
