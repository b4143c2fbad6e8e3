"""Parts of the command line that all commands share: the form of the help, and completion.

A shell completes the command line by a script that the library shtab writes. The script is static:
a shell that completes a word starts no Python. What an option takes is told by its metavar (FILE,
DIR, PATH and names that end in .toml), or by ``Names``.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from .errors import MissingDependencyError, UnknownNameError

__all__ = ["Help", "Names", "PrintCompletion"]

_SHELLS = ("bash", "zsh", "fish", "tcsh")
_FILES = ("FILE", "PATH")


class Help(argparse.HelpFormatter):
    """Help whose examples, the indented lines of a text, stay on lines of their own."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        lines = (
            indent + line if line.startswith(" ") else super(Help, self)._fill_text(line, width, "")
            for line in text.splitlines()
        )
        return "\n".join(lines)


class Names(argparse.Action):
    """Option whose values are names that are looked up only when a script is written.

    Parameters
    ----------
    names : callable
        Returns the names. It may import what the command needs; where that is missing, the shell
        completes nothing.
    """

    def __init__(self, *arguments: Any, names: Callable[[], Iterable[str]], **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.names = names

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Store the values, as an option without this class does."""
        setattr(namespace, self.dest, values)


class PrintCompletion(argparse.Action):
    """``--print-completion SHELL``: print the script and end.

    Raises
    ------
    MissingDependencyError
        Without shtab (extra ``completion``).
    UnknownNameError
        For a shell that is not known.
    """

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Print the script and end."""
        try:
            shtab = importlib.import_module("shtab")
        except ImportError as error:
            raise MissingDependencyError(
                "shtab", "completion", "--print-completion", error
            ) from error
        if values not in _SHELLS:
            raise UnknownNameError("shell", str(values), _SHELLS)
        for action in _actions(parser):
            _tell(action, shtab)
        print(shtab.complete(parser, shell=values))
        parser.exit()


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """The options and arguments of a parser and of its commands."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from _actions(inner)


def _tell(action: argparse.Action, shtab: Any) -> None:
    """Tell shtab what an option takes."""
    place = action.metavar if isinstance(action.metavar, str) else ""
    if isinstance(action, Names):
        with suppress(ImportError):
            action.choices = sorted(action.names())
    elif place in _FILES or place.endswith(".toml"):
        action.complete = shtab.FILE  # type: ignore[attr-defined]
    elif place == "DIR":
        action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
