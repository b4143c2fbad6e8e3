"""``riemann-lne flow CONFIG.toml``: a flow from a configuration file, kept and drawn.

This module only knows the arguments. What it takes to run is imported when the command is, so that
``riemann-lne --help`` does not wait for it.
"""

from __future__ import annotations

import argparse
from typing import Any

from ..command_line import Help

__all__ = ["flow"]


def flow(commands: Any) -> None:
    """Add ``riemann-lne flow`` to the subparsers of the command line.

    Examples
    --------
    >>> commands = argparse.ArgumentParser().add_subparsers()
    >>> flow(commands)
    >>> sorted(commands.choices)
    ['flow']
    """
    parser = commands.add_parser(
        "flow",
        help="one flow from a configuration file, saved and plotted",
        description="Integrate a flow as a TOML file says: grid, start, flow, integrator, outputs "
        "and events. Relative paths are relative to that file.",
        epilog="Exit codes: 0 done (also if an event ended the flow); 1 the flow ended early, or "
        "an output could not be written; 2 an error before the first step; 130 interrupted, with "
        "what was computed and the checkpoint kept.\nexamples:\n  riemann-lne flow torus.toml\n"
        "  riemann-lne flow torus.toml --set integrator.method=rkl2 --force",
        formatter_class=Help,
    )
    parser.add_argument("config", metavar="CONFIG.toml", help="the configuration")
    again = parser.add_mutually_exclusive_group()
    again.add_argument(
        "--resume", action="store_true", help="go on from the checkpoint, if there is one yet"
    )
    again.add_argument(
        "--force", action="store_true", help="replace outputs and checkpoint that exist"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="put this value in place of that in the file; TOML, or a bare word",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print memory and traffic of a step for the grid on a number of processes, and stop",
    )
    parser.add_argument(
        "--processes",
        type=int,
        metavar="N",
        help="with --dry-run: on so many processes (default: as many as were started)",
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from .command import run

    return run(arguments)
