"""Where it is kept who did what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from offhook.pipeline.users import AuditFilter, AuditLine


class Audit(Protocol):
    """Append only. Each method raises LedgerUnavailable."""

    def write(self, line: AuditLine) -> None:
        """Keep a line; its `seq` is not asked."""

    def lines(self, asked: AuditFilter, before: int | None, limit: int) -> Sequence[AuditLine]:
        """Those that the filter lets through with a `seq` below `before` (None: from the newest on), the newest first."""
