"""A record as Markdown, for the documentation: every number comes from the file."""

from __future__ import annotations

from pathlib import Path

from .requirements import judge
from .results import Record, Result, Row
from .tables import groups, markdown, requirement_table, table, text_of
from .time_to_solution import NOT_REACHED, TIME

_NOT_RECORDED = "*Not recorded yet.*"


def environment_table(record: Record) -> str:
    """The machine, the versions and how it was measured."""
    entries = {**record.environment, **record.settings}
    return markdown(["", ""], [[name, text_of(value)] for name, value in entries.items()])


def requirements_text(record: Record) -> str:
    """The targets, judged anew from the rows of the record."""
    return markdown(*requirement_table(judge(record)))


def result_text(result: Result) -> str:
    """Heading, tables and remarks of one benchmark."""
    parts = [f"### `{result.name}`", f"{result.title} This part took {result.seconds:.0f} s."]
    parts += [markdown(*table(rows)) for rows in groups(result.rows)]
    if result.notes:
        parts.append("\n".join(f"- {_plain(note)}" for note in result.notes))
    if result.problem:
        parts.append("It broke down: " + _plain(result.problem.strip().splitlines()[-1]))
    return "\n\n".join(parts)


def solution_text(record: Record) -> str:
    """The quickest run of every solver to every error: a table for each problem."""
    parts = []
    for name in ("solution", "solution-3d"):
        rows = [row for row in record.rows(name) if "target" in row.parameters]
        for problem in dict.fromkeys(row.parameters["problem"] for row in rows):
            mine = [row for row in rows if row.parameters["problem"] == problem]
            parts.append(_solution_table(problem, mine))
        if rows:
            parts.append("\n".join(f"- {_plain(note)}" for note in record.results[name].notes))
    return "\n\n".join(parts)


def _solution_table(problem: str, rows: list[Row]) -> str:
    targets = list(dict.fromkeys(row.parameters["target"] for row in rows))
    head = [problem, *(f"to {target:.0e}" for target in targets)]
    cells: dict[str, dict[float, str]] = {}
    for row in rows:
        texts = cells.setdefault(row.parameters["solver"], {})
        texts[row.parameters["target"]] = _solution_cell(row)
    body = [[solver, *(texts.get(t, "") for t in targets)] for solver, texts in cells.items()]
    return markdown(head, body)


def _solution_cell(row: Row) -> str:
    """Time, grid and tolerance of a run, or why there is none."""
    figures = row.figures
    if NOT_REACHED in figures:
        return _plain(f"not reached: {figures[NOT_REACHED]}")
    compiling = figures["compiling before, s"]
    more = f", {text_of(compiling)} s to compile" if row.parameters["compiled"] else ""
    text = f"{figures['grid']}, rtol {figures['rtol']:.0e}, {figures['work']}{more}"
    return f"**{text_of(figures[TIME])} s** ({_plain(text)})"


def budget_text(record: Record) -> str:
    """The parts of a step of every method, as one table."""
    rows = record.rows("budget")
    return "\n\n".join(markdown(*table(group)) for group in groups(rows))


def _plain(text: str) -> str:
    """Text that Markdown leaves as it is."""
    for sign in "\\*_<>[]^~`":
        text = text.replace(sign, "\\" + sign)
    return text


def write_pages(path: Path, folder: Path, images: str) -> None:
    """Write environment.md, targets.md, tables.md and plots.md from a results file, and the plots.

    ``images`` is the folder as the page that includes them sees it.

    Raises
    ------
    InvalidArgumentError
        If the file cannot be read.
    MissingDependencyError
        If matplotlib is not installed.
    """
    from .plots import write_plots

    record = Record.read(path)
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "environment.md": environment_table(record),
        "targets.md": requirements_text(record),
        "tables.md": "\n\n".join(result_text(r) for r in record.results.values()),
        "plots.md": "\n\n".join(
            f"![{plot.stem}]({images}/{plot.name})" for plot in write_plots(record, folder)
        ),
    }
    for name, text in texts.items():
        (folder / name).write_text(text + "\n", encoding="utf-8")


def write_solution_pages(path: Path, folder: Path) -> None:
    """Write solution.md, budget.md and solution-environment.md from a results file.

    A part that the file does not have, or all where there is no file, is said to be missing.

    Raises
    ------
    InvalidArgumentError
        If the file cannot be read.
    """
    record = Record.read(path) if path.exists() else Record({}, {})
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "solution.md": solution_text(record),
        "budget.md": budget_text(record),
        "solution-environment.md": environment_table(record) if record.environment else "",
    }
    for name, text in texts.items():
        (folder / name).write_text((text or _NOT_RECORDED) + "\n", encoding="utf-8")
