"""Hypothesis settings for tests that run flows."""

from __future__ import annotations

from ._hypothesis import hypothesis


def register_profiles() -> None:
    """Register the profiles "riemann-lne-quick" and "riemann-lne-thorough".

    Both have no deadline for one example and no health check for slow ones, since a flow takes its
    time; both draw the same examples in every run. Quick: 20 examples; thorough: 500. In a
    ``conftest.py``:

        from hypothesis import settings
        from riemann_lne.testing import register_profiles

        register_profiles()
        settings.load_profile("riemann-lne-quick")

    For an example database that continuous integration keeps, give
    ``settings(database=DirectoryBasedExampleDatabase(folder), derandomize=False)`` in a profile of
    the project.

    Examples
    --------
    >>> from hypothesis import settings
    >>> register_profiles()
    >>> settings.get_profile("riemann-lne-quick").max_examples
    20
    """
    slow = [hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.data_too_large]
    for name, examples in (("quick", 20), ("thorough", 500)):
        hypothesis.settings.register_profile(
            f"riemann-lne-{name}",
            max_examples=examples,
            deadline=None,
            derandomize=True,
            suppress_health_check=slow,
            print_blob=True,
        )
