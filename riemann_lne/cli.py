"""The command line: ``riemann-lne COMMAND``.

``flow`` is the core's own. Other commands are found through the entry-point group
``riemann_lne.commands``, so that the core does not import what builds on it. Each command is a
function that adds its parser to the subparsers and sets ``run``, which takes the parsed arguments
and returns an exit code.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import EntryPoint, entry_points

from . import __version__
from .checks import printable
from .command_line import Help, PrintCompletion
from .errors import RiemannLNEError
from .flow_command import flow

COMMAND_GROUP = "riemann_lne.commands"
_ORDER = ("compare", "verify", "bench")


def build_parser() -> argparse.ArgumentParser:
    """Parser with every installed command."""
    parser = argparse.ArgumentParser(
        prog="riemann-lne",
        description="Numerical Ricci flow and the LNE geometry of weight space.",
        epilog="examples (riemann-lne COMMAND --help has more):\n  riemann-lne flow torus.toml\n"
        "  riemann-lne verify --only weak-inverse",
        formatter_class=Help,
    )
    parser.add_argument("-V", "--version", action="version", version=f"riemann-lne {__version__}")
    parser.add_argument(
        "--print-completion",
        action=PrintCompletion,
        metavar="SHELL",
        help="print a script with which bash, zsh, fish or tcsh completes this command, and stop",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
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

    That of the command, 2 for a wrong argument or none, 130 after Ctrl-C, and 141 where the reader
    of the output has gone away (``| head``).
    """
    command = "riemann-lne"
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A log or a pipe gets each line when it is printed, as a terminal does.
            stream.reconfigure(line_buffering=True)
    try:
        parser = build_parser()
        parsed = parser.parse_args(arguments)
        if parsed.command is None:
            parser.print_help()
            return 2
        command = f"riemann-lne {parsed.command}"
        code = int(parsed.run(parsed))
        if sys.stdout is not None:  # None where it was closed before the start
            sys.stdout.flush()
        return code
    except RiemannLNEError as error:
        message = printable(error)
        named = message.startswith(f"{command} ")  # as where the command itself lacks a library
        print(message if named else f"{command}: {message}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # Nobody listens any more, also not to what the interpreter would say about it at the end.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        print(f"{command}: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
