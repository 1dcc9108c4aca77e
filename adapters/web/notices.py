"""Conditions that last, in the log once and then once in a while with their count: never one line a connection."""

from __future__ import annotations

import logging
from collections.abc import Callable

log = logging.getLogger("offhook.web")


class Notices:
    """Counts what happens and logs it, each at its first time at once, then at most every `every_seconds`.

    `clock` gives monotonic seconds. For one thread.
    """

    def __init__(self, every_seconds: float, clock: Callable[[], float]) -> None:
        self._every_seconds, self._clock = every_seconds, clock
        self._counts: dict[str, int] = {}
        self._due: dict[str, float] = {}

    def count(self, event: str) -> None:
        self._counts[event] = self._counts.get(event, 0) + 1
        if event not in self._due:
            self._log(event)

    def tick(self) -> None:
        """Log what has been counted since the last line and is due."""
        if not self._due:
            return
        now = self._clock()
        for event, due in list(self._due.items()):
            if now < due:
                continue
            if event in self._counts:
                self._log(event)
            else:
                del self._due[event]

    def flush(self) -> None:
        """Log all that was counted, due or not: the process ends."""
        for event in list(self._counts):
            self._log(event)

    def _log(self, event: str) -> None:
        log.warning(event, extra={"count": self._counts.pop(event)})
        self._due[event] = self._clock() + self._every_seconds
