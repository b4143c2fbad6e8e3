"""Benchmarks: every figure next to that of other versions, measured in turns in the same run.

Times are medians over rounds in which the versions take turns; ratios are taken round by round, so
that what slows the machine down for a while cancels. The quartiles are shown, and a warning where
they lie far apart. Nothing here asserts anything: ``requirements`` judges what was measured.
"""

from .runner import BENCHMARKS, list_benchmarks, run_benchmarks

__all__ = ["BENCHMARKS", "list_benchmarks", "run_benchmarks"]
