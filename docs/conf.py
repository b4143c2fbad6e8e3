"""Sphinx configuration. Build with ``make docs``; needs no network."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sphinx_gallery.sorting import ExplicitOrder

import riemann_lne

HERE = Path(__file__).parent
GENERATED = HERE / "_build" / "generated"

project = "riemann-lne"
author = "The riemann-lne developers"
project_copyright = author
version = release = riemann_lne.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_gallery.gen_gallery",
]
# What is generated lies below _build, which is not under version control: of that folder, only the
# gallery's pages are sources.
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
html_title = f"riemann-lne {release}"
html_show_sphinx = False
html_copy_source = False
myst_heading_anchors = 3

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
    """The claims of the audit, from their functions, so that nothing is typed twice."""
    from riemann_lne_validation import known_claims

    parts = []
    for claim in known_claims().values():
        paragraphs = (claim.check.__doc__ or "").strip().split("\n\n")
        statement, *rest = (" ".join(p.split()) for p in paragraphs)
        parts += [f"### `{claim.id}`", f"*{claim.where}.* {_markdown(statement)}"]
        parts += [_markdown(p) for p in rest]
        quick = ", ".join(f"`{name}={value!r}`" for name, value in claim.quick.items())
        parts.append(f"Parameters (quick form): {quick}.")
        longer = {k: v for k, v in claim.full.items() if claim.quick.get(k) != v}
        if longer:
            full = ", ".join(f"`{name}={value!r}`" for name, value in longer.items())
            parts.append(f"Full form: {full}.")
    GENERATED.mkdir(parents=True, exist_ok=True)
    (GENERATED / "claims.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    count = f"This version of the library checks {len(known_claims())} statements.\n"
    (GENERATED / "count.md").write_text(count, encoding="utf-8")


def _markdown(text: str) -> str:
    """Plain text with formulas as Markdown that reads the same."""
    parts = re.split(r"(``.*?``)", text)
    return "".join(
        p[1:-1] if p.startswith("``") else re.sub(r"([*_|\[\]<>])", r"\\\1", p) for p in parts
    )


def setup(app: Any) -> None:
    """Connect the hooks above; before napoleon, which reads the sections of docstrings."""
    app.connect("autodoc-process-docstring", plain_docstring, priority=400)
    app.connect("autodoc-process-docstring", plain_attribute_types, priority=600)
    app.connect("builder-inited", write_claims)
