"""When a list of customers is to be fetched next, and which version of it was taken last: shared by all workers."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Syncs(Protocol):
    """One row a source, by its name. Each method raises LedgerUnavailable."""

    def claim(self, name: str, now: datetime, until: datetime, /) -> bool:
        """Whether the source is due at `now` and nobody else has it; then it is ours, and due again at `until`."""

    def version(self, name: str, /) -> str | None:
        """What the source called the version that was taken last; None for none."""

    def taken(self, name: str, version: str | None, due_at: datetime, /) -> None:
        """This version was taken, and the source is due again then."""
