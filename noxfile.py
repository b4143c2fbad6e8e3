#!/usr/bin/env -S uv run --script

# /// script
# dependencies = ["nox>=2025.5"]
# ///
"""Tests in environments of their own: other versions of Python, and the oldest libraries allowed.

``make`` stays the way for one Python; ``nox -l`` lists what is here.
"""

import nox

nox.needs_version = ">=2025.5"
nox.options.default_venv_backend = "uv|venv"

EXTRAS = ".[verify,io]"
# Tests that need no PyTorch: the core, its properties and its public names.
CORE = [
    f"tests/{room}" for room in ("core", "flows", "exact", "integrators", "io", "lne", "public")
]


@nox.session(python=["3.11", "3.12", "3.13"])
def tests(session: nox.Session) -> None:
    """The core's tests with the newest libraries."""
    session.install("-e", EXTRAS, *nox.project.dependency_groups(_project(), "test"))
    session.run("pytest", "-n", "2", *(session.posargs or CORE), env={"OMP_NUM_THREADS": "1"})


@nox.session(python="3.11", venv_backend="uv", default=False)
def lowest(session: nox.Session) -> None:
    """The core's tests with the oldest libraries that pyproject.toml allows."""
    session.install("--resolution", "lowest-direct", "-e", EXTRAS)
    session.install(*nox.project.dependency_groups(_project(), "test"))
    # Old libraries call what newer ones beside them have deprecated.
    ignored = "ignore::DeprecationWarning"
    environment = {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": ignored}
    asked = ["-n", "2", "-W", ignored, *(session.posargs or CORE)]
    session.run("pytest", *asked, env=environment)


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff, mypy, and the review of the repository."""
    session.run("make", "lint", external=True)
    session.install("sp-repo-review[cli]")
    session.run("repo-review", ".")


def _project() -> dict:
    return nox.project.load_toml("pyproject.toml")


if __name__ == "__main__":
    nox.main()
