"""Sphinx configuration. Build with ``make docs``; needs no network."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from sphinx_gallery.sorting import ExplicitOrder

import riemann_lne

HERE = Path(__file__).parent
GENERATED = HERE / "_build" / "generated"
sys.path.insert(0, str(HERE))  # for the script that writes the audit's pages
EXTRA = GENERATED / "extra"  # whole pages, copied as they are
EXTRA.mkdir(parents=True, exist_ok=True)

project = "riemann-lne"
author = "The riemann-lne developers"
project_copyright = author
version = release = riemann_lne.__version__

extensions = [
    "mathml",
    "myst_parser",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_gallery.gen_gallery",
]
# What is generated lies below _build, which is not under version control: of that folder, only the
# gallery's pages and those of the audit's claims are sources.
exclude_patterns = [
    "_build/html",
    "_build/doctrees",
    "_build/generated",
    "_build/gallery/*.ipynb",
    "_build/gallery/*.py",
    "examples",
]
highlight_language = "text"
smartquotes = False  # g' is a derivative, not a quotation
html_theme = "furo"
html_extra_path = ["_build/generated/extra"]
html_title = f"riemann-lne {release}"
html_show_sphinx = False
html_copy_source = False
myst_heading_anchors = 3
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
html_math_renderer = "mathml"
html_static_path = ["static"]
html_css_files = ["pages.css"]
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

napoleon_google_docstring = False
# Types are prose ("array, shape (..., n)"): as fields their words would become links.
napoleon_use_param = False
napoleon_use_rtype = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_default_options = {"members": True}
python_maximum_signature_line_length = 88

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "_build/gallery",
    "filename_pattern": r"plot_",
    "within_subsection_order": ExplicitOrder(
        [
            "plot_first_flow.py",
            "plot_order_of_accuracy.py",
            "plot_embedding_flow.py",
            "plot_dumbbell.py",
            "plot_round_sphere.py",
            "plot_corseted_spheres.py",
            "plot_surfaces_of_revolution.py",
            "plot_positive_ricci.py",
            "plot_gowdy_and_nil.py",
            "plot_perelman_lambda.py",
            "plot_lne_metric.py",
            "plot_lne_geodesics.py",
            "plot_corrector_digits.py",
            "plot_algorithm_2.py",
        ]
    ),
    "abort_on_example_error": True,
    "write_computation_times": False,
    "show_memory": False,
    "download_all_examples": False,
    "remove_config_comments": True,
    "min_reported_time": 1e9,
}


def plain_docstring(
    app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Escape what reST would read as markup in formulas: docstrings write them as plain text.

    Text in double backticks, doctests and literal blocks are left as they are.
    """
    inside = False
    for i, line in enumerate(lines):
        stripped = line.strip()
        if stripped.startswith(">>>"):
            inside = True
        elif not stripped:
            inside = False
        if not inside:
            parts = re.split(r"(``.*?``)", line)
            lines[i] = "".join(p if p.startswith("``") else _escaped(p) for p in parts)


def _escaped(text: str) -> str:
    text = re.sub(r"([|*])", r"\\\1", text)
    return re.sub(r"(\w)_(?!\w)", r"\1\\_", text)  # a word that ends with _ would be a link


def plain_attribute_types(
    app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Types of attributes as text: as a field, the n of "shape (n,)" would link to any n."""
    for i, line in enumerate(lines):
        lines[i] = re.sub(r"^(\s*):type: (.+)$", r"\1*\2*", line)


def write_claims(app: Any) -> None:
    """The audit's pages, from its checks and a recorded run, so that nothing is typed twice."""
    from claim_pages import write_certificates, write_pages

    write_pages(HERE / "_build" / "claims", GENERATED)
    write_certificates(EXTRA / "certificates")


def write_comparisons(app: Any) -> None:
    """The recorded comparisons of estimators, from their JSON files."""
    from comparison_results import write_results

    write_results(HERE / "results", GENERATED / "comparison.md", EXTRA / "comparisons")


def write_benchmarks(app: Any) -> None:
    """The recorded benchmarks as tables and plots: no number of that page is typed."""
    from riemann_lne_benchmarks.page import write_pages

    folder = GENERATED / "benchmarks"
    images = folder.relative_to(HERE).as_posix()
    write_pages(HERE / "benchmarks" / "results.json", folder, images)


def setup(app: Any) -> None:
    """Connect the hooks above; before napoleon, which reads the sections of docstrings."""
    app.connect("autodoc-process-docstring", plain_docstring, priority=400)
    app.connect("autodoc-process-docstring", plain_attribute_types, priority=600)
    app.connect("builder-inited", write_claims)
    app.connect("builder-inited", write_comparisons)
    app.connect("builder-inited", write_benchmarks)
