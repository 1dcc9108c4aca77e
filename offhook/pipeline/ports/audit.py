"""Where it is kept who did what."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from offhook.pipeline.users import AuditFilter, AuditLine


class Audit(Protocol):
    """Append only, but for what is older than it is kept. Each method raises LedgerUnavailable."""

    def write(self, line: AuditLine) -> None:
        """Keep a line; its `seq` is not asked."""

    def lines(self, asked: AuditFilter, before: int | None, limit: int) -> Sequence[AuditLine]:
        """Those that the filter lets through with a `seq` below `before` (None: from the newest on), the newest first."""

    def forget(self, before: datetime, line: AuditLine | None) -> int:
        """Take away the oldest lines of before then, not many at once: how many, 0 where none is left. `line` is kept in the same
        transaction, where any goes.
        """
