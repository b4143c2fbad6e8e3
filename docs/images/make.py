"""Draw the still pictures of the README and of the start page: python docs/images/make.py."""

import contextlib
import re
import shutil
import sys
import tempfile
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
HERE = Path(__file__).parent
README = HERE.parents[1] / "README.md"
sys.path.insert(0, str(HERE.parent / "examples"))


def five_lines(target: Path) -> None:
    """The picture that the README's first program saves where it runs."""
    program = re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert program is not None
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        exec(program[1], {})
        shutil.copy("decay.png", target)


if __name__ == "__main__":
    from plot_first_flow import draw, solution

    draw(solution).savefig(HERE / "first-flow.png", dpi=100, facecolor="white")
    five_lines(HERE / "decay.png")
