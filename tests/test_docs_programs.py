"""The programs of the documentation run, a page's blocks in order, in an empty folder."""

import importlib
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[1] / "docs"
ELSEWHERE = {
    "parallel.md": "tests/mpi/test_documentation.py",
    "hosts.md": "tests/torch_hosts/test_documentation.py",
    "testing.md": "tests/testing/test_pages.py",
}
LONG = {"closed.md"}
NEEDS = {
    "torch": ("estimators.md", "training.md", "comparison.md", "own-network.md"),
    "xarray": ("surfaces.md",),
}


def programs(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)


PAGES = [
    pytest.param(page, id=page.stem, marks=[pytest.mark.slow] if page.name in LONG else [])
    for page in sorted(DOCS.glob("*.md"))
    if programs(page) and page.name not in ELSEWHERE
]


# Where pages register what they define; other tests look at these.
REGISTRIES = [
    ("numpy", "riemann_lne.integrators.methods.registry", "_REGISTERED"),
    ("sympy", "riemann_lne_validation.audit.frame", "_REGISTRY"),
    ("torch", "riemann_lne_torch.quantize.estimators.registry", "_REGISTRY"),
    ("torch", "riemann_lne_validation.comparison.registered", "_DATASETS"),
    ("torch", "riemann_lne_validation.comparison.registered", "_NETWORKS"),
]


@pytest.fixture(autouse=True)
def _registries() -> Iterator[None]:
    kept: list[tuple[dict[str, Any], dict[str, Any]]] = []
    for library, module, name in REGISTRIES:
        if importlib.util.find_spec(library) is not None:
            home = importlib.import_module(module)
            if hasattr(home, "known_claims"):
                home.known_claims()  # registers all of the package, which is imported once
            if hasattr(home, "all_datasets"):
                home.all_datasets()
            registry = getattr(home, name)
            kept.append((registry, dict(registry)))
    yield
    for registry, content in kept:
        registry.clear()
        registry.update(content)


@pytest.mark.filterwarnings("ignore:FigureCanvasAgg is non-interactive")
@pytest.mark.parametrize("page", PAGES)
def test_the_programs_of_a_page_run(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    for library, pages in NEEDS.items():
        if page.name in pages:
            pytest.importorskip(library)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    try:
        for number, program in enumerate(programs(page), 1):
            exec(compile(program, f"{page.name}, program {number}", "exec"), names)
    finally:
        pyplot.close("all")


def test_pages_that_are_left_out_have_a_test_elsewhere() -> None:
    for name, test in ELSEWHERE.items():
        assert (DOCS / name).exists()
        assert (DOCS.parent / test).exists()
