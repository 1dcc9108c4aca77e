"""The brand's customer mapping, in short transactions, so that an import of a million rows never keeps a callback waiting."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from sqlalchemy import Connection

from adapters.ledger.books import find_customers, upsert
from adapters.ledger.engine import Database
from adapters.ledger.schema import counters, micros
from adapters.ledger.waiting import MAPPING_VERSION
from pipeline.conversion import Customer


class CustomerRow(Protocol):
    """A row of the mapping: E.164 phone, and at least one of the others."""

    @property
    def phone(self) -> str: ...
    @property
    def email(self) -> str | None: ...
    @property
    def customer_id(self) -> str | None: ...


class MergeCounts(NamedTuple):
    """What a merge did to the table, in rows."""

    added: int
    changed: int
    unchanged: int


class MappingTable:
    def __init__(self, database: Database) -> None:
        self._database = database

    def merge_customers(self, rows: Sequence[CustomerRow]) -> MergeCounts:
        """Add what is new, change what differs, in one transaction. `rows` must have distinct phones."""
        if not rows:
            return MergeCounts(0, 0, 0)
        with self._database.read() as connection:
            known = _known(connection, [row.phone for row in rows])
        new = [row for row in rows if row.phone not in known]
        different = [row for row in rows if row.phone in known and known[row.phone] != (row.email, row.customer_id)]
        if new or different:
            with self._database.write() as connection:
                _write(connection, [*new, *different])
                bump(connection, MAPPING_VERSION)
        return MergeCounts(len(new), len(different), len(rows) - len(new) - len(different))

    def find_customers(self, phones: Collection[str]) -> Mapping[str, Customer]:
        """Those of the E.164 numbers that are in the mapping."""
        with self._database.read() as connection:
            return find_customers(connection, phones)


def _known(connection: Connection, phones: Sequence[str]) -> dict[str, tuple[str | None, str | None]]:
    """What stands there already. One array on Postgres: thousands of parameters would be parsed anew each time."""
    told = "SELECT phone, email, customer_id FROM customers WHERE phone"
    if connection.dialect.name == "sqlite":
        rows = connection.exec_driver_sql(f"{told} IN (SELECT value FROM json_each(?))", (json.dumps(phones),))
    else:
        rows = connection.exec_driver_sql(f"{told} = ANY(%b::text[])", (list(phones),))
    return {phone: (email, customer_id) for phone, email, customer_id in rows}


_COLUMNS = "phone, email, customer_id, changed_at"
_ON_CONFLICT = (
    "ON CONFLICT (phone) DO UPDATE SET "
    "email = excluded.email, customer_id = excluded.customer_id, changed_at = excluded.changed_at"
)


def _write(connection: Connection, rows: Sequence[CustomerRow]) -> None:
    """Upsert in bulk. On Postgres as four arrays in one statement: a statement a row takes several times as long."""
    now = micros(datetime.now(UTC))
    if connection.dialect.name == "sqlite":
        values = [(row.phone, row.email, row.customer_id, now) for row in rows]
        connection.exec_driver_sql(f"INSERT INTO customers ({_COLUMNS}) VALUES (?, ?, ?, ?) {_ON_CONFLICT}", values)
        return
    arrays = "unnest(%b::text[], %b::text[], %b::text[])"
    connection.exec_driver_sql(
        f"INSERT INTO customers ({_COLUMNS}) SELECT p, e, c, %s FROM {arrays} AS rows (p, e, c) {_ON_CONFLICT}",
        (now, [row.phone for row in rows], [row.email for row in rows], [row.customer_id for row in rows]),
    )


def bump(connection: Connection, name: str) -> None:
    """Count one up."""
    statement = upsert(connection)(counters).values(name=name, value=1)
    connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"value": counters.c.value + 1}))
