"""What the threads of a worker do alike: how one begins, and how one takes what others have put into a queue."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


def started(name: str, target: Callable[[], object]) -> threading.Thread:
    """A thread that runs, and that no process waits for at its end."""
    thread = threading.Thread(target=target, name=name, daemon=True)
    thread.start()
    return thread


def gathered(come: queue.SimpleQueue[T | None], first_seconds: float, more_seconds: float) -> list[T]:
    """What has come: waits so long for the first, and a moment for those that come with it. None only ends the wait."""
    found: list[T | None] = []
    with suppress(queue.Empty):
        found.append(come.get(timeout=first_seconds))
        time.sleep(more_seconds)
        while True:
            found.append(come.get_nowait())
    return [one for one in found if one is not None]
