"""Data sets, networks and tasks by name, and the files of users that register more of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from riemann_lne.errors import InvalidArgumentError, UnknownNameError

from ..lab.user_files import fingerprint, run_file
from .contracts import ContractError, Dataset, Metric, Network, Task

__all__ = [
    "find_dataset",
    "find_network",
    "load_task_files",
    "names_of",
    "origin_of",
    "register_dataset",
    "register_network",
    "register_task",
]

Entry = TypeVar("Entry", bound=Dataset | Network | Task)

_DATASETS: dict[str, Dataset | Task] = {}
_NETWORKS: dict[str, Network] = {}
# The fingerprint of the file that registered a name, by kind and name.
_ORIGINS: dict[tuple[str, str], str] = {}
# Of the file that is being read.
_reading: list[str] = []
# Kinds and names that the file being read has registered so far.
_entered: set[tuple[str, str]] = set()
_LOADED: dict[Path, str] = {}


def register_dataset(dataset: Dataset) -> Dataset:
    """Make a data set known by its name, for ``--dataset``; returns it.

    Raises
    ------
    ContractError
        If it is no `Dataset`.
    InvalidArgumentError
        If the name is taken.
    """
    _ship()
    _require(dataset, Dataset)
    _enter(_DATASETS, "dataset", dataset)
    return dataset


def register_network(network: Network) -> Network:
    """Make a network known by its name, for ``--model``; returns it.

    Raises
    ------
    ContractError
        If it is no `Network`.
    InvalidArgumentError
        If the name is taken.
    """
    _ship()
    _require(network, Network)
    _enter(_NETWORKS, "network", network)
    return network


def register_task(task: Task) -> Task:
    """Make a task known by its name, for ``--dataset``; returns it.

    Raises
    ------
    ContractError
        If it is no `Task`.
    InvalidArgumentError
        If the name is taken.
    """
    _ship()
    _require(task, Task)
    if task.name in _NETWORKS:
        raise InvalidArgumentError(f"a network has the name {task.name!r}; choose another one")
    _enter(_DATASETS, "dataset", task)
    return task


def _require(entry: object, kind: type) -> None:
    if not isinstance(entry, kind):
        name = getattr(entry, "name", type(entry).__name__)
        problem = f"is missing, as what was registered is no {kind.__name__}: {entry!r:.100}"
        raise ContractError(kind.__name__, name, "name", problem)


def _enter(table: dict[str, Entry], kind: str, entry: Entry) -> None:
    key = (kind, entry.name)
    mine = _reading[-1] if _reading else ""
    # the earlier version of a file that has changed may be replaced, and nothing else
    earlier = mine and mine == _ORIGINS.get(key) and key not in _entered
    if entry.name in table and not earlier:
        raise InvalidArgumentError(
            f"a {kind} {entry.name!r} is registered already; choose another name"
        )
    table[entry.name] = entry
    _entered.add(key)
    note_origin(kind, entry.name)


def note_origin(kind: str, name: str) -> None:
    """Remember that a name comes from the file that is being read, if one is."""
    if _reading:
        _ORIGINS[kind, name] = _reading[-1]


def origin_of(**names: str) -> str:
    """Fingerprint of the user's files that these names come from; empty for the package's own.

    ``origin_of(dataset=..., network=..., method=...)``.
    """
    found = [_ORIGINS.get((kind, name), "") for kind, name in names.items()]
    return "-".join(dict.fromkeys(f for f in found if f))


def names_of(kind: str) -> list[str]:
    """The names that a user's files registered of one kind: "dataset", "network", "method"."""
    return [name for k, name in _ORIGINS if k == kind]


def find_dataset(name: str) -> Dataset | Task:
    """The data set or task of that name.

    Raises UnknownNameError, which lists those there are.

    >>> from riemann_lne_validation.comparison.registered import find_dataset
    >>> find_dataset("digits").shape
    (1, 8, 8)
    """
    _ship()
    if name not in _DATASETS:
        raise UnknownNameError("dataset", name, _DATASETS)
    return _DATASETS[name]


def find_network(name: str) -> Network:
    """The network of that name.

    Raises UnknownNameError, which lists those there are.

    >>> from riemann_lne_validation.comparison.registered import find_network
    >>> find_network("mlp").width
    12
    """
    _ship()
    if name not in _NETWORKS:
        raise UnknownNameError("model", name, _NETWORKS)
    return _NETWORKS[name]


def all_datasets() -> Mapping[str, Dataset | Task]:
    """All data sets and tasks by name."""
    _ship()
    return dict(_DATASETS)


def all_networks() -> Mapping[str, Network]:
    """All networks by name."""
    _ship()
    return dict(_NETWORKS)


def _ship() -> None:
    """Import what registers the package's own."""
    from . import shipped  # noqa: F401


# -- files of users -----------------------------------------------------------------------------


@contextmanager
def _being_read(fingerprint: str) -> Iterator[None]:
    _reading.append(fingerprint)
    _entered.clear()
    try:
        yield
    finally:
        _reading.pop()


def load_task_files(paths: Sequence[str | Path]) -> list[str]:
    """Run Python files that register data sets, networks, tasks, estimators or methods.

    A file that was loaded before, and has not changed, is not run again.

    Returns
    -------
    list of str
        Names of the tasks and data sets that they registered, in order.

    Raises
    ------
    StorageError
        If a file cannot be read.
    InvalidArgumentError
        If it raises an error, or registers nothing. Names the file and the line.
    """
    _ship()
    names = []
    for path in map(Path, paths):
        content = fingerprint(path, "task file")
        if _LOADED.get(path.resolve()) != content:
            _run(path, content)
            _LOADED[path.resolve()] = content
        mine = [key for key, origin in _ORIGINS.items() if origin == content]
        if not mine:
            raise InvalidArgumentError(
                f"{path} registers nothing; end it with register_task(Task(...)), or begin from "
                "the file that riemann-lne compare --new-task FILE writes"
            )
        names += [name for kind, name in mine if kind == "dataset"]
    return list(dict.fromkeys(names))  # a file may be given twice


def _run(path: Path, content: str) -> None:
    # a changed file takes the place of its earlier version
    for key in [k for k, origin in _ORIGINS.items() if origin == _LOADED.get(path.resolve())]:
        _ORIGINS[key] = content
    before = _estimators()
    if before:  # with PyTorch: methods of the package are not the file's, which may import them
        from .methods import available_methods

        available_methods()
    with _being_read(content):
        run_file(path, f"riemann_lne_task_{content}")
        new = [name for name, made in _estimators().items() if before.get(name) is not made]
        if new:
            from .methods import require_new_methods

            try:
                require_new_methods(new)
            except InvalidArgumentError as error:
                raise InvalidArgumentError(f"{path}: {error}") from error
        for name in new:
            note_origin("method", name)


def _estimators() -> dict[str, object]:
    try:
        from riemann_lne_torch.quantize.estimators import registry
    except ImportError:
        return {}
    return dict(registry.factories())


def metric_of(dataset: str) -> Metric:
    """The metric of a data set or task; accuracy for one that is not registered any more."""
    from .contracts import ACCURACY

    entry = all_datasets().get(dataset)
    return ACCURACY if entry is None else entry.metric
