"""Every error and warning in the source says what is wrong, where, and what to do.

The messages are collected from the syntax trees of all packages, so that a new one is looked at as
well. A message passes if it fills in a value or names what it speaks of, and if it has an
imperative, a bound, or another word that says what would be right. Sentences cannot be judged by a
program; a message that only says "failed" can.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("riemann_lne", "adapters", "validation")

# Their constructors write the sentence, with the known names or the command to install.
COMPLETE = {"UnknownNameError": 3, "MissingDependencyError": 3, "ContractError": 3}
# Their text is one cell of a table of figures, and no message to a user.
CELLS = {"NotMeasuredError", "NoKernelError", "DoesNotApplyError"}
# Half sentences on stored files: ``lab.stored_json`` puts the file before, and behind them the
# advice that it is given as an argument.
HALVES = {
    f"validation/riemann_lne_validation/{name}.py"
    for name in (
        "lab/stored_json",
        *(f"comparison/{n}" for n in ("image_hits", "records", "stored", "study_lock")),
    )
}

# What to do: a verb where an imperative stands, at the start of a clause.
VERBS = """
    add ask begin build call change check choose compare convert copy correct cut declare define
    delete describe divide draw end enlarge evaluate exclude export fit free gather give hold
    import install keep leave let limit list load look loosen lower make map measure move
    multiply name normalise open pass put raise read redistribute reduce refine register remove
    rename repair repeat replace rerun reset restore return run save say scale see select set
    shift shorten shrink sort split start state stop switch symmetrise take train try turn undo
    unpack update use wait widen wrap write
"""
IMPERATIVE = re.compile(
    rf"(?:^|[;:,.(?]\s+|\b(?:or|and|then|first|please)\s+|\n\s*)(?:{'|'.join(VERBS.split())})\b",
    re.IGNORECASE,
)
# Or a bound: what would have been right.
BOUND = re.compile(
    r"\b(at least|at most|more than|less than|fewer than|greater|positive|between|below|above"
    r"|within|needs?|needed|wants|takes?|minimal|must|expected|belongs?|only|known|instead"
    r"|asks? for|such as|comes? in|exists? (for|on)|(is|are) for|goes? with|given for|could be)\b"
    r"|[\d}] to [\d{]|[<>]=? [\d{}]"
)
# Or the system's own reason, which the message hands on.
SYSTEM = re.compile(r"cannot (read|write|look)[^;]*: \{\}")
# What, and where, if no value is filled in: a name in quotes, an argument, a class, an option.
NAMED = re.compile(
    r"""\{\}|'[^']+'|"[^"]+"|\w+\(|\w+=|\b\w+_\w+\b|--\w+|\[\w+\]|\b[A-Z]\w+[A-Z]\w+"""
)


@dataclass(frozen=True)
class Message:
    """A message as it stands in the source; ``{}`` for each value that is filled in."""

    file: str
    line: int
    kind: str
    text: str

    @property
    def faults(self) -> list[str]:
        """Which of the criteria it misses."""
        found = []
        if not NAMED.search(self.text):
            found.append("it fills in no value and names nothing")
        if not any(form.search(self.text) for form in (IMPERATIVE, BOUND, SYSTEM)):
            found.append("it has no imperative and no bound")
        return found

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.kind}: {self.text!r}"


def sources() -> list[Path]:
    return [p for name in PACKAGES for p in sorted((ROOT / name).rglob("*.py"))]


@cache
def trees() -> dict[Path, ast.Module]:
    return {path: ast.parse(path.read_text("utf-8")) for path in sources()}


@cache
def family() -> frozenset[str]:
    """Names of the classes that descend from RiemannLNEError, in all packages."""
    bases = {
        node.name: {ast.unparse(base).split(".")[-1] for base in node.bases}
        for tree in trees().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    found = {"RiemannLNEError"}
    while more := {name for name, of in bases.items() if of & found} - found:
        found |= more
    return frozenset(found)


@cache
def functions() -> dict[str, list[ast.FunctionDef]]:
    """The functions of all packages by name: some of them write messages for others."""
    found: dict[str, list[ast.FunctionDef]] = {}
    for tree in trees().values():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                found.setdefault(node.name, []).append(node)
    return found


def called(node: ast.Call) -> str:
    """The last name of what is called."""
    function = node.func
    return str(getattr(function, "attr", getattr(function, "id", "")))


def written(node: ast.expr, scopes: tuple[ast.AST, ...], depth: int = 0) -> str | None:
    """The text of an expression; None where that cannot be told from the source."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else "{}"
    if isinstance(node, ast.JoinedStr):
        return "".join(written(v, scopes, depth) or "{}" for v in node.values)
    if isinstance(node, ast.FormattedValue):
        # A word that is filled in may be the advice: "{give}" is looked up, "{value}" is a value.
        inner = written(node.value, scopes, depth + 1) if depth < 3 else None
        return "{}" if inner in (None, "{}") else f"{{}}{inner}"
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return f"{written(node.left, scopes, depth)}{written(node.right, scopes, depth)}"
    if isinstance(node, ast.IfExp):
        return f"{written(node.body, scopes, depth)} {written(node.orelse, scopes, depth)}"
    if isinstance(node, ast.BoolOp):
        return " ".join(written(v, scopes, depth) or "{}" for v in node.values)
    if depth > 3:
        return None
    if isinstance(node, ast.Name):
        texts = [
            written(n.value, scopes, depth + 1)
            for scope in scopes
            for n in ast.walk(scope)
            if isinstance(n, ast.Assign) and any(ast.unparse(t) == node.id for t in n.targets)
        ]
        return " ".join(t for t in texts if t) or None
    if isinstance(node, ast.Call):
        name = called(node)
        results = [
            written(n.value, (function,), depth + 1)
            for function in functions().get(name, [])
            for n in ast.walk(function)
            if isinstance(n, ast.Return) and n.value is not None
        ]
        return " ".join(t for t in results if t) or None
    return None


def within(tree: ast.Module) -> Iterator[tuple[ast.AST, ast.AST, bool]]:
    """Every node, the innermost function around it (or the module), and whether it stands where

    an error of the family is caught: that one has said everything already.
    """
    stack: list[tuple[ast.AST, ast.AST, bool]] = [(tree, tree, False)]
    while stack:
        node, scope, caught = stack.pop()
        yield node, scope, caught
        inner = node if isinstance(node, (ast.FunctionDef, ast.Lambda)) else scope
        if isinstance(node, ast.ExceptHandler):
            kinds = re.findall(r"\w+Error", ast.unparse(node.type) if node.type else "")
            caught = bool(kinds) and set(kinds) <= family()
        stack.extend((child, inner, caught) for child in ast.iter_child_nodes(node))


def collected() -> Iterator[Message]:
    """Errors of the family and warnings whose text can be told from the source."""
    for path, tree in trees().items():
        file = path.relative_to(ROOT).as_posix()
        for node, scope, caught in within(tree):
            call = node.exc if isinstance(node, ast.Raise) else node
            if not isinstance(call, ast.Call):
                continue
            kind = called(call)
            # Warnings, and what is logged as one; of the latter, values fill in %s.
            warns = kind in {"warn", "warning"} and not isinstance(node, ast.Raise)
            if not (warns or (isinstance(node, ast.Raise) and kind in family() - CELLS)):
                continue
            if kind in COMPLETE:
                given = len(call.args) + len(call.keywords)
                text: str | None = None
                if given < COMPLETE[kind]:
                    text = f"<{given} arguments>"
            else:
                text = written(call.args[0], (scope, tree)) if call.args else ""
                if kind == "warning" and text is not None:
                    text = re.sub(r"%[\d.]*[sdg]", "{}", text)
            # The reason behind the colon is the text of an error, which is looked at where it is
            # raised.
            hands_on = caught or kind == "warning"
            handed_on = hands_on and text is not None and text.endswith(": {}")
            if text is not None and not handed_on and file not in HALVES:
                yield Message(file, call.lineno, kind, text)


def test_the_collection_reaches_all_packages() -> None:
    messages = list(collected())
    assert {m.file.split("/")[0] for m in messages} == set(PACKAGES)
    kinds = {m.kind for m in messages}
    assert {"InvalidArgumentError", "StorageError", "warn", "warning"} <= kinds
    raised = sum(
        isinstance(node, ast.Raise)
        and isinstance(node.exc, ast.Call)
        and called(node.exc) in family() - CELLS - set(COMPLETE)
        for tree in trees().values()
        for node in ast.walk(tree)
    )
    # The others are half sentences, handed on, or made where this program does not look.
    assert len(messages) >= 0.93 * raised


def test_every_message_says_what_is_wrong_and_what_to_do() -> None:
    lines = [f"{m}\n    {'; '.join(m.faults)}" for m in collected() if m.faults]
    assert not lines, f"{len(lines)} messages:\n" + "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("failed", "names nothing"),
        ("{} is wrong", "no imperative"),
        ("the array is broken; give another one", "names nothing"),
        ("rtol = {}; give a positive number", ""),
        ("'x' has shape {}; 3 entries are needed", ""),
    ],
)
def test_the_criteria_tell_messages_apart(text: str, fault: str) -> None:
    faults = Message("file.py", 1, "InvalidArgumentError", text).faults
    assert any(fault in f for f in faults) if fault else not faults
