"""The old name of ``flow_command.formulas``, which goes on working; deprecated."""

from .formulas import *  # noqa: F403
