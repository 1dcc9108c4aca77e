"""What brought rows into the mapping, and the numbers of the rows of its history. Compares nothing that names a person."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select, text, update

from offhook.adapters.ledger.engine import Database
from offhook.adapters.ledger.people.customers import (
    customer_of,
    numbers_named,
    rows_of_import,
    rows_of_numbers,
    shared_after,
    shared_among,
)
from offhook.adapters.ledger.rows import WithRows, with_rows
from offhook.adapters.ledger.schema import customer_rows, imports, micros
from offhook.pipeline.ports.customers import Brought, Source
from offhook.pipeline.ports.history import HistoryLine, ImportLine, SharedNumber

_AT_ONCE = 500
_ROWS = "customer_rows"  # the counter
_BEGIN = text(
    "INSERT INTO imports (source, name, run, started_at, finished_at, added, changed, unchanged, retired) "
    "VALUES (:source, :name, :run, :now, :now, 0, 0, :unchanged, 0) ON CONFLICT (source, name, run) DO UPDATE SET "
    "finished_at = excluded.finished_at, unchanged = imports.unchanged + excluded.unchanged, undone_at = NULL "
    "RETURNING id"
)
# Before an INSERT, which takes a number of Postgres's whether it inserts or not.
_GO_ON = text(
    "UPDATE imports SET finished_at = :now, unchanged = unchanged + :unchanged, undone_at = NULL "
    "WHERE source = :source AND name = :name AND run = :run RETURNING id"
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
    values: dict[str, Any] = {
        "source": brought.source.value,
        "name": brought.name,
        "run": brought.run or now.date().isoformat(),
    }
    values |= {"now": micros(now), "unchanged": unchanged}
    found = connection.execute(_GO_ON, values).scalar_one_or_none()
    return int(connection.execute(_BEGIN, values).scalar_one() if found is None else found)


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

    def numbers_named(self, name: str, /) -> Sequence[str]:
        with self._database.read(patient=True) as connection:
            return numbers_named(connection, name)

    def import_(self, id_: int, /) -> ImportLine | None:
        with self._database.read(patient=True) as connection:
            row = connection.execute(select(imports).where(imports.c.id == id_)).first()
        return None if row is None else _import_line(row)

    def import_of(self, brought: Brought, /) -> ImportLine | None:
        its = (imports.c.source == brought.source.value, imports.c.name == brought.name, imports.c.run == brought.run)
        with self._database.read(patient=True) as connection:
            row = connection.execute(select(imports).where(*its)).first()
        return None if row is None else _import_line(row)

    def touched(self, import_id: int, /) -> Iterator[Sequence[str]]:
        for how in ("brought_by", "ended_by"):
            after = 0
            while rows := self._touched(how, import_id, after):
                yield [phone for _, phone in rows]
                after, _ = rows[-1]

    def _touched(self, how: str, import_id: int, after: int) -> Sequence[tuple[int, str]]:
        with self._database.read(patient=True) as connection:
            return rows_of_import(connection, how, import_id, after, _AT_ONCE)

    def shared_numbers(self, after: str, limit: int, /) -> Sequence[SharedNumber]:
        with self._database.read(patient=True) as connection:
            found = shared_after(connection, after, limit)
        return [SharedNumber(phone, tuple(named)) for phone, named in found.items()]

    def shared_among(self, phones: Collection[str], /) -> Sequence[SharedNumber]:
        with self._database.read(patient=True) as connection:
            found = shared_among(connection, phones)
        return [SharedNumber(phone, tuple(named)) for phone, named in found.items()]

    def mark_undone(self, import_id: int, now: datetime, /) -> None:
        with self._database.write() as connection:
            connection.execute(update(imports).where(imports.c.id == import_id).values(undone_at=now))

    def line(self, row: int, /) -> HistoryLine | None:
        with self._database.read(patient=True) as connection:
            found = connection.execute(select(customer_rows).where(customer_rows.c.id == row)).first()
        return None if found is None else _history_line(found)

    def imports(self, limit: int, before: int | None = None, /) -> Sequence[ImportLine]:
        asked = select(imports) if before is None else select(imports).where(imports.c.id < before)
        with self._database.read(patient=True) as connection:
            rows = connection.execute(asked.order_by(imports.c.id.desc()).limit(limit)).all()
        return [_import_line(row) for row in rows]


def _history_line(row: Row[Any]) -> HistoryLine:
    return HistoryLine(customer_of(row.phone, row), row.from_at, row.until_at, row.brought_by, row.ended_by)


def _import_line(row: Row[Any]) -> ImportLine:
    counts = (row.added, row.changed, row.unchanged, row.retired)
    return ImportLine(row.id, Source(row.source), row.name, row.started_at, row.finished_at, *counts, row.undone_at)
