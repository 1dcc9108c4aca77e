"""Where the tables of the database stand, seen from this version of the code. Changes none, and does without Alembic.

Every process asks, and to load Alembic takes a tenth of what it takes a command to start.
"""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from pathlib import Path

from sqlalchemy import Connection, false, inspect, select, text

from offhook.adapters.ledger.engine import Database
from offhook.adapters.ledger.schema import metadata
from offhook.pipeline.ports.unavailable import LedgerUnavailable

VERSIONS = Path(__file__).parent / "migrations" / "versions"
"""The migrations, a file each, which is called by its revision: four digits, each the one after the last."""


class Tables(StrEnum):
    """Where the tables of the database stand, seen from this version of the code."""

    CURRENT = "current"
    AHEAD = "ahead"  # a newer version has migrated them, and all that this one needs is there
    BEHIND = "behind"
    EMPTY = "empty"
    MISSING = "missing"  # there is no SQLite file
    FOREIGN = "foreign"  # a revision that this code does not know, and not the tables that it needs

    @property
    def are_usable(self) -> bool:
        return self in (Tables.CURRENT, Tables.AHEAD)

    @property
    def warning(self) -> str:
        """What to say of them when a process starts; "" when there is nothing to say."""
        return _WARNINGS.get(self, "")


_WARNINGS = {
    Tables.AHEAD: "the database was migrated by a newer version of Offhook; this version works with it",
    Tables.BEHIND: "the database has not all tables of this version: run `flask db upgrade`",
    Tables.EMPTY: "the database has no tables: run `flask db upgrade`; until then callbacks are answered 503",
    Tables.FOREIGN: "the database is another program's, or a much newer version's: look at DATABASE_URL",
}


def standing(database: Database) -> Tables:
    """Where the tables stand. Raises LedgerUnavailable."""
    if not database.is_there:
        return Tables.MISSING
    with database.read() as connection:
        found = heads(connection)
    if not found:
        return Tables.EMPTY
    if set(found) <= known():
        return Tables.CURRENT if found == (head(),) else Tables.BEHIND
    return Tables.AHEAD if _have_what_we_need(database) else Tables.FOREIGN


def heads(connection: Connection) -> tuple[str, ...]:
    """The revisions that stand in alembic_version; several only where a later version has branches."""
    if not inspect(connection).has_table("alembic_version"):
        return ()
    return tuple(connection.scalars(text("SELECT version_num FROM alembic_version")))


@cache
def known() -> frozenset[str]:
    """The revisions of this code."""
    return frozenset(file.name.partition("_")[0] for file in VERSIONS.glob("[0-9]*.py"))


def head() -> str:
    """The revision that this code needs."""
    return max(known())


def _have_what_we_need(database: Database) -> bool:
    """True when each table and column that this version knows is there; reads no row."""
    try:
        with database.read() as connection:
            for table in metadata.sorted_tables:
                connection.execute(select(table).where(false()))
    except LedgerUnavailable as error:
        if error.word == "no_tables":
            return False
        raise
    return True
