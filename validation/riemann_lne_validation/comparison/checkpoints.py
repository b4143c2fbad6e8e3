"""Trees of tensors and plain values in one .npz file: read back without running any code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from riemann_lne.errors import InvalidArgumentError, StorageError
from riemann_lne.io import storage_errors, write_atomically

__all__ = ["load_tree", "save_tree"]


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
    try:
        # opened here: NumPy leaves a damaged file open
        with open(path, "rb") as handle, np.load(handle, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return _unpack(json.loads(str(arrays["tree"])), arrays)
    except Exception as error:  # zip, JSON and NumPy each have errors of their own
        raise StorageError(
            f"cannot read the checkpoint {path}: {error!r}; delete it to begin anew"
        ) from error


def _pack(node: Any, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(node, Tensor):
        name = f"t{len(arrays)}"
        arrays[name] = node.detach().cpu().contiguous().numpy()
        return {"tensor": name}
    if isinstance(node, Mapping):
        # keys may be whole numbers, which JSON would turn into text
        return {"dict": [[key, _pack(value, arrays)] for key, value in node.items()]}
    if isinstance(node, (list, tuple)):
        kind = "list" if isinstance(node, list) else "tuple"
        return {kind: [_pack(value, arrays) for value in node]}
    if node is None or isinstance(node, (bool, int, float, str)):
        return {"value": node}
    raise InvalidArgumentError(f"a checkpoint cannot hold {type(node).__name__}: {node!r}")


def _unpack(node: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Any:
    ((kind, content),) = node.items()
    if kind == "tensor":
        return torch.from_numpy(arrays[content])
    if kind == "dict":
        return {key: _unpack(value, arrays) for key, value in content}
    if kind in ("list", "tuple"):
        values = [_unpack(value, arrays) for value in content]
        return values if kind == "list" else tuple(values)
    return content
