"""Modules for libraries that are not installed here are left out of the doctests, and named."""

from importlib.util import find_spec

NEEDS = {
    "riemann_lne_geomstats": "geomstats",
    "riemann_lne_torch/lightning.py": "lightning",
    "riemann_lne_torch/hosts/lightning.py": "lightning",
    "riemann_lne_torch/transformers.py": "transformers",
    "riemann_lne_torch/hosts/transformers.py": "transformers",
}
MISSING = {path: library for path, library in NEEDS.items() if find_spec(library) is None}
collect_ignore = list(MISSING)


def pytest_report_header() -> list[str]:
    """Say what is left out."""
    return [
        f"no doctests of {path}: {library} is not installed" for path, library in MISSING.items()
    ]
