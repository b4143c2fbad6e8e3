"""The errors themselves: they reach another process whole, and say why a library is not there."""

from __future__ import annotations

import ast
import importlib
import inspect
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from riemann_lne.errors import (
    MissingDependencyError,
    NotPositiveDefiniteError,
    RiemannLNEError,
    StorageError,
)

ROOT = Path(__file__).parents[2]
ROOMS = ("riemann_lne", "adapters", "validation")
# An example of those whose constructor takes something else than texts.
EXAMPLES = {
    "UnknownNameError": ("method", "rk5", ["rk4", "rk45"]),
    "ContractError": ("Task", "rows", "loss", "returns no number"),
}


def calls(name: str) -> Iterator[tuple[Path, ast.Call, bool]]:
    """Where an error is made: the file, the call, and whether a failed import is at hand."""
    for path in (p for room in ROOMS for p in (ROOT / room).rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        handlers = [
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.ExceptHandler)
            and node.type is not None
            and "Error" in ast.unparse(node.type)
        ]
        handled = {id(inner) for handler in handlers for inner in ast.walk(handler)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == name:
                yield path, node, id(node) in handled


def family(kind: type[RiemannLNEError]) -> list[type[RiemannLNEError]]:
    return [kind, *(deeper for k in kind.__subclasses__() for deeper in family(k))]


def example(kind: type[RiemannLNEError]) -> RiemannLNEError:
    """One made from as many texts as the constructor must have."""
    needed = [
        p
        for p in list(inspect.signature(kind.__init__).parameters.values())[1:]
        if p.kind is p.POSITIONAL_OR_KEYWORD and p.default is p.empty
    ]
    return kind(*EXAMPLES.get(kind.__name__, ["a text"] * max(1, len(needed))))


def test_every_error_reaches_another_process_with_its_message():
    pytest.importorskip("rich")
    for module in ("riemann_lne_benchmarks.lab", "riemann_lne_benchmarks.versions"):
        importlib.import_module(module)
    if importlib.util.find_spec("torch"):
        importlib.import_module("riemann_lne_validation.comparison")
    kinds = [kind for kind in family(RiemannLNEError) if "<locals>" not in kind.__qualname__]
    assert len(kinds) > 15
    for kind in kinds:
        error = example(kind)
        copied = pickle.loads(pickle.dumps(error))
        assert type(copied) is kind
        assert str(copied) == str(error)


def test_what_an_error_carries_comes_along():
    placed = NotPositiveDefiniteError("not positive", (1, 2), -0.5)
    copied = pickle.loads(pickle.dumps(placed))
    assert (copied.index, copied.eigenvalue) == ((1, 2), -0.5)
    assert pickle.loads(pickle.dumps(StorageError("disk full", 28))).errno == 28


def test_a_library_that_is_there_but_cannot_be_imported_is_not_called_missing(monkeypatch):
    def said(module: str, library: str) -> str:
        with pytest.raises(ImportError) as failed:
            importlib.import_module(module)
        return str(MissingDependencyError(library, "plot", "a picture", failed.value))

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "matplotlib, which is not installed; install" in said("matplotlib", "matplotlib")
    other = str(MissingDependencyError("geomstats", "geomstats", "x", ImportError("no 'trapz'")))
    assert "which cannot be imported (no 'trapz'); install it with" in other
    part = ModuleNotFoundError("No module named 'accelerate'", name="accelerate")
    told = str(MissingDependencyError("transformers", "hosts", "the callback", part))
    assert "cannot be imported (No module named 'accelerate')" in told
    part = ModuleNotFoundError("No module named 'onnx.helper'", name="onnx.helper")
    assert "cannot be imported" in str(MissingDependencyError("onnx", "hosts", "x", part))


def test_every_failed_import_is_handed_on_to_the_error_that_speaks_of_it():
    found = list(calls("MissingDependencyError"))
    assert sum(handled for *_, handled in found) > 15
    for path, call, handled in found:
        assert len(call.args) == (4 if handled else 3), f"{path}, line {call.lineno}"
