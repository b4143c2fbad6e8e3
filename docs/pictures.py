"""Pictures that pages show: one of every function that draws, and the decision on a method.

``conf.py`` calls ``draw`` when the documentation is built; what is newer than this file stays.
"""

from __future__ import annotations

import contextlib
import io
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import riemann_lne as rl

_GREEN, _BLUE, _GREY = "#d8eeda", "#d9e7f7", "#ececec"


def draw(folder: Path) -> None:
    """All pictures into a folder."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    for name, make in PICTURES.items():
        path = folder / name
        if path.exists() and path.stat().st_mtime > Path(__file__).stat().st_mtime:
            continue
        made = make(path)
        if made is not None:
            made.savefig(path, dpi=90, facecolor="white")
        plt.close("all")
    for page, names in OF_PAGES.items():
        _draw_page(Path(__file__).with_name(page), names, folder)
        plt.close("all")


def _draw_page(page: Path, names: tuple[str, ...], folder: Path) -> None:
    """The pictures that the programs of a page save, by running them in order."""
    there = [folder / name for name in names]
    newest = max(path.stat().st_mtime for path in (page, Path(__file__)))
    if all(p.exists() and p.stat().st_mtime > newest for p in there):
        return
    from matplotlib import rc_context

    programs = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    space: dict[str, Any] = {}
    with (
        tempfile.TemporaryDirectory() as work,
        contextlib.chdir(work),
        contextlib.redirect_stdout(io.StringIO()),
        rc_context({"savefig.bbox": "tight"}),  # without empty margins
    ):
        for program in programs:
            exec(program, space)
        for path in there:
            shutil.copyfile(path.name, path)


def _axes(**options: Any) -> Any:
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(4.4, 3.2), layout="constrained", **options)


def _decay(path: Path) -> Any:
    g = rl.perturbed_euclidean(rl.Grid.torus((32, 32)), amplitude=0.3, seed=1)
    times = np.linspace(0, 6, 25)
    flow = rl.solve_flow(g, rl.RicciDeTurckFlow(), (0, 6), t_eval=times)
    norms = [metric.l2_distance(flow[-1].mean()) for metric in flow.metrics[:-1]]
    figure, ax = _axes()
    rl.plotting.plot_decay(times[:-1], norms, window=(3, 5), ax=ax)
    return figure


def _scalar_curvature(path: Path) -> Any:
    figure, ax = _axes()
    g = rl.perturbed_euclidean(rl.Grid.torus((48, 48)), amplitude=0.3, seed=1)
    rl.plotting.plot_scalar_curvature(g, ax=ax)
    return figure


def _profiles(path: Path) -> Any:
    sausage = rl.exact.periodic_sausage((1, 0))
    start = sausage.field(0.6, rl.Grid.torus((96, 8)))
    flow = rl.solve_flow(start, rl.RicciDeTurckFlow(), (0.6, 2), t_eval=[0.6, 1, 2])
    figure, ax = _axes()
    rl.plotting.plot_profiles(flow, ax=ax)
    return figure


def _embedding(path: Path) -> Any:
    figure, ax = _axes(subplot_kw={"projection": "3d"})
    sausage = rl.exact.periodic_sausage((1, 0))
    rl.plotting.plot_embedding(sausage.field(0.7, rl.Grid.torus((96, 48))), ax=ax)
    return figure


def _animate(path: Path) -> None:
    g = rl.perturbed_euclidean(rl.Grid.torus((32, 32)), amplitude=0.3, seed=1)
    flow = rl.solve_flow(g, rl.RicciDeTurckFlow(), (0, 1), t_eval=np.linspace(0, 1, 9))
    rl.plotting.animate(flow, path, fps=4, dpi=50)


def _revolution(path: Path) -> Any:
    figure, ax = _axes()
    rl.plotting.plot_revolution(rl.symmetric.dumbbell(96, neck=0.3), ax=ax)
    return figure


_HISTORY: list[Any] = []


def _history() -> Any:
    if not _HISTORY:
        start = rl.symmetric.dumbbell(120, neck=0.15, tilt=0.5)
        _HISTORY.append(rl.symmetric.flow_with_surgery(start, rtol=1e-4))
    return _HISTORY[0]


def _neck(path: Path) -> Any:
    figure, ax = _axes()
    rl.plotting.plot_neck(_history(), ax=ax)
    return figure


def _moment(path: Path) -> Any:
    figure, ax = _axes()
    history = _history()
    rl.plotting.draw_moment(history, 1.05 * history.pieces[0].t[-1], ax=ax)
    return figure


def _surgery(path: Path) -> None:
    rl.plotting.animate_surgery(_history(), path, frames=16, fps=6, dpi=45)


# Questions and answers of choosing.md, from top to bottom; the answer stands beside its question.
_METHODS = [
    ("Sphere, neck or pinch with\nrotational symmetry?", "rl.symmetric.solve"),
    ("A test of orders, or a\nreference with equal steps?", '"rk4" with dt'),
    ("RicciFlow() without a gauge,\nfew or coarse steps?", '"tsit5"; many steps: "rkl2"'),
    ("Every axis periodic?", '"etdrk4"'),
    ("Ends held, and nothing\nmay overshoot there?", '"rkg2"'),
    (None, '"rkl2"'),
]


def _choosing(path: Path) -> Any:
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(figsize=(6.2, 7.4), layout="constrained")
    ax.set(xlim=(0, 10), ylim=(-1.4 * len(_METHODS) - 0.2, 1.1))
    ax.axis("off")
    box = {"boxstyle": "round,pad=0.45", "edgecolor": "0.35"}
    arrow = {"arrowstyle": "-|>", "color": "0.35", "shrinkA": 0, "shrinkB": 0}
    ax.text(
        2.9, 0.7, "method=...", ha="center", family="monospace", weight="bold", fontsize=13,
        bbox=box | {"facecolor": _GREY},
    )  # fmt: skip
    for k, (question, answer) in enumerate(_METHODS):
        y = -1.4 * k - 0.7
        x = 2.9 if question is None else 7.9
        if question is not None:
            ax.text(
                2.9, y, question, ha="center", va="center", fontsize=11,
                bbox=box | {"facecolor": _BLUE},
            )  # fmt: skip
            ax.annotate("", (6.2, y), (5.2, y), arrowprops=arrow)
            ax.text(5.65, y + 0.1, "yes", ha="center", va="bottom", fontsize=10)
        ax.annotate("", (2.9, y + 0.45), (2.9, y + 0.95), arrowprops=arrow)
        if k:
            ax.text(3.05, y + 0.72, "no", ha="left", va="center", fontsize=10)
        ax.text(
            x, y, answer.replace("; ", ";\n"), ha="center", va="center", fontsize=11,
            family="monospace", bbox=box | {"facecolor": _GREEN},
        )  # fmt: skip
    return figure


PICTURES: dict[str, Callable[[Path], Any]] = {
    "plot_decay.png": _decay,
    "plot_scalar_curvature.png": _scalar_curvature,
    "plot_profiles.png": _profiles,
    "plot_embedding.png": _embedding,
    "animate.gif": _animate,
    "plot_revolution.png": _revolution,
    "plot_neck.png": _neck,
    "draw_moment.png": _moment,
    "animate_surgery.gif": _surgery,
    "choosing.png": _choosing,
}

# Pages that show what their own programs save.
OF_PAGES = {"surfaces.md": ("torus.png", "cylinder.png", "torus.gif")}
