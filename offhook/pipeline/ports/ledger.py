"""What a worker needs of the ledger, all in one."""

from __future__ import annotations

import threading
from typing import Protocol

from offhook.pipeline.ports.books import Bookkeeping
from offhook.pipeline.ports.outbox import Outbox
from offhook.pipeline.ports.waiting import Watched


class Ledger(Bookkeeping, Outbox, Watched, Protocol):
    """Books, outbox and what waits in one database."""

    @property
    def news(self) -> threading.Event:
        """Set whenever a callback was stored by this very process."""

    def gather_statistics(self) -> None:
        """Whatever the database needs to know of its own tables to answer quickly. Raises LedgerUnavailable."""
