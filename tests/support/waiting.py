"""Waiting for something to come true, with an end. Never sleeps for luck, and never says how quick it must have been."""

from __future__ import annotations

import time
from collections.abc import Callable

# The one bound of all waits; shorter than the runner's, so that a test can say what it saw.
HANGS_AFTER_SECONDS = 840.0
_LOOK_EVERY_SECONDS = 0.02


def wait_until(holds: Callable[[], object], shows: Callable[[], str] = lambda: "") -> None:
    """Return once `holds()` is true. Raises TimeoutError with `shows()` when it hangs: no test fails for being slow."""
    until = time.monotonic() + HANGS_AFTER_SECONDS
    while not holds():
        if time.monotonic() > until:
            raise TimeoutError(f"hangs for {HANGS_AFTER_SECONDS} s: {getattr(holds, '__name__', holds)} {shows()}")
        time.sleep(_LOOK_EVERY_SECONDS)
