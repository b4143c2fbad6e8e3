"""What the callbacks for training frameworks share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from riemann_lne.errors import InvalidArgumentError

from .corrector import LNECorrector


def refuse_both(corrector: LNECorrector | None, options: Mapping[str, Any]) -> None:
    """A corrector that was given has its options already."""
    if corrector is not None and not isinstance(corrector, LNECorrector):
        raise InvalidArgumentError(
            f"expected an LNECorrector, got {type(corrector).__name__}; options go by name: "
            "LNECallback(target=0.5)"
        )
    if corrector is not None and options:
        raise InvalidArgumentError(
            f"give a corrector or its options, not both: {', '.join(sorted(options))}"
        )
