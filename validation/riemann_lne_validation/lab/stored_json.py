"""JSON files that are read back: one error with advice, whatever is wrong with one.

Anybody may have made or changed such a file. Its size is looked at before it is read; text that is
no UTF-8 or no JSON, deep nesting, names given twice and numbers that JSON does not have are
refused.
``seal`` adds a checksum, by which a digit that changed on the disk is found.
"""

from __future__ import annotations

import json
import math
import os
import stat
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from riemann_lne.checks import printable
from riemann_lne.errors import InvalidArgumentError, RiemannLNEError, StorageError

# A study of 22 arms with the hits of 10,000 images is about 30 MB.
_MOST_BYTES = 2**29
_MOST_DEPTH = 50
_SEAL = "checksum"


@contextmanager
def reading(path: Path, kind: str, advice: str) -> Iterator[None]:
    """Turn what decoders and constructors raise on wrong data into one error with advice.

    Parameters
    ----------
    path : Path
    kind : str
        Kind of file that it should be: "a run record".
    advice : str
        Advice, and the parts that are still good.

    Raises
    ------
    StorageError
        If the file cannot be read.
    InvalidArgumentError
        If it is something else than it should be.
    """
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror or error}; {advice}") from error
    except RiemannLNEError as error:
        raise InvalidArgumentError(f"{path} is not {kind}: {error}; {advice}") from error
    except (
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        RecursionError,
        ArithmeticError,
    ) as e:
        reason = printable(" ".join(str(e).split()))[:300]
        if not isinstance(e, ValueError):
            reason = f"{type(e).__name__}: {reason}"
        raise InvalidArgumentError(
            f"{path} is not {kind}: {reason}. It is damaged, was edited by hand, or is of another "
            f"kind; {advice}"
        ) from e


def read_json(path: Path) -> Any:
    """The content of a JSON file; to be used within ``reading``.

    Raises
    ------
    OSError, ValueError, RecursionError
        If it cannot be read or is not JSON.
    """
    return parse_json(_content(path).decode("utf-8"))


def parse_json(text: str) -> Any:
    """JSON as its standard has it, of moderate depth.

    Examples
    --------
    >>> parse_json('{"a": 1, "a": 2}')
    Traceback (most recent call last):
    ValueError: the name 'a' is given twice
    """
    value = json.loads(text, parse_constant=_refuse, object_pairs_hook=_once)
    check_values(value)
    return value


def check_values(value: Any) -> None:
    """Raise ValueError for what JSON cannot hold: infinities, deep nesting, odd types or text."""
    level = [value]
    for _ in range(_MOST_DEPTH):
        following: list[Any] = []
        for item in level:
            if isinstance(item, Mapping):
                for name in item:
                    _check_text(name)
                following += item.values()
            elif isinstance(item, (list, tuple)):
                following += item
            elif isinstance(item, str):
                _check_text(item)
            elif isinstance(item, float):
                if not math.isfinite(item):
                    raise ValueError(f"{item} is not a number of JSON")
            elif item is not None and not isinstance(item, int):
                raise ValueError(f"a {type(item).__name__} ({item!s:.50}) has no place there")
        if not following:
            return
        level = following
    raise ValueError(f"it is nested more than {_MOST_DEPTH} deep")


def seal(data: Mapping[str, Any]) -> dict[str, Any]:
    """The data with a checksum of them.

    Examples
    --------
    >>> unseal(seal({"a": 1.5}))
    {'a': 1.5}
    """
    return {**data, _SEAL: _checksum(data)}


def unseal(data: Mapping[str, Any], needed: bool = False) -> dict[str, Any]:
    """Data without their checksum, after a comparison with it.

    Files of earlier versions have none, which is refused if it is ``needed``.

    Raises
    ------
    ValueError
        If the data are not what was written.
    """
    content = dict(data)
    there = content.pop(_SEAL, None)
    if there is None and not needed and _SEAL not in data:
        return content
    if there != _checksum(content) or isinstance(there, bool):
        raise ValueError(
            "it has no checksum" if there is None else "its checksum is not that of its content"
        )
    return content


def _checksum(data: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(data, sort_keys=True).encode())


def _content(path: Path) -> bytes:
    with open(path, "rb", opener=_opener) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is no regular file")
        if status.st_size > _MOST_BYTES:
            raise ValueError(f"it has {status.st_size} bytes")
        return file.read(_MOST_BYTES)


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # a pipe there must not block us


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not a number of JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {twice!r} is given twice")
    return found


def _check_text(text: Any) -> None:
    if not isinstance(text, str):
        raise ValueError(f"a name is {text!r}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("a text has half of a character in it") from error


def plain(value: Any) -> Any:
    """The value with what JSON knows: no NumPy types, non-finite numbers as text."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, (bool, str)) or value is None:
        return value
    if isinstance(value, (int, np.integer)):
        return int(value)
    number = float(value)
    return number if math.isfinite(number) else str(number)
