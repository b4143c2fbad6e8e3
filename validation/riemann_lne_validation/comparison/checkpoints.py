"""Trees of tensors and plain values in one .npz file: read back without running any code."""

from __future__ import annotations

import io
import json
import math
import os
import stat
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from riemann_lne.checks import printable
from riemann_lne.errors import InvalidArgumentError, RiemannLNEError, StorageError
from riemann_lne.io import storage_errors, write_atomically

__all__ = ["load_tree", "save_tree", "tree_errors"]


def save_tree(path: Path, tree: Any) -> None:
    """Write dicts, lists, tuples, tensors, numbers, text and None; complete or not at all.

    Raises
    ------
    InvalidArgumentError
        For anything else in the tree.
    StorageError
        If the file cannot be written.
    """
    arrays: dict[str, np.ndarray] = {}
    text = json.dumps(_pack(tree, arrays))
    with storage_errors("a checkpoint", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(
            path,
            lambda file: np.savez(file, tree=np.array(text), **arrays),  # type: ignore[arg-type]
        )


def load_tree(path: Path) -> Any:
    """Read what `save_tree` wrote; tensors come on the CPU.

    Raises
    ------
    StorageError
        If the file is not there or is damaged.
    """
    with tree_errors(path):
        return _read(path)


@contextmanager
def tree_errors(path: Path) -> Iterator[None]:
    """Turn all that a damaged file, or one of something else, leads to into StorageError."""
    try:
        yield
    except RiemannLNEError:
        raise
    except Exception as error:  # zip, JSON, NumPy and PyTorch each have errors of their own
        reason = printable(" ".join(f"{type(error).__name__}: {error}".split()))[:300]
        raise StorageError(
            f"cannot go on from {path}: {reason}; it is damaged or of another run: delete it, and "
            "what it belongs to begins anew (finished runs are kept)"
        ) from error


def _read(path: Path) -> Any:
    with open(path, "rb") as handle:
        status = os.fstat(handle.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is no regular file")
        with zipfile.ZipFile(handle) as archive:
            # Stored, not packed: no member can be larger than the file.
            for info in archive.infolist():
                packed = info.compress_type != zipfile.ZIP_STORED
                if packed or info.file_size > status.st_size:
                    raise ValueError(f"member {info.filename!r} claims {info.file_size} bytes")
            text = str(_member(archive, "tree"))
            return _unpack(json.loads(text), lambda name: _member(archive, name))


def _member(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """An array of the file; others are not read."""
    info = archive.getinfo(f"{name}.npy")
    with archive.open(info) as file:
        content = file.read()  # compares the checksum, too
    buffer = io.BytesIO(content)
    version = np.lib.format.read_magic(buffer)
    if version != (1, 0):
        raise ValueError(f"{name} has the .npy version {version}")
    shape, _, dtype = np.lib.format.read_array_header_1_0(buffer)
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != len(content) - buffer.tell():
        raise ValueError(f"{name} claims {dtype} of shape {shape} in {len(content)} bytes")
    buffer.seek(0)
    return np.lib.format.read_array(buffer, allow_pickle=False)


def _pack(node: Any, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(node, Tensor):
        name = f"t{len(arrays)}"
        value = node.detach().cpu().contiguous()
        if value.dtype is torch.bfloat16:  # a type that NumPy does not know
            arrays[name] = value.view(torch.int16).numpy()
            return {"bfloat16": name}
        arrays[name] = value.numpy()
        return {"tensor": name}
    if isinstance(node, Mapping):
        # keys may be whole numbers, which JSON would turn into text
        return {"dict": [[key, _pack(value, arrays)] for key, value in node.items()]}
    if isinstance(node, (list, tuple)):
        kind = "list" if isinstance(node, list) else "tuple"
        return {kind: [_pack(value, arrays) for value in node]}
    if node is None or isinstance(node, (bool, int, float, str)):
        return {"value": node}
    raise InvalidArgumentError(
        f"a checkpoint cannot hold {type(node).__name__}: {node!r}; use tensors, numbers and text"
    )


def _unpack(node: dict[str, Any], read: Callable[[str], np.ndarray]) -> Any:
    ((kind, content),) = node.items()
    if kind == "tensor":
        return torch.from_numpy(read(content))
    if kind == "bfloat16":
        return torch.from_numpy(read(content)).view(torch.bfloat16)
    if kind == "dict":
        return {key: _unpack(value, read) for key, value in content}
    if kind in ("list", "tuple"):
        values = [_unpack(value, read) for value in content]
        return values if kind == "list" else tuple(values)
    return content
