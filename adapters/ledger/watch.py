"""Watches transactions that are under way, from outside: says which are slow, and cuts those whose time is over.

A thread that waits in a database's driver for a peer that is gone waits for as long as TCP does, up to two hours. Nothing
in that thread can end the wait, so another one does. Knows no database: what cuts a connection is handed in.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from offhook.pipeline.repeated import EVERY_SECONDS, Repeated

log = logging.getLogger("offhook.ledger")

_LOOK_EVERY_SECONDS = 0.25
_SHOWN_CHARACTERS = 120


@dataclass(slots=True, eq=False)
class Watch:
    """One transaction, or one wait. `until` and `since` are monotonic; `doing` is "" between two statements."""

    until: float | None
    cut: Callable[[], bool] | None
    doing: str = ""
    since: float = field(default_factory=time.monotonic)
    was_cut: bool = False
    was_slow: bool = False
    _said: bool = False

    def begins(self, doing: str) -> None:
        """A statement was handed to the database."""
        self.since = time.monotonic()
        self._said = False
        self.doing = doing

    def ends(self) -> None:
        self.doing = ""

    def look(self, now: float, slow_seconds: float, slow: Repeated, cut: Repeated) -> None:
        """Say once that it is slow; cut it when its time is over."""
        doing = _shown(self.doing)
        if doing and not self._said and now - self.since >= slow_seconds:
            self._said = self.was_slow = True
            slow.log(logging.WARNING, doing, {"doing": doing, "seconds_so_far": round(now - self.since, 1)})
        if self.until is not None and now >= self.until and not self.was_cut and self.cut is not None:
            self.was_cut = self.cut()
            if self.was_cut:
                cut.log(logging.ERROR, doing, {"doing": doing, "word": "slow"})


def _shown(statement: str) -> str:
    return " ".join(statement.split())[:_SHOWN_CHARACTERS]


class Watchdog:
    """A thread that looks at what is under way four times a second, and sleeps while nothing is."""

    def __init__(self, slow_seconds: float, log_repeat_seconds: float = EVERY_SECONDS) -> None:
        self._slow_seconds = slow_seconds
        self._slow = Repeated(log, "database_slow", log_repeat_seconds)
        self._cut = Repeated(log, "database_cut_off", log_repeat_seconds)
        self._guard = threading.Lock()
        self._watches: set[Watch] = set()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._closed = False

    @contextmanager
    def watching(
        self, doing: str = "", *, seconds: float | None = None, cut: Callable[[], bool] | None = None
    ) -> Iterator[Watch]:
        """Watch what the `with` block does. After `seconds`, `cut` is called from the watching thread until it says that there
        was something to cut.

        `cut` is never called after the block has ended: what it would close may be somebody else's by then.
        """
        watch = Watch(None if seconds is None else time.monotonic() + seconds, cut, doing)
        with self._guard:
            self._watches.add(watch)
            self._start()
        self._wake.set()
        try:
            yield watch
        finally:
            with self._guard:
                self._watches.discard(watch)
            if not (watch.was_slow or watch.was_cut):
                self._slow.works()
                self._cut.works()

    def _start(self) -> None:
        if self._thread is None and not self._closed:
            thread = threading.Thread(target=self._run, name="ledger-watch", daemon=True)
            thread.start()  # first: where there can be no thread now, the next one tries again
            self._thread = thread

    def _run(self) -> None:
        while not self._closed:
            self._look()
            time.sleep(_LOOK_EVERY_SECONDS)
            with self._guard:
                if not self._watches and not self._closed:
                    self._wake.clear()
            self._wake.wait()

    def _look(self) -> None:
        now = time.monotonic()
        with self._guard:
            for watch in self._watches:
                try:
                    watch.look(now, self._slow_seconds, self._slow, self._cut)
                except Exception:  # the connection may end in this very moment
                    log.debug("cut_failed", exc_info=True)

    def close(self) -> None:
        """End the thread."""
        with self._guard:
            self._closed = True
        self._wake.set()
