"""How much of a process's time pages may take: while callbacks come in, a small share of it, else all that they like.

Pages and callbacks share one interpreter, in which one thread runs at a time: what a page computes, no callback can. They share
a database, too: what its server works for a page, it does not for a callback.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

_WINDOW_SECONDS = 1.0  # for so long is saved up what pages do not use, and callbacks are counted
_SHORTEST_WAIT_SECONDS = 0.001
_NEWEST_WEIGHT = 0.2  # of a page, in what one takes as a rule


@dataclass(frozen=True, slots=True)
class RationLimits:
    """See the settings of the same names. `share` is one of 1; `busy_callbacks` are those of a second."""

    share: float = 0.02
    busy_callbacks: int = 50
    wait_seconds: float = 2.0


class Ration:
    """For all threads of a process. Time is in seconds, as `used` says that a page's own thread took it.

    It is charged when a page is done, so one that took long is paid back by those after it. What a page takes as a rule is
    set aside when it begins: else whoever waits would begin at once when the first of them may.
    """

    def __init__(
        self,
        limits: RationLimits,
        clock: Callable[[], float] = time.monotonic,
        used: Callable[[], float] = time.thread_time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._limits, self._clock, self._used, self._sleep = limits, clock, used, sleep
        self._came: deque[float] = deque(maxlen=limits.busy_callbacks)
        self._guard = threading.Lock()
        self._full = limits.share * _WINDOW_SECONDS
        self._left, self._at, self._usual = self._full, clock(), 0.0

    def callback_came(self) -> None:
        """Called for each, by any thread."""
        self._came.append(self._clock())

    def begin(self) -> Page | float:
        """A page that may run; or in how many seconds one may, where that is more than a page waits for."""
        until = self._clock() + self._limits.wait_seconds
        while not isinstance(found := self._try(), Page):
            if self._clock() + found > until:
                return found
            self._sleep(found)
        return found

    def _try(self) -> Page | float:
        with self._guard:
            now = self._clock()
            since, self._at = now - self._at, now
            is_rationed = self._is_busy(now)
            self._left = min(self._full, self._left + since * self._limits.share) if is_rationed else self._full
            if self._left < 0:
                return max(-self._left / self._limits.share, _SHORTEST_WAIT_SECONDS)
            self._left -= self._usual
            return Page(self, self._usual, self._used())

    def _is_busy(self, now: float) -> bool:
        return len(self._came) == self._limits.busy_callbacks and now - self._came[0] <= _WINDOW_SECONDS

    def end(self, page: Page) -> None:
        """Called by the thread that began it."""
        took = max(self._used() - page.began, 0.0)
        with self._guard:
            self._left += page.set_aside - took
            self._usual += _NEWEST_WEIGHT * (took - self._usual)


@dataclass(frozen=True, slots=True)
class Page:
    """One that runs: what was set aside for it, and what its thread had used before."""

    ration: Ration
    set_aside: float
    began: float

    def end(self) -> None:
        self.ration.end(self)
