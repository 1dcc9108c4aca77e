"""How long a thread has waited for the answers of a server: work that is done for it elsewhere, often on the same machine."""

from __future__ import annotations

import threading
import time
from typing import Any

from sqlalchemy import Connection, Engine, event

_mine = threading.local()


def taken_seconds() -> float:
    """Of the thread that asks: what it has computed, and what servers worked for it. Only ever grows."""
    return time.thread_time() + _waited()


def count_waiting(engine: Engine) -> None:
    """From now on what statements of this engine take counts."""

    @event.listens_for(engine, "before_cursor_execute")
    def _begins(*_: Any) -> None:
        _mine.began = _outside()

    @event.listens_for(engine, "after_cursor_execute")
    def _ends(_connection: Connection, *_: Any) -> None:
        _mine.seconds = _waited() + max(_outside() - _mine.began, 0.0)


def _waited() -> float:
    return getattr(_mine, "seconds", 0.0)


def _outside() -> float:
    """A clock that stands while this thread computes."""
    return time.monotonic() - time.thread_time()
