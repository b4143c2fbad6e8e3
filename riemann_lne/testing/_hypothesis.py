"""Hypothesis, or an error that says how to install it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..checks import shown
from ..errors import InvalidArgumentError, MissingDependencyError, RiemannLNEError
from .asking import told

try:
    import hypothesis
    from hypothesis import strategies as st
except ImportError as missing:  # pragma: no cover - run in a subprocess by the tests
    raise MissingDependencyError(
        "hypothesis", "strategies", "riemann_lne.testing", missing
    ) from missing

__all__ = [
    "GENERATE",
    "SHRINK",
    "TARGET",
    "DrawsNothingError",
    "drawing",
    "hypothesis",
    "outside_a_test",
    "st",
]


class DrawsNothingError(InvalidArgumentError):
    """The conditions of a strategy, or the assumptions of a property, leave no example."""


@contextmanager
def outside_a_test() -> Iterator[None]:
    """Calls of the user's functions in which ``assume`` is meant, though Hypothesis does not draw.

    A with statement around each call: it raises UnsatisfiedAssumption then without a warning.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", hypothesis.errors.HypothesisDeprecationWarning)
        yield


GENERATE = (hypothesis.Phase.generate,)
"""Draw, and no more."""

TARGET = (*GENERATE, hypothesis.Phase.target)
"""Draw, guided by what ``hypothesis.target`` is told."""

SHRINK = (*TARGET, hypothesis.Phase.shrink)
"""The same, and make the example smaller with which ``look`` raises."""


def drawing(
    look: Callable[[Any], None], strategy: Any, examples: int, seed: int, phases: Sequence[Any]
) -> None:
    """Give ``look`` the examples of a search, the same ones for the same seed.

    Errors are told in the terms of the kit.

    Raises
    ------
    DrawsNothingError
        If the strategy draws no example.
    InvalidArgumentError
        If the strategy breaks off. An error of the library's own, or of the search, stays.
    """

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=examples,
        phases=phases,
        database=None,
        deadline=None,
        derandomize=False,
        report_multiple_bugs=False,
        suppress_health_check=list(hypothesis.HealthCheck),
        verbosity=hypothesis.Verbosity.quiet,
        print_blob=False,
    )
    @hypothesis.given(strategy)
    def test(example: Any) -> None:
        look(example)

    try:
        test()
    except (RiemannLNEError, hypothesis.errors.Flaky):
        raise
    except hypothesis.errors.HypothesisException as error:
        raise DrawsNothingError(
            f"the strategy {shown(strategy)} draws no example: its conditions cannot be met "
            f"({error}); give one that draws, with conditions that are met more often"
        ) from error
    except Exception as error:
        if getattr(error, "of_the_search", False):
            raise
        raise InvalidArgumentError(
            f"the strategy {shown(strategy)} broke off with {told(error)}; give one that draws "
            "without an error"
        ) from error
