"""Who did what as rows of a list or of a file: one place that names the columns. Reads page by page, and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator

from offhook.pipeline.ports.audit import Audit
from offhook.pipeline.users import AuditFilter, AuditLine

COLUMNS = ("at", "who", "what", "of_what", "from_where", "seq")
PAGE = 1000


def every(kept: Audit, asked: AuditFilter, limit: int | None = None) -> Iterator[AuditLine]:
    """The lines that are wanted, the newest first, no more than `limit`; each page is a short question."""
    before, left = None, limit
    while left is None or left > 0:
        lines = kept.lines(asked, before, PAGE if left is None else min(left, PAGE))
        yield from lines
        if not lines:
            return
        before, left = lines[-1].seq, None if left is None else left - len(lines)
