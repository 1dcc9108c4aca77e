"""When a worker has something to do: one question to the ledger for all of its threads. Knows time; knows no database."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime

from offhook.pipeline.delivery import RetryPolicy, resend_since
from offhook.pipeline.ports.waiting import Waiting, Watched


class Lookout:
    """Asks what waits, and remembers it for a moment, so that two threads do not ask the same."""

    def __init__(self, ledger: Watched, steady: Callable[[], float] = time.monotonic) -> None:
        self._ledger = ledger
        self._steady = steady
        self._guard = threading.Lock()
        self._seen = Waiting()
        self._seen_at = float("-inf")

    def look(self, at_most_old_seconds: float = 0.0, *, with_open: bool = False) -> Waiting:
        """What waits, as it was not longer ago than this; `with_open` when asked now, the oldest open call, too.

        Raises LedgerUnavailable.
        """
        with self._guard:
            now = self._steady()
            if at_most_old_seconds == 0.0 or now - self._seen_at > at_most_old_seconds:
                self._seen = self._ledger.waiting(with_open=with_open)
                self._seen_at = now
            return self._seen


def must_fold(waiting: Waiting) -> bool:
    return waiting.oldest_callback is not None


def must_decide(waiting: Waiting, now: datetime) -> bool:
    return waiting.settled_at is not None and waiting.settled_at <= now


def must_dispatch(waiting: Waiting, now: datetime, policy: RetryPolicy) -> bool:
    """Whether a conversion may leave, or one that may have arrived must not leave again."""
    if waiting.doubtful_since is not None:
        since = resend_since(now, policy)
        if since is None or waiting.doubtful_since < since:
            return True
    return waiting.leaves_at is not None and waiting.leaves_at <= now


def leases_are_over(waiting: Waiting, now: datetime) -> bool:
    return waiting.leased_until is not None and waiting.leased_until < now


class Unkept:
    """Says when callbacks wait and nobody has kept the books: the oldest of them has been the same for too long."""

    def __init__(self, after_seconds: float) -> None:
        self._after_seconds = after_seconds
        self._oldest: int | None = None
        self._since = 0.0
        self._logged_at = 0.0

    def observe(self, oldest: int | None, now_seconds: float) -> float | None:
        """How long it has been so, when that is to be logged now: at most once in `after_seconds`. None otherwise."""
        if oldest is None or oldest != self._oldest:
            self._oldest, self._since, self._logged_at = oldest, now_seconds, now_seconds
            return None
        if now_seconds - self._logged_at < self._after_seconds:
            return None
        self._logged_at = now_seconds
        return now_seconds - self._since


def log_unkept(log: logging.Logger, seconds: float | None) -> None:
    """The error for what `Unkept` observed; none for None."""
    if seconds is not None:
        what = (
            "callbacks wait and no worker folds them: none is running, or one holds the turn and does nothing, or fails"
        )
        log.error("books_not_kept", extra={"seconds": round(seconds), "what": what})
