"""The README as a package index shows it: no link or picture there may be relative.

An index shows the README at an address of its own, so that relative links lead nowhere and
relative pictures stay empty. Where ``[project.urls]`` of pyproject.toml has a ``Source`` (a
repository on GitHub, or on a host with the same addresses), both become absolute. Until it has one,
a link becomes its text, and a picture is left out together with the caption below it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

PICTURE = r"!\[([^\]]*)\]\((?!https?:)([^)#]+)\)\n+(\*[^*\n]+(?:\n[^*\n]+)*\*\n+)?"
LINK = r"(?<!!)\[([^\]]*)\]\((?!https?:|#)([^)]+)\)"


class CustomMetadataHook(MetadataHookInterface):
    """Writes the long description of the package."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the README."""
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        source = metadata.get("urls", {}).get("Source")
        made = {"content-type": "text/markdown", "text": for_an_index(text, source)}
        metadata["readme"] = made


def for_an_index(text: str, source: str | None) -> str:
    """A README without relative addresses.

    Parameters
    ----------
    text : str
        The README, in Markdown.
    source : str, optional
        Address of the repository.
    """
    if source is None:
        return re.sub(LINK, r"\1", re.sub(PICTURE, "", text))
    base = source.rstrip("/")
    text = re.sub(r"(!\[[^\]]*\])\((?!https?:)([^)#]+)\)", rf"\1({base}/raw/HEAD/\2)", text)
    return re.sub(LINK, rf"[\1]({base}/blob/HEAD/\2)", text)
