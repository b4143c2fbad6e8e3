"""Formulas as MathML, which browsers draw themselves: pages need neither a network nor scripts."""

from __future__ import annotations

import re
from typing import Any

from latex2mathml import converter

_FUNCTION = re.compile(
    r"\\(log|exp|det|sin|cos|tan|arctan|sinh|cosh|tanh)(?![a-zA-Z])\s*(?=[a-zA-Z]|\\(?!left|,|\())"
)
# A power of bars is one of all that is between them, or it is drawn beside a small closing bar.
_BARS = re.compile(r"(\\lvert(?:(?!\\lvert|\\rvert).)*\\rvert)(?=[\^_])")


LONG = 45


def convert(text: str, display: str) -> str:
    """MathML of a formula; a thin space parts a function from an argument without brackets."""
    text = _FUNCTION.sub(r"\\\1\\,", text)
    return converter.convert(_BARS.sub(r"{\1}", text), display=display)


def _inline(self: Any, node: Any) -> None:
    from docutils import nodes

    text = node.astext()
    made = convert(text, display="inline")
    # A long one scrolls by itself where the screen is narrower than it.
    self.body.append(f'<span class="long-formula">{made}</span>' if len(text) > LONG else made)
    raise nodes.SkipNode


def _block(self: Any, node: Any) -> None:
    from docutils import nodes

    self.body.append('<div class="math">')
    for part in node.astext().split("\n\n"):
        self.body.append(convert(part, display="block"))
    self.body.append("</div>\n")
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, bool]:
    """Register the renderer for Sphinx's roles and directives of formulas."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True}
