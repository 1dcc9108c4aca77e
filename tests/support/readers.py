"""What a reader sees of a page, and the words that no page says."""

from __future__ import annotations

import re
from html import unescape

NEVER = re.compile(
    r"\b(parked|skipped|dead|ambiguous|quarantined|folds?|folded|mapping|settled?|settles|settling)\b", re.IGNORECASE
)


def words(page: str) -> str:
    """What a reader sees of a page."""
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page)))
