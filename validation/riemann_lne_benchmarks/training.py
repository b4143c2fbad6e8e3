"""The torch adapter next to the training step that it is part of, where torch is installed."""

from __future__ import annotations

import importlib
import importlib.util

from .results import Result, Row, Settings


def _bench(name: str, function: str, settings: Settings) -> Result:
    result = Result(name, "")
    if importlib.util.find_spec("torch") is None:
        result.notes.append(
            "not run: torch is not installed; install it with: pip install 'riemann-lne[torch]'"
        )
        return result
    module = importlib.import_module(".torch_training", __package__)
    rows: list[Row] = getattr(module, function)(settings)
    result.rows = rows
    return result


def bench_corrector(settings: Settings) -> Result:
    """The gradient corrector on a ResNet-20 training step: share of the step, and memory."""
    return _bench("corrector", "corrector_rows", settings)


def bench_regularizer(settings: Settings) -> Result:
    """The discrete-flow regulariser on a ResNet-20 training step: multiple of the step."""
    return _bench("regularizer", "regularizer_rows", settings)
