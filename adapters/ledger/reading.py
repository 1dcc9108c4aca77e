"""The ledger as pages read it: a few connections of its own, transactions that can change nothing, a limit on each statement."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime

from offhook.adapters.ledger.engine import Database, Patience
from offhook.adapters.ledger.imports import HistoryOnSql
from offhook.adapters.ledger.intake_counts import IntakeCountsTable
from offhook.adapters.ledger.job_files import JobFilesTable
from offhook.adapters.ledger.jobs import JobsTable
from offhook.adapters.ledger.look_ups import LookUpsTable
from offhook.adapters.ledger.past import PastOnSql
from offhook.adapters.ledger.people.customers import find_customers
from offhook.adapters.ledger.rebuild import RebuildingOnSql
from offhook.adapters.ledger.sent import SentOnSql
from offhook.adapters.ledger.stories import StoriesOnSql
from offhook.adapters.ledger.tables import Tables, standing
from offhook.adapters.ledger.tallies import TalliesTable
from offhook.adapters.ledger.tokens import TokensTable
from offhook.adapters.ledger.unknown import UnknownOnSql
from offhook.adapters.ledger.users import AuditTable, InvitesTable, SessionsTable, UsersTable
from offhook.adapters.ledger.waiting import Backlog, read_backlog, read_waiting
from offhook.pipeline.customer import Customer
from offhook.pipeline.ports.audit import Audit
from offhook.pipeline.ports.books import KnownCalls
from offhook.pipeline.ports.history import History
from offhook.pipeline.ports.invites import Invites
from offhook.pipeline.ports.job_files import JobFiles
from offhook.pipeline.ports.jobs import Jobs
from offhook.pipeline.ports.look_ups import LookUpLine
from offhook.pipeline.ports.past import Past
from offhook.pipeline.ports.rebuilding import Rebuilding
from offhook.pipeline.ports.sent import Sent
from offhook.pipeline.ports.sessions import Sessions
from offhook.pipeline.ports.stories import Stories
from offhook.pipeline.ports.tallies import Tallies
from offhook.pipeline.ports.tokens import Tokens
from offhook.pipeline.ports.unknown import UnknownCallers
from offhook.pipeline.ports.users import Users
from offhook.pipeline.ports.waiting import Waiting


class Reading:
    """Read models alone. Whatever takes longer than `seconds` raises LedgerUnavailable with the word `slow`."""

    def __init__(self, url: str, *, pool_size: int, patience: Patience, seconds: float) -> None:
        known = replace(patience, store_seconds=seconds, statement_seconds=seconds)
        self.database = Database(url, pool_size=pool_size, patience=known, reads_only=True)
        self.stories: Stories = StoriesOnSql(self.database)
        self.past: Past = PastOnSql(self.database)
        self.sent: Sent = SentOnSql(self.database)
        self.tallies: Tallies = TalliesTable(self.database)
        self.history: History = HistoryOnSql(self.database)
        self.unknown: UnknownCallers = UnknownOnSql(self.database)
        self.users: Users = UsersTable(self.database)
        self.sessions: Sessions = SessionsTable(self.database)
        self.invites: Invites = InvitesTable(self.database)
        self.audit: Audit = AuditTable(self.database)
        self.tokens: Tokens = TokensTable(self.database)
        self.rebuilding: Rebuilding = RebuildingOnSql(self.database)
        self.known_calls: KnownCalls = self.rebuilding.known_calls()
        files = JobFilesTable(self.database)
        self.job_files: JobFiles = files
        self.jobs: Jobs = JobsTable(self.database, files)
        self.intake_sums = IntakeCountsTable(self.database).sums
        self.look_writable = self.database.look_writable

    def look_up_of(self, phone: str, /) -> LookUpLine | None:
        """Where the look-up of this E.164 number stands; None where none waits. Raises LedgerUnavailable."""
        return LookUpsTable(self.database).look_up_of(phone)

    def find_customers(self, phones: Collection[str], /) -> Mapping[str, Customer]:
        """Those of the E.164 numbers that are known. Raises LedgerUnavailable."""
        with self.database.read() as connection:
            return find_customers(connection, phones)

    def waiting(self) -> Waiting:
        """What waits, and until when. Raises LedgerUnavailable."""
        return read_waiting(self.database)

    def backlog(self, now: datetime, worker_lost_seconds: float) -> Backlog:
        """What waits at `now`, and how many workers were seen in the last `worker_lost_seconds`. Raises LedgerUnavailable."""
        return read_backlog(self.database, now, worker_lost_seconds)

    def tables(self) -> Tables:
        """Where the tables stand. Raises LedgerUnavailable."""
        return standing(self.database)

    def close(self) -> None:
        self.database.close()
