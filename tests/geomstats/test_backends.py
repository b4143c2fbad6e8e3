"""Runs the tests of this folder in a process for each geomstats backend.

geomstats chooses its backend when it is imported. ``on_each_backend.py`` is run with all of them,
``cross_checks.py`` with autograd, the only one whose derivatives of user metrics are right.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

if importlib.util.find_spec("geomstats") is None:
    pytest.skip(
        "geomstats is not installed (extra 'geomstats', which needs numpy < 2.4)",
        allow_module_level=True,
    )

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
# geomstats and what it imports raise these; our own warnings stay errors
FOREIGN = ["-W", "ignore::ImportWarning", "-W", "ignore::DeprecationWarning"]


def run(backend, *files, slow=False):
    needs = {"autograd": "autograd", "pytorch": "torch"}.get(backend)
    if needs and importlib.util.find_spec(needs) is None:
        pytest.skip(f"the backend {backend} needs {needs}, which is not installed")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *FOREIGN]
    if slow:
        command += ["-m", "slow"]
    done = subprocess.run(
        [*command, *map(str, files)],
        env=os.environ | {"GEOMSTATS_BACKEND": backend},
        cwd=ROOT, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert " passed" in done.stdout, done.stdout


@pytest.mark.parametrize("backend", ["numpy", "autograd", "pytorch"])
def test_on_backend(backend):
    run(backend, HERE / "on_each_backend.py")


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["numpy", "autograd", "pytorch"])
def test_what_takes_long(backend):
    run(backend, HERE / "on_each_backend.py", slow=True)


def test_doctests():
    run("numpy", ROOT / "adapters" / "riemann_lne_geomstats")


def test_cross_checks():
    run("autograd", HERE / "cross_checks.py")
