"""A trouble that could fill the log: a line at once, then now and then one with a count, and one when it is over. Hides no other."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

EVERY_SECONDS = 10.0
MOST_KINDS = 64
_TEXT_CHARACTERS = 200


@dataclass(slots=True)
class _Kind:
    """Monotonic times of the last line and of the last time that it happened; how often without a line since."""

    said_at: float
    seen_at: float
    left_out: int = 0


class Repeated:
    """The lines of one event. Safe for threads.

    `log` writes a line for a kind of it at once, and again when `every_seconds` have passed since, with the number of those that were
    left out between. `works` is called whenever it did not happen; once that is true for `every_seconds`, it is over, and
    `EVENT_over` says how many were left out in the end and how long it lasted. Another kind is never left out: more than
    MOST_KINDS at once each have a line every time.
    """

    def __init__(
        self,
        log: logging.Logger,
        event: str,
        every_seconds: float = EVERY_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._event = event
        self._every_seconds = every_seconds
        self._clock = clock
        self._guard = threading.Lock()
        self._kinds: dict[str, _Kind] = {}
        self._since = 0.0

    def log(self, level: int, kind: str, extra: Mapping[str, Any], *, with_traceback: bool = False) -> None:
        """It happened. `kind` says what makes it another trouble than the last one; `extra` goes into the line."""
        left_out = self._count(kind)
        if left_out is not None:
            more = {"left_out": left_out} if left_out else {}
            self._log.log(level, self._event, extra={**extra, **more}, exc_info=with_traceback)

    def log_error(self, error: Exception) -> None:
        """The same for an error that nobody expected, with its traceback; to be called in its `except`."""
        self.log(logging.ERROR, kind_of(error), {}, with_traceback=True)

    def _count(self, kind: str) -> int | None:
        """How many of this kind were left out before the line that is to be written now; None when none is."""
        now = self._clock()
        with self._guard:
            if not self._kinds:
                self._since = now
            known = self._kinds.get(kind)
            if known is None:
                if len(self._kinds) < MOST_KINDS:
                    self._kinds[kind] = _Kind(now, now)
                return 0
            known.seen_at = now
            if now - known.said_at < self._every_seconds:
                known.left_out += 1
                return None
            left_out, known.left_out, known.said_at = known.left_out, 0, now
            return left_out

    def works(self) -> None:
        """It did not happen this time. Costs nothing while there is no trouble."""
        if not self._kinds:
            return
        now = self._clock()
        with self._guard:
            seen_at = max((kind.seen_at for kind in self._kinds.values()), default=now)
            if now - seen_at < self._every_seconds:
                return  # it may come back, as half of the requests fail while a pool is full
            left_out = sum(kind.left_out for kind in self._kinds.values())
            self._kinds.clear()
        lasted = round(seen_at - self._since, 1)
        self._log.info(f"{self._event}_over", extra={"left_out": left_out, "lasted_seconds": lasted})


def kind_of(error: BaseException) -> str:
    """The same for two errors that ask the same of a person: our word where it has one, else its type, place and text.

    Numbers in a text (ports, seconds, rows) make no difference.
    """
    word = getattr(error, "word", "failing")
    if word != "failing":
        return str(word)
    text = re.sub(r"\d+", "#", str(error))[:_TEXT_CHARACTERS]
    return f"{type(error).__name__} {_place(error)} {text}"


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    if trace is None:
        return ""
    while trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
