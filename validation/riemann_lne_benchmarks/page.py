"""A record as Markdown, for the documentation: every number comes from the file."""

from __future__ import annotations

from pathlib import Path

from .requirements import judge
from .results import Record, Result
from .tables import groups, markdown, requirement_table, table, text_of


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
