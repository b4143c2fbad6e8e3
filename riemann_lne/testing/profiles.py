"""Hypothesis settings for tests that run flows."""

from __future__ import annotations

import os
from typing import Any

from .. import checks
from ._hypothesis import hypothesis


def register_profiles(database: str | os.PathLike[str] | None = None) -> None:
    """Register the profiles "riemann-lne-quick" and "riemann-lne-thorough".

    Both have no deadline for one example and no health check for slow ones, since a flow takes its
    time, nor for a search inside of a test. Quick: 20 examples; thorough: 500. Without a database
    both draw the same examples in every run. In a ``conftest.py``:

        from hypothesis import settings
        from riemann_lne.testing import register_profiles

        register_profiles()
        settings.load_profile("riemann-lne-quick")

    Parameters
    ----------
    database : path, optional
        A folder in which failing examples are kept, which continuous integration can store between
        its runs. Each run then tries the kept examples first, and draws others than the run before;
        ``pytest --hypothesis-seed=0`` makes it draw the same.

    Raises
    ------
    InvalidArgumentError
        If ``database`` is no path.

    Examples
    --------
    >>> from hypothesis import settings
    >>> register_profiles()
    >>> settings.get_profile("riemann-lne-quick").max_examples
    20
    """
    options: dict[str, Any] = {"derandomize": True}
    if database is not None:
        folder = checks.path(database, "database")
        options = {
            "derandomize": False,
            "database": hypothesis.database.DirectoryBasedExampleDatabase(folder),
        }
    for name, examples in (("quick", 20), ("thorough", 500)):
        hypothesis.settings.register_profile(
            f"riemann-lne-{name}",
            max_examples=examples,
            deadline=None,
            suppress_health_check=[
                hypothesis.HealthCheck.too_slow,
                hypothesis.HealthCheck.data_too_large,
                hypothesis.HealthCheck.nested_given,
            ],
            print_blob=True,
            **options,
        )
