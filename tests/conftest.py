"""What tests share: real databases, a signed caller. Nothing of Offhook is imported before a test asks for it."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.twilio import Twilio

if TYPE_CHECKING:
    from tests.support.postgres import PostgresServer


pytest_plugins = ["offhook.pytest_offhook", "pytester"]  # our own tests use what others install
logging.raiseExceptions = False  # the Postgres wheel logs as Python exits, when there is nothing left to write to


def _running_postgres() -> Iterator[PostgresServer]:
    """Where there is none the test is skipped, but in CI it fails."""
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


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A real Postgres for the whole run: no test may stop it, nor change what holds for all of its databases."""
    yield from _running_postgres()


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A real Postgres that this test may stop and change."""
    yield from _running_postgres()


@pytest.fixture(params=["sqlite", "postgres"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh database without any table: each test runs on SQLite and on Postgres."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/offhook.db"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.fresh_database()


def _with_tables(url: str) -> str:
    from offhook.adapters.ledger.store import SqlLedger
    from offhook.settings import given

    ledger = SqlLedger(given({"DATABASE_URL": url}).database_url)
    ledger.migrations.upgrade()
    ledger.close()
    return url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database with the ledger's tables, to be copied: to migrate each one anew takes five times as long."""
    return _with_tables(f"sqlite:///{tmp_path_factory.mktemp('template')}/offhook.db")


@pytest.fixture(scope="session")
def postgres_template(postgres: PostgresServer) -> str:
    """The same on Postgres."""
    return _with_tables(postgres.fresh_database())


@pytest.fixture
def database_url(empty_database_url: str, request: pytest.FixtureRequest) -> str:
    """A fresh database with the ledger's tables."""
    if empty_database_url.startswith("sqlite"):
        template: str = request.getfixturevalue("sqlite_template")
        shutil.copyfile(template.removeprefix("sqlite:///"), empty_database_url.removeprefix("sqlite:///"))
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        server.copy_into(empty_database_url, request.getfixturevalue("postgres_template"))
    return empty_database_url


@pytest.fixture
def offhook_database_url(database_url: str) -> str:
    """The plugin's pipeline runs on both databases."""
    return database_url


@pytest.fixture
def signed() -> Callable[[int], Twilio]:
    """port -> a caller whose callbacks are signed by Offhook's own `sign`."""
    from offhook.adapters.twilio.signature import sign

    return lambda port: Twilio(port, sign=sign)
