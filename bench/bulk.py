"""Ledgers with a past, or with work that waits, made in bulk: copies of calls that the service itself has stored.

A specimen goes in by HTTP and through the worker; its rows are then written out as often as wanted by the database itself,
with other CallSids, callers and times. So nothing here repeats how the service spells its rows, and a version whose tables
have more columns is filled just as well. No process of the service may run on the ledger meanwhile.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from report import say

_CHUNK = 20_000
_NUMBERED = ("seq", "id")  # the database numbers these rows
_EPOCH_MICROS = 10**15  # a whole number above it is a time: 2001 or later, in microseconds
_IN_COPIES = "(n BIGINT, a TEXT, b TEXT, caller TEXT, stranger TEXT, age BIGINT, ours TEXT)"
_STRANGERS_FROM, _STRANGERS = 13_012_000_000, 6_000_000  # numbers that are valid, and in no mapping
DAY = 86400.0


class Sql:
    """One connection of the bench's own to a ledger; each statement is a transaction unless `together` is open.

    Placeholders are question marks on both databases, and `md5(text)` is there on both.
    """

    def __init__(self, url: str) -> None:
        self.is_sqlite = url.startswith("sqlite")
        if self.is_sqlite:
            try:  # the SQLite of the service: an older one beside it may corrupt the ledger
                import pysqlite3.dbapi2 as sqlite3
            except ImportError:
                import sqlite3
            path = url.removeprefix("sqlite:///")
            self._connection: Any = sqlite3.connect(path, isolation_level=None, timeout=30, check_same_thread=False)
            self._connection.create_function("md5", 1, _md5, deterministic=True)
        else:
            import psycopg

            self._connection = psycopg.connect(url, autocommit=True, prepare_threshold=None)

    def rows(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        found = self._run(statement, values)
        return list(found.fetchall()) if found.description else []

    def dicts(self, statement: str, values: Sequence[object] = ()) -> list[dict[str, Any]]:
        found = self._run(statement, values)
        names = [column[0] for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def number(self, statement: str, values: Sequence[object] = ()) -> int:
        return int(self.rows(statement, values)[0][0] or 0)

    def _run(self, statement: str, values: Sequence[object]) -> Any:
        if self.is_sqlite:
            return self._connection.execute(statement, values)
        return self._connection.execute(statement.replace("%", "%%").replace("?", "%s"), values)

    @contextmanager
    def together(self) -> Iterator[None]:
        self.rows("BEGIN")
        yield
        self.rows("COMMIT")

    def tables_of_calls(self) -> list[str]:
        """Those whose rows belong to a call each."""
        if self.is_sqlite:
            found = (
                "SELECT name FROM sqlite_master WHERE type = 'table' "
                "AND 'call_sid' IN (SELECT name FROM pragma_table_info(sqlite_master.name))"
            )
        else:
            found = (
                "SELECT table_name FROM information_schema.columns "
                "WHERE table_schema = 'public' AND column_name = 'call_sid'"
            )
        return [name for (name,) in self.rows(found)]

    def indexes(self) -> list[tuple[str, str]]:
        """(name, statement that makes it) of those that belong to no constraint."""
        if self.is_sqlite:
            return self.rows("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
        constraints = "SELECT conname FROM pg_constraint"
        found = f"SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND indexname NOT IN ({constraints})"
        return self.rows(found)

    def close(self) -> None:
        self._connection.close()


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def is_drained(sql: Sql) -> bool:
    """True when nothing waits to be folded, decided or sent. Calls must not be left to settle."""
    waiting = (
        "SELECT 1 FROM callbacks WHERE folded = 0",
        "SELECT 1 FROM calls WHERE state = 'settling'",
        "SELECT 1 FROM conversions WHERE state = 'pending'",
        "SELECT 1 FROM conversions WHERE state = 'sending'",
    )
    return not any(sql.rows(f"{each} LIMIT 1") for each in waiting)


def wait_drained(sql: Sql, seconds: float = 120.0) -> bool:
    """False when the time ended first."""
    until = time.monotonic() + seconds
    while not (drained := is_drained(sql)) and time.monotonic() < until:
        time.sleep(0.1)
    return drained


@dataclass(frozen=True, slots=True)
class Specimen:
    """One call as the service has stored it: its legs' CallSids (two at the most), its caller, and its rows by table.

    Copies of a stranger's call are of strangers, whom the mapping does not know. `ours` is the tracked number where copies are
    to have others of them (`Plan.numbers`), without its plus.
    """

    sids: tuple[str, ...]
    caller: str
    rows: Mapping[str, Sequence[Mapping[str, Any]]]
    is_strangers: bool = False
    ours: str = ""

    def altered(self, table: str, **columns: object) -> Specimen:
        """With other values in one table's columns, those that it has."""
        rows = [{name: columns.get(name, value) for name, value in row.items()} for row in self.rows[table]]
        return replace(self, rows={**self.rows, table: rows})

    def without(self, table: str) -> Specimen:
        return replace(self, rows={name: rows for name, rows in self.rows.items() if name != table})


def specimen(sql: Sql, sids: Sequence[str], caller: str) -> Specimen:
    """All rows of the ledger that name these CallSids."""
    marks = ", ".join("?" * len(sids))
    found = {}
    for table in sql.tables_of_calls():
        found[table] = sql.dicts(f"SELECT * FROM {table} WHERE call_sid IN ({marks})", sids)
    return Specimen(tuple(sids), caller.lstrip("+"), {table: rows for table, rows in found.items() if rows})


@dataclass(frozen=True, slots=True)
class Plan:
    """How many copies, numbered from `first`, and of which age: the oldest `span_seconds` ago, the newest now.

    `seed` makes the CallSids. Callers are `callers` numbers from `callers_from` on. `weights` says how many of a hundred
    copies are of each specimen. `numbers` are tracked numbers in a row, from `numbers_from` on.
    """

    seed: str
    count: int
    weights: Mapping[int, int] = field(default_factory=lambda: {0: 100})
    span_seconds: float = 1.0
    callers_from: int = 14155550000
    callers: int = 10_000
    numbers_from: int = 14155550200
    numbers: int = 1


def copy(sql: Sql, specimens: Sequence[Specimen], plan: Plan) -> None:
    """Writes the copies out. The CallSids of a copy are `sid(plan.seed, n)` and, for a second leg, `sid(..., n, "b")`."""
    sql.rows("DROP TABLE IF EXISTS bench_copies")
    sql.rows(f"CREATE TEMPORARY TABLE bench_copies {_IN_COPIES}")
    for start in range(0, plan.count, _CHUNK):
        end = min(start + _CHUNK, plan.count)
        with sql.together():
            _number(sql, plan, start, end)
            low = 0
            for which, weight in plan.weights.items():
                _write_out(sql, specimens[which], low, low + weight)
                low += weight
        if plan.count > 5 * _CHUNK and end % (10 * _CHUNK) == 0:
            say(f"  {end:,} of {plan.count:,} calls made")
    sql.rows("DROP TABLE bench_copies")


def sid(seed: str, number: int, leg: str = "") -> str:
    return f"CA{_md5(f'{seed}{number}{leg}')}"


def _number(sql: Sql, plan: Plan, start: int, end: int) -> None:
    """The numbers of the copies, and what each of them is called."""
    sql.rows("DELETE FROM bench_copies")
    step = plan.span_seconds * 1_000_000 / plan.count
    series = "WITH RECURSIVE series (n) AS (SELECT ? UNION ALL SELECT n + 1 FROM series WHERE n < ?)"
    if not sql.is_sqlite:
        series = "WITH series (n) AS (SELECT generate_series(?::bigint, ?::bigint))"
    sql.rows(
        f"INSERT INTO bench_copies {series} SELECT n, 'CA' || md5('{plan.seed}' || n), 'CA' || md5('{plan.seed}' || n || 'b'), "
        f"CAST({plan.callers_from} + (n * 7919) % {plan.callers} AS TEXT), "
        f"CAST({_STRANGERS_FROM} + (n * 7919) % {_STRANGERS} AS TEXT), CAST(({plan.count} - n) * {step} AS BIGINT), "
        f"CAST({plan.numbers_from} + (n / 100) % {plan.numbers} AS TEXT) FROM series",
        (start, end - 1),
    )


def _write_out(sql: Sql, one: Specimen, low: int, high: int) -> None:
    """The rows of one specimen, for the copies that are its share of each hundred."""
    now = time.time_ns() // 1000
    newest = max(value for rows in one.rows.values() for row in rows for value in row.values() if _is_time(value))
    for table, rows in one.rows.items():
        for at, row in enumerate(rows):
            columns = {name: value for name, value in row.items() if name not in _NUMBERED}
            parts = [_expression(sql, one, at, name, value, now - newest) for name, value in columns.items()]
            values = [value for _, given in parts for value in given]
            sql.rows(
                f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(part for part, _ in parts)} "
                f"FROM bench_copies WHERE n % 100 >= {low} AND n % 100 < {high}",
                values,
            )


def _is_time(value: object) -> bool:
    return isinstance(value, int) and value > _EPOCH_MICROS


def _expression(sql: Sql, one: Specimen, at: int, name: str, value: object, shift: int) -> tuple[str, Sequence[object]]:
    """A column of a copy in SQL, and the values that it needs."""
    if name == "dedupe_key":
        return f"md5(a || 'k{at}') || md5(a || 'l{at}')", ()
    if _is_time(value):
        assert isinstance(value, int)
        return f"{value + shift} - age", ()
    if isinstance(value, str):
        return _exchanged(sql, one, value)
    if isinstance(value, bytes | memoryview):
        text, values = _exchanged(sql, one, bytes(value).decode())
        return (f"CAST({text} AS BLOB)" if sql.is_sqlite else f"convert_to({text}, 'UTF8')"), values
    return ("NULL", ()) if value is None else ("?", (value,))


def _exchanged(sql: Sql, one: Specimen, text: str) -> tuple[str, Sequence[object]]:
    """The text with the copy's own CallSids and caller."""
    caller = "stranger" if one.is_strangers else "caller"
    known = [*zip(one.sids, ("a", "b"), strict=False), (one.caller, caller)]
    known += [(one.ours, "ours")] if one.ours else []
    expression, values = "?" if sql.is_sqlite else "?::text", [text]
    for old, new in known:
        if old in text:
            expression, values = f"replace({expression}, ?, {new})", [*values, old]
    return expression, values


def add_customers(sql: Sql, count: int, first: int) -> None:
    """Customers with the phones from `first` on, in no order."""
    now = time.time_ns() // 1000
    series = f"WITH RECURSIVE series (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM series WHERE n < {count - 1})"
    if not sql.is_sqlite:
        series = f"WITH series (n) AS (SELECT generate_series(0, {count - 1}))"
    sql.rows(
        f"INSERT INTO customers (phone, email, customer_id, changed_at) {series} "
        f"SELECT '+' || ({first} + n), 'customer' || n || '@example.com', 'C' || n, {now} FROM series ORDER BY md5('' || n)"
    )


@contextmanager
def in_bulk(sql: Sql) -> Iterator[None]:
    """Much is written at once: without waiting for the disk, and indexes are made at the end. Statistics are as after a day."""
    indexes = sql.indexes()
    sql.rows("PRAGMA synchronous = OFF" if sql.is_sqlite else "SET synchronous_commit = off")
    sql.rows("PRAGMA cache_size = -1000000" if sql.is_sqlite else "SET maintenance_work_mem = '512MB'")
    for name, _ in indexes:
        sql.rows(f"DROP INDEX {name}")
    yield
    say(f"  {len(indexes)} indexes")
    for _, statement in indexes:
        sql.rows(statement)
    settle(sql)


def settle(sql: Sql, *, statistics: bool = True) -> None:
    """All on the disk and nothing left to tidy up, so that what is measured next does not pay for it."""
    if sql.is_sqlite:
        sql.rows("PRAGMA wal_checkpoint(TRUNCATE)")
        return
    if statistics:
        sql.rows("VACUUM ANALYZE")
    sql.rows("CHECKPOINT")
