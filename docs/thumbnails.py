"""Pictures of the gallery: one clear thumbnail for each example, and wide figures on phones.

Sphinx-Gallery would shrink the whole first figure to a thumbnail, whose panels and words nobody can
read. Here one panel is drawn anew for it: alone, without words, with thicker lines.
"""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path
from textwrap import indent
from typing import Any

THUMBNAILS = Path(__file__).parent / "_build" / "generated" / "thumbnails"
SIZE, DPI = (4.0, 2.8), 100  # inches: the 400 x 280 pixels of Sphinx-Gallery

# The figure and the panel of it that stand for an example, counted from 0; (0, 0) where not named.
# The panels of None are kept together as they are.
PANELS: dict[str, tuple[int, int | None]] = {
    "algorithm_2": (0, 1),
    "corrector_digits": (0, 1),
    "dumbbell": (0, 2),
    "embedding_flow": (1, 0),
    "own_estimator": (0, 0),
    "perelman_lambda": (0, 1),
    "property_tests": (0, None),
    "round_sphere": (0, None),
    "surfaces_of_revolution": (0, 2),
}
WIDE = 8.0  # inches: a wider figure would be too small to read on a phone

_figures: dict[str, int] = {}  # of each example, so far


def scrape(block: Any, block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
    """Save the open figures as Sphinx-Gallery does; draw the thumbnail if one of them has it."""
    import matplotlib.pyplot as plt
    from sphinx_gallery.scrapers import matplotlib_scraper

    name = Path(block_vars["src_file"]).stem.removeprefix("plot_")
    wanted, panel = PANELS.get(name, (0, 0))
    wide = False
    for number in plt.get_fignums():
        figure = plt.figure(number)
        wide = wide or figure.get_size_inches()[0] > WIDE
        if _figures.get(name, 0) == wanted:
            draw(figure, panel, THUMBNAILS / f"{name}.png")
        _figures[name] = _figures.get(name, 0) + 1
    made = matplotlib_scraper(block, block_vars, gallery_conf)
    if wide and made.strip():
        return f"\n.. container:: wide-picture\n\n{indent(made, '    ')}\n\n"
    return made


def draw(figure: Any, panel: int | None, path: Path) -> None:
    """Draw one panel of a figure without its words, or all of them for None, into a PNG file."""
    import matplotlib.pyplot as plt
    from matplotlib.text import Text

    copy = pickle.loads(pickle.dumps(figure))
    copy.set_layout_engine("none")
    copy.set_size_inches(SIZE)
    chosen = [a for a in copy.axes if not hasattr(a, "_colorbar")]
    if panel is not None:
        chosen = [chosen[panel]]
    for axes in list(copy.axes):
        if axes not in chosen:
            axes.remove()
    for legend in copy.legends[:]:
        legend.remove()
    across = min(len(chosen), 3 if len(chosen) != 4 else 2)
    down = -(-len(chosen) // across)
    for k, axes in enumerate(chosen):
        _bare(axes)
        row, column = divmod(k, across)
        width, height = 0.96 / across, 0.95 / down
        axes.set_position(
            (0.02 + column * width + 0.005, 0.975 - (row + 1) * height + 0.005)
            + (width - 0.01, height - 0.01)
        )
    for text in copy.findobj(Text):
        text.set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    copy.savefig(path, dpi=DPI, facecolor="white")
    plt.close(copy)


def _bare(axes: Any) -> None:
    """Take ticks and legend from a panel and thicken what it shows."""
    if axes.get_legend() is not None:
        axes.get_legend().remove()
    axes.set_anchor("C")
    if axes.name != "3d":
        axes.set_box_aspect(None)
        axes.tick_params(which="both", length=0)
    for line in axes.lines:
        line.set_linewidth(max(2.0, 1.6 * line.get_linewidth()))
        line.set_markersize(max(6.0, 1.3 * line.get_markersize()))
    for spine in axes.spines.values():
        spine.set_color("0.7")


def use_thumbnails(app: Any) -> None:
    """Put the thumbnails where Sphinx-Gallery has put its own: connect it after that."""
    folder = Path(app.srcdir) / "gallery" / "images" / "thumb"
    for path in THUMBNAILS.glob("*.png"):
        if folder.is_dir():
            shutil.copyfile(path, folder / f"sphx_glr_plot_{path.stem}_thumb.png")
