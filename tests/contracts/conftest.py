"""Each contract runs over every implementation of its port: in memory, on SQLite and on Postgres."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from offhook.pipeline.delivery import BreakerPolicy
from offhook.pipeline.ports.answered import Answered
from offhook.pipeline.ports.audit import Audit
from offhook.pipeline.ports.customers import Customers
from offhook.pipeline.ports.history import History
from offhook.pipeline.ports.inbox import Inbox
from offhook.pipeline.ports.intake_counts import IntakeCounts
from offhook.pipeline.ports.invites import Invites
from offhook.pipeline.ports.job_files import JobFiles
from offhook.pipeline.ports.jobs import Jobs
from offhook.pipeline.ports.ledger import Ledger
from offhook.pipeline.ports.look_ups import LookUps
from offhook.pipeline.ports.past import Past
from offhook.pipeline.ports.rebuilding import Rebuilding
from offhook.pipeline.ports.sent import Sent
from offhook.pipeline.ports.sessions import Sessions
from offhook.pipeline.ports.signs import SignsOfLife
from offhook.pipeline.ports.stories import Stories
from offhook.pipeline.ports.syncs import Syncs
from offhook.pipeline.ports.tallies import Tallies
from offhook.pipeline.ports.tokens import Tokens
from offhook.pipeline.ports.tries import Tries
from offhook.pipeline.ports.unknown import UnknownCallers
from offhook.pipeline.ports.users import Users

BREAKER = BreakerPolicy(threshold=3, base_seconds=10)


class WholeLedger(Inbox, Ledger, Customers, LookUps, Protocol):
    """All that is kept in one place."""

    @property
    def stories(self) -> Stories: ...
    @property
    def workers(self) -> SignsOfLife: ...
    @property
    def intake_counts(self) -> IntakeCounts: ...
    @property
    def sent(self) -> Sent: ...
    @property
    def tallies(self) -> Tallies: ...
    @property
    def rebuilding(self) -> Rebuilding: ...
    @property
    def past(self) -> Past: ...
    @property
    def history(self) -> History: ...
    @property
    def unknown(self) -> UnknownCallers: ...
    @property
    def syncs(self) -> Syncs: ...
    @property
    def tokens(self) -> Tokens: ...
    @property
    def answered(self) -> Answered: ...
    @property
    def audit(self) -> Audit: ...
    @property
    def invites(self) -> Invites: ...
    @property
    def sessions(self) -> Sessions: ...
    @property
    def tries(self) -> Tries: ...
    @property
    def users(self) -> Users: ...
    @property
    def jobs(self) -> Jobs: ...
    @property
    def job_files(self) -> JobFiles: ...
    def close(self) -> None: ...


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """`memory` for the fake, else where `database_url` makes a fresh database."""
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres").unused_url())
    return "memory" if request.param == "memory" else f"sqlite:///{tmp_path}/offhook.db"


@pytest.fixture
def ledger(empty_database_url: str, request: pytest.FixtureRequest) -> Iterator[WholeLedger]:
    """An empty one."""
    opened = _memory() if empty_database_url == "memory" else _on_sql(request.getfixturevalue("database_url"))
    yield opened
    opened.close()


def _memory() -> WholeLedger:
    from tests.fakes.ledger import MemoryLedger

    return MemoryLedger(BREAKER)


def _on_sql(url: str) -> WholeLedger:
    from offhook.adapters.ledger.store import SqlLedger
    from offhook.settings import given

    return SqlLedger(given({"DATABASE_URL": url}).database_url, breaker_policy=BREAKER)
