"""The command line: ``riemann-lne COMMAND``.

``flow`` is the core's own. Other commands are found through the entry-point group
``riemann_lne.commands``, so that the core does not import what builds on it. Each command is a
function that adds its parser to the subparsers and sets ``run``, which takes the parsed arguments
and returns an exit code.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import EntryPoint, entry_points

from . import __version__
from .checks import printable
from .errors import RiemannLNEError
from .flow_command import flow

COMMAND_GROUP = "riemann_lne.commands"
_ORDER = ("compare", "verify", "bench")


def build_parser() -> argparse.ArgumentParser:
    """Parser with every installed command."""
    parser = argparse.ArgumentParser(
        prog="riemann-lne",
        description="Numerical Ricci flow and the LNE geometry of weight space.",
        epilog="example: riemann-lne verify --only weak-inverse",
    )
    parser.add_argument("-V", "--version", action="version", version=f"riemann-lne {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    flow(commands)
    for entry in sorted(entry_points(group=COMMAND_GROUP), key=_place):
        entry.load()(commands)
    return parser


def _place(entry: EntryPoint) -> tuple[int, str]:
    """Order of the commands in the help: that of the README, then others by name."""
    known = entry.name in _ORDER
    return (_ORDER.index(entry.name) if known else len(_ORDER), entry.name)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code.

    That of the command, 2 for a wrong argument, 130 after Ctrl-C, and 141 where the reader of the
    output has gone away (``| head``).
    """
    parsed = build_parser().parse_args(arguments)
    try:
        code = int(parsed.run(parsed))
        if sys.stdout is not None:  # None where it was closed before the start
            sys.stdout.flush()
        return code
    except RiemannLNEError as error:
        print(f"riemann-lne {parsed.command}: {printable(error)}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # Nobody listens any more, also not to what the interpreter would say about it at the end.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        print(f"riemann-lne {parsed.command}: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
