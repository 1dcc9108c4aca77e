"""The ledger as the rest of Offhook knows it: one database that keeps, folds, decides and delivers. Holds no SQL of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from offhook.adapters.ledger import sqlite
from offhook.adapters.ledger.answers import AnswersTable
from offhook.adapters.ledger.backup import Backups
from offhook.adapters.ledger.books import BooksOnSql, try_to_keep_books
from offhook.adapters.ledger.engine import Database, Patience
from offhook.adapters.ledger.imports import HistoryOnSql
from offhook.adapters.ledger.inbox import InboxTable
from offhook.adapters.ledger.intake_counts import IntakeCountsTable
from offhook.adapters.ledger.job_files import JobFilesTable
from offhook.adapters.ledger.jobs import JobsTable
from offhook.adapters.ledger.look_ups import LookUpsTable
from offhook.adapters.ledger.mapping import MappingTable
from offhook.adapters.ledger.outbox import OutboxTable
from offhook.adapters.ledger.past import PastOnSql
from offhook.adapters.ledger.rebuild import RebuildingOnSql
from offhook.adapters.ledger.rule_texts import RuleTextsTable
from offhook.adapters.ledger.sent import SentOnSql
from offhook.adapters.ledger.statistics import analyze_unknown
from offhook.adapters.ledger.stories import StoriesOnSql
from offhook.adapters.ledger.syncs import SyncsTable
from offhook.adapters.ledger.tables import Tables, standing
from offhook.adapters.ledger.tallies import TalliesTable
from offhook.adapters.ledger.tokens import TokensTable
from offhook.adapters.ledger.unknown import UnknownOnSql
from offhook.adapters.ledger.users import AuditTable, InvitesTable, SessionsTable, TriesTable, UsersTable
from offhook.adapters.ledger.waiting import Backlog, read_backlog, read_waiting
from offhook.adapters.ledger.workers import WorkersTable
from offhook.adapters.ledger.write_lock import FairLock
from offhook.pipeline.callback import RawCallback
from offhook.pipeline.delivery import BreakerPolicy
from offhook.pipeline.ports.answered import Answered
from offhook.pipeline.ports.audit import Audit
from offhook.pipeline.ports.books import Books
from offhook.pipeline.ports.history import History
from offhook.pipeline.ports.invites import Invites
from offhook.pipeline.ports.job_files import JobFiles
from offhook.pipeline.ports.jobs import Jobs
from offhook.pipeline.ports.past import Past
from offhook.pipeline.ports.rebuilding import Rebuilding
from offhook.pipeline.ports.sent import Sent
from offhook.pipeline.ports.sessions import Sessions
from offhook.pipeline.ports.stories import Stories
from offhook.pipeline.ports.syncs import Syncs
from offhook.pipeline.ports.tallies import Tallies
from offhook.pipeline.ports.tokens import Tokens
from offhook.pipeline.ports.tries import Tries
from offhook.pipeline.ports.unavailable import LedgerUnavailable
from offhook.pipeline.ports.unknown import UnknownCallers
from offhook.pipeline.ports.users import Users
from offhook.pipeline.ports.waiting import Waiting

if TYPE_CHECKING:
    from offhook.adapters.ledger.migrate import Migrations

_CLOCK_SECONDS = 1.0  # then the process starts without


class SqlLedger:
    """`Ledger` of pipeline/ports/ledger.py on SQLite or Postgres. Connects at first use."""

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 5,
        batch_rows: int = 64,
        mapping_batch_rows: int = 500,
        patience: Patience | None = None,
        breaker_policy: BreakerPolicy | None = None,
    ) -> None:
        known = patience or Patience()
        self.database = Database(url, pool_size=pool_size, patience=known)
        self.clock = self.database.clock
        self.stories: Stories = StoriesOnSql(self.database)
        self.past: Past = PastOnSql(self.database)
        self.sent: Sent = SentOnSql(self.database)
        self.backups = Backups(self.database)
        self.intake_counts = IntakeCountsTable(self.database)
        self.workers = WorkersTable(self.database)
        self.tallies: Tallies = TalliesTable(self.database)
        self.rebuilding: Rebuilding = RebuildingOnSql(self.database)
        self.history: History = HistoryOnSql(self.database)
        self.unknown: UnknownCallers = UnknownOnSql(self.database)
        self.syncs: Syncs = SyncsTable(self.database)
        self.tokens: Tokens = TokensTable(self.database)
        self.answered: Answered = AnswersTable(self.database)
        self.users: Users = UsersTable(self.database)
        self.sessions: Sessions = SessionsTable(self.database)
        self.invites: Invites = InvitesTable(self.database)
        self.tries: Tries = TriesTable(self.database)
        self.audit: Audit = AuditTable(self.database)
        files = JobFilesTable(self.database)
        self.job_files: JobFiles = files
        self.jobs: Jobs = JobsTable(self.database, files)
        self._books_turn = FairLock(Path(f"{sqlite.file_of(url)}.books")) if self.database.is_sqlite else None
        self._inbox = InboxTable(
            self.database,
            batch_rows=batch_rows,
            timeout_seconds=known.store_seconds,
            log_repeat_seconds=known.log_repeat_seconds,
        )
        self._outbox = OutboxTable(self.database, breaker_policy or BreakerPolicy())
        self._mapping = MappingTable(self.database, batch_rows=mapping_batch_rows)
        self._look_ups = LookUpsTable(self.database)
        texts = RuleTextsTable(self.database)
        self.keep_rules = texts.keep_rules
        self.kept_rules = texts.kept_rules
        self.news = threading.Event()
        self.intake_sums = self.intake_counts.sums
        self.prove_writable = self._inbox.prove_writable
        self.look_writable = self.database.look_writable
        self.claim = self._outbox.claim
        self.finish = self._outbox.finish
        self.expire_leases = self._outbox.expire_leases
        self.retry = self._outbox.retry
        self.merge_customers = self._mapping.merge_customers
        self.retire_customers = self._mapping.retire_customers
        self.known_phones = self._mapping.known_phones
        self.find_customers = self._mapping.find_customers
        self.claim_look_ups = self._look_ups.claim_look_ups
        self.finish_look_ups = self._look_ups.finish_look_ups
        self.fresh_numbers = self._look_ups.fresh_numbers
        self.look_ups = self._look_ups.look_ups
        self.look_up_of = self._look_ups.look_up_of

    @cached_property
    def migrations(self) -> Migrations:
        """Alembic is loaded by who migrates alone."""
        from offhook.adapters.ledger.migrate import Migrations

        return Migrations(self.database)

    def tables(self) -> Tables:
        """Where the tables stand. Raises LedgerUnavailable."""
        return standing(self.database)

    def append(self, raws: Sequence[RawCallback]) -> None:
        """Keep callbacks durably; those already kept stay as they are. Raises LedgerUnavailable."""
        self._inbox.append(raws)
        self.news.set()

    @contextmanager
    def books(self) -> Iterator[Books | None]:
        """The bookkeeper's turn; None while another worker has it."""
        if self._books_turn is not None:
            with self._books_turn.tried() as is_ours:
                yield BooksOnSql(self.database.read, self.database.write) if is_ours else None
            return
        with self.database.write() as connection:

            @contextmanager
            def ours() -> Iterator[Connection]:
                yield connection

            yield BooksOnSql(ours, ours) if try_to_keep_books(connection) else None

    def waiting(self, *, with_open: bool = False) -> Waiting:
        """What waits, and until when: one question, without a lock. `with_open` it costs more, where much was ever open."""
        return read_waiting(self.database, with_open=with_open)

    def mapping_version(self) -> int:
        """Grows with every change of the mapping."""
        return self.waiting().mapping_version

    def backlog(self, now: datetime, worker_lost_seconds: float = 60.0) -> Backlog:
        """What waits at `now`, and how many workers were seen in the last `worker_lost_seconds`."""
        return read_backlog(self.database, now, worker_lost_seconds)

    def gather_statistics(self) -> None:
        """Where Postgres knows nothing of its tables (after a restore, an upgrade), let it look. Raises LedgerUnavailable."""
        if not self.database.is_sqlite:
            analyze_unknown(self.database)

    def check(self, *, allow_old_sqlite: bool) -> Sequence[str]:
        """Warnings about durability; raises LedgerRefused when it may not be used as it is."""
        return self.database.check_trustworthy(allow_old_sqlite=allow_old_sqlite)

    def look_at_clock(self) -> None:
        """From now on `clock` goes by the database's. Where it does not answer yet, the first transaction does it."""

        def look() -> None:
            with suppress(LedgerUnavailable), self.database.read():
                pass

        looking = threading.Thread(target=look, name="clock", daemon=True)
        looking.start()
        looking.join(_CLOCK_SECONDS)

    def close(self) -> None:
        self._inbox.close()
        if self._books_turn is not None:
            self._books_turn.close()
        self.database.close()
