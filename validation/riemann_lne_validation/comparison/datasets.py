"""Samples of data sets: fixed splits, files read without pickle, checked."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from riemann_lne.errors import (
    InvalidArgumentError,
    MissingDependencyError,
    NotFiniteError,
    ShapeError,
    StorageError,
)

from .contracts import ContractError, Dataset, Task
from .registered import find_dataset
from .user_calls import UNPAIRED, asked, seeded

__all__ = ["Images", "Layout", "Samples", "load_images", "stratified"]

# Every split and subset is drawn with this seed: the same images in every run of anybody.
_SPLIT_SEED = 20230208

# Part of the samples that is kept for testing where a data set says nothing of it.
_TEST_PART = 0.2

_PIXELS = 3 * 32 * 32

# Hashes of what `read` gave last, by data set and folder, and those that gave the same twice.
_READ: dict[tuple[Dataset, Path | None], str] = {}
_REPEATED: set[tuple[Dataset, Path | None]] = set()


@dataclass(frozen=True)
class Samples:
    """The samples that a run sees, one entry an item; the inputs are given to the network as here.

    Attributes
    ----------
    train, held_out : Tensor, shape (items, ...)
    train_labels, held_out_labels : Tensor, shape (items, ...)
    """

    train: Tensor
    train_labels: Tensor
    held_out: Tensor
    held_out_labels: Tensor

    def normalise(self, inputs: Tensor) -> Tensor:
        """Inputs of the network: the samples as they are."""
        return inputs

    def to(self, device: str) -> Self:
        """The samples on another device."""
        tensors = {f.name: getattr(self, f.name) for f in fields(self)}
        return type(self)(
            **{n: t.to(device) if isinstance(t, Tensor) else t for n, t in tensors.items()}
        )


@dataclass(frozen=True)
class Images(Samples):
    """Labelled samples, as bytes where they are images; `normalise` makes network inputs of them.

    Attributes
    ----------
    train, held_out : Tensor, shape (images, channels, height, width) or (samples, ...)
    train_labels, held_out_labels : Tensor of int64
    classes : int
    mean, deviation : Tensor of float32, shape (channels, 1, 1) or (channels, 1, ...)
        Of the training images, or 8 and 8 for digits, whose pixels are 0 to 16.
    """

    classes: int
    mean: Tensor
    deviation: Tensor

    def normalise(self, images: Tensor) -> Tensor:
        """(images - mean)/deviation, float32."""
        return (images.float() - self.mean) / self.deviation


@dataclass(frozen=True)
class Layout:
    """A data set's standard binary layout: files of records of labels and 3072 pixel bytes.

    The pixels are the red, green and blue planes of a 32 x 32 image, row by row; the last label
    byte is the class.
    """

    name: str
    train: tuple[str, ...]
    test: str
    records: int
    test_records: int
    label_limits: tuple[int, ...]
    folder: str
    archive: str

    @property
    def record(self) -> int:
        """Bytes of a record."""
        return len(self.label_limits) + _PIXELS

    def read(self, folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Training images and labels, test images and labels.

        Raises
        ------
        StorageError
            If the folder or a file is missing or cannot be read.
        InvalidArgumentError
            If a file has another size, or labels that the data set does not have.
        """
        folder = self._find(Path(folder))
        parts = [self._file(folder / name, self.records) for name in self.train]
        x, y = (np.concatenate([p[i] for p in parts]) for i in (0, 1))
        return x, y, *self._file(folder / self.test, self.test_records)

    def _find(self, folder: Path) -> Path:
        wanted = ", ".join((*self.train, self.test))
        advice = (
            f"put the files of the binary version of {self.name} ({wanted}; from {self.archive}) "
            "into one folder and name it with --data"
        )
        if not folder.is_dir():
            raise StorageError(f"there is no folder {folder}: {advice}")
        if not (folder / self.train[0]).exists() and (folder / self.folder).is_dir():
            folder = folder / self.folder
        missing = [name for name in (*self.train, self.test) if not (folder / name).is_file()]
        if missing:
            pickled = (folder / self.train[0].removesuffix(".bin")).is_file()
            hint = (
                " (it holds the pickled Python version, which is not read, as pickle runs code)"
                if pickled
                else ""
            )
            raise StorageError(f"{folder} lacks {', '.join(missing)}{hint}: {advice}")
        return folder

    def _file(self, path: Path, records: int) -> tuple[np.ndarray, np.ndarray]:
        wanted = records * self.record
        try:
            with open(path, "rb") as file:
                # before anything is read: a file may claim more than the memory holds
                size = os.fstat(file.fileno()).st_size
                content = np.fromfile(file, np.uint8, wanted) if size == wanted else None
        except OSError as error:
            raise StorageError(f"cannot read {path}: {error}") from error
        if content is None or content.size != wanted:
            kind = "truncated" if size < wanted else "of another layout"
            raise InvalidArgumentError(
                f"{path} has {size:,} bytes and not {wanted:,} ({records:,} records of "
                f"{self.record:,}): it is {kind}; unpack {self.archive} again"
            )
        table = content.reshape(records, self.record)
        for i, limit in enumerate(self.label_limits):
            largest = int(table[:, i].max())
            if largest >= limit:
                raise InvalidArgumentError(
                    f"{path} has a label {largest} in byte {i} of record "
                    f"{int(table[:, i].argmax())}, but {self.name} has {limit} classes there: it "
                    f"is of another layout; unpack {self.archive} again"
                )
        images = table[:, len(self.label_limits) :].reshape(records, 3, 32, 32)
        return images, table[:, len(self.label_limits) - 1].astype(np.int64)


LAYOUTS = {
    "cifar10": Layout(
        "CIFAR-10",
        tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
        "test_batch.bin",
        10_000,
        10_000,
        (10,),
        "cifar-10-batches-bin",
        "cifar-10-binary.tar.gz",
    ),
    "cifar100": Layout(
        "CIFAR-100",
        ("train.bin",),
        "test.bin",
        50_000,
        10_000,
        (20, 100),
        "cifar-100-binary",
        "cifar-100-binary.tar.gz",
    ),
}


@lru_cache(maxsize=2)
def load_images(
    dataset: str,
    split: str = "test",
    train_on: str = "train+validation",
    subset: int | None = None,
    folder: Path | None = None,
    file: str = "",
) -> Images:
    """The images of a data set that a run trains on and is measured on.

    Parameters
    ----------
    dataset : str
        Name of a registered `Dataset`.
    split : {"validation", "test"}
        Where accuracies are measured.
    train_on : {"train", "train+validation"}
    subset : int, optional
        Number of training images, validation included; a stratified draw, always the same.
    folder : path, optional
        Where the files of the data set are, if it has some.
    file : str
        Fingerprint of the user's file that it comes from: the data kept are of this version.

    Raises
    ------
    InvalidArgumentError
        If a folder is needed and not given, the subset is larger than the data set or too small
        for its classes, or a file has another layout.
    StorageError
        If a file is missing.
    MissingDependencyError
        If digits are asked for without scikit-learn.

    Examples
    --------
    >>> from riemann_lne_validation.comparison.datasets import load_images
    >>> images = load_images("digits", "validation", "train")
    >>> tuple(images.train.shape), tuple(images.held_out.shape)
    ((1150, 1, 8, 8), (288, 1, 8, 8))
    """
    entry = find_dataset(dataset)
    if isinstance(entry, Task):
        raise InvalidArgumentError(
            f"{dataset!r} is a task, whose data are not split here; give a data set"
        )
    rng = np.random.default_rng(_SPLIT_SEED)
    x, y, x_test, y_test = _read(entry, folder)
    if x_test is None:
        test = stratified(y, round(_TEST_PART * len(y)), rng)
        x_test, y_test = x[test], y[test]
        x, y = np.delete(x, test, 0), np.delete(y, test)
    classes = entry.classes
    if subset is not None:
        if not 4 * classes <= subset <= len(y):
            raise InvalidArgumentError(
                f"subset must be from {4 * classes} to {len(y)} training images of {dataset}, "
                f"got {subset}"
            )
        kept = stratified(y, subset, rng)
        x, y = x[kept], y[kept]
    given = len(y)
    validation = stratified(y, round(entry.validation_part * given), rng)
    if split == "validation":
        x_test, y_test = x[validation], y[validation]
    if train_on == "train":
        x, y = np.delete(x, validation, 0), np.delete(y, validation)
    _require_enough(entry, given, {"training": len(y), split: len(y_test)})
    return _images(entry, x, y, x_test, y_test)


def _read(entry: Dataset, folder: Path | None) -> tuple[Any, Any, Any, Any]:
    """Checked arrays of a data set: a user's file may hand over anything."""
    if entry.needs_folder and folder is None:
        layout = LAYOUTS.get(entry.name)
        files = (
            f" with {layout.train[0]}, ..., {layout.test} (the files of {layout.archive})"
            if layout
            else ""
        )
        name = layout.name if layout else entry.name
        raise InvalidArgumentError(f"{name} is read from a folder{files}: name it with --data")
    with seeded(_SPLIT_SEED):  # else what it draws would differ between processes
        found = asked("Dataset", entry.name, "read", lambda: entry.read(folder))
    if not isinstance(found, tuple) or len(found) != 4:
        what = f"{len(found)} of them" if isinstance(found, tuple) else f"{found!r:.60}"
        problem = f"must return x, y, x_test, y_test (the last two may be None), got {what}"
        raise ContractError("Dataset", entry.name, "read", problem)
    x, y, x_test, y_test = asked(
        "Dataset",
        entry.name,
        "read",
        lambda: [None if part is None else np.asarray(part) for part in found],
        " to give arrays",
    )
    if x is None or y is None or (x_test is None) != (y_test is None):
        problem = "must return both x and y, and both or neither of x_test and y_test"
        raise ContractError("Dataset", entry.name, "read", problem)
    for part, samples, labels in (("training", x, y), ("test", x_test, y_test)):
        if samples is not None:
            _check_samples(entry, part, samples, labels)
    _READ[entry, folder] = _fingerprint(x, y, x_test, y_test)
    return x, y, x_test, y_test


def _fingerprint(*arrays: np.ndarray | None) -> str:
    state = hashlib.sha256()
    for array in arrays:
        state.update(b"" if array is None else f"{array.dtype}{array.shape}".encode())
        state.update(b"" if array is None else np.ascontiguousarray(array).data)
    return state.hexdigest()


def require_repeated_samples(entry: Dataset, folder: Path | None) -> None:
    """Refuse samples that differ from those of an earlier call of `read`: no arms are paired.

    A data set is read once more for that, once a process.

    Raises
    ------
    ContractError
        Names `read`.
    """
    if (entry, folder) in _REPEATED:
        return
    if (entry, folder) not in _READ:
        _read(entry, folder)
    before = _READ[entry, folder]
    _read(entry, folder)
    if _READ[entry, folder] != before:
        problem = f"gives other samples when it is called once more, {UNPAIRED}"
        raise ContractError("Dataset", entry.name, "read", problem)
    _REPEATED.add((entry, folder))


def _check_samples(entry: Dataset, part: str, x: np.ndarray, y: Any) -> None:
    where = f"{part} samples of dataset {entry.name!r}: "
    if x.shape[1:] != entry.shape:
        raise ShapeError(
            f"{where}one of them has shape {x.shape[1:]}, but its member 'shape' says "
            f"{entry.shape}; correct one of the two"
        )
    if y.shape != x.shape[:1] or not np.issubdtype(y.dtype, np.integer):
        raise ShapeError(
            f"{where}there are {len(x)} samples, and labels of shape {y.shape} and type {y.dtype}; "
            "give one whole number a sample"
        )
    if len(y) < 2:
        problem = f"gives {len(y)} {part} samples: at least 2 are needed"
        raise ContractError("Dataset", entry.name, "read", problem)
    for what, array in (("samples", x), ("labels", y)):
        if problem := _not_taken(array.dtype):
            raise ContractError("Dataset", entry.name, "read", f"gives {part} {what} {problem}")
    if np.issubdtype(x.dtype, np.floating):
        broken = np.flatnonzero(~np.isfinite(x).reshape(len(x), -1).all(1))
        if len(broken):
            raise NotFiniteError(
                f"{where}{len(broken)} of {len(x)} hold NaN or infinite values, sample {broken[0]} "
                "first; leave these samples out of what 'read' returns, or fill the gaps"
            )
    wrong = np.flatnonzero((y < 0) | (y >= entry.classes))
    if len(wrong):
        raise InvalidArgumentError(
            f"{where}label {int(y[wrong[0]])} of sample {int(wrong[0])} is out of range: "
            f"{entry.classes} classes have the labels 0 to {entry.classes - 1}; correct the labels "
            "or its member 'classes'"
        )


def _not_taken(dtype: np.dtype[Any]) -> str:
    """Why arrays of a type cannot be samples, in words; empty if they can."""
    told = f"of type {dtype}: give real numbers, such as uint8 or float32"
    if np.issubdtype(dtype, np.complexfloating):
        return told
    try:
        torch.from_numpy(np.empty(0, dtype))
    except (TypeError, ValueError) as error:
        return f"{told} ({error!s:.100})"
    return ""


def _require_enough(entry: Dataset, given: int, parts: Mapping[str, int]) -> None:
    """Refuse a split that has a part of fewer than two samples."""
    for part, count in parts.items():
        if count < 2 and part != "test" and given >= 4:
            problem = (
                f"is {entry.validation_part}, which leaves {count} of {given} training samples for "
                f"the {part} part: at least 2 are needed"
            )
            raise ContractError("Dataset", entry.name, "validation_part", problem)
        if count < 2:
            problem = f"gives too few samples: {count} are the {part} part, which needs at least 2"
            raise ContractError("Dataset", entry.name, "read", problem)


def stratified(labels: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """``count`` indices, sorted, drawn so that every class has its share.

    Shares that are not whole numbers are rounded so that the sum is ``count`` (largest remainder).
    """
    classes, sizes = np.unique(labels, return_counts=True)
    share = count * sizes / len(labels)
    take = np.floor(share).astype(int)
    most = np.argsort(-(share - take), kind="stable")[: count - int(take.sum())]
    take[most] += 1
    drawn = [
        rng.permutation(np.flatnonzero(labels == c))[:n] for c, n in zip(classes, take, strict=True)
    ]
    return np.sort(np.concatenate(drawn))


def _images(
    entry: Dataset, x: np.ndarray, y: np.ndarray, x_test: np.ndarray, y_test: np.ndarray
) -> Images:
    channels = x.shape[1]
    if isinstance(entry.normalize, tuple):
        mean, deviation = (np.full(channels, value) for value in entry.normalize)
    elif entry.normalize == "none":
        mean, deviation = np.zeros(channels), np.ones(channels)
    else:
        mean, deviation = _moments(x)
    column = [
        torch.tensor(a, dtype=torch.float32).reshape(-1, *[1] * (x.ndim - 2))
        for a in (mean, deviation)
    ]
    train, labels, held_out, held_out_labels = (
        torch.from_numpy(np.ascontiguousarray(a)) for a in (x, y, x_test, y_test)
    )
    return Images(train, labels.long(), held_out, held_out_labels.long(), entry.classes, *column)


def _moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel."""
    wide = x.reshape(len(x), x.shape[1], -1)
    n = wide.shape[0] * wide.shape[2]
    if np.issubdtype(x.dtype, np.integer):
        # exact sums of integers, so that the order of the summation does not matter
        total = wide.sum((0, 2), dtype=np.int64)
        square = sum(
            np.square(part, dtype=np.int64).sum((0, 2)) for part in np.array_split(wide, 50)
        )
        mean = total / n
        deviation = np.sqrt(square / n - mean**2)
    else:
        mean = wide.mean((0, 2), dtype=np.float64)
        deviation = wide.std((0, 2), dtype=np.float64)
    return mean, np.where(deviation > 0.0, deviation, 1.0)


def read_digits() -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of scikit-learn's digits.

    Raises MissingDependencyError without scikit-learn.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MissingDependencyError(
            "scikit-learn", "compare", "the digits data set", error
        ) from error
    digits = load_digits()
    return digits.images.astype(np.uint8)[:, None], digits.target.astype(np.int64)
