"""Who did what as rows of a list or of a file: one place that names the columns. Reads page by page; and removes what is old."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

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


def prune(kept: Audit, days: int, now: datetime) -> int:
    """Remove the lines of before the UTC day that was `days` ago, none where that is 0: how many. A line says so, one a day at most.

    Raises LedgerUnavailable.
    """
    if not days:
        return 0
    before = (now.astimezone(UTC) - timedelta(days=days)).replace(hour=0, minute=0, second=0, microsecond=0)
    line = AuditLine(now, "worker", "audit pruned", f"lines of before {before:%Y-%m-%d} UTC", "worker")
    gone = kept.forget(before, line)
    while some := gone and kept.forget(before, None):
        gone += some
    return gone
