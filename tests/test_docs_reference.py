"""Every public name is on a page of the reference."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

PAGES = Path(__file__).parents[1] / "docs" / "api"
MODULES = [
    "riemann_lne",
    "riemann_lne.curvature",
    "riemann_lne.flows",
    "riemann_lne.integrators",
    "riemann_lne.kernels",
    "riemann_lne.analysis",
    "riemann_lne.plotting",
    "riemann_lne.exact",
    "riemann_lne.symmetric",
    "riemann_lne.conformal",
    "riemann_lne.lne",
    "riemann_lne.testing",
    "riemann_lne_torch",
    "riemann_lne_torch.logging",
    "riemann_lne_torch.testing",
    "riemann_lne_mpi",
    "riemann_lne_validation.audit",
    "riemann_lne_validation.comparison",
]
# Not documented one by one: type aliases and tables whose page is where they are explained.
ELSEWHERE = {
    "riemann_lne_torch.logging.Report",
    "riemann_lne_validation.audit.certificates",
}
_ONE = re.compile(r"^\.\. auto(?:class|function|data|exception):: (\S+)", re.M)
_MODULE = re.compile(r"^\.\. automodule:: (\S+)\n((?:   .*\n|\n(?=   ))*)", re.M)


def documented() -> set[str]:
    """Names of the pages, as they are written there."""
    found: set[str] = set()
    for page in PAGES.glob("*.rst"):
        text = page.read_text("utf-8")
        found.update(_ONE.findall(text))
        for module, options in _MODULE.findall(text):
            flat = " ".join(options.split())
            members = re.search(r":members:([^:]*)", flat)
            assert members is not None, f"{page.name}: {module} without :members:"
            names = [n for n in re.split(r"[ ,]+", members[1]) if n]
            if not names:
                home = importlib.import_module(module)
                names = getattr(home, "__all__", [n for n in vars(home) if n[0] != "_"])
            left_out = re.search(r":exclude-members:([^:]*)", flat)
            out = set(re.split(r"[ ,]+", left_out[1])) if left_out else set()
            found.update(f"{module}.{name}" for name in names if name not in out)
    return found


def resolved(names: set[str]) -> set[int]:
    """The objects behind names, by identity: one object may be public under several."""
    found = set()
    for name in names:
        parts = name.split(".")
        for k in range(len(parts) - 1, 0, -1):
            try:
                thing = importlib.import_module(".".join(parts[:k]))
            except ImportError:
                continue
            for part in parts[k:]:
                thing = getattr(thing, part)
            found.add(id(thing))
            break
    return found


@pytest.mark.parametrize("module", MODULES)
def test_public_names_are_documented(module: str) -> None:
    for needed, library in (("_torch", "torch"), ("_validation", "sympy"), ("comparison", "torch")):
        if needed in module:
            pytest.importorskip(library)
    home = importlib.import_module(module)
    names = documented()
    if importlib.util.find_spec("torch") is None:
        names = {n for n in names if "_torch" not in n and "comparison" not in n}
    known = resolved(names)
    missing = [
        name
        for name in home.__all__
        if f"{module}.{name}" not in names | ELSEWHERE
        and id(getattr(home, name)) not in known
        and not hasattr(getattr(home, name), "__path__")  # a package has its own page
        and type(getattr(home, name)).__name__ != "module"
    ]
    assert not missing, f"{module}: not in docs/api: {', '.join(missing)}"
