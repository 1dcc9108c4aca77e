"""The brand's customer mapping, in short transactions, so that an import of a million rows never keeps a callback waiting."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from sqlalchemy import Connection

from adapters.ledger.books import find_customers, upsert
from adapters.ledger.engine import Database
from adapters.ledger.rows import Insert, insert
from adapters.ledger.schema import counters, customers
from adapters.ledger.waiting import MAPPING_VERSION
from pipeline.conversion import Customer

_LONGEST_PAUSE_SECONDS = 0.05


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
    """`batch_rows` is how many rows are written in one transaction."""

    def __init__(self, database: Database, *, batch_rows: int) -> None:
        self._database = database
        self._batch_rows = batch_rows

    def merge_customers(self, rows: Sequence[CustomerRow]) -> MergeCounts:
        """Add what is new, change what differs. `rows` must have distinct phones.

        Each batch is a transaction, so that one that is killed leaves whole rows and a mapping version that tells of them,
        and whoever starts it again finds them unchanged. Between two batches callbacks have their turn.
        """
        if not rows:
            return MergeCounts(0, 0, 0)
        with self._database.read() as connection:
            known = find_customers(connection, [row.phone for row in rows])
        new = [row for row in rows if row.phone not in known]
        different = [row for row in rows if row.phone in known and _differs(row, known[row.phone])]
        wanted = sorted([*new, *different], key=lambda row: row.phone)
        for first in range(0, len(wanted), self._batch_rows):
            batch = _insertion(wanted[first : first + self._batch_rows])
            began = time.monotonic()
            with self._database.write() as connection:
                batch.run(connection)
                bump(connection, MAPPING_VERSION)
            time.sleep(min(_LONGEST_PAUSE_SECONDS, time.monotonic() - began))
        return MergeCounts(len(new), len(different), len(rows) - len(new) - len(different))

    def find_customers(self, phones: Collection[str]) -> Mapping[str, Customer]:
        """Those of the E.164 numbers that are in the mapping."""
        with self._database.read(patient=True) as connection:
            return find_customers(connection, phones)


def _differs(row: CustomerRow, known: Customer) -> bool:
    return (row.email, row.customer_id) != (known.email, known.customer_id)


_ON_CONFLICT = (
    "ON CONFLICT (phone) DO UPDATE SET "
    "email = excluded.email, customer_id = excluded.customer_id, changed_at = excluded.changed_at"
)


def _insertion(rows: Sequence[CustomerRow]) -> Insert:
    now = datetime.now(UTC)
    values = [
        {"phone": row.phone, "email": row.email, "customer_id": row.customer_id, "changed_at": now} for row in rows
    ]
    return insert(customers, values, _ON_CONFLICT)


def bump(connection: Connection, name: str) -> None:
    """Count one up."""
    statement = upsert(connection)(counters).values(name=name, value=1)
    connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"value": counters.c.value + 1}))
