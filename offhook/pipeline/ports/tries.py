"""How often something was tried within a time, the same for all processes."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Tries(Protocol):
    """Counts by a word that names no person. Each method raises LedgerUnavailable."""

    def count(self, of_what: str, window: datetime, over_before: datetime) -> int:
        """One more within the window that began then: how many there are with it. Some of the windows that began before
        `over_before` are taken away.
        """

    def forget(self, of_what: str, window: datetime) -> None:
        """None was tried within that window."""
