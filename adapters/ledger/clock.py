"""The time that leases, due times and settling go by: the database's on Postgres, where several machines meet.

On SQLite there is one machine, and its clock is everybody's. Between two looks at the database's clock time is counted by
a clock that nobody sets (CLOCK_BOOTTIME, which goes on while the machine sleeps), so a machine whose own clock is an hour
off, or jumps, does as all the others do.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_VAGUE_SECONDS = 0.5


def steady_seconds() -> float:
    """Seconds on a clock that is never set. macOS has no CLOCK_BOOTTIME; its monotonic clock is the next best."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def machine_time() -> datetime:
    """What this machine believes."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class _Anchor:
    """The database's time at a moment of the steady clock, and how far this machine's clock was ahead of it."""

    database: datetime
    steady: float
    ahead_seconds: float


class LedgerClock:
    """Tells the time; `anchor` holds it against the database's clock, as often as one likes."""

    def __init__(self, machine: Callable[[], datetime] = machine_time) -> None:
        self._machine = machine
        self._anchor: _Anchor | None = None

    def __call__(self) -> datetime:
        """An aware UTC time; this machine's until the first anchor."""
        anchor = self._anchor
        if anchor is None:
            return self._machine()
        return anchor.database + timedelta(seconds=steady_seconds() - anchor.steady)

    def anchor(self, database: datetime, asked_at: float, answered_at: float) -> None:
        """The database said `database` between the two moments of the steady clock; the middle is as good as any.

        What took long says little about when it was said, and does not replace what is known.
        """
        half = (answered_at - asked_at) / 2
        if half > _VAGUE_SECONDS and self._anchor is not None:
            return
        ahead = (self._machine() - database).total_seconds() - half
        self._anchor = _Anchor(database, answered_at - half, ahead)

    @property
    def ahead_seconds(self) -> float | None:
        """How far this machine's clock is ahead of the database's (negative: behind). None where they are the same clock."""
        anchor = self._anchor
        return None if anchor is None else anchor.ahead_seconds
