"""Many rows in one statement, the same on SQLite and Postgres, each found by its key whatever the statistics say.

A statement a row would be a round trip a row, and a list of values is planned as a scan by a database that has no
statistics. So keys travel as one JSON parameter, whose text stays the same whatever their number, and what is inserted as
one array a column (Postgres), or row by row without a round trip (SQLite).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import BigInteger, Column, Connection, Integer, LargeBinary, Row, SmallInteger, Table, text

from adapters.ledger.schema import Moment, micros

KEY = {"account_sid": "text", "call_sid": "text"}


@cache
def source(is_sqlite: bool, columns: tuple[tuple[str, str], ...]) -> str:
    """The JSON parameter `rows` as a table `v` with these columns (name, type of Postgres)."""
    if is_sqlite:
        read = ", ".join(f"json_extract(value, '$.{name}') AS {name}" for name, _ in columns)
        return f"(SELECT {read} FROM json_each(:rows)) AS v"
    typed = ", ".join(f"{name} {kind}" for name, kind in columns)
    return f"json_to_recordset(CAST(:rows AS json)) AS v({typed})"


def for_each(
    connection: Connection, keys: Iterable[Mapping[str, Any]], columns: Mapping[str, str], table: Table, condition: str
) -> Sequence[Row[Any]]:
    """The rows of `table` (as `t`) that the condition gives for each of the keys (as `v`)."""
    every = list(keys)
    if not every:
        return []
    statement = _look_up(connection.dialect.name == "sqlite", tuple(columns.items()), table, condition)
    return connection.execute(statement, {"rows": json.dumps(every)}).all()


@cache
def _look_up(is_sqlite: bool, columns: tuple[tuple[str, str], ...], table: Table, condition: str) -> Any:
    return text(look_up(is_sqlite, columns, table, condition)).columns(*table.columns)


def look_up(is_sqlite: bool, columns: tuple[tuple[str, str], ...], table: Table, condition: str) -> str:
    """The statement of `for_each`.

    The keys come first in either database: SQLite keeps the order of a CROSS JOIN, Postgres that of LATERAL.
    """
    names = ", ".join(f"t.{column.name}" for column in table.columns)
    keys = source(is_sqlite, columns)
    if is_sqlite:
        return f"SELECT {names} FROM {keys} CROSS JOIN {table.name} AS t WHERE {condition}"
    inner = f"SELECT * FROM {table.name} AS t WHERE {condition} OFFSET 0"  # OFFSET 0 keeps it a look-up of its own
    return f"SELECT {names} FROM {keys} CROSS JOIN LATERAL ({inner}) AS t"


def change(
    connection: Connection, statement: str, columns: Mapping[str, str], rows: Iterable[Mapping[str, Any]]
) -> int:
    """Run an UPDATE with `{rows}` for the table `v`. Returns how many rows it changed."""
    every = sorted(rows, key=lambda row: tuple(map(str, row.values())))  # everybody locks in one order
    if not every:
        return 0
    found = _change(connection.dialect.name == "sqlite", statement, tuple(columns.items()))
    return connection.execute(found, {"rows": json.dumps(every)}).rowcount


@cache
def _change(is_sqlite: bool, statement: str, columns: tuple[tuple[str, str], ...]) -> Any:
    return text(statement.replace("{rows}", source(is_sqlite, columns)))


def insert(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], on_conflict: str = "") -> None:
    """Insert all rows, which have the same columns, in one statement. Times are aware datetimes."""
    if not rows:
        return
    columns = [table.c[name] for name in rows[0]]
    values = [[_plain(column, row[column.name]) for column in columns] for row in rows]
    head = f"INSERT INTO {table.name} ({', '.join(rows[0])})"
    if connection.dialect.name == "sqlite":
        marks = ", ".join("?" * len(columns))
        connection.exec_driver_sql(f"{head} VALUES ({marks}) {on_conflict}", list(map(tuple, values)))
    else:
        arrays = ", ".join(f"%s::{_kind(column)}[]" for column in columns)
        told = f"{head} SELECT * FROM unnest({arrays}) {on_conflict}"
        connection.exec_driver_sql(told, tuple(map(list, zip(*values, strict=True))))


def _plain(column: Column[Any], value: Any) -> Any:
    return micros(value) if value is not None and isinstance(column.type, Moment) else value


def _kind(column: Column[Any]) -> str:
    kind = column.type
    if isinstance(kind, (Moment, BigInteger)):
        return "bigint"
    if isinstance(kind, SmallInteger):
        return "smallint"
    if isinstance(kind, Integer):
        return "integer"
    return "bytea" if isinstance(kind, LargeBinary) else "text"
