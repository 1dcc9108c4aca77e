"""Waiting for something to come true, with an end. Never sleeps for luck."""

from __future__ import annotations

import time
from collections.abc import Callable

_LOOK_EVERY_SECONDS = 0.02


def wait_until(
    holds: Callable[[], object], timeout_seconds: float = 10.0, tell: Callable[[], str] = lambda: ""
) -> None:
    """Return once `holds()` is true. Raises TimeoutError with `tell()` when it is not in time."""
    until = time.monotonic() + timeout_seconds
    while not holds():
        if time.monotonic() > until:
            raise TimeoutError(f"not within {timeout_seconds} s: {getattr(holds, '__name__', holds)} {tell()}")
        time.sleep(_LOOK_EVERY_SECONDS)
