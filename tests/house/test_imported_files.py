"""Files of the tests are imported to look for examples in them: that must change nothing."""

import ast
from pathlib import Path

TESTS = Path(__file__).parents[1]


def changed_by(source):
    """Attributes of what a file has imported that it sets as it is read, each with its line."""
    body = ast.parse(source).body
    imported = {
        (alias.asname or alias.name).partition(".")[0]
        for node in body
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    return [
        (node.lineno, ast.unparse(target))
        for node in body
        if isinstance(node, (ast.Assign, ast.AugAssign, ast.AnnAssign))
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Attribute) and ast.unparse(target).partition(".")[0] in imported
    ]


def test_a_file_of_the_tests_changes_no_other_module():
    """One set the size of tiles: everything else in the process was up to thirty times slower."""
    assert changed_by("import a\na._b = 1") == [(2, "a._b")]
    found = {p: changed_by(p.read_text(encoding="utf-8")) for p in TESTS.rglob("*.py")}
    assert {p.name: changes for p, changes in found.items() if changes} == {}
