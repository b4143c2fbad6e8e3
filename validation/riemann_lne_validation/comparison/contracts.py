"""The objects that a comparison is made of: `Dataset`, `Network`, `Task` and their `Metric`.

Each is a frozen dataclass that is checked when it is made. A user's file makes some and registers
them (`registered`); nothing of the package is edited. No PyTorch is imported here.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, TypeVar

from riemann_lne.errors import InvalidArgumentError, UnknownNameError

__all__ = ["ACCURACY", "ContractError", "Dataset", "Measure", "Metric", "Network", "Task"]

# Settings of an arm that a data set or a task may give defaults for.
SETTINGS = (
    "epochs", "batch_size", "augmentation", "optimizer", "learning_rate", "momentum",
    "weight_decay", "weight_bits", "activation_bits", "activation_range", "weight_scale",
    "quantize_first", "quantize_last", "reestimate_norms", "angle_every", "width", "depth",
)  # fmt: skip

MINIMAL = {
    "Task": """\
    def model():
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10))

    def data(seed):
        x, y = torch.randn(600, 1, 28, 28), torch.randint(10, (600,))
        return {"train": (x[:400], y[:400]), "validation": (x[400:500], y[400:500]),
                "test": (x[500:], y[500:])}

    register_task(Task(name="mine", model=model, data=data))""",
    "Dataset": """\
    def read(folder):
        x, y = numpy.zeros((600, 1, 28, 28), "uint8"), numpy.arange(600) % 10
        return x, y, None, None    # or: x, y, x_test, y_test

    register_dataset(Dataset(name="mine", shape=(1, 28, 28), classes=10, read=read,
                             defaults={"model": "mlp", "epochs": 20}))""",
    "Network": """\
    def build(shape, classes, width, depth):
        return torch.nn.Sequential(
            torch.nn.Flatten(), torch.nn.Linear(math.prod(shape), classes))

    register_network(Network(name="mine", build=build))""",
    "Metric": """\
    def error(output, target):     # one number an item
        return (output - target).square().mean(1)

    Metric(name="squared error", of=error, better="lower", unit="", factor=1.0)""",
}


class ContractError(InvalidArgumentError):
    """A user's object breaks the contract: the message names the member and shows a right one."""

    def __init__(self, kind: str, name: object, member: str, problem: str) -> None:
        super().__init__(
            f"{kind} {name!r}: its member {member!r} {problem}. A minimal {kind} that is right:\n"
            f"{MINIMAL[kind]}"
        )


Kind = TypeVar("Kind", bound=type)


def _told(kind: Kind) -> Kind:
    """A contract whose missing and unknown members are refused with a right one."""
    members = {m.name: m for m in fields(kind)}
    needed = [n for n, m in members.items() if m.default is MISSING is m.default_factory]
    made: Any = vars(kind)["__init__"]

    @functools.wraps(made)
    def init(self: Any, *values: Any, **named: Any) -> None:
        given = [*list(members)[: len(values)], *named]
        owner = named.get("name", values[0] if values else "?")
        for name in needed:
            if name not in given:
                raise ContractError(kind.__name__, owner, name, "is missing")
        for name in named:
            if name not in members:
                problem = f"is not one of {', '.join(members)}"
                raise ContractError(kind.__name__, owner, name, problem)
        made(self, *values, **named)

    setattr(kind, "__init__", init)  # noqa: B010  mypy knows no other way
    return kind


def _check_text(kind: str, owner: object, member: str, value: object) -> None:
    if not isinstance(value, str) or not value.strip() or value != value.strip():
        raise ContractError(kind, owner, member, f"must be a name, got {value!r:.100}")


def _check_call(kind: str, owner: object, member: str, value: Any, names: tuple[str, ...]) -> None:
    """Refuse what cannot be called with that many arguments."""
    if not callable(value):
        raise ContractError(kind, owner, member, f"must be a function, got {value!r:.100}")
    if hasattr(value, "named_parameters") and not isinstance(value, type):
        if member not in ("loss", "of"):
            problem = "must be a function that makes the network anew for each run, not a network"
            raise ContractError(kind, owner, member, problem)
        if any(True for _ in value.parameters()):
            problem = "has parameters of its own, which no run would train: give one without"
            raise ContractError(kind, owner, member, problem)
        value = value.forward  # of a module such as CrossEntropyLoss()
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return  # a function of an extension module does not name its arguments
    try:
        signature.bind(*names)
    except TypeError as error:
        count = f"{len(names)} argument{'' if len(names) == 1 else 's'}"
        wanted = f"must take {count} ({', '.join(names)})" if names else "must take no argument"
        raise ContractError(kind, owner, member, f"{wanted}: {error}") from error


def _check_metric(kind: str, owner: str, metric: object) -> None:
    if not isinstance(metric, Metric):
        raise ContractError(kind, owner, "metric", f"must be a Metric, got {metric!r:.100}")


def _check_defaults(kind: str, owner: str, defaults: object, known: Sequence[str]) -> None:
    if not isinstance(defaults, Mapping):
        raise ContractError(kind, owner, "defaults", f"must be a mapping, got {defaults!r:.100}")
    for name in defaults:
        if name not in known:
            raise UnknownNameError(f"setting in defaults of {kind} {owner!r}", name, known)


def _is_pair(value: object) -> bool:
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and all(isinstance(v, (int, float)) and math.isfinite(v) for v in value)
        and value[1] > 0
    )


@dataclass(frozen=True)
class Measure:
    """How the values of a metric are told: its name, direction and unit.

    Attributes
    ----------
    name : str
    better : {"higher", "lower"}
    unit : str
        Of factor times the metric; "points" are percentage points.
    factor : float
        From the metric to the numbers in tables: 100 for a fraction.
    """

    name: str = "accuracy"
    better: str = "higher"
    unit: str = "points"
    factor: float = 100.0

    @property
    def sign(self) -> int:
        """1 where a larger value is better, else -1."""
        return 1 if self.better == "higher" else -1

    def text(self, value: float, sign: str = "") -> str:
        """A value or difference with as many digits as are of use.

        >>> from riemann_lne_validation.comparison.contracts import Measure
        >>> Measure().text(1.234), Measure("loss", "lower", "bits", 1.0).text(0.5, "+")
        ('1.23', '+0.5000')
        """
        return format(value, f"{sign}.{self.digits}f")

    @property
    def digits(self) -> int:
        """Digits behind the point."""
        return 2 if self.unit == "points" else 4

    @property
    def column(self) -> str:
        """Unit of the values themselves, for the head of a column."""
        return "%" if self.unit == "points" else self.unit


@_told
@dataclass(frozen=True)
class Metric:
    """Number by which a network is judged.

    Attributes
    ----------
    name : str
    of : callable (output, target) -> Tensor
        One number for each item of the batch; the metric is their mean over the split. Truth
        values are hits: their intervals are also over test items.
    better : {"higher", "lower"}
    unit : str
    factor : float
        The tables show factor times the mean.

    Raises
    ------
    ContractError
        If a member is missing or of another kind.
    """

    name: str
    of: Callable[[Any, Any], Any]
    better: str = "higher"
    unit: str = "points"
    factor: float = 100.0

    def __post_init__(self) -> None:
        _check_text("Metric", self.name, "name", self.name)
        _check_call("Metric", self.name, "of", self.of, ("output", "target"))
        if self.better not in ("higher", "lower"):
            problem = f"must be 'higher' or 'lower', got {self.better!r}"
            raise ContractError("Metric", self.name, "better", problem)
        if not isinstance(self.unit, str):
            raise ContractError("Metric", self.name, "unit", f"must be text, got {self.unit!r}")
        good = isinstance(self.factor, (int, float)) and not isinstance(self.factor, bool)
        if not (good and math.isfinite(self.factor) and self.factor > 0):
            problem = f"must be a number above 0, got {self.factor!r}"
            raise ContractError("Metric", self.name, "factor", problem)

    @property
    def measure(self) -> Measure:
        """Name, direction and unit alone."""
        return Measure(self.name, self.better, self.unit, float(self.factor))


def _hits(output: Any, target: Any) -> Any:
    return output.argmax(1) == target


ACCURACY = Metric("accuracy", _hits)
"""Fraction of the items whose largest output is the one of their class."""


def cross_entropy(output: Any, target: Any) -> Any:
    """The loss of classification, that of PyTorch."""
    from torch.nn.functional import cross_entropy as loss

    return loss(output, target)


@_told
@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples with labels, from which the package draws its splits.

    Attributes
    ----------
    name : str
    shape : tuple of int
        Of one sample, as networks get it: (channels, height, width), or any other.
    classes : int
    read : callable (folder) -> x, y, x_test, y_test
        Arrays; ``folder`` is what --data names, or None. Where the last two are None, a fifth of
        the samples is drawn for testing, always the same.
    defaults : mapping
        Settings of an arm, "model" among them.
    normalize : {"training", "none"} or pair of float
        "training": less the mean over the training samples, divided by their standard deviation,
        by channel. A pair: mean and deviation. "none": as they are.
    validation_part : float
        Part of the training samples that is held out while settings are chosen.
    needs_folder : bool
        Whether `read` needs ``--data``.
    loss : callable (output, target) -> scalar Tensor
    metric : Metric
    summary : str
        One line for a list.

    Raises
    ------
    ContractError
        If a member is missing or of another kind.
    """

    name: str
    shape: tuple[int, ...]
    classes: int
    read: Callable[[Any], tuple[Any, Any, Any, Any]]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    normalize: str | tuple[float, float] = "training"
    validation_part: float = 0.1
    needs_folder: bool = False
    loss: Callable[[Any, Any], Any] = cross_entropy
    metric: Metric = ACCURACY
    summary: str = ""

    def __post_init__(self) -> None:
        _check_text("Dataset", self.name, "name", self.name)
        sizes = self.shape if isinstance(self.shape, Sequence) else ()
        if not sizes or not all(type(n) is int and n > 0 for n in sizes):
            problem = f"must be a tuple of sizes such as (1, 28, 28), got {self.shape!r}"
            raise ContractError("Dataset", self.name, "shape", problem)
        object.__setattr__(self, "shape", tuple(sizes))
        if type(self.classes) is not int or self.classes < 2:
            problem = f"must be a whole number of at least 2, got {self.classes!r}"
            raise ContractError("Dataset", self.name, "classes", problem)
        _check_call("Dataset", self.name, "read", self.read, ("folder",))
        _check_call("Dataset", self.name, "loss", self.loss, ("output", "target"))
        _check_metric("Dataset", self.name, self.metric)
        _check_defaults("Dataset", self.name, self.defaults, (*SETTINGS, "model"))
        if not (isinstance(self.validation_part, float) and 0.0 < self.validation_part < 1.0):
            problem = f"must lie between 0 and 1, got {self.validation_part!r}"
            raise ContractError("Dataset", self.name, "validation_part", problem)
        if self.normalize not in ("training", "none") and not _is_pair(self.normalize):
            problem = f"must be 'training', 'none' or (mean, deviation), got {self.normalize!r}"
            raise ContractError("Dataset", self.name, "normalize", problem)


@_told
@dataclass(frozen=True, eq=False)
class Network:
    """A kind of network, built for the data set at hand.

    Attributes
    ----------
    name : str
    build : callable (shape, classes, width, depth) -> nn.Module
        A floating-point network for samples of that shape.
    width : int
        Value of ``width`` for arms that do not give one.
    initialise : bool
        Whether weights of convolutions and linear layers are drawn by the comparison, normal with
        variance 2/fan-in, in place of those that `build` gave them.
    counted_batch : int, optional
        Samples on which operations are counted, at most; None: a whole batch.
    summary : str

    Raises
    ------
    ContractError
        If a member is missing or of another kind.
    """

    name: str
    build: Callable[[tuple[int, ...], int, int, int], Any]
    width: int = 16
    initialise: bool = True
    counted_batch: int | None = None
    summary: str = ""

    def __post_init__(self) -> None:
        _check_text("Network", self.name, "name", self.name)
        arguments = ("shape", "classes", "width", "depth")
        _check_call("Network", self.name, "build", self.build, arguments)
        if type(self.width) is not int or self.width < 1:
            problem = f"must be a whole number of at least 1, got {self.width!r}"
            raise ContractError("Network", self.name, "width", problem)


@_told
@dataclass(frozen=True, eq=False)
class Task:
    """A network, its data, its loss and its metric: all that a training needs.

    Attributes
    ----------
    name : str
    model : callable () -> nn.Module
        A floating-point network, or one that Brevitas or torchao quantises already. Called with
        the random states of PyTorch, NumPy and Python seeded, so that its weights depend on the
        seed alone.
    data : callable (seed) or (seed, folder) -> mapping
        ``folder`` is what --data names, or None.
        "train", "validation" and "test": each a pair (inputs, targets) of tensors or arrays with
        one entry an item, or batches of such pairs (a DataLoader), which are joined.
    loss : callable (output, target) -> scalar Tensor
        Cross-entropy by default.
    metric : Metric or "accuracy"
    defaults : mapping
        Settings of an arm: epochs, batch_size, optimizer, learning_rate, weight_bits, ...
    summary : str

    Raises
    ------
    ContractError
        If a member is missing or of another kind.

    Examples
    --------
    >>> from riemann_lne_validation.comparison.contracts import Task
    >>> Task(name="mine", model=lambda: None, data=lambda: {})
    Traceback (most recent call last):
    riemann_lne_validation.comparison.contracts.ContractError: Task 'mine': its member 'data' \
must take 1 argument (seed)...
    """

    name: str
    model: Callable[[], Any]
    data: Callable[..., Any]
    loss: Callable[[Any, Any], Any] = cross_entropy
    metric: Metric = ACCURACY
    defaults: Mapping[str, Any] = field(default_factory=dict)
    summary: str = ""

    def __post_init__(self) -> None:
        _check_text("Task", self.name, "name", self.name)
        _check_call("Task", self.name, "model", self.model, ())
        takes = ("seed", "folder") if self.takes_folder else ("seed",)
        _check_call("Task", self.name, "data", self.data, takes)
        _check_call("Task", self.name, "loss", self.loss, ("output", "target"))
        if isinstance(self.metric, str) and self.metric == "accuracy":
            object.__setattr__(self, "metric", ACCURACY)
        _check_metric("Task", self.name, self.metric)
        _check_defaults("Task", self.name, self.defaults, SETTINGS)

    @property
    def takes_folder(self) -> bool:
        """Whether `data` wants to know what --data names."""
        try:
            return "folder" in inspect.signature(self.data).parameters
        except (TypeError, ValueError):
            return False
