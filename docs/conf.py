"""Sphinx configuration. Build with ``make docs``; needs no network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import riemann_lne

HERE = Path(__file__).parent
GENERATED = HERE / "_build" / "generated"
sys.path.insert(0, str(HERE))  # for the scripts that write pages
import lite  # noqa: E402
from formulas import pieces, typeset  # noqa: E402
from thumbnails import use_thumbnails  # noqa: E402

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
    "sphinx_gallery.gen_gallery",
]
if not os.environ.get("DOCS_CHECK"):  # as many pages again, of highlighted sources
    extensions.append("sphinx.ext.viewcode")
# Generated pages are not under version control: those of the gallery and of the audit's
# claims, in folders named after their addresses, and below _build what other pages include.
exclude_patterns = ["_build", "gallery/*.ipynb", "gallery/*.py", "examples"]
highlight_language = "text"
# Dashes alone, which Sphinx writes between a parameter and its text: g' is no quotation.
smartquotes_action = "D"
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
    "gallery_dirs": "gallery",
    "filename_pattern": r"plot_",
    "within_subsection_order": "gallery_order.ReadingOrder",
    "image_scrapers": ("thumbnails.scrape",),
    "reset_modules": ("matplotlib", "gallery_order.limit_processor_time"),
    "reset_modules_order": "both",
    "abort_on_example_error": True,
    "write_computation_times": False,
    "show_memory": False,
    "download_all_examples": False,
    "remove_config_comments": True,
    "min_reported_time": 1e9,
}


def typeset_docstring(
    app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Typeset the formulas of a docstring, which are plain text, and escape what is reST's markup.

    Doctests, literal blocks and what numpydoc reads (headings, names with their types) stay.
    """
    made: list[str] = []
    inside = False  # a doctest or a literal block
    for number, line in enumerate(lines):
        stripped = line.strip()
        heading = number + 1 < len(lines) and re.fullmatch(r"\s*[-=~]{3,}", lines[number + 1])
        if inside and stripped.startswith((">>>", "...")):
            made.append(line)
            continue
        if not stripped:
            made.append(line)
            inside = inside and bool(re.match(r"\s", "".join(lines[number + 1 : number + 2])))
            continue
        if stripped.startswith(">>>"):
            inside = True
        if inside or heading or re.match(r"\s*[-=~]{3,}|\s*[\w*, ]+ : |\s*\.\. ", line):
            made.append(line)
        elif made and _continues(made[-1], line):
            made[-1] += " " + stripped
        else:
            made.append(line)
        inside = inside or line.endswith("::")
    inside = False
    for number, line in enumerate(made):
        stripped = line.strip()
        if stripped.startswith(">>>"):
            inside = True
        elif not stripped:
            inside = inside and bool(re.match(r"\s", "".join(made[number + 1 : number + 2])))
        elif not inside and not re.match(r"\s*[-=~]{3,}|\s*[\w*, ]+ : |\s*\.\. ", line):
            indent = line[: len(line) - len(line.lstrip())]
            made[number] = indent + restructured(line.lstrip())
        inside = inside or line.endswith("::")
    lines[:] = made


def _continues(before: str, line: str) -> bool:
    """True if a line of prose goes on with the line before it."""
    indent = re.match(r"\s*", before)
    assert indent is not None
    prose = r"\s*(?![-=~]{3,}|[-*] |\d+\. |\.\. |:|>>>|[\w*, ]+ : )\S"
    return (
        bool(re.match(prose, before) and re.match(prose, line))
        and line.startswith(indent.group())
        and not line[indent.end() :].startswith(" ")
        and not before.endswith("::")
    )


def restructured(text: str) -> str:
    """A text in reST with its formulas as roles."""
    made = typeset(text, _words, lambda formula: f":math:`{formula}`")
    made = re.sub(r"(?<=\S)(:math:`[^`]*`)", r"\\ \1", made)  # reST wants a space around a role
    return re.sub(r"(:math:`[^`]*`)(?=\S)", r"\1\\ ", made)


def _words(text: str) -> str:
    parts = re.split(r"(``.*?``|`.*?`)", text)
    return "".join(p if p.startswith("`") else _escaped(p) for p in parts)


def _escaped(text: str) -> str:
    text = re.sub(r"([|*])", r"\\\1", text)
    return re.sub(r"(\w)_(?!\w)", r"\1\\_", text)  # a word that ends with _ would be a link


def plain_attribute_types(
    app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Types of attributes as text: as a field, the n of "shape (n,)" would link to any n."""
    for i, line in enumerate(lines):
        # A first line with a colon reads as a type to napoleon, and may hold a formula.
        kept = r"\1\2" if ":math:" in line else r"\1*\2*"
        lines[i] = re.sub(r"^(\s*):type: (.+)$", kept, line)


def typeset_example(app: Any, docname: str, source: list[str]) -> None:
    """Typeset the formulas of an example's page, which its program writes as plain text."""
    if not docname.startswith("gallery/plot_"):
        return
    made, literal = [], False
    lines = source[0].split("\n")
    for number, line in enumerate(lines):
        if re.fullmatch(r"[=-]{3,}", "".join(lines[number + 1 : number + 2])):
            made.append(line)  # a title
            continue
        # Indented lines are a program, its output, or the content of a directive.
        prose = line[:1] not in ("", " ", ".", ":", "=", "-", "^", "*") and not literal
        if line.endswith("::"):
            literal = True
        elif line and not line.startswith(" "):
            literal = False
        if prose:
            line = _formulas_in_literals(line)
            line = restructured(line)
        made.append(line)
    source[0] = "\n".join(made)


def _formulas_in_literals(line: str) -> str:
    """Literals that are formulas, ``|t|^2``, without their backticks, so that they are typeset."""

    def opened(match: re.Match[str]) -> str:
        found = list(pieces(match[1]))
        formula = len(found) == 1 and found[0][0] and re.search(r"[\^|]| = |\(", match[1])
        return match[1] if formula else match.group()

    return re.sub(r"``(.*?)``", opened, line)


def write_claims(app: Any) -> None:
    """The audit's pages, from its checks and a recorded run, so that nothing is typed twice."""
    from claim_pages import write_certificates, write_pages

    write_pages(HERE / "claims", GENERATED)
    write_certificates(EXTRA / "certificates")


def write_comparisons(app: Any) -> None:
    """The recorded comparisons of estimators, from their JSON files."""
    from comparison_results import write_bits, write_results

    write_results(HERE / "results", GENERATED / "comparison.md", EXTRA / "comparisons")
    write_bits(HERE / "results", GENERATED / "comparison-bits.md")


def draw_pictures(app: Any) -> None:
    """One picture of every function that draws, and that of the decision on a method."""
    from pictures import draw

    draw(GENERATED / "pictures")


def write_costs(app: Any) -> None:
    """The table of the costs of all methods of the comparison, from the recorded run."""
    import json

    from riemann_lne_validation.comparison.benchmark import markdown

    found = json.loads((HERE / "benchmarks" / "overheads.json").read_text(encoding="utf-8"))
    (GENERATED / "method-costs.md").write_text(markdown(found), encoding="utf-8")


def write_trajectories(app: Any) -> None:
    """The table of two trainings compared weight by weight, from the recorded run."""
    import json

    from riemann_lne_validation.comparison.trajectories import markdown

    found = json.loads((HERE / "benchmarks" / "adapted-rates.json").read_text(encoding="utf-8"))
    (GENERATED / "adapted-rates.md").write_text(markdown(found), encoding="utf-8")


def write_benchmarks(app: Any) -> None:
    """The recorded benchmarks as tables and plots: no number of that page is typed."""
    from riemann_lne_benchmarks.page import (
        write_cuda_page,
        write_other_targets,
        write_pages,
        write_solution_pages,
    )

    folder = GENERATED / "benchmarks"
    images = folder.relative_to(HERE).as_posix()
    write_pages(HERE / "benchmarks" / "results.json", folder, images)
    write_solution_pages(HERE / "benchmarks" / "solution.json", folder)
    write_cuda_page(HERE / "benchmarks" / "cuda.json", folder)
    write_other_targets(HERE / "benchmarks" / "results-avx2.json", folder / "targets-avx2.md")


def write_commands(app: Any) -> None:
    """The help of every command, as the installed program prints it."""
    parts = []
    for command in ("flow", "verify", "compare", "bench"):
        asked = [sys.executable, "-m", "riemann_lne", command, "--help"]
        environment = {**os.environ, "COLUMNS": "88", "NO_COLOR": "1"}
        done = subprocess.run(asked, capture_output=True, text=True, env=environment, check=False)
        if done.returncode:  # the entry points of validation are there once it is installed
            text = f"pip install riemann-lne makes this command known:\n{done.stderr.strip()}"
        else:
            text = done.stdout
        block = "\n".join(f"   {line}".rstrip() for line in text.splitlines())
        title = f"riemann-lne {command}"
        parts.append(f"{title}\n{'-' * len(title)}\n\n.. code-block:: text\n\n{block}\n")
    (GENERATED / "commands.rst").write_text("\n".join(parts), encoding="utf-8")


def setup(app: Any) -> None:
    """Connect the hooks above; before napoleon, which reads the sections of docstrings."""
    app.connect("autodoc-process-docstring", typeset_docstring, priority=400)
    app.connect("autodoc-process-docstring", plain_attribute_types, priority=600)
    app.connect("source-read", typeset_example)
    app.connect("builder-inited", write_commands)
    app.connect("builder-inited", draw_pictures)
    app.connect("builder-inited", write_claims)
    app.connect("builder-inited", write_comparisons)
    app.connect("builder-inited", write_costs)
    app.connect("builder-inited", write_trajectories)
    app.connect("builder-inited", write_benchmarks)
    app.connect("builder-inited", use_thumbnails, priority=900)  # after those of the gallery
    if lite.WANTED:
        app.connect("source-read", lite.link, priority=600)  # after the formulas
        app.connect("build-finished", lite.build)
