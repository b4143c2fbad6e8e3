"""
Your own task
=============

A task is a network with its data, a loss and a metric, in a file of yours. ``riemann-lne compare``
trains the network with each method from the same weights on the same batches, seed by seed.

Predicted, from our studies: with a corrected gradient a run ends better or worse by a point or two,
and on average neither. Measured: differences to the straight-through estimator, seed by seed.
Beside them, as a measure of chance, those of the same estimator from weights that were moved in the
last bit. Long trainings amplify such rounding; this short one does not.
"""

import contextlib
import io
import json
import tempfile
import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from riemann_lne import cli

# %%
# The file. Four noisy waves have to be told apart by a network with binary weights.
TASK = """
import torch
from riemann_lne_validation.comparison import Task, register_task


def model():
    return torch.nn.Sequential(
        torch.nn.Linear(40, 24, bias=False), torch.nn.BatchNorm1d(24), torch.nn.ReLU(),
        torch.nn.Linear(24, 24, bias=False), torch.nn.BatchNorm1d(24), torch.nn.ReLU(),
        torch.nn.Linear(24, 4),
    )


def data(seed):
    random = torch.Generator().manual_seed(0)
    y = torch.arange(1200) % 4
    x = torch.linspace(0, 6.28, 40) * (1 + y[:, None] / 2)
    x = torch.sin(x) + 1.6 * torch.randn(1200, 40, generator=random)
    return {
        "train": (x[:600], y[:600]),
        "validation": (x[600:800], y[600:800]),
        "test": (x[800:], y[800:]),
    }


register_task(Task("waves", model, data, defaults={"epochs": 6, "batch_size": 40}))
"""

# %%
# The command, with 12 seeds. On a shell: ``riemann-lne compare --tasks my_task.py --methods ...``.
METHODS = ("ste", "last-bit", "lne-exact")
with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    (folder / "my_task.py").write_text(TASK, encoding="utf-8")
    command = ["compare", "--tasks", str(folder / "my_task.py"), "--methods", *METHODS]
    command += ["--seeds", "12", "--jobs", "1", "--out", str(folder / "runs")]
    command += ["--json", str(folder / "results.json")]
    silent = io.StringIO()  # in place of the tables, which are wide
    with contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent):
        assert cli.main(command) == 0
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))

for sentence in results["sentences"]:
    print(textwrap.fill(sentence, 80))

# %%
# One point for each seed: the accuracy of a method less that of the straight-through estimator.
accuracy = {a["label"]: np.array([*a["final_by_seed"].values()]) for a in results["arms"]}
figure, axes = plt.subplots(figsize=(6.4, 4), layout="constrained")
for place, method in enumerate(METHODS[1:]):
    differences = accuracy[method] - accuracy["ste"]
    mean, scatter = differences.mean(), differences.std(ddof=1)
    print(f"{method:9s} differs by {mean:+.2f} points, with a scatter of {scatter:.2f}")
    apart = np.linspace(-0.15, 0.15, len(differences))
    axes.plot(place + apart, differences, "o", markersize=5)
    error = scatter / np.sqrt(len(differences))
    axes.errorbar(place + 0.25, mean, yerr=error, fmt="ks", capsize=4)
axes.axhline(0, color="0.5", linewidth=1)
axes.set_xticks(range(len(METHODS) - 1), METHODS[1:])
axes.set_ylabel("accuracy less that of ste (points)")
axes.set_title("12 seeds; mean and its standard error")
plt.show()
