"""A record as Markdown, for the documentation: every number comes from the file."""

from __future__ import annotations

from pathlib import Path

from .cuda_sources import ARCHITECTURES, WHOLE
from .requirements import judge
from .results import Record, Result, Row
from .tables import groups, markdown, requirement_table, table, text_of
from .time_to_solution import NOT_REACHED, OURS, TIME

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
    body.append(
        ["**our quickest over the quickest of all**", *(_over_best(rows, t) for t in targets)]
    )
    return markdown(head, body)


def _over_best(rows: list[Row], target: float) -> str:
    """How many times as long as the quickest solver the quickest of ours takes to a target."""
    reached = [r for r in rows if r.parameters["target"] == target and TIME in r.figures]
    ours = [r for r in reached if r.parameters["solver"].startswith(OURS)]
    if not ours:
        return ""
    best = min(reached, key=lambda row: row.figures[TIME])
    times = min(row.figures[TIME] for row in ours) / best.figures[TIME]
    return f"{text_of(times)} ({_plain(best.parameters['solver'])})"


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


def cuda_text(record: Record) -> str:
    """Registers, stack and spilled bytes of all CUDA sources that are cut or spill."""
    rows = record.rows("cuda")
    if not rows:
        return ""
    key = ("name", "n", "order", "dtype")
    whole = {
        tuple(row.parameters[k] for k in key): row.figures[WHOLE]
        for row in record.rows("cuda-whole")
    }
    quiet = [row for row in rows if row.figures["functions"] == 1 and not _spilled(row)]
    head = ["bytes or registers a thread", "functions", "values stored a point"]
    head += ["spilled in one function, sm_80"]
    names = {
        "spilled by the worst function": "spilled",
        "by all": "spilled in all",
        "by a called difference": "spilled in calls",
        "stack": "stack",
        "registers": "registers",
    }
    head += [f"{text}, sm_80 / sm_90" for text in names]
    body = []
    for row in rows:
        if row in quiet:
            continue
        before = whole.get(tuple(row.parameters[k] for k in key))
        cells = [row.what.replace("_", " "), row.figures["functions"], row.figures["values stored"]]
        cells += ["" if before is None else before]
        cells += [
            " / ".join(str(row.figures[f"{figure}, {a}"]) for a in ARCHITECTURES)
            for figure in names.values()
        ]
        body.append([text_of(cell) for cell in cells])
    registers = max(
        (row.figures[f"registers, {a}"] for row in quiet for a in ARCHITECTURES), default=0
    )
    compiler = record.environment.get("nvcc", "nvcc")
    return (
        f"{markdown(head, body)}\n\nBy {compiler}. The other {len(quiet)} kernels are one function "
        f"each, spill nothing, and use up to {registers} registers."
    )


def _spilled(row: Row) -> int:
    return max(
        int(row.figures[f"{figure}, {a}"])
        for figure in ("spilled", "spilled in calls")
        for a in ARCHITECTURES
    )


def write_cuda_page(path: Path, folder: Path) -> None:
    """Write cuda.md from a results file; where there is none, that is said.

    Raises
    ------
    InvalidArgumentError
        If the file cannot be read.
    """
    record = Record.read(path) if path.exists() else Record({}, {})
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cuda.md").write_text((cuda_text(record) or _NOT_RECORDED) + "\n", encoding="utf-8")


def write_other_targets(path: Path, target: Path) -> None:
    """Write the targets of a further record, as of another instruction set, to a file.

    Raises
    ------
    InvalidArgumentError
        If the record cannot be read.
    """
    text = _NOT_RECORDED
    if path.exists():
        record = Record.read(path)
        text = "\n\n".join([environment_table(record), requirements_text(record)])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text + "\n", encoding="utf-8")


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
