"""The calls that were decided, in the order in which they came, with what was decided of each. Nothing here changes anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from offhook.pipeline.call import CallState
from offhook.pipeline.callback import CallKey


@dataclass(frozen=True, slots=True)
class PastCall:
    """A call that was decided. `reason` is the first word of its newest decision, `ours` our end as Twilio wrote it."""

    key: CallKey
    first_received_at: datetime
    state: CallState
    reason: str
    ours: str


class Past(Protocol):
    """Pages of the past; each method raises LedgerUnavailable."""

    def calls_since(self, since: datetime, after: PastCall | None, limit: int) -> Sequence[PastCall]:
        """Up to `limit` calls that were first heard of at or after `since` and are converted, skipped or parked: the oldest
        first, those after `after`. None is given twice."""

    def count_since(self, since: datetime, at_most: int) -> int:
        """How many calls were first heard of since then, whatever their state, counted up to `at_most`."""
