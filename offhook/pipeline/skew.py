"""How far a clock of ours is from another one, and when that is worth a line in the log. Reads no clock itself.

Leases, due times and the turn of Rockerbox's day rest on clocks. A wrong one does its harm silently, so it is compared
with the clocks that are met anyway: the database's, and the `Date` of the destination's answers.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from datetime import datetime
from enum import StrEnum
from statistics import median

KEPT_OBSERVATIONS = 5
DATE_RESOLUTION_SECONDS = 1.0  # https://www.rfc-editor.org/rfc/rfc9110#field.date: whole seconds, cut off


class Change(StrEnum):
    """What an observation changed."""

    EXCEEDED = "exceeded"
    OVER = "over"


def skew_seconds(asked_at: datetime, answered_at: datetime, theirs: datetime, resolution_seconds: float = 0.0) -> float:
    """Seconds that our clock is ahead of theirs (negative: behind), never more than is certain.

    `theirs` was read at some moment between `asked_at` and `answered_at`, both by our clock, and was cut off to
    `resolution_seconds`. A slow answer alone is no skew: where the three can agree, it is 0.0.
    """
    at_least = (asked_at - theirs).total_seconds() - resolution_seconds
    at_most = (answered_at - theirs).total_seconds()
    return min(0.0, at_most) if at_most < 0.0 else max(0.0, at_least)


class Skew:
    """The skew to one clock: the median of the last observations, so that a single odd one changes little.

    Safe to use from many threads. It is exceeded above `tolerance_seconds` in either direction, and over below half of
    that, so that a skew near the limit does not fill the log.
    """

    def __init__(self, tolerance_seconds: float, kept: int = KEPT_OBSERVATIONS) -> None:
        self._tolerance_seconds = tolerance_seconds
        self._observed: deque[float] = deque(maxlen=kept)
        self._guard = threading.Lock()
        self._exceeded = False

    @property
    def seconds(self) -> float | None:
        """Seconds that our clock is ahead, negative when behind; None when nothing was observed yet."""
        with self._guard:
            return median(self._observed) if self._observed else None

    @property
    def exceeded(self) -> bool:
        """True from the observation that exceeded the tolerance until it is over."""
        return self._exceeded

    def observe(self, seconds: float) -> Change | None:
        """Take in one observation (see `skew_seconds`). Says when the skew becomes too great, and when it is over."""
        with self._guard:
            self._observed.append(seconds)
            size = abs(median(self._observed))
            if not self._exceeded and size > self._tolerance_seconds:
                self._exceeded = True
                return Change.EXCEEDED
            if self._exceeded and size <= self._tolerance_seconds / 2:
                self._exceeded = False
                return Change.OVER
            return None


def log_change(log: logging.Logger, change: Change | None, skew: Skew, against: str) -> None:
    """One line for a change, none for None. `against` says whose clock ours was compared with, in one word."""
    if change is None:
        return
    level, name = (
        (logging.WARNING, "clock_differs") if change is Change.EXCEEDED else (logging.INFO, "clock_agrees_again")
    )
    log.log(level, name, extra={"against": against, "ahead_seconds": round(skew.seconds or 0.0, 3)})
