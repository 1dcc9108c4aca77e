"""Where conversions wait for their way out, and what became of each attempt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from offhook.pipeline.callback import CallKey
from offhook.pipeline.delivery import Next, Outcome, RetryPolicy, Sending, Turn

MOST_AT_ONCE = 500
"""Held, or taken back, by one call, so that no transaction is long; the next call finds the others."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at a delivery, and where the conversion goes after it."""

    sending: Sending
    outcome: Outcome
    started_at: datetime
    finished_at: datetime
    next: Next


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a claim came to: `taken` are leased to us, `held` were moved to `ambiguous`, for a second copy might count."""

    taken: Sequence[Sending] = ()
    held: Sequence[Attempt] = ()


@dataclass(frozen=True, slots=True)
class Finished:
    """What became of results. `moved` went where their `next` says; `late` came when their fence was lost, and changed nothing.

    A late 2xx that delivered its conversion all the same is among the moved. `turn` says that the destination takes
    nothing from us any more, or again, with the reason.
    """

    moved: Sequence[Attempt] = ()
    late: Sequence[Attempt] = ()
    turn: tuple[Turn, str] | None = None


class Outbox(Protocol):
    """Where conversions wait for their way out. Every move is in what these return, so that it can be logged."""

    def claim(
        self, now: datetime, limit: int, lease_seconds: float, policy: RetryPolicy, *, newest: bool = False
    ) -> Claimed:
        """Lease up to `limit` due conversions, as many as the breaker allows; ours until the lease ends. Those that have
        been due for longest, or shortest.

        What may have arrived and may not leave again on this day is held for a person, due or not: up to MOST_AT_ONCE, those
        that left first.
        """

    def finish(self, attempts: Sequence[Attempt], now: datetime) -> Finished:
        """Journal attempts and move their conversions, those whose fence still holds.

        A late 2xx is journaled, too, and delivers a conversion that nobody is sending. To call it again with what was
        written already, since nobody knew whether the commit came through, changes nothing and returns the same.
        """

    def expire_leases(self, now: datetime, policy: RetryPolicy) -> Sequence[Attempt]:
        """Take back conversions whose worker's lease ended: up to MOST_AT_ONCE, those whose leases ended first."""

    def retry(self, keys: Sequence[CallKey], now: datetime, *, asked_at: datetime | None = None) -> int:
        """Send these again because a person asked, those that are dead, ambiguous or quarantined. Returns how many.

        What came before binds no more: a copy may go out now, whatever the day. What was decided or sent again since
        `asked_at` stays as it is, so that who asks the same twice sends it once.
        """
