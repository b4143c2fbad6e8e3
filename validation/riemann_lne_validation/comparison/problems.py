"""An arm's network, data, loss and metric, whether they come from a data set or from a task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any
from weakref import WeakSet

import numpy as np
import torch
from torch import Tensor, nn

from riemann_lne.errors import InvalidArgumentError, NotFiniteError, ShapeError

from .contracts import ContractError, Dataset, Measure, Metric, Network, Task
from .datasets import Samples, load_images, require_repeated_samples
from .protocol import Arm
from .registered import find_dataset, find_network
from .user_calls import UNPAIRED, asked, attempted, seeded

__all__ = [
    "DatasetProblem",
    "Problem",
    "TaskProblem",
    "check_problem",
    "check_run",
    "problem_of",
    "reads_folder",
]

# Every subset is drawn with this seed: the same items in every run of anybody.
_SUBSET_SEED = 20230208
_PARTS = ("train", "validation", "test")
# Layers whose fan-in PyTorch's formula has right; it takes the outputs of a transposed convolution.
_INITIALISED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
_UNTRAINED = (
    "gives an output that depends on none of its trainable parameters: leave out detach() and "
    "no_grad() in its forward"
)
# Data that `check_run` has seen in this process: the task, and what its samples depend on.
_looked_at: set[tuple[Task, str, str | None, int | None, int, int]] = set()
# Layers with parameters that builders have given, while they live.
_GIVEN: WeakSet[nn.Module] = WeakSet()


class Problem:
    """Object that an arm trains on: see `DatasetProblem` and `TaskProblem`.

    Attributes
    ----------
    loss : callable (output, target) -> scalar Tensor
    metric : Metric
    """

    loss: Any
    metric: Metric

    @property
    def measure(self) -> Measure:
        """How the metric is told."""
        return self.metric.measure

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        raise NotImplementedError

    def build(self, seed: int) -> nn.Module:
        """The floating-point network with the weights of a seed."""
        raise NotImplementedError

    def samples(self, seed: int) -> Samples:
        """The samples that a run with that seed sees."""
        raise NotImplementedError

    def example(self) -> tuple[Tensor, Tensor]:
        """A batch on which the operations of a step are counted."""
        raise NotImplementedError

    def require_repeated_data(self) -> None:
        """Refuse data that differ between two calls with the same seed: no arms are paired."""
        raise NotImplementedError

    def owner(self, member: str) -> tuple[str, str, str]:
        """Kind, name and member of the user's object that is the "model", "loss" or "metric"."""
        raise NotImplementedError


class DatasetProblem(Problem):
    """A network built for a data set. Its weights are those of He et al. (2015)."""

    def __init__(
        self, arm: Arm, dataset: Dataset, network: Network, folder: Path | None = None
    ) -> None:
        self.arm, self.dataset, self.network, self.folder = arm, dataset, network, folder
        self.loss, self.metric = dataset.loss, dataset.metric

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return self.dataset.shape

    def build(self, seed: int) -> nn.Module:
        """Weights are normal with variance 2/fan-in if the network asks for that."""
        arm, network = self.arm, self.network
        width = arm.width
        assert width is not None
        with seeded(seed):
            model = asked(
                "Network",
                network.name,
                "build",
                lambda: network.build(self.shape, self.dataset.classes, width, arm.depth),
            )
            _require_module("Network", network.name, "build", model)
            _require_new("Network", network.name, "build", model)
            for module in model.modules() if network.initialise else ():
                if isinstance(module, _INITIALISED):
                    nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                    if module.bias is not None:
                        nn.init.zeros_(module.bias)
        return model

    def samples(self, seed: int) -> Samples:
        """The images of the data set, the same for every seed."""
        arm = self.arm
        assert arm.train_on is not None
        return load_images(arm.dataset, arm.split, arm.train_on, arm.subset, self._place, arm.file)

    def example(self) -> tuple[Tensor, Tensor]:
        """Random samples and labels."""
        count = min(self.arm.batch_size, self.network.counted_batch or self.arm.batch_size)
        x = torch.randn(count, *self.shape)
        return x, torch.randint(self.dataset.classes, (count,))

    def require_repeated_data(self) -> None:
        """Refuse samples that differ between two calls of `read`."""
        require_repeated_samples(self.dataset, self._place)

    def owner(self, member: str) -> tuple[str, str, str]:
        """The network has its own contract."""
        if member == "model":
            return "Network", self.network.name, "build"
        return "Dataset", self.dataset.name, member

    @property
    def _place(self) -> Path | None:
        """The folder, where the data come from it."""
        return self.folder if reads_folder(self.arm) else None


class TaskProblem(Problem):
    """A user's task: its own network, with the weights that it gave itself, and its own data."""

    def __init__(self, arm: Arm, task: Task, folder: Path | None = None) -> None:
        self.arm, self.task = arm, task
        self.folder = folder if task.takes_folder else None
        self.loss, self.metric = task.loss, task.metric

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        return tuple(self._parts(0)["train"][0].shape[1:])

    def build(self, seed: int) -> nn.Module:
        """The task's model, made with the random state of the seed."""
        with seeded(seed):
            model = asked("Task", self.task.name, "model", self.task.model)
        _require_module("Task", self.task.name, "model", model)
        _require_new("Task", self.task.name, "model", model)
        return model

    def samples(self, seed: int) -> Samples:
        """The task's own splits for that seed."""
        parts = self._parts(seed)
        x, y = parts["train"]
        if self.arm.subset is not None:
            if self.arm.subset > len(y):
                raise InvalidArgumentError(
                    f"subset must be at most {len(y)}, the training items of {self.task.name}, got "
                    f"{self.arm.subset}"
                )
            drawn = np.random.default_rng(_SUBSET_SEED).permutation(len(y))[: self.arm.subset]
            kept = torch.from_numpy(np.sort(drawn))
            x, y = x[kept], y[kept]
        if self.arm.train_on == "train+validation":
            more = parts["validation"]
            x, y = torch.cat([x, more[0]]), torch.cat([y, more[1]])
        return Samples(x, y, *parts[self.arm.split])

    def example(self) -> tuple[Tensor, Tensor]:
        """The first items of the training split."""
        x, y = self._parts(0)["train"]
        return x[: self.arm.batch_size], y[: self.arm.batch_size]

    def require_repeated_data(self) -> None:
        """Refuse data that differ between two calls with the same seed: no arms are paired."""
        again = _task_data.__wrapped__(self.task, 0, self.folder)
        for part, pair in self._parts(0).items():
            if not all(map(_equal, pair, again[part])):
                problem = (
                    f"gives other items of {part!r} when it is called once more with the same "
                    f"seed, {UNPAIRED}"
                )
                raise ContractError("Task", self.task.name, "data", problem)

    def owner(self, member: str) -> tuple[str, str, str]:
        """All are members of the task."""
        return "Task", self.task.name, member

    def _parts(self, seed: int) -> Mapping[str, tuple[Tensor, Tensor]]:
        return _task_data(self.task, seed, self.folder)


def problem_of(arm: Arm, folder: Path | None = None) -> Problem:
    """The problem of an arm, with the data of a folder: the one that ``--data`` names.

    Without it a task that reads a folder has no data; network, loss and metric do not need it.

    >>> from riemann_lne_validation.comparison.problems import problem_of
    >>> from riemann_lne_validation.comparison.protocol import default_arm
    >>> problem_of(default_arm("ste")).shape
    (1, 8, 8)
    """
    entry = find_dataset(arm.dataset)
    if isinstance(entry, Task):
        return TaskProblem(arm, entry, folder)
    return DatasetProblem(arm, entry, find_network(arm.model), folder)


def reads_folder(arm: Arm) -> bool:
    """Whether the data of an arm may come from what --data names."""
    entry = find_dataset(arm.dataset)
    if isinstance(entry, Task):
        return entry.takes_folder
    return entry.needs_folder or bool(arm.file)


def _require_module(kind: str, name: str, member: str, model: object) -> None:
    if not isinstance(model, nn.Module):
        problem = f"must return a torch.nn.Module, got {type(model).__name__}"
        raise ContractError(kind, name, member, problem)
    for weight, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.is_meta:
            problem = f"gives no values to {weight!r}, which is on the device 'meta'"
            raise ContractError(kind, name, member, problem)


def _require_new(kind: str, name: str, member: str, model: nn.Module) -> None:
    """Refuse layers that an earlier call gave: a run would go on from the weights of another."""
    owners = [m for m in model.modules() if any(True for _ in m.parameters(recurse=False))]
    if any(m in _GIVEN for m in owners):
        problem = "must make the network anew in every call, but gave layers of an earlier one"
        raise ContractError(kind, name, member, problem)
    _GIVEN.update(owners)


@lru_cache(maxsize=4)
def _task_data(task: Task, seed: int, folder: Path | None) -> Mapping[str, tuple[Tensor, Tensor]]:
    with seeded(seed):
        found = asked(
            "Task",
            task.name,
            "data",
            lambda: task.data(seed, folder) if task.takes_folder else task.data(seed),
            " without a folder, which --data names" * (task.takes_folder and folder is None),
        )
        if not isinstance(found, Mapping) or set(found) != set(_PARTS):
            names = sorted(map(str, found)) if isinstance(found, Mapping) else type(found).__name__
            problem = f"must return a mapping with {', '.join(map(repr, _PARTS))}, got {names}"
            raise ContractError("Task", task.name, "data", problem)
        # in here: a DataLoader that shuffles, and other lazy batches, draw as they are read
        parts = {part: _pair(task, part, found[part]) for part in _PARTS}
    _require_alike(task, parts["train"], parts["validation"])
    return parts


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and torch.equal(a, b)


def _require_alike(task: Task, train: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> None:
    """Refuse validation items of another shape or type: final runs train on both parts."""
    for what, a, b in zip(("inputs", "targets"), train, other, strict=True):
        if a.shape[1:] != b.shape[1:] or a.dtype != b.dtype:
            problem = (
                f"gives {what} of 'validation' of shape {tuple(b.shape[1:])} and type {b.dtype}, "
                f"but those of 'train' are of shape {tuple(a.shape[1:])} and type {a.dtype}"
            )
            raise ContractError("Task", task.name, "data", problem)


def _pair(task: Task, part: str, given: Any) -> tuple[Tensor, Tensor]:
    """Inputs and targets of one split as tensors with as many entries."""

    def tensors() -> tuple[Tensor, Tensor]:
        if isinstance(given, (tuple, list)) and len(given) == 2:
            if not isinstance(given[0], (tuple, list)):
                return torch.as_tensor(given[0]), torch.as_tensor(given[1])
        elif not isinstance(given, Iterable):
            raise TypeError(f"it is {type(given).__name__}")
        return _joined(task, part, given)

    def refusal(reason: str) -> Exception:
        problem = (
            f"must give {part!r} as a pair (inputs, targets) of tensors, or as batches of such "
            f"pairs ({reason})"
        )
        return ContractError("Task", task.name, "data", problem)

    x, y = attempted(tensors, refusal)
    if x.ndim < 1 or y.ndim < 1 or len(x) != len(y) or len(x) < 2:
        problem = (
            f"gives {part!r} with inputs of shape {tuple(x.shape)} and targets of shape "
            f"{tuple(y.shape)}: both need as many entries, at least 2"
        )
        raise ContractError("Task", task.name, "data", problem)
    for what, values in (("input", x), ("target", y)):
        broken = ~values.isfinite().reshape(len(values), -1).all(1)
        if bool(broken.any()):
            raise NotFiniteError(
                f"task {task.name!r}: {int(broken.sum())} of {len(values)} {what}s of {part!r} "
                f"hold NaN or infinite values, item {int(broken.nonzero()[0])} first; leave these "
                "items out of what 'data' returns, or fill the gaps"
            )
    return x.detach(), y.detach()


def _joined(task: Task, part: str, batches: Iterable[Any]) -> tuple[Tensor, Tensor]:
    """The items of all batches, each of which has as many inputs as targets."""
    inputs, targets = [], []
    for number, (a, b) in enumerate(batches):
        x, y = torch.as_tensor(a), torch.as_tensor(b)
        if x.ndim < 1 or y.ndim < 1 or len(x) != len(y):
            problem = (
                f"gives batch {number} of {part!r} with inputs of shape {tuple(x.shape)} and "
                f"targets of shape {tuple(y.shape)}: both need as many entries"
            )
            raise ContractError("Task", task.name, "data", problem)
        inputs.append(x)
        targets.append(y)
    return torch.cat(inputs), torch.cat(targets)


# -- a first look -------------------------------------------------------------------------------


def check_problem(arm: Arm, folder: Path | None) -> None:
    """Try network, loss and metric on two items, and look at all labels, before anything is run.

    Raises
    ------
    ContractError
        If an object of a user breaks its contract. Names the member.
    InvalidArgumentError, ShapeError, NotFiniteError
        If labels are out of range, network and samples do not fit together, or the loss is not
        finite at the first weights.
    """
    problem = problem_of(arm, folder)
    _require_repeated(problem)
    samples = problem.samples(0)
    problem.require_repeated_data()
    _look_at(arm, problem, samples, 0)


def check_run(arm: Arm, seed: int, samples: Samples) -> None:
    """The same look at the data of one run, where they may differ with the seed.

    Raises what `check_problem` raises.
    """
    problem = problem_of(arm)
    if isinstance(problem, TaskProblem):
        key = (problem.task, arm.split, arm.train_on, arm.subset, _looked_items(arm), seed)
        if key not in _looked_at:
            _look_at(arm, problem, samples, seed)
            _looked_at.add(key)


def _look_at(arm: Arm, problem: Problem, samples: Samples, seed: int) -> None:
    state = torch.get_rng_state()
    try:
        model = problem.build(seed).train()
        count = _looked_items(arm)
        x, y = samples.normalise(samples.train[:count]), samples.train_labels[:count]
        output = _output(problem, model, "training", x)
        _check_labels(arm, output, samples)
        if not output.requires_grad:
            kind, name, member = problem.owner("model")
            raise ContractError(kind, name, member, _UNTRAINED)
        items = _items("training", count)
        loss = _tried(problem, "loss", items, lambda: problem.loss(output, y))
        _check_loss(problem, loss, items)
        _check_gradient(problem, model, output, loss, items)
        _check_values(problem, output, "training", y)
        with torch.no_grad():  # as a run measures them
            x, y = samples.normalise(samples.held_out[:2]), samples.held_out_labels[:2]
            output = _output(problem, model.eval(), arm.split, x)
            _check_values(problem, output, arm.split, y)
    finally:
        torch.set_rng_state(state)


def _looked_items(arm: Arm) -> int:
    """Two, or one where a run has batches of one item, which batch norm does not take."""
    return min(2, arm.batch_size)


def _items(part: str, count: int) -> str:
    if count == 1:
        return f"a batch of one {part} item (batch_size is 1)"
    return f"the first two {part} items"


def _output(problem: Problem, model: nn.Module, part: str, x: Tensor) -> Tensor:
    """The network's output for a few items."""
    items = f"{_items(part, len(x))}, {x.dtype} of shape {tuple(x.shape)}"
    output = _tried(problem, "model", items, lambda: model(x))
    if not isinstance(output, Tensor):
        what = (
            f"must give a tensor, but its forward returned {type(output).__name__}; put it "
            "into a module that returns the tensor itself (output.logits)"
        )
        kind, name, member = problem.owner("model")
        raise ContractError(kind, name, member, what)
    return output


def _check_loss(problem: Problem, loss: Any, items: str) -> None:
    good = isinstance(loss, Tensor) and loss.numel() == 1 and loss.requires_grad
    if not good or loss.is_complex():
        what = f"must return one real number that has a gradient, got {loss!r:.100}"
        kind, name, member = problem.owner("loss")
        raise ContractError(kind, name, member, what)
    if not bool(torch.isfinite(loss.detach())):
        kind, name, _ = problem.owner("loss")
        raise NotFiniteError(
            f"{kind.lower()} {name!r}: the loss of {items} is "
            f"{float(loss.detach())} at the first weights; look at the inputs, their size and "
            "the loss"
        )


def _check_gradient(
    problem: Problem, model: nn.Module, output: Tensor, loss: Tensor, items: str
) -> None:
    """The gradient goes from the loss to the output, and from there to a parameter."""

    def back(member: str, value: Tensor, given: Sequence[Tensor], after: Tensor | None) -> Any:
        def call() -> Any:
            return torch.autograd.grad(value, given, after, retain_graph=True, allow_unused=True)

        return _tried(problem, member, items, call)

    (gradient,) = back("loss", loss, [output], None)
    if gradient is None:
        what = "does not depend on the output of the network: compute it from 'output'"
        kind, name, member = problem.owner("loss")
        raise ContractError(kind, name, member, what)
    weights = [p for p in model.parameters() if p.requires_grad]
    found = back("model", output, weights, gradient) if weights else ()
    if all(part is None for part in found):
        kind, name, member = problem.owner("model")
        raise ContractError(kind, name, member, _UNTRAINED)


def _check_values(problem: Problem, output: Tensor, part: str, y: Tensor) -> None:
    """The metric's numbers for a few items."""
    items = _items(part, len(y))
    values = _tried(problem, "metric", items, lambda: problem.metric.of(output.detach(), y))
    if not isinstance(values, Tensor) or values.shape != y.shape[:1] or values.is_complex():
        shown = f"{tuple(values.shape)} of {values.dtype}" if isinstance(values, Tensor) else ""
        what = (
            f"must return one real number an item, shape ({len(y)},) for {items}, got "
            f"{shown or type(values).__name__}"
        )
        kind, name, member = problem.owner("metric")
        raise ContractError(kind, name, member, what)


def _require_repeated(problem: Problem) -> None:
    """Refuse first weights that differ between two calls with the same seed: no arms are paired."""
    one, two = (dict(problem.build(0).state_dict()) for _ in range(2))
    if not _same(one, two):
        what = f"gives other weights when it is called once more with the same seed, {UNPAIRED}"
        kind, name, member = problem.owner("model")
        raise ContractError(kind, name, member, what)


def _same(one: Mapping[str, Any], two: Mapping[str, Any]) -> bool:
    """Whether the plain tensors of two state dicts are equal, NaN to NaN."""
    if one.keys() != two.keys():
        return False
    for name, value in one.items():
        plain = type(value) is Tensor  # those of other libraries need not compare
        if plain and not torch.equal(*map(torch.nan_to_num, (value, two[name]))):
            return False
    return True


def _tried(problem: Problem, member: str, items: str, call: Any) -> Any:
    """Result of a call of the network, the loss or the metric; a failure is told in words."""
    kind, name, named = problem.owner(member)

    def refusal(reason: str) -> Exception:
        if isinstance(problem, DatasetProblem):
            what = f"network {name!r}" if kind == "Network" else f"its {member}"
            return ShapeError(
                f"dataset {problem.dataset.name!r}: {what} does not take its samples, or fails on "
                f"{items} ({reason}); choose another --model or --batch-size, or correct the file"
            )
        return ContractError(kind, name, named, f"fails on {items} ({reason})")

    return attempted(call, refusal)


def _check_labels(arm: Arm, output: Tensor, samples: Samples) -> None:
    """Whole numbers as targets of a table of scores are classes: they must be among its columns."""
    for part, labels in (
        ("training", samples.train_labels),
        (arm.split, samples.held_out_labels),
    ):
        classes = output.ndim == labels.ndim + 1 and not labels.is_floating_point()
        if not classes or output.shape[2:] != labels.shape[1:]:
            continue
        count = output.shape[1]
        wrong = (labels != -100) & ((labels < 0) | (labels >= count))
        if bool(wrong.any()):
            item = int(wrong.reshape(len(labels), -1).any(1).nonzero()[0])
            value = int(labels[wrong][0])
            raise InvalidArgumentError(
                f"{arm.dataset!r}: label {value} of {part} item {item} is out of range: the "
                f"network has {count} outputs, for the labels 0 to {count - 1}"
            )
