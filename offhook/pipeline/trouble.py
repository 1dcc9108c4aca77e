"""What steps come to that are made over and over: each works, or the ledger does not take it now, or it fails as nobody expected.

Whoever makes them goes on; the log has all of it, as repeated.py says it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import TracebackType

from offhook.pipeline.ports.unavailable import LedgerUnavailable
from offhook.pipeline.repeated import Repeated, kind_of


class Watching:
    """What watches one step."""

    def __init__(self, came_to: Callable[[Exception | None], None], otherwise: Callable[[], object]) -> None:
        self._came_to, self._otherwise = came_to, otherwise

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """True, so that what the step raised ends here, but for what is no Exception."""
        if error is None:
            self._came_to(None)
        elif isinstance(error, Exception):
            self._came_to(error)
            self._otherwise()
        return isinstance(error, Exception)


class Trouble:
    """Of steps of one kind. An error that nobody expected is a line of `failed`, with its traceback; a ledger that does not
    answer is a warning of `unavailable`, which several may share, and of `failed` where there is none.
    """

    def __init__(self, failed: Repeated, unavailable: Repeated | None = None) -> None:
        self._failed = failed
        self._unavailable = unavailable

    def watching(self, otherwise: Callable[[], object] = lambda: None, **facts: str) -> Watching:
        """For a step in a `with` block, which raises no Exception: where it does not work, `otherwise` is called. `facts` as
        in `came_to`.
        """
        return Watching(lambda error: self.came_to(error, **facts), otherwise)

    def came_to(self, error: Exception | None, **facts: str) -> None:
        """What a step came to, None where it worked; to be called in its `except`. `facts` go into the line of a ledger that
        does not answer.
        """
        unavailable = self._unavailable or self._failed
        if isinstance(error, LedgerUnavailable):
            unavailable.log(logging.WARNING, kind_of(error), {**facts, "error": str(error)})
        elif error is not None:
            self._failed.log_error(error)
        else:
            unavailable.works()
            self._failed.works()
