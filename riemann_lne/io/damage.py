"""Files that are read back: whatever is wrong with one is a single kind of error, with advice."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from zlib import crc32

from ..errors import DamagedFileError, MissingDependencyError, StorageError

T = TypeVar("T")

MAX_TEXT_BYTES = 2**24
"""Longest text that is read: records of runs are a few kB."""

ADVICE = "restore it from a copy, or compute it anew"


def damaged(path: Path, kind: str, reason: object, advice: str = ADVICE) -> DamagedFileError:
    """The error for a file that is not what this library wrote."""
    text = " ".join(str(reason).split())[:300] or type(reason).__name__
    text = "".join(c if c.isprintable() else "?" for c in text)
    return DamagedFileError(
        f"{path} is not {kind}: {text}. It is damaged, was edited by hand, or is of another kind; "
        f"{advice}"
    )


@contextmanager
def reading(path: Path, kind: str, advice: str = ADVICE) -> Iterator[None]:
    """Turn all that decoders raise on wrong bytes into DamagedFileError.

    Their errors have no common type: zip, zlib, JSON, NumPy and zarr each raise some of their own
    and most of Python's.

    Parameters
    ----------
    path : Path
        For the message.
    kind : str
        Kind of file that it should be: "a flow solution (.npz)".
    advice : str
        For the message: the way out.
    """
    try:
        yield
    except (StorageError, MissingDependencyError, MemoryError):
        raise
    except (PermissionError, IsADirectoryError) as error:
        raise StorageError(f"cannot read {path}: {error.strerror}", errno=error.errno) from error
    except Exception as error:
        raise damaged(path, kind, error, advice) from error


def exists(path: Path) -> bool:
    """Whether there is anything at a path; StorageError if the system cannot tell."""
    try:
        return path.exists()
    except OSError as error:
        raise StorageError(f"cannot look at {path}: {error.strerror}", errno=error.errno) from error


def read_text(path: Path, limit: int = MAX_TEXT_BYTES) -> str:
    """A text file, if it is not longer than expected; its size is looked at before it is read."""
    with open(path, "rb") as file:
        # A buffer is made for as much as is asked for.
        size = os.fstat(file.fileno()).st_size
        content = file.read(min(size, limit) + 1)
    if len(content) > limit:
        raise ValueError(f"{path} is longer than {limit} bytes")
    return content.decode("utf-8")


def seal(values: Mapping[str, Any]) -> int:
    """CRC-32 of plain values, independent of their order.

    Examples
    --------
    >>> seal({"a": 1, "b": (2.5, None)}) == seal({"b": [2.5, None], "a": 1})
    True
    """
    return crc32(json.dumps(values, sort_keys=True).encode())


def field(values: Any, name: str, check: Callable[[Any], T]) -> T:
    """An entry of a record that was read, checked; errors name it."""
    if not isinstance(values, Mapping) or name not in values:
        raise ValueError(f"it lacks {name}")
    try:
        return check(values[name])
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise ValueError(f"its {name} is wrong ({error})") from error


def text_value(value: Any) -> str:
    """A text, or an error."""
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} in place of a text")
    return value


def table_value(value: Any) -> dict[str, Any]:
    """A dict with texts for keys, or an error."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise TypeError(f"{type(value).__name__} in place of a table")
    return dict(value)


def names_value(value: Any) -> list[str]:
    """A list of texts, or an error."""
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"{type(value).__name__} in place of a list of names")
    return [text_value(v) for v in value]
