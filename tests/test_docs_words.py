"""One vocabulary: prose in pages, docstrings and comments has British spelling."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / "docs").glob("*.md"),
    *(ROOT / "docs" / "testing").glob("*.md"),
    *(ROOT / "docs" / "api").glob("*.rst"),
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
]
PACKAGES = ("riemann_lne", "adapters", "validation", "docs")

# The pages write -ise: a verb in -ize is American. "Size" and its compounds are no such verbs.
IZE = re.compile(
    r"\b(?!(?:re|over|under)?siz)[a-z]{3,}i(?:ze[sdr]?|zing|zations?)\b", re.IGNORECASE
)
OTHERS = re.compile(
    r"\b(?:analyz(?:e[sdr]?|ing)|artifacts?|behaviors?|canceled|catalog|centers?|centered|colors?"
    r"|colored|coloring|defense|favorite|fibers?|fulfill|grays?|labeled|labeling|modeled|modeling"
    r"|neighbors?|neighboring|neighborhood|toward|traveled)\b",
    re.IGNORECASE,
)
# Titles and names of others.
NAMES = re.compile(
    r"Learning Discretized Neural Networks|Center for|BinaryRelax|Normalized|Optimizer\b"
)


def prose_of_page(text: str) -> str:
    """The words of a page: without code, formulas, addresses and names."""
    kept, inside = [], False
    for line in text.split("\n"):
        if line.lstrip().startswith("```") and "glossary" not in line:
            inside = not inside
        elif not inside and not (line.startswith("    ") and "{glossary}" not in text):
            kept.append(line)
    return prose("\n".join(kept))


def prose(text: str) -> str:
    """Words without what is code or a formula in them."""
    text = re.sub(r"{term}`(.*?)(?: <.*?>)?`", r"\1", text)
    text = re.sub(r"``.*?``|`[^`]*`|\$[^$]*\$|\]\([^)]*\)|https?://\S+|\"[^\"]{,200}\"", " ", text)
    text = re.sub(r"\S*[_=./\\]\w\S*|\w+\(", " ", text)  # names of code
    return NAMES.sub(" ", text)


def prose_of_module(path: Path) -> list[tuple[int, str]]:
    """Docstrings and whole-line comments of a module, without its names, with their lines."""
    text = path.read_text(encoding="utf-8")
    found, names = [], set()
    for node in ast.walk(ast.parse(text)):
        names.add(getattr(node, "arg", None) or getattr(node, "id", None))
        names.add(getattr(node, "name", None))
        names.add(node.value if isinstance(node, ast.Constant) else None)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            doc = ast.get_docstring(node)
            if doc:
                doc = re.sub(r"^ *(>>>|\.\.\. ).*$", "", doc, flags=re.MULTILINE)
                doc = re.sub(r"^ *[\w, *]+ : .*$", "", doc, flags=re.MULTILINE)  # parameters
                found.append((getattr(node, "lineno", 1), prose(doc)))
    for number, line in enumerate(text.splitlines(), 1):
        if match := re.match(r"\s*# (?!%%|type:|noqa)(.*)", line):
            found.append((number, prose(match[1])))
    return [
        (line, re.sub(r"\w+", lambda m: "" if m.group() in names else m.group(), words))
        for line, words in found
    ]


def american(text: str) -> list[str]:
    return [m.group() for pattern in (IZE, OTHERS) for m in pattern.finditer(text)]


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_pages(path: Path) -> None:
    assert american(prose_of_page(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_docstrings_and_comments(package: str) -> None:
    found = []
    for path in sorted((ROOT / package).rglob("*.py")):
        if "_build" in path.parts or "gallery" in path.parts:
            continue
        for line, text in prose_of_module(path):
            found += [f"{path.relative_to(ROOT)}:{line}: {word}" for word in american(text)]
    assert found == []
