"""Alembic's migrations for the ledger, run from code: no alembic.ini to find, no second copy of the database's address.

A version goes on working on tables that a newer one has migrated, so that it can be rolled back to: migrations add
first and take away two versions later (expand, contract). tests/test_migrations.py holds them to it. Indexes on tables
that may be large are built before the migration that brings them, while intake goes on.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.script.revision import RevisionError
from alembic.util import CommandError
from sqlalchemy import Connection, inspect, text

from offhook.adapters.ledger.engine import Database
from offhook.adapters.ledger.refused import LedgerRefused
from offhook.adapters.ledger.tables import VERSIONS, Tables, head, heads, known, standing
from offhook.pipeline.ports.unavailable import LedgerUnavailable

_ADVISORY_LOCK = 0x0FF_4002
_TRY_LOCK = text(f"SELECT pg_try_advisory_xact_lock({_ADVISORY_LOCK})")
_INVALID = text("SELECT 1 FROM pg_index WHERE indexrelid = to_regclass(:name) AND NOT indisvalid")
_LOOK_EVERY_SECONDS = 0.2
_LOCK_MILLISECONDS = 2000
_UPGRADE_SECONDS = 3600.0  # a large table takes as long as it takes; what hangs longer than this is stuck


@dataclass(frozen=True, slots=True)
class Upgraded:
    """What an upgrade did: the revision before and after, and where the tables stand now."""

    before: str | None
    after: str | None
    tables: Tables


class Migrations:
    def __init__(self, database: Database) -> None:
        self._database = database

    def upgrade(self, revision: str = "head") -> Upgraded:
        """Bring the tables up to `revision`; tables that are ahead stay as they are.

        Two at once: the second waits and finds nothing to do. Raises LedgerRefused when the revision is not known or the
        tables are not ours, and LedgerUnavailable.
        """
        self._database.create()
        until = time.monotonic() + _UPGRADE_SECONDS
        while True:
            try:
                return self._upgrade(revision)
            except LedgerUnavailable as error:  # somebody reads a table that is to be changed, e.g. a backup
                if error.word != "locked" or time.monotonic() > until:
                    raise
            time.sleep(_LOOK_EVERY_SECONDS)

    def _upgrade(self, revision: str) -> Upgraded:
        if self._database.is_sqlite:
            self._build_indexes(revision)
        with self._alone() as connection:
            before = heads(connection)
            if not self._database.is_sqlite:
                self._build_indexes(revision)
            if set(before) <= known():
                _run(connection, revision)
            after = heads(connection)
        return Upgraded(_shown(before), _shown(after), self.state())

    @contextmanager
    def _alone(self) -> Iterator[Connection]:
        """A transaction of the only one who upgrades now. On Postgres no statement of it waits for the other one's end:
        it would have a snapshot, and an index that the other one builds concurrently would wait for that.
        """
        until = time.monotonic() + _UPGRADE_SECONDS
        while time.monotonic() < until:
            with self._database.write(seconds=_UPGRADE_SECONDS) as connection:
                if self._database.is_sqlite or connection.execute(_TRY_LOCK).scalar_one():
                    if not self._database.is_sqlite:
                        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
                        # Whoever waits for a table makes all others wait behind it; so briefly, and again.
                        connection.execute(text(f"SET LOCAL lock_timeout = {_LOCK_MILLISECONDS}"))
                    yield connection
                    return
            time.sleep(_LOOK_EVERY_SECONDS)
        raise LedgerUnavailable("another upgrade is under way, and does not end", "locked")

    def _build_indexes(self, revision: str) -> None:
        """Those that the migrations up to `revision` bring, on tables that are there. Intake does not wait for them:
        on Postgres they are built concurrently, on SQLite each in a transaction of its own.
        """
        with self._database.read() as connection:
            found, there = heads(connection), set(inspect(connection).get_table_names())
        if not found or not set(found) <= known():
            return
        for name, (table, columns, condition) in _online_indexes(found[0], revision).items():
            where = f" WHERE {condition}" if condition else ""
            if table in there:  # else a migration before it makes the table, which is empty then
                self._build(name, f"ON {table} ({', '.join(columns)}){where}")

    def _build(self, name: str, on: str) -> None:
        if self._database.is_sqlite:
            with self._database.write(seconds=_UPGRADE_SECONDS) as connection:
                connection.execute(text(f"CREATE INDEX IF NOT EXISTS {name} {on}"))
            return
        with self._database.read() as connection:
            is_broken = connection.execute(_INVALID, {"name": name}).first() is not None
        if is_broken:  # an upgrade was killed while it built it
            self._database.execute_bare(f"DROP INDEX CONCURRENTLY IF EXISTS {name}", _UPGRADE_SECONDS)
        self._database.execute_bare(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} {on}", _UPGRADE_SECONDS)

    def current(self) -> str | None:
        """The revision that the database is at; None when it is empty or not there."""
        if not self._database.is_there:
            return None
        with self._database.read() as connection:
            return _shown(heads(connection))

    def head(self) -> str:
        """The revision that this code needs."""
        return head()

    def can_be(self, revision: str) -> bool:
        """False for what names no revision of any version: ours have four digits; head is the newest, +N the next N."""
        return revision in ("head", "heads") or bool(re.fullmatch(r"[0-9]{4}|\+[1-9][0-9]?", revision))

    def history(self) -> list[tuple[str, str]]:
        """(revision, what it does), oldest first."""
        return [(script.revision, script.doc) for script in reversed(list(_scripts().walk_revisions()))]

    def state(self) -> Tables:
        """Where the tables stand. Raises LedgerUnavailable."""
        return standing(self._database)


def _run(connection: Connection, revision: str) -> None:
    config = _config()
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, revision)
    except CommandError as error:
        raise LedgerRefused(f"{error}. `flask db history` lists the revisions that this version knows.") from None


def _online_indexes(lower: str, upper: str) -> dict[str, tuple[str, list[str], str]]:
    """name -> (table, columns, condition) of what the migrations after `lower` build ahead of time."""
    found: dict[str, tuple[str, list[str], str]] = {}
    try:
        for script in _scripts().iterate_revisions(upper, lower):
            found |= getattr(script.module, "ONLINE_INDEXES", {})
    except (CommandError, RevisionError):  # it is raised again when the migration is tried
        return {}
    return found


def _shown(heads: tuple[str, ...]) -> str | None:
    return ", ".join(heads) or None


@cache
def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(VERSIONS.parent))
    return config
