"""An example that runs in the reader's browser, with JupyterLite (make docs-lite).

The notebook is the one that Sphinx-Gallery makes of the example. The kernel is Pyodide: Python,
NumPy, SciPy and Matplotlib compiled to WebAssembly, which the browser fetches from Pyodide's own
address or from that in ``DOCS_PYODIDE``. The wheels of riemann-lne and of its dependencies in plain
Python lie on the site itself.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from formulas import typeset

WANTED = bool(os.environ.get("DOCS_LITE"))
# Examples that need no PyTorch, MPI or file formats, and end in a browser within a minute.
EXAMPLES = ("first_flow",)
INSTALL = "%pip install riemann-lne matplotlib"
# The kernel in the versions that the notebooks were tried with; any copy of it will do.
PYODIDE = os.environ.get("DOCS_PYODIDE", "https://cdn.jsdelivr.net/pyodide/v0.27.7/full/pyodide.js")
FOLDER = Path(__file__).parent / "_build" / "lite"  # the wheels lie in its folder pypi
NOTE = (
    "This page runs in your browser and installs nothing on your computer. **Run > Run All Cells** "
    "runs everything; the first cell loads Python's packages, which takes a while. There is no C "
    "compiler here, so that flows take several times as long as outside a browser. Python itself "
    f"comes from {urlsplit(PYODIDE).netloc}: where that cannot be reached nothing runs here; the "
    "example's own page then has the program and its pictures."
)
# On the site itself, for the kernel's installer: the library and what Pyodide lacks.
WHEELS = ("array-api-compat", "comm", "filelock", "riemann-lne")


def link(app: Any, docname: str, source: list[str]) -> None:
    """Put a link to its notebook above the program of an example, below its introduction."""
    name = docname.removeprefix("gallery/plot_")
    if name == docname or name not in EXAMPLES:
        return
    address = f"../lite/lab/index.html?path={name}.ipynb"
    before, mark, after = source[0].partition(".. GENERATED FROM PYTHON SOURCE LINES")
    where = urlsplit(PYODIDE).netloc
    linked = f"`Run this example in your browser <{address}>`__, with Python from {where}."
    source[0] = f"{before}{linked}\n\n{mark}{after}"


def prepared(notebook: dict[str, Any]) -> dict[str, Any]:
    """A notebook that begins with the installation of the library, its formulas typeset."""
    note = {"cell_type": "markdown", "metadata": {}, "source": [NOTE]}
    code = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": []}
    cells = [{**cell, "source": _typeset(cell)} for cell in notebook["cells"]]
    return {**notebook, "cells": [note, {**code, "source": [INSTALL]}, *cells]}


def _typeset(cell: dict[str, Any]) -> list[str]:
    if cell["cell_type"] != "markdown":
        return cell["source"]
    text = "".join(cell["source"])
    return [typeset(text, str, lambda formula: f"${formula}$")]


def build(app: Any, error: Exception | None) -> None:
    """Build the site of the notebooks into the folder lite of the pages."""
    if error is not None or app.builder.name != "html":
        return
    contents = FOLDER / "contents"
    shutil.rmtree(contents, ignore_errors=True)
    contents.mkdir(parents=True)
    kernel = {"@jupyterlite/pyodide-kernel-extension:kernel": {"pyodideUrl": PYODIDE}}
    settings = {
        "jupyter-lite-schema-version": 0,
        "jupyter-config-data": {"litePluginSettings": kernel},
    }
    (FOLDER / "jupyter-lite.json").write_text(json.dumps(settings, indent=1), encoding="utf-8")
    for name in EXAMPLES:
        made = Path(app.srcdir) / "gallery" / f"plot_{name}.ipynb"
        notebook = prepared(json.loads(made.read_text(encoding="utf-8")))
        (contents / f"{name}.ipynb").write_text(json.dumps(notebook, indent=1), encoding="utf-8")
    command = [sys.executable, "-m", "jupyter", "lite", "build", "--lite-dir", str(FOLDER)]
    command += ["--contents", str(contents), "--output-dir", str(Path(app.outdir) / "lite")]
    done = subprocess.run([*command, "--apps", "lab"], cwd=FOLDER, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    missing = lacking(Path(app.outdir) / "lite")
    if missing:
        raise RuntimeError(f"the site of the notebooks lacks {', '.join(missing)}")


def lacking(site: Path) -> list[str]:
    """Parts that a site of notebooks must have and this one has not, each in words."""
    found = [f"files/{name}.ipynb" for name in EXAMPLES]
    missing = [name for name in (*found, "lab/index.html") if not (site / name).is_file()]
    index = site / "pypi" / "all.json"
    known = json.loads(index.read_text(encoding="utf-8")) if index.is_file() else {}
    missing += [f"the wheel of {name}" for name in WHEELS if name not in known]
    settings = site / "jupyter-lite.json"
    if not settings.is_file() or PYODIDE not in settings.read_text(encoding="utf-8"):
        missing.append(f"the address of Pyodide, {PYODIDE}")
    return missing
