"""What brought rows into the mapping, and the numbers of the rows of its history. Compares nothing that names a person."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select, text

from offhook.adapters.ledger.engine import Database
from offhook.adapters.ledger.people import attributes_of, rows_of_numbers
from offhook.adapters.ledger.rows import WithRows, with_rows
from offhook.adapters.ledger.schema import imports, micros
from offhook.pipeline.conversion import Customer
from offhook.pipeline.ports.customers import Brought, Source
from offhook.pipeline.ports.history import HistoryLine, ImportLine

_ROWS = "customer_rows"  # the counter
_BEGIN = text(
    "INSERT INTO imports (source, name, run, started_at, finished_at, added, changed, unchanged, retired) "
    "VALUES (:source, :name, :run, :now, :now, 0, 0, :unchanged, 0) ON CONFLICT (source, name, run) DO UPDATE SET "
    "finished_at = excluded.finished_at, unchanged = imports.unchanged + excluded.unchanged, undone_at = NULL "
    "RETURNING id"
)
_RESERVE = text(
    f"INSERT INTO counters (name, value) VALUES ('{_ROWS}', :rows) "
    "ON CONFLICT (name) DO UPDATE SET value = counters.value + excluded.value RETURNING value"
)
_COUNT = text(
    "UPDATE imports SET finished_at = :now, added = added + :added, changed = changed + :changed, "
    "retired = retired + :retired WHERE id = :id"
)
_END = (
    "UPDATE customer_rows SET until_at = v.until_at, ended_by = v.ended_by FROM {rows} "
    "WHERE customer_rows.id = v.id AND customer_rows.until_at IS NULL"
)


def begun(connection: Connection, brought: Brought, now: datetime, *, unchanged: int) -> int:
    """The number of the import that this belongs to."""
    values = {"source": brought.source.value, "name": brought.name, "run": brought.run or now.date().isoformat()}
    return int(connection.execute(_BEGIN, values | {"now": micros(now), "unchanged": unchanged}).scalar_one())


def rows_reserved(connection: Connection, rows: int) -> int:
    """The first of so many numbers for rows of history, which nobody else gets."""
    return int(connection.execute(_RESERVE, {"rows": rows}).scalar_one()) - rows + 1 if rows else 0


def counted(connection: Connection, import_id: int, now: datetime, counts: Mapping[str, int]) -> None:
    """So much more was done by an import."""
    none = {"added": 0, "changed": 0, "retired": 0}
    connection.execute(_COUNT, {**none, **counts, "now": micros(now), "id": import_id})


def ended_rows(rows: Iterable[int], now: datetime, ended_by: int) -> WithRows:
    """These rows of history hold no longer."""
    every = [{"id": row, "until_at": micros(now), "ended_by": ended_by} for row in rows]
    return with_rows(_END, dict.fromkeys(("id", "until_at", "ended_by"), "bigint"), every)


class HistoryOnSql:
    """`History` of pipeline/ports/history.py."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_numbers(self, phones: Collection[str], /) -> Sequence[HistoryLine]:
        with self._database.read(patient=True) as connection:
            return [_history_line(row) for row in rows_of_numbers(connection, phones)]

    def imports(self, limit: int, /) -> Sequence[ImportLine]:
        with self._database.read(patient=True) as connection:
            rows = connection.execute(select(imports).order_by(imports.c.id.desc()).limit(limit)).all()
        return [_import_line(row) for row in rows]


def _history_line(row: Row[Any]) -> HistoryLine:
    return HistoryLine(customer_of(row), row.from_at, row.until_at, row.brought_by, row.ended_by)


def customer_of(row: Row[Any]) -> Customer:
    """Who a row of history names."""
    return Customer(row.phone, row.email, row.customer_id, row.people, attributes_of(row.attributes), row.id)


def _import_line(row: Row[Any]) -> ImportLine:
    counts = (row.added, row.changed, row.unchanged, row.retired)
    return ImportLine(row.id, Source(row.source), row.name, row.started_at, row.finished_at, *counts, row.undone_at)
