"""The command line, run as a user runs it."""

import json
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from riemann_lne_validation.audit.records import plain
from riemann_lne_validation.audit.report import short
from riemann_lne_validation.commands import parse_settings


def run(*arguments, cwd=None):
    return subprocess.run(
        [sys.executable, "-m", "riemann_lne.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=cwd,
        check=False,
    )


class Page(HTMLParser):
    """Collects what has to fit together on the page."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.anchors, self.sources = set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        known = dict(attributes)
        if "id" in known:
            self.ids.add(known["id"])
        if tag == "a":
            self.anchors.append(known["href"])
        if tag == "img":
            self.sources.append(known["src"])


def test_verify_writes_json_and_a_page(tmp_path):
    target, report = tmp_path / "out" / "v.json", tmp_path / "report"
    only = ["weak-inverse", "mirror-map-convexity"]
    done = run("verify", "--quick", "--only", *only, "--json", target, "--report", report)
    assert done.returncode == 0, done.stderr
    assert "holds with conditions" in done.stdout
    assert "does not hold" in done.stdout
    records = json.loads(target.read_text())
    assert [r["id"] for r in records] == ["mirror-map-convexity", "weak-inverse"]
    wanted = {"id", "where", "statement", "verdict", "measured", "predicted", "error"}
    assert wanted | {"tolerance", "seconds"} <= set(records[0])
    page = Page((report / "index.html").read_text())
    assert set(only) <= page.ids
    assert all(a.removeprefix("#") in page.ids for a in page.anchors)
    assert len(page.sources) == 2
    assert all(s.startswith("data:image/png;base64,") for s in page.sources)
    assert sorted(p.name for p in report.glob("*.png")) == [f"{i}-0.png" for i in sorted(only)]


def test_a_parameter_can_be_set_and_is_in_the_command_to_repeat(tmp_path):
    report = tmp_path / "report"
    done = run("verify", "--only", "weak-inverse", "--set", "n=7", "--report", report)
    assert done.returncode == 0, done.stderr
    assert "--only weak-inverse --set n=7" in (report / "index.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "no-such-claim"], "known: all-time-convergence"),
        (["--backend", "fortran"], "known: cupy, numpy, torch"),
        (["--only", "weak-inverse", "--set", "m=1"], "known: n, seed, targets"),
        (["--only", "weak-inverse", "--set", "n"], "give NAME=VALUE"),
        (["--set", "n=1"], "exactly one claim"),
        (["--report", "/proc/no/such"], "cannot write to /proc/no/such"),
    ],
)
def test_a_wrong_argument_is_an_error_that_says_what_to_do(arguments, message):
    done = run("verify", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_check_that_crashes_gives_exit_code_one_and_the_rest_goes_on(tmp_path):
    target = tmp_path / "v.json"
    done = run("verify", "--only", "weak-inverse", "--set", "n='many'", "--json", target)
    assert done.returncode == 1
    assert json.loads(target.read_text())[0]["verdict"] == "error"
    assert "crashed" in done.stdout


def test_list_names_claims_and_parameters():
    done = run("verify", "--list")
    assert done.returncode == 0
    assert "exponential-decay-torus" in done.stdout
    assert "amplitude=0.3" in done.stdout


def test_bench_runs_one_benchmark_and_refuses_unknown_ones(tmp_path):
    done = run("bench", "--only", "no-such")
    assert done.returncode == 2
    assert (
        "known: budget, corrector, cuda, cuda-whole, gpu, integrators, lne, memory, peers, regul"
        in done.stderr
    )


def test_settings_are_literals_and_nothing_else():
    assert parse_settings(["a=1", "b = (1, 2)", "c='x'"]) == {"a": 1, "b": (1, 2), "c": "x"}
    with pytest.raises(ValueError, match="NAME=VALUE"):
        parse_settings(["a=__import__('os')"])


def test_json_has_no_numbers_that_json_does_not_know():
    assert plain({"a": [float("inf"), float("nan"), 1.5, True, None]}) == {
        "a": ["inf", "nan", 1.5, True, None]
    }
    assert short({"a": 1, "b": 2.0, "c": 3, "d": 4}) == "a: 1, b: 2, c: 3, ..."
