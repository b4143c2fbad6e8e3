"""Certificates are confirmed as they are written, and refused once anything in them is changed."""

import ast
import copy
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from riemann_lne import LNEMetric
from riemann_lne.errors import MissingDependencyError
from riemann_lne.lne import discrete_flow_defect
from riemann_lne_validation import certificates
from riemann_lne_validation.audit import frame as audit
from riemann_lne_validation.audit.frame import Evidence, Measurement, Outcome, Verdict, known_claims
from riemann_lne_validation.certificates import checker
from riemann_lne_validation.certificates.discrete_flow import ricci_at

ALL = {c.claim: c for c in certificates.provable()}
# The others take 5 to 15 seconds each: derivations in up to 6 dimensions.
FAST = sorted(
    set(ALL)
    - {
        "exponential-decay-noncompact",
        "flow-defect",
        "lne-ricci-flat",
        "lne-scalar-curvature",
        "ricci-not-parabolic",
    }
)


def checked(tmp_path, text, capsys):
    path = tmp_path / "c.json"
    path.write_text(text)
    good = checker.check(path)
    return good, capsys.readouterr().out


def run_checker(folder):
    return subprocess.run(
        [sys.executable, str(folder / "check.py"), str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "id", [id if id in FAST else pytest.param(id, marks=pytest.mark.slow) for id in ALL]
)
def test_a_certificate_as_written_is_confirmed(id, tmp_path, capsys):
    good, said = checked(tmp_path, ALL[id].json(), capsys)
    assert good, said
    assert said.startswith("proved  ")
    assert ALL[id].proves in said


def test_the_form_of_the_file_does_not_matter(tmp_path, capsys):
    data = json.loads(ALL["pullback-decay"].json())
    for text in (json.dumps(data), json.dumps(data, indent=2, sort_keys=True)):
        good, said = checked(tmp_path, text, capsys)
        assert good, said


def test_the_checker_is_short_and_imports_nothing_of_the_library():
    source = certificates.CHECKER.read_text()
    assert len(source.splitlines()) < 150
    imported = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            imported.add(node.module.split(".")[0])
    assert imported - set(sys.stdlib_module_names) == {"sympy"}
    names = {n.id for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Name)}
    assert not names & {"eval", "exec", "compile", "__import__"}


def leaves(data, path=()):
    """Paths of all texts in a certificate."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield from leaves(value, (*path, key))
    elif isinstance(data, list):
        for i, value in enumerate(data):
            yield from leaves(value, (*path, i))
    else:
        yield path


def edited(data, path):
    """The certificate with one text changed: a number in it, or else a letter."""
    data = copy.deepcopy(data)
    place = data
    for key in path[:-1]:
        place = place[key]
    old = place[path[-1]]
    new = re.sub(r"\d+", lambda m: str(int(m[0]) + 1), old, count=1)
    place[path[-1]] = new if new != old else old + "x"
    return data


@pytest.mark.parametrize("id", FAST)
def test_a_certificate_with_any_one_entry_changed_is_refused(id, tmp_path, capsys):
    data = json.loads(ALL[id].json())
    paths = list(leaves(data))
    rng = np.random.default_rng(len(paths))
    for k in rng.choice(len(paths), size=min(6, len(paths)), replace=False):
        good, said = checked(tmp_path, json.dumps(edited(data, paths[k])), capsys)
        assert not good, (id, paths[k])
        assert said.startswith("FAILED  c.json, line ")


# One certificate rests on enclosures and signs alone.
STATED = [id for id in FAST if '"equals": ' in ALL[id].json()]


@pytest.mark.parametrize("id", STATED)
def test_a_wrong_value_is_named_with_its_line_and_entry(id, tmp_path, capsys):
    lines = ALL[id].json().splitlines()
    numbers = [i for i, line in enumerate(lines) if '"equals": ' in line]
    for i in (numbers[0], numbers[-1]):
        step = json.loads(lines[i].strip().rstrip(","))
        wrong = step | {"equals": more(step["equals"])}
        text = "\n".join(
            [*lines[:i], json.dumps(wrong) + ("," * lines[i].endswith(",")), *lines[i + 1 :]]
        )
        good, said = checked(tmp_path, text, capsys)
        assert not good
        assert f"line {i + 1}: " in said
        assert f"entry {step['name']}" in said


def more(equals):
    """The stated object with 1 added to its last entry."""
    return [*equals[:-1], more(equals[-1])] if isinstance(equals, list) else f"{equals} + 1"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data["parts"][0]["steps"].pop(), "is not the claim's"),
        (lambda data: data["parts"].pop(), "is not the claim's"),
        (lambda data: data["parts"][0]["steps"][-1].pop("sign"), "is not the claim's"),
        (lambda data: data["parts"][0]["steps"][1].pop("equals"), "is not the claim's"),
        (lambda data: data.update(claim="lne-ricci-flat"), "is not the claim's"),
        (lambda data: data["parts"][0]["steps"][1].update(equals="Ric"), "Ric"),
        (lambda data: data["parts"][0]["steps"][1].update(equals=[["0", "0"]]), "entry Ric is"),
        (lambda data: data["parts"][0]["steps"][1].update(equals="open(f1)"), "Call"),
        (lambda data: data["parts"][0]["given"].update(g=[["1", "0"], ["0", "1"]]), "line"),
        (lambda data: data.pop("parts"), "parts"),
    ],
)
def test_what_is_missing_or_forged_is_refused(change, message, tmp_path, capsys):
    data = json.loads(ALL["pullback-decay"].json())
    change(data)
    good, said = checked(tmp_path, json.dumps(data), capsys)
    assert not good
    assert message in said


def test_another_metric_whose_values_all_fit_is_refused(tmp_path, capsys):
    # diag(1, 1, ...) has Ric = 0 as well: a consistent certificate, but not of this claim.
    data = json.loads(ALL["pullback-decay"].json())
    for part in data["parts"]:
        n = len(part["given"]["g"])
        part["given"]["g"] = [[str(int(i == j)) + " + 0*f1" for j in range(n)] for i in range(n)]
        part["steps"] = part["steps"][:2]
    good, said = checked(tmp_path, json.dumps(data), capsys)
    assert not good
    assert "is not the claim's" in said


def test_the_checker_run_by_a_reader(tmp_path):
    ids = ["pullback-decay", "epsilon-close"]
    certificates.write(tmp_path, ids)
    done = run_checker(tmp_path)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("proved  ") == 2
    path = tmp_path / "epsilon-close.json"
    path.write_text(path.read_text().replace("f**2", "f**3"))
    done = run_checker(tmp_path)
    assert done.returncode == 1
    assert re.search(r"FAILED  epsilon-close.json, line \d+: ", done.stdout)
    assert "proved  pullback-decay.json" in done.stdout
    path.write_text("{")
    assert "FAILED  epsilon-close.json, line 1: " in run_checker(tmp_path).stdout
    empty = tmp_path / "empty"
    certificates.write(empty, [])
    assert run_checker(empty).returncode == 1


def values(id, n):
    """The names of the part of n dimensions, with rational numbers for symbols, and its steps."""
    part = next(p for p in json.loads(ALL[id].json())["parts"] if p["note"].startswith(f"n = {n}:"))
    rng = np.random.default_rng(n)
    names = {
        s: checker.QQ(int(rng.integers(-9, 10)), 10 * n) if s != "tau" else checker.QQ(7, 5)
        for s in part["symbols"].split()
    }
    for name, given in part["given"].items():
        names[name] = checker.read(given, names)
    return names, {s["name"]: s for s in part["steps"]}


def floats(x):
    return [floats(part) for part in x] if isinstance(x, list) else float(x)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_the_closed_forms_are_those_of_the_library(n):
    names, steps = values("lne-scalar-curvature", n)
    stated = {
        k: floats(checker.read(s["equals"], names)) for k, s in steps.items() if "equals" in s
    }
    t, tau = np.array(floats(names["t"])), float(names["tau"])
    lne, x = LNEMetric(tau), np.arctanh(t) / tau
    u, v = np.random.default_rng(n).normal(size=(2, n))
    np.testing.assert_allclose(stated["up"], np.linalg.inv(lne.matrix(x)), atol=1e-12)
    gamma = np.einsum("kij,i,j->k", stated["Gamma"], u, v)
    np.testing.assert_allclose(gamma, lne.christoffel(x, u, v), atol=1e-12)
    np.testing.assert_allclose(stated["Ric"], lne.ricci(x).matrix(), atol=1e-12)
    np.testing.assert_allclose(stated["R"], lne.scalar_curvature(x), rtol=1e-12)
    exact = np.array(floats(ricci_at(names["t"]))) * tau**2
    np.testing.assert_allclose(exact, lne.ricci(x).matrix(), atol=1e-12)


def test_the_forms_of_n_are_those_of_the_library():
    names, steps = values("flow-defect", 4)
    vectors = [np.array(floats(names[v])) for v in "pqrst"]
    found = discrete_flow_defect(*vectors, 1 / float(names["k"]), 1 / float(names["j"]))
    for form in ("gram", "centred"):
        stated = float(checker.read(steps[form]["equals"], names))
        assert found == pytest.approx(stated, rel=1e-12)


def outcome(id, verdict):
    m = Measurement("s", 1.0, 0.0, 1.0, 0.1, "why")
    return Outcome(known_claims()[id], verdict, Evidence(m), {}, 0.0)


def test_only_a_verdict_that_agrees_with_its_certificate_is_marked(tmp_path, monkeypatch):
    monkeypatch.setattr(audit, "_CERTIFICATES", {})
    fails = outcome("lne-metric-of-divergence", Verdict.FAILS)
    holds = outcome("mirror-map-convexity", Verdict.HOLDS)
    problems = certificates.certify(tmp_path / "proofs", [fails, holds], tmp_path)
    assert len(problems) == 1
    assert (
        "mirror-map-convexity is holds, where its certificate proves: does not hold" in problems[0]
    )
    assert fails.certificate == "proofs/lne-metric-of-divergence.json"
    assert holds.certificate == ""
    assert sorted(p.name for p in (tmp_path / "proofs").iterdir()) == [
        "check.py",
        "lne-metric-of-divergence.json",
        "mirror-map-convexity.json",
    ]


def test_a_certificate_that_the_checker_refuses_marks_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(audit, "_CERTIFICATES", {})
    right = certificates.write

    def spoiled(folder, claims):
        written = right(folder, claims)
        path = folder / "pullback-decay.json"
        path.write_text(path.read_text().replace("1/5", "1/6", 1))
        return written

    monkeypatch.setattr(certificates, "write", spoiled)
    verdict = outcome("pullback-decay", Verdict.FAILS)
    problems = certificates.certify(tmp_path, [verdict])
    assert len(problems) == 1
    assert "pullback-decay.json is not confirmed: FAILED" in problems[0]
    assert verdict.certificate == ""


def test_without_sympy_the_error_says_how_to_install_it(tmp_path, monkeypatch):
    right = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "sympy" else right(name)
    )
    with pytest.raises(MissingDependencyError, match=r"riemann-lne\[verify\]"):
        certificates.confirm(tmp_path, [])


def test_verify_certifies_marks_and_links(tmp_path):
    report = tmp_path / "report"
    only = ["weak-inverse", "natural-gradient"]
    done = subprocess.run(
        [sys.executable, "-m", "riemann_lne.cli", "verify", "--only", *only, "--report", report]
        + ["--certify", "--json", tmp_path / "v.json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "(proved)" in done.stdout
    records = {r["id"]: r for r in json.loads((tmp_path / "v.json").read_text())}
    assert records["weak-inverse"]["certificate"] == "certificates/weak-inverse.json"
    assert records["natural-gradient"]["certificate"] is None
    page = (report / "index.html").read_text()
    assert '<a href="certificates/weak-inverse.json">' in page
    assert Path(report / "certificates" / "weak-inverse.json").is_file()
    assert run_checker(report / "certificates").returncode == 0
