"""The ledger as the rest of Offhook knows it: one database that keeps, folds, decides and delivers. Holds no SQL of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime

from sqlalchemy import select, text

from adapters.ledger.books import BooksOnSql, read_mapping_version, try_to_keep_books
from adapters.ledger.engine import Database, Patience
from adapters.ledger.inbox import InboxTable
from adapters.ledger.inspect import Backlog, Inspection, read_backlog, read_next_moment
from adapters.ledger.mapping import MappingTable
from adapters.ledger.migrate import Migrations
from adapters.ledger.outbox import OutboxTable
from adapters.ledger.schema import calls
from pipeline.delivery import BreakerPolicy
from pipeline.ports import Books, LedgerUnavailable


class SqlLedger:
    """`Ledger` of pipeline/ports.py on SQLite or Postgres. Connects at first use."""

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 5,
        batch_rows: int = 64,
        patience: Patience | None = None,
        breaker_policy: BreakerPolicy | None = None,
    ) -> None:
        known = patience or Patience()
        self.database = Database(url, pool_size=pool_size, patience=known)
        self.clock = self.database.clock
        self.migrations = Migrations(self.database)
        self.inspection = Inspection(self.database)
        self._inbox = InboxTable(
            self.database,
            batch_rows=batch_rows,
            timeout_seconds=known.store_seconds,
            log_repeat_seconds=known.log_repeat_seconds,
        )
        self._outbox = OutboxTable(self.database, breaker_policy or BreakerPolicy())
        self._mapping = MappingTable(self.database)
        self.append = self._inbox.append
        self.prove_writable = self._inbox.prove_writable
        self.claim = self._outbox.claim
        self.finish = self._outbox.finish
        self.expire_leases = self._outbox.expire_leases
        self.merge_customers = self._mapping.merge_customers
        self.find_customers = self._mapping.find_customers

    @contextmanager
    def books(self) -> Iterator[Books | None]:
        """One transaction of the one worker that keeps the books; None while another does."""
        with self.database.write() as connection:
            yield BooksOnSql(connection) if try_to_keep_books(connection) else None

    def mapping_version(self) -> int:
        with self.database.read() as connection:
            return read_mapping_version(connection)

    def books_are_idle(self, now: datetime) -> bool:
        """True when there is nothing to fold or to decide. Takes no lock."""
        unfolded = text("SELECT 1 FROM callbacks WHERE folded = 0 LIMIT 1")
        due = select(calls.c.call_sid).where(text("state = 'settling'"), calls.c.settle_at <= now).limit(1)
        with self.database.read() as connection:
            return connection.execute(unfolded).first() is None and connection.execute(due).first() is None

    def next_moment(self) -> datetime | None:
        """When something will be due next: a call settled, a conversion sent or its lease over. None when nothing will."""
        with self.database.read() as connection:
            return read_next_moment(connection)

    def backlog(self, now: datetime) -> Backlog:
        with self.database.read() as connection:
            return read_backlog(connection, now)

    def check(self, *, allow_old_sqlite: bool) -> Sequence[str]:
        """Warnings about durability; raises LedgerRefused when it may not be used as it is."""
        return self.database.check_trustworthy(allow_old_sqlite=allow_old_sqlite)

    def look_at_clock(self) -> None:
        """From now on `clock` goes by the database's. Where it does not answer yet, the first transaction does it."""
        with suppress(LedgerUnavailable), self.database.read():
            pass

    def close(self) -> None:
        self._inbox.close()
        self.database.close()
