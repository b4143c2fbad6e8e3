"""Reading .npz files that anybody may have made: sizes are known before anything is read.

Only the members that are asked for are opened. Each is read if its own header agrees with the
archive's, with what is expected, and with the memory there is.
"""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from types import TracebackType
from typing import Any
from zlib import crc32

import numpy as np

from ..errors import StorageError
from .damage import MAX_TEXT_BYTES

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# Deflate cannot shrink by more; a greater ratio is a header that lies.
_DEFLATE_RATIO = 1040
_HEADER_BYTES = 10_000


@dataclass(frozen=True)
class Header:
    """Shape, type and order of an array, and where its values begin in its member."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    start: int

    @property
    def nbytes(self) -> int:
        """Size of the values in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize


class NpzReader:
    """An open .npz file. Use it in ``with reading(...)``: its errors are of many types.

    Parameters
    ----------
    path : Path
        The file.

    Attributes
    ----------
    names : tuple of str
        Arrays in the file, without the ending .npy; other members are passed over.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._size = path.stat().st_size
        self._archive = zipfile.ZipFile(path)
        self._members: dict[str, zipfile.ZipInfo] = {}
        for info in self._archive.infolist():
            name = info.filename.removesuffix(".npy")
            if name == info.filename:
                continue
            if name in self._members:
                self.close()
                raise ValueError(f"two members are called {info.filename}")
            self._members[name] = info
        self.names = tuple(self._members)
        self._headers: dict[str, Header] = {}

    def __enter__(self) -> NpzReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._archive.close()

    def require(self, names: Iterable[str]) -> None:
        """Raise ValueError if one of the arrays is missing."""
        missing = sorted(set(names) - set(self.names))
        if missing:
            raise ValueError(f"missing: {', '.join(missing)}")

    def header(self, name: str) -> Header:
        """Shape and type that an array declares, checked against the archive without reading it."""
        if name in self._headers:
            return self._headers[name]
        self.require([name])
        info = self._members[name]
        if info.compress_type not in _METHODS or info.flag_bits & 1:
            raise ValueError(f"{name} is packed in a way that NumPy does not use")
        packed = info.compress_size
        if packed > self._size or info.file_size > packed * _DEFLATE_RATIO + _HEADER_BYTES:
            raise ValueError(f"{name} claims {info.file_size} bytes, stored in {packed}")
        with self._archive.open(info) as file:
            version = np.lib.format.read_magic(file)
            if version not in ((1, 0), (2, 0)):
                raise ValueError(f"{name} has the .npy version {version}")
            read = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            try:
                shape, fortran, dtype = read(file, max_header_size=_HEADER_BYTES)
            except (ValueError, SyntaxError, TypeError, TokenError) as error:
                # NumPy's parser takes changed bytes for Python code: its message is of no use here.
                raise ValueError(f"the header of {name} cannot be read") from error
            start = file.tell()
        if dtype.hasobject or dtype.names is not None or any(k < 0 for k in shape):
            raise ValueError(f"{name} holds {dtype} of shape {shape}")
        header = Header(shape, fortran, dtype, start)
        if start + header.nbytes != info.file_size:
            raise ValueError(
                f"{name} has shape {shape} and type {dtype}, but {info.file_size - start} bytes"
            )
        self._headers[name] = header
        return header

    def expect(self, name: str, kinds: str, shape: Sequence[int | None]) -> Header:
        """The header of an array, whose type and shape must be these (None: any length)."""
        header = self.header(name)
        fits = len(header.shape) == len(shape) and all(
            wanted is None or wanted == size
            for wanted, size in zip(shape, header.shape, strict=True)
        )
        if header.dtype.kind not in kinds or not fits:
            wanted = ", ".join("any" if size is None else str(size) for size in shape)
            raise ValueError(
                f"{name} has shape {header.shape} and type {header.dtype}; ({wanted}) and the kind "
                f"{kinds!r} are expected"
            )
        return header

    def require_memory(self, names: Iterable[str]) -> None:
        """Raise StorageError if arrays are larger together than the machine's memory."""
        needed = sum(self.header(name).nbytes for name in names)
        there = physical_memory()
        if there is not None and needed > there:
            raise StorageError(
                f"{self.path} holds {needed / 2**30:.3g} GiB of arrays, more than the memory of "
                f"this machine ({there / 2**30:.3g} GiB): read it on a larger one, or stream such "
                "flows to a .zarr store"
            )

    def read(self, name: str) -> np.ndarray:
        """An array; its header, and the archive's checksum, must be right."""
        header = self.header(name)
        try:
            values = np.empty(header.nbytes, dtype=np.uint8)
        except MemoryError as error:
            raise StorageError(
                f"{self.path}: {name} takes {header.nbytes / 2**30:.3g} GiB, which are not free"
            ) from error
        file: Any
        with self._archive.open(self._members[name]) as file:
            file.read(header.start)
            view, at = values.data, 0
            while at < header.nbytes:
                count = file.readinto(view[at : at + 2**24])
                if not count:
                    raise ValueError(f"{name} ends after {at} of {header.nbytes} bytes")
                at += count
            if file.read(1):  # also makes the archive compare its checksum
                raise ValueError(f"{name} is longer than its header says")
        return values.view(header.dtype).reshape(header.shape, order="F" if header.fortran else "C")

    def read_part(
        self, name: str, box: Sequence[int], place: Sequence[slice], crc: int = 0
    ) -> tuple[np.ndarray, int]:
        """The part of a field (c, *box) at a place, and the CRC-32 of the whole field.

        The CRC goes on from one. Of the rest of the field a few rows are held at a time.
        """
        header = self.header(name)
        if header.fortran or header.shape[1:] != tuple(box):
            raise ValueError(f"{name} has shape {header.shape}, and its block {tuple(box)}")
        with self._archive.open(self._members[name]) as file:
            file.read(header.start)
            result = read_part(file, header.shape, header.dtype, place, crc)
            if file.read(1):
                raise ValueError(f"{name} is longer than its header says")
        return result

    def text(self, name: str) -> str:
        """A text that was stored as an array of no dimensions."""
        header = self.expect(name, "U", ())
        if header.nbytes > 4 * MAX_TEXT_BYTES:
            raise ValueError(f"{name} is a text of {header.nbytes} bytes")
        # An empty array of a text type of no length cannot be viewed.
        return str(self.read(name)[()]) if header.nbytes else ""


def read_part(
    file: Any, shape: Sequence[int], dtype: Any, place: Sequence[slice], crc: int
) -> tuple[np.ndarray, int]:
    """The part of a field (c, *box) at a place of the box, read from an open file row by row.

    Also the CRC-32 of all of its bytes, gone on from ``crc``.
    """
    components, rows, *rest = shape
    first, *others = place
    sizes = [len(range(*s.indices(n))) for s, n in zip(place, shape[1:], strict=True)]
    result = np.empty((components, *sizes), dtype)
    row = np.empty(rest, dtype)
    memory = row.reshape(-1).view(np.uint8).data
    begin, end, _ = first.indices(rows)
    for c in range(components):
        for i in range(rows):
            at = 0
            while at < len(memory):
                count = file.readinto(memory[at:])
                if not count:
                    raise ValueError("a field ends before its last row")
                at += count
            crc = crc32(memory, crc)
            if begin <= i < end:
                result[c, i - begin] = row[tuple(others)]
    return result, crc


def physical_memory() -> int | None:
    """Bytes of memory of this machine, where the system tells."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
