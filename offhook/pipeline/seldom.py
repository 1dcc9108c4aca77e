"""What is looked at once in a while, in seconds of a steady clock. Knows no clock of its own."""

from __future__ import annotations

_EVERY_SECONDS = 60.0
_LOOKS_IN_TIME = 60  # where less time is given than an hour, it is looked at more often


class Seldom:
    """Due at once, and from then on `every_seconds` after it was last done."""

    def __init__(self, every_seconds: float) -> None:
        self._every_seconds = every_seconds
        self._due_at = float("-inf")

    def is_due(self, now_seconds: float) -> bool:
        return now_seconds >= self._due_at

    def is_done(self, now_seconds: float) -> None:
        """It was looked at now, and there is no more of it."""
        self._due_at = now_seconds + self._every_seconds


def in_time(seconds: float) -> Seldom:
    """For what has so many seconds until something must be done about it."""
    return Seldom(min(_EVERY_SECONDS, seconds / _LOOKS_IN_TIME))
