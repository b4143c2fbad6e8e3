"""The command line as somebody meets it first: help, completion, the first line, the last ones."""

import argparse
import ast
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from riemann_lne import cli
from riemann_lne.errors import MissingDependencyError

ROOT = Path(__file__).parents[2]
COMMANDS = ["flow", "compare", "verify", "bench"]
CLAIM = """
from riemann_lne_validation.audit import Evidence, Measurement, claim


def known(backend):
    return Measurement("one", 1.0, 1.0, 0.0, 0.0, "a count")


@claim("mine", "my notes", quick={"n": 2}, guard=known)
def mine(backend, n):
    \"\"\"Two is two.

    Measured: n.
    \"\"\"
    return Evidence(Measurement("n", n, 2, float(n - 2), 0.0, "a count"))
"""


def parsers():
    pytest.importorskip("rich")
    parser = cli.build_parser()
    (commands,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return {"": parser, **commands.choices}


def test_every_help_ends_with_examples_that_parse():
    found = parsers()
    assert list(found) == ["", *COMMANDS]
    for name, parser in found.items():
        end = parser.format_help().rpartition("example")[2]
        examples = re.findall(r"^  (riemann-lne .*)$", end, re.MULTILINE)
        assert examples, f"the help of {name or 'riemann-lne'} ends without an example"
        for line in examples:
            command = found[""].parse_args(shlex.split(line)[1:]).command
            assert command == name or not name


def test_every_option_says_what_it_is():
    for name, parser in parsers().items():
        options = [a for a in parser._actions if a.option_strings]
        silent = [a.dest for a in options if not (a.help or "").strip()]
        assert not silent, f"the help of {name or 'riemann-lne'} says nothing about {silent}"


def test_the_commands_come_in_the_order_of_the_readme():
    text = (ROOT / "README.md").read_text("utf-8")
    places = [re.search(rf"(?:riemann-lne|make) {c}\b", text).start() for c in COMMANDS]
    assert places == sorted(places)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "tcsh"])
def test_a_shell_completes_commands_options_and_names(shell, capsys, tmp_path):
    pytest.importorskip("shtab")
    pytest.importorskip("rich")
    with pytest.raises(SystemExit) as end:
        cli.main(["--print-completion", shell])
    assert end.value.code == 0
    script = capsys.readouterr().out
    assert all(word in script for word in [*COMMANDS, "weak-inverse", "right-hand-side", "resume"])
    if shell != "bash" or shutil.which("bash") is None:
        return
    (tmp_path / "torus.toml").touch()
    (tmp_path / "reports").mkdir()
    (tmp_path / "script").write_text(script)
    asked = {
        "ver": "verify",
        "verify --only weak-i": "weak-inverse",
        "verify --rep": "--report",
        "verify --report r": "reports",
        "flow to": "torus.toml",
        "bench --only peer": "peers",
    }
    tries = "\n".join(f"ask {line}" for line in asked)
    program = f"""source ./script
f=$(complete -p riemann-lne | sed 's/.*-F \\([^ ]*\\).*/\\1/')
ask() {{
    COMP_WORDS=(riemann-lne "$@"); COMP_CWORD=$#; COMPREPLY=()
    $f riemann-lne "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD-1]}}"
    echo "${{COMPREPLY[*]}}"
}}
{tries}"""
    done = subprocess.run(
        ["bash", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == list(asked.values())


def test_completion_says_what_is_missing(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert cli.main(["--print-completion", "bash"]) == 2
    assert "pip install 'riemann-lne[completion]'" in capsys.readouterr().err
    assert issubclass(MissingDependencyError, ImportError)


def test_no_command_at_all_shows_the_commands(capsys):
    pytest.importorskip("rich")
    assert cli.main([]) == 2
    shown = capsys.readouterr()
    assert all(f"\n    {name} " in shown.out for name in COMMANDS)
    assert not shown.err


def test_a_command_that_lacks_a_library_is_named_once(monkeypatch, capsys):
    def run(arguments):
        raise MissingDependencyError("rich", "verify", "riemann-lne it")

    parser = argparse.ArgumentParser()
    parser.add_subparsers(dest="command").add_parser("it").set_defaults(run=run)
    monkeypatch.setattr(cli, "build_parser", lambda: parser)
    assert cli.main(["it"]) == 2
    assert capsys.readouterr().err.startswith("riemann-lne it needs rich, which is not installed")


def test_every_extra_that_a_message_names_is_there():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    known, found = set(extras["optional-dependencies"]), set()
    for path in [
        p
        for room in ("riemann_lne", "adapters", "validation")
        for p in ROOT.glob(f"{room}/**/*.py")
    ]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            called = isinstance(node, ast.Call) and getattr(node.func, "id", "")
            if called == "MissingDependencyError" and isinstance(node.args[1], ast.Constant):
                found.add(node.args[1].value)
                assert node.args[1].value in known, f"{path}, line {node.lineno}"
    assert len(found) > 5


def test_compare_says_something_before_pytorch_is_there(monkeypatch, capsys):
    pytest.importorskip("torch")
    from riemann_lne_validation.comparison import command

    monkeypatch.setattr(command, "_require", lambda *_: None)
    command.require_torch()
    assert not capsys.readouterr().err
    monkeypatch.delitem(sys.modules, "torch")
    command.require_torch()
    assert capsys.readouterr().err == "loading PyTorch ...\n"


def test_every_benchmark_says_how_long_it_takes():
    pytest.importorskip("rich")
    from riemann_lne_benchmarks import BENCHMARKS
    from riemann_lne_benchmarks.runner import usual_seconds

    # The CUDA sources were compiled on another machine, whose time nobody noted.
    assert set(BENCHMARKS) - set(usual_seconds()) == {"cuda", "cuda-whole"}


def test_an_unknown_shell_is_told(capsys):
    pytest.importorskip("shtab")
    assert cli.main(["--print-completion", "nosh"]) == 2
    assert "known: bash, fish, tcsh, zsh" in capsys.readouterr().err


def test_lines_reach_a_pipe_when_they_are_printed(monkeypatch):
    """Without this, a pipe gets nothing until 8 KiB are there or the command has ended."""
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BufferedWriter(raw)))
    seen = []

    def run(arguments):
        print("first")
        seen.append(raw.getvalue())
        return 0

    parser = argparse.ArgumentParser()
    parser.add_subparsers(dest="command").add_parser("it").set_defaults(run=run)
    monkeypatch.setattr(cli, "build_parser", lambda: parser)
    assert cli.main(["it"]) == 0
    assert seen == [b"first\n"]


def test_verify_begins_with_how_much_there_is_and_ends_with_what_to_read(tmp_path):
    pytest.importorskip("rich")
    (tmp_path / "my claims.py").write_text(CLAIM)
    line = [sys.executable, "-m", "riemann_lne", "verify", "--claims", "my claims.py"]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        [*line, "--report", "page"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "1 check in 1 process; a line for each when it is done"
    assert lines[1].startswith("[1/1] mine")
    after = lines[lines.index("read next:") :]
    assert "open page/index.html" in after[1]
    # No page, and the command for one claim has the file without which it would not be known.
    plain = subprocess.run(
        line, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    told = re.search(r"one statement: riemann-lne (.*) ID\n", plain.stdout)[1]
    words = [*line[:3], *shlex.split(told), "mine"]
    assert subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True).returncode == 0
    # Runs as it stands wherever the package is installed; the pages of a checkout are not there.
    command = after[-1].partition(": ")[2]
    shown = subprocess.run(
        [sys.executable, *command.split()[1:]], capture_output=True, text=True, check=False
    )
    assert "guard : callable" in shown.stdout
    assert "docs/" not in done.stdout
    # The page speaks of a claim of the user, and its command finds the file again.
    page = (tmp_path / "page" / "index.html").read_text("utf-8")
    assert "<td>as stated</td>" in page
    again = re.search(r"Repeat: <code>(.*?)</code>", page)[1].replace("&#x27;", "'")
    words = shlex.split(again)
    done = subprocess.run(
        [*line[:3], *words[1:]], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "as stated: n" in done.stdout


def test_pages_that_verify_names_are_there():
    pytest.importorskip("rich")
    from types import SimpleNamespace

    from riemann_lne_validation.commands import _read_next

    lines: list[str] = []
    _read_next(argparse.Namespace(claims=None), None, False, SimpleNamespace(say=lines.append))
    titles = [t for line in lines for t in re.findall(r'"(.*?)", in the documentation', line)]
    headings = {path.read_text("utf-8").partition("\n")[0] for path in ROOT.glob("docs/*.md")}
    assert len(titles) == 2
    assert {f"# {title}" for title in titles} <= headings


def test_the_time_of_the_whole_audit_is_said_once_and_the_same():
    pytest.importorskip("rich")
    import json

    from riemann_lne_validation.audit.frame import known_claims
    from riemann_lne_validation.commands import FULL_MINUTES, QUICK_MINUTES, _announcement

    claims = list(known_claims().values())
    assert f"about {QUICK_MINUTES} minutes" in _announcement(claims, claims, False, 2)
    assert f"about {FULL_MINUTES} minutes" in _announcement(claims, claims, True, 2)
    assert "minutes" not in _announcement(claims, claims[1:], False, 2)
    words = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    readme = (ROOT / "README.md").read_text("utf-8")
    assert f"about {words[QUICK_MINUTES]} minutes of processor time" in readme
    record = json.loads((ROOT / "docs/audit/results.json").read_text("utf-8"))
    assert {r["length"] for r in record} == {"full"}
    assert abs(sum(r["seconds"] for r in record) / 60 - FULL_MINUTES) < 2
