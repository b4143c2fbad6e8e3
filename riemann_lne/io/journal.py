"""A file that only grows, with checksums."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..atomic import storage_errors
from ..checks import count
from .damage import damaged, reading
from .npz import read_part

_KIND = "the journal that its checkpoint describes"
# Never through a link that somebody put there.
_FLAGS = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_ADVICE = "resume from the checkpoint before it if there is one, else start the run anew"


class Journal:
    """A file that only grows: records of a kind, an index, a time and an array.

    A checkpoint remembers how long it was (``mark``); what comes after that is cut off when a run
    is resumed, so that a record half written does no harm.
    """

    _HEADER = struct.Struct("<cidQ")

    def __init__(self, path: Path) -> None:
        self.path = path
        self._size, self._crc = 0, 0

    def begin(self) -> None:
        """Start empty."""
        self._size, self._crc = 0, 0
        os.close(os.open(self.path, _FLAGS | os.O_CREAT | os.O_TRUNC, 0o666))

    def append(self, records: Sequence[tuple[str, int, float, np.ndarray]]) -> None:
        """Add records and see that they are on the disk."""
        if not records:
            return
        size, crc = self._size, self._crc
        with os.fdopen(os.open(self.path, _FLAGS), "r+b") as file:
            # Not the end of the file: a write that failed half way may have left something there.
            file.seek(size)
            for kind, index, t, values in records:
                payload = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
                head = self._HEADER.pack(kind.encode(), index, t, payload.nbytes)
                for part in (head, payload.data):
                    file.write(part)
                    crc = zlib.crc32(part, crc)
                size += len(head) + payload.nbytes
            file.flush()
            os.fsync(file.fileno())
        self._size, self._crc = size, crc

    def mark(self) -> list[int]:
        """Length and checksum so far."""
        return [self._size, self._crc]

    def restore(self, mark: Sequence[int]) -> list[tuple[str, int, float, bytes]]:
        """The records up to a mark, what follows being cut off.

        Raises
        ------
        DamagedFileError
            If they are not what was marked.
        """
        size, crc = (count(value, "mark") for value in mark)
        there = self._require_length(size)
        content = b""
        if size:
            # No more than was marked: the file may have grown to any size since.
            with reading(self.path, _KIND, _ADVICE), open(self.path, "rb") as file:
                content = file.read(size)
        self._require_checksum(zlib.crc32(content), crc)
        if there > size:
            with storage_errors("the journal", self.path):
                os.truncate(self.path, size)
        self._size, self._crc = size, crc
        records, at = [], 0
        while at < size:
            kind, index, t, length = self._HEADER.unpack_from(content, at)
            at += self._HEADER.size
            records.append((kind.decode(), index, t, content[at : at + length]))
            at += length
        return records

    def parts(
        self, mark: Sequence[int], box: Sequence[int], dtype: Any, place: Sequence[slice]
    ) -> list[tuple[str, int, float, np.ndarray]]:
        """The records up to a mark, of metrics (c, *box) only the part at a place.

        The file is left as it is. Of each metric a few rows are held at a time.

        Raises
        ------
        DamagedFileError
            If they are not what was marked.
        """
        size, wanted = (count(value, "mark") for value in mark)
        self._require_length(size)
        points, crc, at = int(np.prod(box)) * np.dtype(dtype).itemsize, 0, 0
        records: list[tuple[str, int, float, np.ndarray]] = []
        with reading(self.path, _KIND, _ADVICE), open(self.path, "rb") as file:
            while at < size:
                head = file.read(self._HEADER.size)
                crc = zlib.crc32(head, crc)
                kind, index, t, length = self._HEADER.unpack(head)
                at += len(head) + length
                if at > size:
                    raise ValueError("a record is longer than the journal")
                if kind == b"o":
                    payload = file.read(length)
                    values, crc = np.frombuffer(payload), zlib.crc32(payload, crc)
                else:
                    shape = (length // points, *box)
                    values, crc = read_part(file, shape, dtype, place, crc)
                records.append((kind.decode(), index, t, values))
        self._require_checksum(crc, wanted)
        return records

    def _require_length(self, size: int) -> int:
        """The length of the file, or an error if it is shorter than a size."""
        there = self.path.stat().st_size if self.path.exists() else 0
        if there < size:
            raise damaged(
                self.path, _KIND, f"the journal is shorter ({there} of {size} bytes)", _ADVICE
            )
        return there

    def _require_checksum(self, found: int, wanted: int) -> None:
        if found != wanted:
            raise damaged(self.path, _KIND, "its checksum is another one", _ADVICE)
