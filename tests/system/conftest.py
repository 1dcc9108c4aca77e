"""A running Offhook for each test: its database, a customer in it, and a sink."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import sinks
from tests.support import ledger
from tests.support.processes import Web, WorkerProcess, environment, flask
from tests.support.twilio import CALLER

if TYPE_CHECKING:
    from tests.support.postgres import PostgresServer


@dataclass(frozen=True, slots=True)
class Offhook:
    """A database, a folder for logs, a sink, and the processes that may be started on them."""

    database_url: str
    folder: Path
    sink: sinks.Sink

    def env(self, **changes: str) -> dict[str, str]:
        return environment(self.database_url, self.sink.url, **changes)

    def web(self, **changes: str) -> Web:
        return Web(self.env(**changes), self.folder)

    def worker(self, **changes: str) -> WorkerProcess:
        return WorkerProcess(self.env(**changes), self.folder)

    def upgrade(self) -> None:
        done = flask("db", "upgrade", env=self.env(), folder=self.folder)
        assert done.returncode == 0, done.stderr

    def states(self) -> dict[str, int]:
        """How many conversions stand in each state."""
        rows = ledger.query(self.database_url, "SELECT state, count(*) AS found FROM conversions GROUP BY state")
        return {row["state"]: row["found"] for row in rows}


@pytest.fixture
def sink() -> Iterator[sinks.Sink]:
    with sinks.Sink() as running:
        yield running


@pytest.fixture
def bare_offhook(empty_database_url: str, tmp_path: Path, sink: sinks.Sink) -> Offhook:
    """On a database without tables."""
    return Offhook(empty_database_url, tmp_path, sink)


@pytest.fixture
def offhook(database_url: str, tmp_path: Path, sink: sinks.Sink) -> Offhook:
    """With tables, and CALLER in the mapping."""
    ledger.add_customer(database_url, CALLER, "caller@example.test")
    return Offhook(database_url, tmp_path, sink)


@pytest.fixture
def lone_offhook(own_postgres: PostgresServer, tmp_path: Path, sink: sinks.Sink) -> Offhook:
    """The same on a Postgres that this test may stop."""
    lone = Offhook(own_postgres.fresh_database(), tmp_path, sink)
    lone.upgrade()
    ledger.add_customer(lone.database_url, CALLER, "caller@example.test")
    return lone
