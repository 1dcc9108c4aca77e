"""Waiting for something to come true, with an end. Never sleeps for luck, and never says how quick it must have been."""

from __future__ import annotations

import time
from collections.abc import Callable

_LOOK_EVERY_SECONDS = 0.02
# However busy the machine is. Within the runner's own limit, so that what was waited for is told.
PATIENCE_SECONDS = 60.0


def wait_until(
    holds: Callable[[], object], timeout_seconds: float = 10.0, tell: Callable[[], str] = lambda: ""
) -> None:
    """Return once `holds()` is true. Raises TimeoutError with `tell()` when it never is.

    `timeout_seconds` is for what may take longer than PATIENCE_SECONDS; nothing is given up sooner.
    """
    until = time.monotonic() + max(timeout_seconds, PATIENCE_SECONDS)
    while not holds():
        if time.monotonic() > until:
            raise TimeoutError(f"waited in vain: {getattr(holds, '__name__', holds)} {tell()}")
        time.sleep(_LOOK_EVERY_SECONDS)
