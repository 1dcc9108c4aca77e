"""Many rows in one statement, the same on SQLite and Postgres, each found by its key whatever the statistics say.

A statement a row would be a round trip a row, and a list of values is planned as a scan by a database that has no
statistics. So keys travel as one JSON parameter, whose text stays the same whatever their number, and what is inserted as
one array a column (Postgres) or as one list of values (SQLite).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import chain
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    CursorResult,
    Integer,
    LargeBinary,
    Row,
    SmallInteger,
    Table,
    TextClause,
    text,
)

from offhook.adapters.ledger.schema import Moment, PersonText, micros_or_none
from offhook.pipeline.callback import CallKey

KEY = {"account_sid": "text", "call_sid": "text"}
BY_KEY = "t.call_sid = v.call_sid AND t.account_sid = v.account_sid"
BY_ROOT = "t.root_sid = v.call_sid AND t.account_sid = v.account_sid"
# Of at most 20 values each; SQLite takes 32,766 in all: https://www.sqlite.org/limits.html#max_variable_number
_ROWS_AT_ONCE = 100


@cache
def source(is_sqlite: bool, columns: tuple[tuple[str, str], ...]) -> str:
    """The JSON parameter `rows` as a table `v` with these columns (name, type of Postgres)."""
    if is_sqlite:
        read = ", ".join(f"json_extract(value, '$.{name}') AS {name}" for name, _ in columns)
        return f"(SELECT {read} FROM json_each(:rows)) AS v"
    typed = ", ".join(f"{name} {kind}" for name, kind in columns)
    return f"json_to_recordset(CAST(:rows AS json)) AS v({typed})"


def key_of(row: Any) -> CallKey:
    """What a row with both columns belongs to."""
    return CallKey(row.account_sid, row.call_sid)


def named(keys: Iterable[CallKey]) -> list[dict[str, str]]:
    """Keys as rows of the columns KEY."""
    return [key._asdict() for key in keys]


def for_each(
    connection: Connection,
    keys: Iterable[Mapping[str, Any]],
    columns: Mapping[str, str],
    table: Table,
    condition: str,
    names: tuple[str, ...] = (),
) -> Sequence[Row[Any]]:
    """The rows of `table` (as `t`) that the condition gives for each of the keys (as `v`); of all its columns, or of these."""
    every = list(keys)
    if not every:
        return []
    statement = _look_up(connection.dialect.name == "sqlite", tuple(columns.items()), table, condition, names)
    return connection.execute(statement, {"rows": json.dumps(every)}).all()


@cache
def _look_up(
    is_sqlite: bool, columns: tuple[tuple[str, str], ...], table: Table, condition: str, names: tuple[str, ...]
) -> Any:
    found = text(look_up(is_sqlite, columns, table, condition, names=names))
    return found.columns(*(table.c[name] for name in names or table.columns.keys()))


def look_up(
    is_sqlite: bool,
    columns: tuple[tuple[str, str], ...],
    table: Table,
    condition: str,
    *,
    names: Sequence[str] = (),
) -> str:
    """The statement of `for_each`; of all columns of the table, or of these `names`.

    The keys come first in either database: SQLite keeps the order of a CROSS JOIN, Postgres that of LATERAL.
    """
    selected = ", ".join(f"t.{name}" for name in names or table.columns.keys())
    keys = source(is_sqlite, columns)
    if is_sqlite:
        return f"SELECT {selected} FROM {keys} CROSS JOIN {table.name} AS t WHERE {condition}"
    inner = f"SELECT * FROM {table.name} AS t WHERE {condition} OFFSET 0"  # OFFSET 0 keeps it a look-up of its own
    return f"SELECT {selected} FROM {keys} CROSS JOIN LATERAL ({inner}) AS t"


@dataclass(frozen=True, slots=True)
class WithRows:
    """A statement over many rows, made ready before anybody's turn to write. `{rows}` in it stands for the table `v`."""

    statement: str
    columns: tuple[tuple[str, str], ...]
    rows: str
    count: int

    def run(self, connection: Connection) -> int:
        """How many rows it changed."""
        return self._executed(connection).rowcount if self.count else 0

    def returned(self, connection: Connection) -> Sequence[Any]:
        """The rows that it gives: of a SELECT, or of RETURNING."""
        return self._executed(connection).all() if self.count else []

    def _executed(self, connection: Connection) -> CursorResult[Any]:
        found = over_rows(connection.dialect.name == "sqlite", self.statement, self.columns)
        return connection.execute(found, {"rows": self.rows})


def with_rows(statement: str, columns: Mapping[str, str], rows: Iterable[Mapping[str, Any]]) -> WithRows:
    """`columns` are those of `v` with Postgres's types; the rows have the same keys, and what is locked comes first."""
    every = sorted(rows, key=lambda row: tuple(map(str, row.values())))  # everybody locks in one order
    return WithRows(statement, tuple(columns.items()), json.dumps(every), len(every))


@cache
def over_rows(is_sqlite: bool, statement: str, columns: tuple[tuple[str, str], ...]) -> TextClause:
    """A statement with the table `v` of the parameter `rows` at `{rows}`."""
    return text(statement.replace("{rows}", source(is_sqlite, columns)))


@dataclass(frozen=True, slots=True)
class Insert:
    """An INSERT of many rows, made ready before anybody's turn to write."""

    table: Table
    names: tuple[str, ...]
    values: Sequence[tuple[Any, ...]]
    on_conflict: str

    def run(self, connection: Connection) -> int:
        """How many rows it inserted or changed.

        One statement for all rows; on SQLite one for each hundred. (Whoever runs a statement a row gives the interpreter's
        lock away at each, and holds the write lock meanwhile.)
        """
        if not self.values:
            return 0
        head = f"INSERT INTO {self.table.name} ({', '.join(self.names)})"
        if connection.dialect.name == "sqlite":
            return sum(self._some(connection, head, begin) for begin in range(0, len(self.values), _ROWS_AT_ONCE))
        # %b is the binary form: in the other one each quotation mark of a text is escaped, and JSON has many.
        arrays = ", ".join(f"%b::{_kind(self.table.c[name])}[]" for name in self.names)
        columns = tuple(map(list, zip(*self.values, strict=True)))
        return connection.exec_driver_sql(f"{head} SELECT * FROM unnest({arrays}) {self.on_conflict}", columns).rowcount

    def _some(self, connection: Connection, head: str, begin: int) -> int:
        some = self.values[begin : begin + _ROWS_AT_ONCE]
        marks = values_of(len(self.names), len(some))
        values = tuple(chain.from_iterable(some))
        return connection.exec_driver_sql(f"{head} {marks} {self.on_conflict}", values).rowcount


ADDED = "ON CONFLICT (name) DO UPDATE SET value = counters.value + excluded.value"
"""What is inserted into `counters` adds to what stands there."""
WRITTEN = "ON CONFLICT (name) DO UPDATE SET value = excluded.value"
"""It takes the place of what stands there."""


@lru_cache(maxsize=1024)
def values_of(columns: int, rows: int) -> str:
    """VALUES with a mark for each value."""
    one = f"({', '.join('?' * columns)})"
    return f"VALUES {', '.join([one] * rows)}"


def insert(table: Table, rows: Sequence[Mapping[str, Any]], on_conflict: str = "") -> Insert:
    """The rows have the same columns. Times are aware datetimes."""
    names = tuple(rows[0]) if rows else ()
    plain = [_plain(table.c[name]) for name in names]
    values = [tuple([of(row[name]) for of, name in zip(plain, names, strict=True)]) for row in rows]
    return Insert(table, names, values, on_conflict)


def _plain(column: Column[Any]) -> Callable[[Any], Any]:
    """From what we hold to what the database holds."""
    if isinstance(column.type, Moment):
        return micros_or_none
    return PersonText.kept if isinstance(column.type, PersonText) else _as_it_is


def _as_it_is(value: Any) -> Any:
    return value


def _kind(column: Column[Any]) -> str:
    kind = column.type
    if isinstance(kind, (Moment, BigInteger)):
        return "bigint"
    if isinstance(kind, SmallInteger):
        return "smallint"
    if isinstance(kind, Integer):
        return "integer"
    return "bytea" if isinstance(kind, LargeBinary) else "text"
