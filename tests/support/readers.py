"""What a reader sees of a page, and the words that no page says."""

from __future__ import annotations

import re
from html import unescape

NEVER = re.compile(
    r"\b(parked|skipped|dead|ambiguous|quarantined|folds?|folded|mapping|settled?|settles|settling|(?<!-)reset|hash)\b",
    re.IGNORECASE,
)

TERMINAL = re.compile(r"`|/readyz|\bflask [a-z]|--[a-z]|\b(OFFHOOK|ROCKERBOX|TWILIO)_[A-Z]")
"""What is for whoever sits at a terminal: no page but the list of settings has it."""


_SAID = re.compile(r"""<[^>]*?\s(?:title|aria-label|placeholder|alt)=(?:"([^"]*)"|'([^']*)')""")

_FOLDED = re.compile(r'<details class="command">.*?</details>', re.DOTALL)
_SETTINGS = re.compile(r"<h2>Settings that somebody made</h2>.*?<summary>All others.*?</details>", re.DOTALL)


def at_once(page: str) -> str:
    """What a reader sees who unfolds no command, without the list of settings."""
    return words(_SETTINGS.sub("", _FOLDED.sub("", page)))


def words(page: str) -> str:
    """What a reader sees of a page."""
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page)))


def said_of_parts(page: str) -> str:
    """What a page says of its parts to who points at them or has it read aloud."""
    return unescape(" ".join("".join(found) for found in _SAID.findall(page)))
