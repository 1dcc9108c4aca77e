"""What waits in the ledger, and until when: asked often, by everybody, without a lock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits in the ledger, and until when; None where nothing does.

    `settled_at` is when the first call is settled, `due_at` when the first conversion is to leave, as soon as the breaker's
    door is open (`door_opens_at`), `leased_until` when the first lease is over. `doubtful_since` is the first attempt of a
    waiting conversion that may have arrived, `to_review` grows with each change of the mapping after which all parked calls
    must be looked at, `open_since` when the oldest call was first received that waits for its end
    and is not called unfinished, `parked_since` when the oldest was that waits for a customer; these two are asked for
    seldom, and None otherwise. `look_up_at` is when the first number is due to be looked up, `has_answers` whether calls
    wait for look-ups that were answered, `job_at` since when, or from when on, the first job may be taken up.
    """

    oldest_callback: int | None = None
    oldest_received_at: datetime | None = None
    settled_at: datetime | None = None
    due_at: datetime | None = None
    door_opens_at: datetime | None = None
    leased_until: datetime | None = None
    doubtful_since: datetime | None = None
    mapping_version: int = 0
    to_review: int = 0
    open_since: datetime | None = None
    parked_since: datetime | None = None
    look_up_at: datetime | None = None
    has_answers: bool = False
    job_at: datetime | None = None

    @property
    def leaves_at(self) -> datetime | None:
        """When the first conversion may leave."""
        if self.due_at is None or self.door_opens_at is None:
            return self.due_at
        return max(self.due_at, self.door_opens_at)

    @property
    def next_moment(self) -> datetime | None:
        """When something will be due next: a call settled, a conversion sent or its lease over."""
        moments = (self.settled_at, self.leaves_at, self.leased_until)
        return min((moment for moment in moments if moment is not None), default=None)


class Watched(Protocol):
    """Can be asked what waits."""

    def waiting(self, *, with_open: bool = False) -> Waiting:
        """What waits, and until when; `with_open` the oldest open and the oldest parked call, too. Raises LedgerUnavailable."""
