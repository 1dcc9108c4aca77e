"""Databases of Postgres with the ledger's tables, lent to one test after another. To copy one from a template costs ten times as
much as to empty one: it is five hundred files, which have to be removed, too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Connection, Engine, event

from tests.support.postgres import PostgresServer

# What a change of tables, indexes, functions or rights leaves behind: a row that a later transaction wrote, or one row less.
_CATALOGS = (
    "pg_attrdef",
    "pg_attribute",
    "pg_constraint",
    "pg_default_acl",
    "pg_event_trigger",
    "pg_extension",
    "pg_index",
    "pg_policy",
    "pg_proc",
    "pg_publication",
    "pg_rewrite",
    "pg_sequence",
    "pg_statistic_ext",
    "pg_trigger",
    "pg_type",
)
_OURS = "relnamespace = 'public'::regnamespace"
# To empty a table is a change of its row in pg_class, so that the other columns are compared.
_TABLES = f"""
    SELECT relname, relkind, relpersistence, relowner, relrowsecurity, relacl::text, reloptions::text
    FROM pg_class WHERE {_OURS} ORDER BY relname"""
_SCHEMAS = "SELECT nspname, nspacl::text FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp_' ORDER BY nspname"
_SEQUENCES = "SELECT sequencename, last_value FROM pg_sequences ORDER BY sequencename"
_DATABASE = """
    SELECT datdba, datallowconn, datconnlimit, datacl::text, (SELECT count(*) FROM pg_db_role_setting WHERE setdatabase = oid)
    FROM pg_database WHERE datname = current_database()"""
# Plans go by them.
_NO_STATISTICS = f"DELETE FROM pg_statistic WHERE starelid IN (SELECT oid FROM pg_class WHERE {_OURS})"
_OTHERS = """
    SELECT 1 FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()"""
_WRITTEN = f"SELECT relname FROM pg_class WHERE {_OURS} AND relkind = 'r' AND pg_relation_size(oid) > 0"


class Lent:
    """One is lent again only while nobody is connected to it, and only if all but its rows is as in the template."""

    def __init__(self, server: PostgresServer, template: str) -> None:
        self._server, self._template = server, template
        self._given_back: deque[str] = deque()
        self._engines: WeakSet[Engine] = WeakSet()
        event.listen(Engine, "engine_connect", self._connected)
        with psycopg.connect(template) as connection:
            self._rows = {name: _rows(connection, name) for name in _written(connection)}
            self._as_new = _state(connection)

    @contextmanager
    def one(self) -> Iterator[str]:
        """Its URL."""
        url = self._again() or self._copied()
        yield url
        self._given_back.append(url)
        name = conninfo_to_dict(url)["dbname"]
        for engine in [each for each in self._engines if each.url.database == name]:
            engine.dispose()  # most tests of pages leave a pool open

    def _connected(self, connection: Connection) -> None:
        self._engines.add(connection.engine)

    def _again(self) -> str | None:
        while self._given_back:
            url = self._given_back.popleft()
            if self._is_as_new(url):
                return url
        return None

    def _copied(self) -> str:
        url = self._server.unused_url()
        self._server.copy_into(url, self._template)
        return url

    def _is_as_new(self, url: str) -> bool:
        """Emptied, if that is all it takes. What a test made of one may be anything: that nobody can connect to it, too."""
        try:
            with psycopg.connect(url) as connection:
                if connection.execute(_OTHERS).fetchone():
                    return False
                self._empty(connection)
                return _state(connection) == self._as_new
        except psycopg.Error:
            return False

    def _empty(self, connection: psycopg.Connection[Any]) -> None:
        """But for the rows that a new one has."""
        written = _written(connection)
        kept = [name for name in written if name in self._rows and _rows(connection, name) == self._rows[name]]
        if changed := [name for name in written if name not in kept]:
            tables = sql.SQL(", ").join(map(sql.Identifier, changed))
            connection.execute(sql.SQL("TRUNCATE {} RESTART IDENTITY").format(tables))
        connection.execute(_NO_STATISTICS)
        for name in self._rows.keys() & changed:
            again = sql.SQL("INSERT INTO {0} SELECT (%s::{0}).*").format(sql.Identifier(name))
            connection.cursor().executemany(again, self._rows[name])


def _written(connection: psycopg.Connection[Any]) -> list[str]:
    """The tables that have, or had, a row."""
    return [name for (name,) in connection.execute(_WRITTEN)]


def _rows(connection: psycopg.Connection[Any], table: str) -> list[tuple[Any, ...]]:
    asked = sql.SQL("SELECT each::text FROM {} AS each ORDER BY 1").format(sql.Identifier(table))
    return connection.execute(asked).fetchall()


def _state(connection: psycopg.Connection[Any]) -> list[list[tuple[Any, ...]]]:
    """All but rows."""
    asked: list[sql.SQL | sql.Composed] = [sql.SQL(text) for text in (_TABLES, _SCHEMAS, _SEQUENCES, _DATABASE)]
    asked += [sql.SQL("SELECT count(*), max(xmin::text::bigint) FROM {}").format(sql.Identifier(n)) for n in _CATALOGS]
    return [connection.execute(statement).fetchall() for statement in asked]
