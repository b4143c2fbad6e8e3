"""What the README shows works as it says, in this environment and in a fresh clone."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[1]
README = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())


def blocks(language):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_code_of_the_readme_runs(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), namespace)
    assert abs(float(capsys.readouterr().out) - 2) < 1e-5
    assert (tmp_path / "decay.png").stat().st_size > 10_000
    # The slowest modes of a torus of length 2 pi: k = 1, in the limit metric, which is near flat.
    rate = re.search(r"rate ([\d.]+)", namespace["picture"].get_legend().get_texts()[0].get_text())
    assert abs(float(rate[1]) - 1) < 0.1
    # The text and the alternative text of the picture name the rates that the program finds.
    limit = namespace["solution"][-1].mean()
    predicted = namespace["rl"].predicted_decay_rates(limit)[0].rate
    assert f"rate {rate[1]}; `rl.predicted" in README
    assert f"gives {predicted:.3f} for the slowest mode" in README
    assert f"line of rate {rate[1]}" in README


def test_the_pictures_of_the_readme_exist():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", text):
        assert (ROOT / picture).stat().st_size > 0


def test_no_address_of_the_long_description_is_relative(monkeypatch):
    """An index shows it at an address of its own: relative pictures would stay empty there."""
    # Of the build's own library, which is not installed here, only a name is used.
    interface = SimpleNamespace(MetadataHookInterface=object)
    monkeypatch.setitem(sys.modules, "hatchling.metadata.plugin.interface", interface)
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    hook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hook)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    relative = r"\]\((?!https?:|#)"
    pictures = len(re.findall(r"!\[", text))
    assert pictures >= 2
    plain = hook.for_an_index(text, None)
    shown = hook.for_an_index(text, "https://host.example/owner/name/")
    assert not re.search(relative, plain)
    assert not re.search(relative, shown)
    assert "![" not in plain
    assert "The neck pinches" not in plain  # nor the caption of a picture that is not there
    assert "the quick start" in plain
    assert shown.count("](https://host.example/owner/name/raw/HEAD/docs/images/") == pictures
    assert "(https://host.example/owner/name/blob/HEAD/docs/quickstart.md)" in shown
    for made in (plain, shown):  # the rest is as it was
        assert made.split("## Extras")[1].split("## Citation")[0] in text


def test_the_counts_of_the_readme_are_those_of_the_pinned_verdicts():
    pinned = json.loads((ROOT / "tests/validation/pinned_verdicts.json").read_text())
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    found = re.search(
        r"Of (\d+) statements (\d+) hold, (\d+) hold with conditions, (\d+) do not", text
    )
    counts = Counter(pinned.values())
    verdicts = ("holds", "holds with conditions", "does not hold")
    assert [int(n) for n in found.groups()] == [len(pinned), *(counts[v] for v in verdicts)]


def test_every_extra_is_in_the_readme_and_every_one_there_exists():
    extras = set(
        tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    )
    table = (ROOT / "README.md").read_text(encoding="utf-8").split("## Extras")[1].split("##")[0]
    named = {
        name
        for row in re.findall(r"^\| (`.*?) \|", table, re.M)
        for name in re.findall(r"`(.*?)`", row)
    }
    assert named == extras


def rows_of(record, name):
    return record["benchmarks"][name]["rows"]


def test_the_share_of_the_corrector_is_that_of_the_record():
    record = json.loads((ROOT / "docs/benchmarks/results.json").read_text())
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    share = float(re.search(r"costs ([\d.]+) % of a training step", text)[1])
    requirements = {r["statement"]: r["measured"] for r in record["requirements"]}
    measured = next(v for k, v in requirements.items() if "corrector" in k)
    assert round(measured, 1) == share
    page = " ".join((ROOT / "docs/training.md").read_text(encoding="utf-8").split())
    said = re.search(r"takes ([\d.]+) % of a training step, and ([\d.]+) % with", page)
    rows = {r["what"]: r["figures"]["% of the step"] for r in rows_of(record, "corrector")}
    given = rows["correct_ on ResNet-20, tau given"]
    assert [float(n) for n in said.groups()] == [round(measured, 1), round(given, 1)]


def test_the_headline_on_speed_is_that_of_the_record():
    record = json.loads((ROOT / "docs/benchmarks/results.json").read_text())
    times = r"([\d.]+) times as fast"
    found = re.search(rf"is {times} as the same formula in NumPy and {times} as in JAX", README)
    rows = {r["what"]: r["figures"] for r in rows_of(record, "right-hand-side")}
    peers = {
        r["what"]: r["figures"]["fused is faster by"]
        for r in rows_of(record, "peers")
        if "fused is faster by" in r["figures"] and "threads" not in r["what"]
    }
    numpy = rows["fused 96^3, order 4, float64"]["times plain"]
    jax = min(v for k, v in peers.items() if k.startswith("JAX") and "96^3, order 4" in k)
    assert [float(n) for n in found.groups()] == [round(numpy, 1), round(jax, 1)]
    closest = min(peers, key=peers.get)
    assert closest == "torch.compile 1024^2, order 4, float64"
    assert f"torch.compile in 2-D, where ours is {peers[closest]:.1f} times as fast" in README


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
