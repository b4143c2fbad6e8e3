"""What the README shows works as it says, in this environment and in a fresh clone."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]


def blocks(language):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_code_of_the_readme_runs_and_the_rates_agree(capsys):
    namespace = {}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), namespace)
    measured, predicted, curvature = map(float, capsys.readouterr().out.split())
    assert abs(measured / predicted - 1) < 2e-3
    assert abs(curvature - 2) < 1e-5
    assert np.all(np.isfinite(namespace["natural"]))


def test_the_pictures_of_the_readme_exist():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", text):
        assert (ROOT / picture).stat().st_size > 0


def test_the_table_of_the_readme_has_the_pinned_verdicts():
    pinned = json.loads((ROOT / "tests/validation/pinned_verdicts.json").read_text())
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for id, verdict in pinned.items():
        assert re.search(rf"{id} .*│ {verdict} +│", text), id


@pytest.fixture
def clone(tmp_path):
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs git and a checkout")
    target = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(target)], check=True)
    return target


def make(folder, *arguments, **variables):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "PIP_"))}
    return subprocess.run(
        ["make", *arguments],
        cwd=folder,
        env={**environment, **variables},
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )


@pytest.mark.slow
def test_make_verify_works_in_a_fresh_clone(clone):
    done = make(clone, "verify", f"PYTHON={sys.executable}")
    assert done.returncode == 0, done.stderr
    assert "Theorem audit" in done.stdout
    assert "error " not in re.sub(r"│ error ┃", "", done.stdout.split("Theorem audit")[0])
    assert (clone / "verify-report" / "index.html").stat().st_size > 10_000


@pytest.mark.slow
def test_make_test_works_in_a_fresh_clone(clone):
    # One test file of the suite stands for it: the whole suite is what is running now.
    made = make(clone, ".venv/.test", f"PYTHON={sys.executable}")
    assert made.returncode == 0, made.stderr
    done = subprocess.run(
        [clone / ".venv/bin/python", "-m", "pytest", "-q", "tests/core/test_tensors.py"],
        cwd=clone,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_make_says_plainly_what_is_missing(tmp_path):
    if shutil.which("make") is None:
        pytest.skip("needs make")
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    done = make(tmp_path, "verify", "PYTHON=no-such-python")
    assert done.returncode != 0
    assert "Python 3.11 or newer is needed" in done.stdout
