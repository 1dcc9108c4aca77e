"""The calls that were decided, in the order in which they came, with what was decided of each. Nothing here changes anything."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from offhook.pipeline.call import CallState
from offhook.pipeline.callback import CallKey, Direction, Status


class PastCall(NamedTuple):
    """A call that was decided, as the ledger keeps it: its own leg without Twilio's parameters, and none of the legs that it
    dialled. `reason` is the first word of its newest decision; `from_` and `to` are as Twilio wrote them. Times are UTC.
    """

    key: CallKey
    first_received_at: datetime
    state: CallState
    reason: str
    status: Status
    direction: Direction
    from_: str
    to: str
    duration_seconds: int | None
    ended_at: datetime | None
    final_at: datetime | None

    @property
    def ours(self) -> str:
        """Our end."""
        return self.from_ if self.direction is Direction.OUTBOUND_API else self.to


class Past(Protocol):
    """Pages of the past; each method raises LedgerUnavailable."""

    def calls_since(self, since: datetime, after: PastCall | None, limit: int) -> Sequence[PastCall]:
        """Up to `limit` calls that were first heard of at or after `since` and are converted, skipped or parked: the oldest
        first, those after `after`. None is given twice."""

    def waiting(self, at_most: int) -> Collection[CallKey] | None:
        """The calls of which callbacks wait to be folded; None where more than `at_most` callbacks do."""

    def count_since(self, since: datetime, at_most: int) -> int:
        """How many calls were first heard of since then, whatever their state, counted up to `at_most`."""
