"""The time that leases, due times and settling go by: the database's on Postgres, where several machines meet.

On SQLite there is one machine, and its clock is everybody's. Between two looks at the database's clock time is counted by
a clock that nobody sets (CLOCK_BOOTTIME, which goes on while the machine sleeps), so a machine whose own clock is an hour
off, or jumps, does as all the others do.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from offhook.pipeline.machine import machine_time
from offhook.pipeline.skew import Skew, log_change, skew_seconds

log = logging.getLogger("offhook.ledger")

TOLERANCE_SECONDS = 5.0


def steady_seconds() -> float:
    """Seconds on a clock that is never set. macOS has no CLOCK_BOOTTIME; its monotonic clock is the next best."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


@dataclass(frozen=True, slots=True)
class _Anchor:
    """The database's time at a moment of the steady clock."""

    database: datetime
    steady: float


def _carried_on(anchor: _Anchor, steady: float) -> datetime:
    return anchor.database + timedelta(seconds=steady - anchor.steady)


class LedgerClock:
    """Gives the time; `anchor` holds it against the database's clock, as often as one likes, and logs when `machine`, this
    machine's own, differs from it by more than `tolerance_seconds`."""

    def __init__(
        self, tolerance_seconds: float = TOLERANCE_SECONDS, machine: Callable[[], datetime] = machine_time
    ) -> None:
        self._machine = machine
        self._anchor: _Anchor | None = None
        self._anchoring = threading.Lock()
        self._skew = Skew(tolerance_seconds)

    def __call__(self) -> datetime:
        """An aware UTC time; this machine's until the first anchor."""
        anchor = self._anchor
        return self._machine() if anchor is None else _carried_on(anchor, steady_seconds())

    def anchor(self, database: datetime, asked_at: float, answered_at: float) -> None:
        """The database said `database` between the two moments of the steady clock.

        When it answered its time was that at least, and later by no more than the question took. What is gone by is moved only
        where it lies outside of that, and to its edge: so it goes back where the database's own clock did, and never else.
        """
        took = timedelta(seconds=answered_at - asked_at)
        with self._anchoring:
            known = database if self._anchor is None else _carried_on(self._anchor, answered_at)
            held = min(max(known, database), database + took)
            if self._anchor is None or held != known:
                self._anchor = _Anchor(held, answered_at)
        now = self._machine()
        log_change(log, self._skew.observe(skew_seconds(now - took, now, database)), self._skew, "database")

    @property
    def ahead_seconds(self) -> float | None:
        """How far this machine's clock is ahead of the database's (negative: behind). None where they are the same clock."""
        return self._skew.seconds

    @property
    def differs(self) -> bool:
        """True while that is more than is tolerated."""
        return self._skew.exceeded
