"""An arm's network, data, loss and metric, whether they come from a data set or from a task."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path
from typing import Any
from weakref import WeakSet

import numpy as np
import torch
from torch import Tensor, nn

from riemann_lne.errors import InvalidArgumentError, NotFiniteError, RiemannLNEError, ShapeError

from .contracts import ContractError, Dataset, Measure, Metric, Network, Task
from .datasets import Samples, load_images
from .protocol import Arm
from .registered import find_dataset, find_network

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
_REPEATED = (
    "when it is called once more with the same seed, and arms would no longer be paired: draw them "
    "from torch, numpy.random or random, whose states are set before, or from a seeded generator"
)
# Data that `check_run` has seen in this process: the task, and what its samples depend on.
_looked_at: set[tuple[Task, str, str | None, int | None, int]] = set()
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
        assert arm.width is not None
        with _seeded(seed):
            model = network.build(self.shape, self.dataset.classes, arm.width, arm.depth)
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
        place = self.folder if reads_folder(arm) else None
        return load_images(arm.dataset, arm.split, arm.train_on, arm.subset, place, arm.file)

    def example(self) -> tuple[Tensor, Tensor]:
        """Random samples and labels."""
        count = min(self.arm.batch_size, self.network.counted_batch or self.arm.batch_size)
        x = torch.randn(count, *self.shape)
        return x, torch.randint(self.dataset.classes, (count,))


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
        with _seeded(seed):
            model = _asked(self.task, "model", self.task.model)
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
            if not all(map(torch.equal, pair, again[part])):
                problem = f"gives other items of {part!r} {_REPEATED}"
                raise ContractError("Task", self.task.name, "data", problem)

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


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """The global random states of PyTorch, NumPy and Python set by a seed, and put back after."""
    # the legacy state of NumPy: a user's functions may draw from it
    numpy_state, state = np.random.get_state(), random.getstate()  # noqa: NPY002
    try:
        with torch.random.fork_rng(devices=[]):
            seed_all(seed)
            yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(state)


def seed_all(seed: int) -> None:
    """Seed the global random states of PyTorch, NumPy and Python, from which a user's code draws.

    >>> import random
    >>> from riemann_lne_validation.comparison.problems import seed_all
    >>> seed_all(3)
    >>> first = random.random()
    >>> seed_all(3)
    >>> random.random() == first
    True
    """
    if _has_accelerator():
        torch.manual_seed(seed)
    else:  # the same; the other notes from where, for devices that are not there: a hundredfold
        torch.default_generator.manual_seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    random.seed(seed)


@cache
def _has_accelerator() -> bool:
    """Whether PyTorch has a device beside the host, with a random state of its own."""
    known = getattr(torch, "accelerator", None)  # since 2.6
    return known is None or bool(known.is_available())


def reads_folder(arm: Arm) -> bool:
    """Whether the data of an arm may come from what --data names."""
    entry = find_dataset(arm.dataset)
    if isinstance(entry, Task):
        return entry.takes_folder
    return entry.needs_folder or bool(arm.file)


def _attempted(call: Callable[[], Any], refusal: Callable[[str], Exception]) -> Any:
    """Result of a function of the user's; a failure is told in words by an error of ours."""
    try:
        return call()
    except RiemannLNEError:
        raise
    except (Exception, SystemExit) as error:
        raise refusal(" ".join(f"{type(error).__name__}: {error}".split())[:300]) from error


def _asked(task: Task, member: str, call: Any, where: str = "") -> Any:
    """Result of a task's function; a failure names the member."""
    return _attempted(
        call, lambda reason: ContractError("Task", task.name, member, f"fails{where} ({reason})")
    )


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
    with _seeded(seed):
        found = _asked(
            task,
            "data",
            lambda: task.data(seed, folder) if task.takes_folder else task.data(seed),
            " without a folder, which --data names" * (task.takes_folder and folder is None),
        )
    if not isinstance(found, Mapping) or set(found) != set(_PARTS):
        names = sorted(found) if isinstance(found, Mapping) else type(found).__name__
        problem = f"must return a mapping with {', '.join(map(repr, _PARTS))}, got {names}"
        raise ContractError("Task", task.name, "data", problem)
    parts = {part: _pair(task, part, found[part]) for part in _PARTS}
    _require_alike(task, parts["train"], parts["validation"])
    return parts


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
    try:
        two = isinstance(given, (tuple, list)) and len(given) == 2
        if two and not isinstance(given[0], (tuple, list)):
            x, y = (torch.as_tensor(value) for value in given)
        elif isinstance(given, Iterable):
            batches = [(torch.as_tensor(a), torch.as_tensor(b)) for a, b in given]
            x, y = (torch.cat([pair[i] for pair in batches]) for i in (0, 1))
        else:
            raise TypeError(f"it is {type(given).__name__}")
    except (TypeError, ValueError, RuntimeError) as error:
        problem = (
            f"must give {part!r} as a pair (inputs, targets) of tensors, or as batches of such "
            f"pairs ({type(error).__name__}: {error})"
        )
        raise ContractError("Task", task.name, "data", problem) from error
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
    _require_repeated(arm, problem)
    samples = problem.samples(0)
    if isinstance(problem, TaskProblem):
        problem.require_repeated_data()
    _look_at(arm, problem, samples, 0)


def check_run(arm: Arm, seed: int, samples: Samples) -> None:
    """The same look at the data of one run, where they may differ with the seed.

    Raises what `check_problem` raises.
    """
    problem = problem_of(arm)
    if isinstance(problem, TaskProblem):
        key = (problem.task, arm.split, arm.train_on, arm.subset, seed)
        if key not in _looked_at:
            _look_at(arm, problem, samples, seed)
            _looked_at.add(key)


def _look_at(arm: Arm, problem: Problem, samples: Samples, seed: int) -> None:
    kind = "Dataset" if isinstance(problem, DatasetProblem) else "Task"
    name = arm.dataset
    state = torch.get_rng_state()
    try:
        model = problem.build(seed).train()
        x, y = samples.normalise(samples.train[:2]), samples.train_labels[:2]
        output = _output(kind, name, model, "training", x)
        _check_labels(arm, output, samples)
        loss = _tried(kind, name, "loss", _two("training"), lambda: problem.loss(output, y))
        if not isinstance(loss, Tensor) or loss.numel() != 1 or not loss.requires_grad:
            what = f"must return one number that has a gradient, got {loss!r:.100}"
            raise ContractError(kind, name, "loss", what)
        if not bool(torch.isfinite(loss.detach())):
            raise NotFiniteError(
                f"{kind.lower()} {name!r}: the loss of the first two training items is "
                f"{float(loss.detach())} at the first weights; look at the inputs, their size and "
                "the loss"
            )
        _check_values(kind, problem, name, output, "training", y)
        with torch.no_grad():  # as a run measures them
            x, y = samples.normalise(samples.held_out[:2]), samples.held_out_labels[:2]
            output = _output(kind, name, model.eval(), arm.split, x)
            _check_values(kind, problem, name, output, arm.split, y)
    finally:
        torch.set_rng_state(state)


def _two(part: str) -> str:
    return f"the first two {part} items"


def _output(kind: str, name: str, model: nn.Module, part: str, x: Tensor) -> Tensor:
    """The network's output for two items."""
    items = f"{_two(part)}, {x.dtype} of shape {tuple(x.shape)}"
    output = _tried(kind, name, "model", items, lambda: model(x))
    if not isinstance(output, Tensor):
        what = (
            f"must give a tensor, but its forward returned {type(output).__name__}; put it "
            "into a module that returns the tensor itself (output.logits)"
        )
        raise ContractError(kind, name, "model", what)
    return output


def _check_values(
    kind: str, problem: Problem, name: str, output: Tensor, part: str, y: Tensor
) -> None:
    """The metric's numbers for two items."""
    values = _tried(kind, name, "metric", _two(part), lambda: problem.metric.of(output.detach(), y))
    if not isinstance(values, Tensor) or values.shape != (2,) or values.is_complex():
        shown = f"{tuple(values.shape)} of {values.dtype}" if isinstance(values, Tensor) else ""
        what = (
            "must return one real number an item, shape (2,) for two items, got "
            f"{shown or type(values).__name__}"
        )
        raise ContractError(kind, name, "metric", what)


def _require_repeated(arm: Arm, problem: Problem) -> None:
    """Refuse first weights that differ between two calls with the same seed: no arms are paired."""
    one, two = (dict(problem.build(0).state_dict()) for _ in range(2))
    if not _same(one, two):
        kind, member = (
            ("Task", "model") if isinstance(problem, TaskProblem) else ("Network", "build")
        )
        owner = arm.dataset if kind == "Task" else arm.model
        raise ContractError(kind, owner, member, f"gives other weights {_REPEATED}")


def _same(one: Mapping[str, Any], two: Mapping[str, Any]) -> bool:
    """Whether the plain tensors of two state dicts are equal, NaN to NaN."""
    if one.keys() != two.keys():
        return False
    for name, value in one.items():
        plain = type(value) is Tensor  # those of other libraries need not compare
        if plain and not torch.equal(*map(torch.nan_to_num, (value, two[name]))):
            return False
    return True


def _tried(kind: str, name: str, member: str, items: str, call: Any) -> Any:
    def refusal(reason: str) -> Exception:
        if kind == "Dataset":
            return ShapeError(
                f"dataset {name!r}: its network does not take its samples, or its {member} "
                f"fails on two of them ({reason}); choose another --model, or correct the file"
            )
        return ContractError(kind, name, member, f"fails on {items} ({reason})")

    return _attempted(call, refusal)


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
