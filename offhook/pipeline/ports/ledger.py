"""What a worker needs of the ledger, all in one."""

from __future__ import annotations

from typing import Protocol

from offhook.pipeline.ports.books import Bookkeeping
from offhook.pipeline.ports.outbox import Outbox
from offhook.pipeline.ports.waiting import Watched


class News(Protocol):
    """Ends a sleep early, as a `threading.Event` does; it may come once too often, and from another thread."""

    def wait(self, timeout: float, /) -> bool:
        """Whether there is any since `clear`, or comes within so many seconds."""

    def clear(self) -> None:
        """What has come so far is known."""


class Ledger(Bookkeeping, Outbox, Watched, Protocol):
    """Books, outbox and what waits in one database."""

    @property
    def news(self) -> News:
        """Comes as soon as a callback was stored by this very process, and not before it can be read."""

    def gather_statistics(self) -> None:
        """Whatever the database needs to know of its own tables to answer quickly. Nothing that is kept changes.

        May be asked at any time and as often as one likes. Raises LedgerUnavailable.
        """
