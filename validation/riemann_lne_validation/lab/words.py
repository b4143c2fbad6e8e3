"""Figures as people read them."""

from __future__ import annotations

__all__ = ["duration"]


def duration(seconds: float) -> str:
    """A time in two figures of the unit that suits it.

    >>> from riemann_lne_validation.lab.words import duration
    >>> duration(2.34), duration(200), duration(9000)
    ('2.3 s', '3.3 min', '2.5 h')
    """
    for size, unit in ((3600.0, "h"), (60.0, "min")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"
