"""The file that ``riemann-lne compare --new-task FILE`` writes: a task that runs as it stands."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from riemann_lne.errors import InvalidArgumentError
from riemann_lne.io import storage_errors, write_atomically

__all__ = ["TEMPLATE", "write_template"]

TEMPLATE = '''"""My task: riemann-lne compare --tasks {name} --methods ste lne-exact last-bit"""

import torch
from torch import nn

from riemann_lne_validation.comparison import Task, register_task


def model():
    """A float network, or one that Brevitas or torchao quantises. Its random state is seeded."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2), nn.BatchNorm2d(16), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 4),
    )


def data(seed):
    """Inputs and targets of three splits; here the same for every seed: bars at four angles."""
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(4, (900,), generator=generator)
    row, column = torch.meshgrid(*[torch.linspace(-1, 1, 28)] * 2, indexing="ij")
    angle = (torch.pi / 4 * y)[:, None, None]
    bars = torch.exp(-8 * (row * torch.cos(angle) + column * torch.sin(angle)) ** 2)
    x = bars[:, None] + 1.5 * torch.randn(900, 1, 28, 28, generator=generator)
    parts = {{"train": slice(0, 500), "validation": slice(500, 600), "test": slice(600, 900)}}
    return {{part: (x[items], y[items]) for part, items in parts.items()}}


register_task(Task(
    name="bars", model=model, data=data,
    loss=nn.functional.cross_entropy,
    metric="accuracy",  # or Metric(name, of=function, better="lower", unit="bits", factor=1.0)
    defaults={{
        "epochs": 4, "batch_size": 50, "learning_rate": 0.05, "weight_bits": 2,
        "weight_scale": "mean-channel", "quantize_last": False,  # the last layer stays float
    }},
))
'''
"""Text of the template; ``{name}`` is the name of the file."""


def write_template(path: str | Path) -> Path:
    """Write the template; never over a file that is there. Returns the path.

    Raises
    ------
    InvalidArgumentError
        If there is something of that name, or it is no name of a Python file.
    StorageError
        If it cannot be written.
    """
    path = Path(path)
    if path.suffix != ".py":
        raise InvalidArgumentError(
            f"--new-task = {str(path)!r}; a task is a Python file: give a name that ends in .py"
        )
    if path.exists():
        raise InvalidArgumentError(f"there is a file {path} already; give another name")
    # As a shell takes it, and within a string of Python. Where the locale is not UTF-8, Python
    # holds other letters as halves, which cannot be written; their bytes are those of the name.
    name = shlex.quote(os.fsencode(path.name).decode("utf-8", "replace"))
    text = TEMPLATE.format(name=name.replace("\\", "\\\\").replace('"', '\\"'))
    with storage_errors("a new task", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda file: file.write(text.encode()))
    return path
