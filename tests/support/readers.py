"""What a reader sees of a page, and the words that no page says."""

from __future__ import annotations

import re
from html import unescape

NEVER = re.compile(
    r"\b(parked|skipped|dead|ambiguous|quarantined|folds?|folded|mapping|settled?|settles|settling)\b", re.IGNORECASE
)

TERMINAL = re.compile(r"`|/readyz|\bflask [a-z]|--[a-z]|\b(OFFHOOK|ROCKERBOX|TWILIO)_[A-Z]")
"""What is for whoever sits at a terminal: no page but the list of settings has it."""


def words(page: str) -> str:
    """What a reader sees of a page."""
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page)))
