"""The brand's customer mapping, in short transactions, so that an import of a million rows never keeps a callback waiting."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection

from offhook.adapters.ledger.engine import Database
from offhook.adapters.ledger.people import (
    find_customers,
    no_longer_shared,
    saved_customers,
    saved_shared_numbers,
)
from offhook.adapters.ledger.rows import ADDED, insert
from offhook.adapters.ledger.schema import counters
from offhook.adapters.ledger.waiting import MAPPING_VERSION
from offhook.pipeline.customer import Customer
from offhook.pipeline.ports.customers import MergeCounts

_LONGEST_PAUSE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Comparison:
    """Rows beside what the table says: those of one person, and what to write."""

    new: Sequence[Customer]
    different: Sequence[Customer]
    same: int
    shared: Sequence[Customer]
    no_longer_shared: Sequence[Customer]

    @property
    def counts(self) -> MergeCounts:
        return MergeCounts(len(self.new), len(self.different), self.same)

    def batches(self, size: int) -> Iterator[Sequence[Customer]]:
        """What is to be written, in the order of the numbers, so that everybody locks in one order."""
        wanted = sorted([*self.new, *self.different, *self.shared], key=lambda row: row.phone)
        return (wanted[first : first + size] for first in range(0, len(wanted), size))


def compare(rows: Sequence[Customer], known: Mapping[str, Customer]) -> Comparison:
    """`rows` must have distinct phones; `known` is what the table says of them."""
    new: list[Customer] = []
    different: list[Customer] = []
    shared: list[Customer] = []
    no_longer: list[Customer] = []
    for row in rows:
        was = known.get(row.phone)
        if was is None and row.people == 1:
            new.append(row)
        elif was is None or _said(row) != _said(was):
            (different if row.people == 1 else shared).append(row)
            no_longer += [row] if was is not None and row.people == 1 < was.people else []
    same = sum(row.people == 1 for row in rows) - len(new) - len(different)
    return Comparison(new, different, same, shared, no_longer)


def _said(row: Customer) -> tuple[str | None, str | None, int]:
    return (row.email, row.customer_id, 1) if row.people == 1 else (None, None, row.people)


class MappingTable:
    """`Customers` of pipeline/ports/customers.py. `batch_rows` is how many rows are written in one transaction."""

    def __init__(self, database: Database, *, batch_rows: int) -> None:
        self._database = database
        self._batch_rows = batch_rows

    def merge_customers(self, rows: Sequence[Customer]) -> MergeCounts:
        """Add what is new, change what differs. `rows` must have distinct phones.

        Each batch is a transaction, so that one that is killed leaves whole rows and a mapping version that tells of them,
        and whoever starts it again finds them unchanged. Between two batches callbacks have their turn.
        """
        if not rows:
            return MergeCounts(0, 0, 0)
        with self._database.read() as connection:
            found = compare(rows, find_customers(connection, [row.phone for row in rows]))
        no_longer = {row.phone for row in found.no_longer_shared}
        for batch in found.batches(self._batch_rows):
            began = time.monotonic()
            now = datetime.now(UTC)
            named = saved_customers([row for row in batch if row.people == 1], now)
            shared = saved_shared_numbers([row for row in batch if row.people > 1], now)
            freed = no_longer_shared(row.phone for row in batch if row.phone in no_longer)
            with self._database.write() as connection:
                named.run(connection)
                shared.run(connection)
                freed.run(connection)
                bump(connection, MAPPING_VERSION)
            time.sleep(min(_LONGEST_PAUSE_SECONDS, time.monotonic() - began))
        return found.counts

    def find_customers(self, phones: Collection[str]) -> Mapping[str, Customer]:
        """Those of the E.164 numbers that are in the mapping; of one that several people have, how many."""
        with self._database.read(patient=True) as connection:
            return find_customers(connection, phones)


def bump(connection: Connection, name: str) -> None:
    """Count one up."""
    insert(counters, [{"name": name, "value": 1}], ADDED).run(connection)
