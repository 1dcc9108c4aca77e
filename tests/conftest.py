"""What tests share: real databases, a signed caller. Nothing of Offhook is imported before a test asks for it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.twilio import Twilio

if TYPE_CHECKING:
    from tests.support.postgres import PostgresServer


pytest_plugins = ["pytest_offhook"]  # our own tests use what others install
logging.raiseExceptions = False  # the Postgres wheel logs as Python exits, when there is nothing left to write to


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A real Postgres for the whole run. Where there is none the test is skipped, but in CI it fails."""
    try:
        from tests.support.postgres import PostgresServer
    except ImportError as error:
        reason = f"needs a real Postgres: pip install -r requirements-dev.txt ({error})"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    server = PostgresServer()
    yield server
    server.remove()


@pytest.fixture(params=["sqlite", "postgres"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh database without any table: each test runs on SQLite and on Postgres."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/offhook.db"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.fresh_database()


@pytest.fixture
def database_url(empty_database_url: str) -> str:
    """A fresh database with the ledger's tables."""
    from adapters.ledger.store import SqlLedger
    from settings import load

    ledger = SqlLedger(load(_env_file=None, DATABASE_URL=empty_database_url).database_url)
    ledger.migrations.upgrade()
    ledger.close()
    return empty_database_url


@pytest.fixture
def offhook_database_url(empty_database_url: str) -> str:
    """The plugin's pipeline runs on both databases."""
    return empty_database_url


@pytest.fixture
def signed() -> Callable[[int], Twilio]:
    """port -> a caller whose callbacks are signed by Offhook's own `sign`."""
    from adapters.twilio.signature import sign

    return lambda port: Twilio(port, sign=sign)
