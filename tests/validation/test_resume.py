"""A run that was interrupted goes on: what is finished is kept, and taken only if it fits."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from riemann_lne.errors import InvalidArgumentError
from riemann_lne_validation.audit import records, running
from riemann_lne_validation.audit.frame import (
    Evidence,
    Line,
    Measurement,
    Outcome,
    Plot,
    Verdict,
    known_claims,
    run_claim,
)
from riemann_lne_validation.audit.records import Setting, evidence_of, resume, write_json
from riemann_lne_validation.lab.stored_json import seal, unseal

# Three that are done at once, and one that takes seconds, in which the run can be interrupted.
CLAIMS = ["mirror-map-convexity", "lne-ricci-flat", "weak-inverse", "coercivity"]


def start(report, *more):
    command = [sys.executable, "-m", "riemann_lne.cli", "verify", "--only", *CLAIMS]
    return subprocess.Popen(
        [*command, "--report", str(report), *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # so that signals reach the run and not the tests
    )


def wait_for_results(path, count=1, patience=120):
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if path.exists() and len(done := json.loads(path.read_text())) >= count:
            return {r["id"]: r for r in done}
        time.sleep(0.02)
    raise AssertionError(f"no {count} results in {path} after {patience} s")


def workers_of(pid):
    listing = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(p) for p in listing.read_text().split()] if listing.exists() else []


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


def all_end(workers, patience=20):
    end = time.monotonic() + patience
    while any(map(alive, workers)) and time.monotonic() < end:
        time.sleep(0.05)
    return not any(map(alive, workers))


def finish(report, *more):
    run = start(report, "--resume", *more)
    out, err = run.communicate(timeout=300)
    assert run.returncode == 0, err
    return out, json.loads((report / "results.json").read_text())


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_killed_run_goes_on_and_leaves_no_process_behind(tmp_path, jobs):
    run = start(tmp_path, "--jobs", str(jobs))
    before = wait_for_results(tmp_path / "results.json")
    workers = workers_of(run.pid)
    assert len(workers) >= (jobs if jobs > 1 and sys.platform == "linux" else 0)
    run.kill()
    run.communicate(timeout=60)  # the pipes end when the last of its processes does
    before = wait_for_results(tmp_path / "results.json")
    assert len(before) < len(CLAIMS), "it was done before it could be killed"
    assert all_end(workers)

    out, after = finish(tmp_path)
    assert {r["id"] for r in after} == set(CLAIMS)
    assert f"resumed: {len(before)} of 4 checks" in out
    assert f"not done yet: {4 - len(before)} of 4" in out
    for record in after:  # measured times differ from run to run: those taken were not run again
        if record["id"] in before:
            assert record == before[record["id"]]
    assert (tmp_path / "index.html").read_text().count("<section") == 4


# They depend on the machine and the moment.
MEASURED_TIMES = {"seconds", "checksum"}


def without_times(value):
    """A record without measured times, and without the checksum that covers them."""
    if isinstance(value, dict):
        return {k: without_times(v) for k, v in value.items() if k not in MEASURED_TIMES}
    return [without_times(v) for v in value] if isinstance(value, list) else value


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_twenty_killed_runs_of_verify_end_the_same(jobs, kill_campaign):
    def command(folder):
        more = ["--report", str(folder / "report"), "--resume", "--jobs", str(jobs)]
        return ["-m", "riemann_lne.cli", "verify", "--only", *CLAIMS, *more]

    def result(folder):
        records = json.loads((folder / "report" / "results.json").read_text())
        for record in records:
            unseal(record)
        assert (folder / "report" / "index.html").read_text().count("<section") == len(CLAIMS)
        return sorted(without_times(records), key=lambda record: record["id"])

    kill_campaign(command, result)


def test_an_interrupt_keeps_what_is_done_and_says_how_to_go_on(tmp_path):
    run = start(tmp_path, "--jobs", "2")
    wait_for_results(tmp_path / "results.json")
    workers = workers_of(run.pid)
    sent = time.monotonic()
    os.killpg(run.pid, signal.SIGINT)  # as a terminal does, to all of its processes
    out, err = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "Traceback" not in out + err
    assert "interrupted: " in out
    assert "the same command with --resume" in out
    assert time.monotonic() - sent < 30
    assert all_end(workers)
    kept = json.loads((tmp_path / "results.json").read_text())
    assert 1 <= len(kept) < len(CLAIMS)
    assert (tmp_path / "index.html").read_text().count("<section") == len(kept)


def outcome(id="weak-inverse", **overrides):
    return run_claim(known_claims()[id], overrides=overrides)


def take(path, setting=Setting(), overrides=None, ids=("weak-inverse",)):  # noqa: B008
    return resume(path, [known_claims()[i] for i in ids], setting, overrides or {})


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "results.json"
    done = outcome()
    write_json(path, [done], Setting())
    return path, done


def test_what_was_written_is_what_is_taken(written):
    path, done = written
    (taken,) = take(path).taken
    assert taken.verdict is done.verdict
    assert taken.parameters == done.parameters
    assert taken.evidence.claim.error == done.evidence.claim.error
    assert [m.true for m in taken.evidence.also] == [m.true for m in done.evidence.also]
    assert len(taken.evidence.plots) == len(done.evidence.plots)


@pytest.mark.parametrize(
    ("setting", "overrides", "reason"),
    [
        (Setting(full=True), {}, "length quick, not full"),
        (Setting(backend="torch"), {}, "backend numpy, not torch"),
        (Setting(), {"n": 7}, "other n"),
    ],
)
def test_results_of_other_settings_are_not_taken(written, setting, overrides, reason):
    found = take(written[0], setting, overrides)
    assert found.taken == []
    assert found.refused == {"weak-inverse": reason}


@pytest.mark.parametrize("name", ["version", "source"])
def test_results_of_another_version_are_not_taken(written, name):
    path, _ = written
    (record,) = json.loads(path.read_text())
    path.write_text(json.dumps([{**record, name: "older"}]))
    assert take(path).refused["weak-inverse"].startswith(f"{name} older, not ")


def test_another_source_has_another_fingerprint(tmp_path, monkeypatch):
    package = tmp_path / "made_up_package"
    package.mkdir()
    (package / "__init__.py").write_text("a = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(records, "_PACKAGES", ("made_up_package",))
    first = records.source_fingerprint.__wrapped__()
    (package / "__init__.py").write_text("a = 2\n")
    assert records.source_fingerprint.__wrapped__() != first


def test_a_verdict_is_judged_anew_and_never_read(written):
    path, _ = written
    (record,) = json.loads(path.read_text())
    edited = {**unseal(record), "verdict": "does not hold"}
    path.write_text(json.dumps([seal(edited)]))
    assert take(path).taken[0].verdict is Verdict.CONDITIONS


@pytest.mark.parametrize("verdict", [Verdict.ERROR, Verdict.NOT_RUN])
def test_what_was_not_measured_is_run_again(tmp_path, verdict):
    path = tmp_path / "results.json"
    done = outcome()
    broken = Outcome(done.claim, verdict, None, done.parameters, 0.1, "oh")
    write_json(path, [broken], Setting())
    assert take(path).refused == {"weak-inverse": f"its outcome was '{verdict}'"}


def test_a_damaged_record_is_run_again(written):
    path, _ = written
    (record,) = json.loads(path.read_text())
    del record["claim"]["tolerance"]
    for damaged in (record, seal(unseal_anyway(record))):
        path.write_text(json.dumps([damaged]))
        assert take(path).refused == {"weak-inverse": "the record is damaged"}


def unseal_anyway(record):
    return {name: value for name, value in record.items() if name != "checksum"}


@pytest.mark.parametrize("text", ["", "{", "{}", "[1]", '[{"name": "x"}]'])
def test_a_file_without_results_is_refused(tmp_path, text):
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(InvalidArgumentError, match=r"results\.json"):
        take(path)


def test_results_of_other_claims_are_not_dropped(written):
    path, _ = written
    with pytest.raises(InvalidArgumentError, match="has the results of weak-inverse"):
        take(path, ids=("lne-ricci-flat",))


def test_no_file_yet_is_a_run_from_the_beginning(tmp_path):
    found = take(tmp_path / "results.json")
    assert (found.taken, found.refused) == ([], {})


def test_numbers_that_json_does_not_know_come_back(tmp_path):
    measured = Measurement("m", {"a": float("inf")}, None, float("inf"), 1.0, "why", 0.0)
    plot = Plot("p", "x", "y", [Line("l", [1.0, 2.0], [float("nan"), 3.0])], log_x=True)
    made = Outcome(outcome().claim, Verdict.FAILS, Evidence(measured, plots=[plot]), {}, 1.0)
    evidence = evidence_of(records.as_record(made, Setting()))
    assert evidence.claim.error == float("inf")
    assert evidence.plots[0].lines[0].x == [1.0, 2.0]
    assert evidence.plots[0].lines[0].y[1] == 3.0
    assert evidence.plots[0].log_x


def test_resume_without_a_place_to_resume_from_is_an_error():
    command = [sys.executable, "-m", "riemann_lne.cli", "verify", "--resume"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert run.returncode == 2
    assert "--resume needs --report DIR or --json FILE" in run.stderr


def test_a_process_that_dies_is_reported_and_the_others_go_on(monkeypatch):
    # The workers import the module anew: a parameter has to carry the order to die into them.
    monkeypatch.setattr(running, "_run_by_id", _die_or_run)
    claims = [known_claims()[i] for i in ("weak-inverse", "lne-ricci-flat")]
    found = {o.claim.id: o for o in running.run_claims(claims, Setting(), {}, jobs=2)}
    assert found["lne-ricci-flat"].verdict is Verdict.FAILS
    assert found["weak-inverse"].verdict is Verdict.ERROR
    assert "process that ran this check died" in found["weak-inverse"].problem


@pytest.mark.parametrize("chosen", [None, "2"])
def test_one_process_takes_one_thread_unless_the_user_has_chosen(monkeypatch, chosen):
    """Threads for small matrices wait for one another: on a busy machine 374 s, not 5.6."""
    control = pytest.importorskip("threadpoolctl")
    for name in running._THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    if chosen:
        monkeypatch.setenv("OMP_NUM_THREADS", chosen)
    seen = []
    monkeypatch.setattr(running, "run_claim", lambda *_: seen.append(threads(control)))
    with control.threadpool_limits(2):
        before = threads(control)
        assert list(running.run_claims([known_claims()["weak-inverse"]], Setting(), {}, jobs=1))
        assert threads(control) == before
    assert seen == [before if chosen else {1}]


def threads(control):
    return {library["num_threads"] for library in control.threadpool_info()}


def _die_or_run(id, full, backend, overrides):
    if id == "weak-inverse":
        os.kill(os.getpid(), signal.SIGKILL)
    return run_claim(known_claims()[id], full)
