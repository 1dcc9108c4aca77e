"""The brand's customer mapping, in short transactions, so that an import of a million rows never keeps a callback waiting.

Each change writes its history as well, in the same transaction and for many rows at once.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count, islice
from typing import NamedTuple

from sqlalchemy import Connection

from offhook.adapters.ledger.engine import Database
from offhook.adapters.ledger.imports import begun, counted, ended_rows, rows_reserved
from offhook.adapters.ledger.pace import Pace, is_calm
from offhook.adapters.ledger.people.customers import (
    Held,
    Numbered,
    find_customers,
    find_held,
    forgotten,
    known_phones,
    numbered,
    refreshed,
    saved_customers,
    saved_shared_numbers,
    with_people,
    written_history,
    written_people,
)
from offhook.adapters.ledger.rows import ADDED, Insert, WithRows, insert
from offhook.adapters.ledger.schema import counters, customers, shared_numbers, shared_people
from offhook.adapters.ledger.waiting import MAPPING_VERSION, RELEASED_CHANGES
from offhook.pipeline.customer import Customer
from offhook.pipeline.ports.customers import UNNAMED, Brought, MergeCounts

Statements = list[Insert | WithRows]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Rows beside what the table says: of one person `new` and `same`; of several `shared`, of whose numbers it says
    nothing, and `as_shared`, that are as they were. `different` are those of either that say something else than it.
    """

    new: Sequence[Customer]
    different: Sequence[Customer]
    same: Sequence[Customer]
    shared: Sequence[Customer]
    as_shared: Sequence[Customer] = ()

    @property
    def counts(self) -> MergeCounts:
        return MergeCounts(len(self.new), len(self.different), len(self.same))


def compare(rows: Sequence[Customer], known: Mapping[str, Customer]) -> Comparison:
    """`rows` must have distinct phones; `known` is what the table says of them."""
    new: list[Customer] = []
    different: list[Customer] = []
    same: list[Customer] = []
    shared: list[Customer] = []
    as_shared: list[Customer] = []
    for row in rows:
        was = known.get(row.phone)
        if row.people > 1:
            (shared if was is None else as_shared if was.people == row.people else different).append(row)
        elif was is None:
            new.append(row)
        else:
            (same if _say_the_same(row, was) else different).append(row)
    return Comparison(new, different, same, shared, as_shared)


def _say_the_same(row: Customer, was: Customer) -> bool:
    return (
        row.email == was.email
        and row.customer_id == was.customer_id
        and row.people == was.people
        and row.attributes == was.attributes
    )


class _Change(NamedTuple):
    """What is to be written of one number. `was` is what the table says of it; `is_news` whether it says something else."""

    row: Customer
    was: Held | None
    is_news: bool

    @property
    def is_old(self) -> bool:
        """What the table says is older than its history, and has no row there."""
        return self.was is not None and self.was.customer.row is None and self.was.customer.people == 1

    @property
    def ids(self) -> int:
        """How many rows of history it takes."""
        return self.is_news + self.is_old


@dataclass(frozen=True, slots=True)
class _Merge:
    """A merge as it was compared, and the number of the import that it belongs to."""

    found: Comparison
    known: Mapping[str, Held]
    noted: Collection[str]
    brought: Brought
    now: datetime

    def changes(self) -> Iterator[_Change]:
        """All that is to be written, in the order of the numbers, so that everybody locks in one order."""
        news = [_Change(row, self.known.get(row.phone), True) for row in self._news()]
        others = [_Change(row, self.known.get(row.phone), False) for row in self._others()]
        return iter(sorted([*news, *others], key=lambda one: one.row.phone))

    def _news(self) -> Iterable[Customer]:
        yield from self.found.new
        yield from self.found.different
        yield from self.found.shared

    def _others(self) -> Iterator[Customer]:
        """Those of the same content that are older than history, are good until another time, or name other people."""
        fresh = self.brought.fresh_until
        for row in self.found.same:
            was = self.known[row.phone].customer
            if was.row is None or was.fresh_until != fresh or row.others or row.phone in self.noted:
                yield row
        for row in self.found.as_shared:
            if self.known[row.phone].customer.fresh_until != fresh or row.others or row.phone in self.noted:
                yield row

    def batch(self, changes: Sequence[_Change], import_id: int, ids: Iterator[int]) -> _Batch:
        """What one transaction writes of these."""
        news = [one for one in changes if one.is_news]
        added = sum(one.was is None and one.row.people == 1 for one in news)
        counts = {"added": added, "changed": sum(one.was is not None for one in news)}
        is_news = any(one.is_news for one in changes)
        return _Batch(self._statements(changes, ids, import_id), import_id, counts, is_news, self.brought.is_released)

    def _statements(self, batch: Sequence[_Change], ids: Iterator[int], import_id: int) -> Statements:
        old = [_numbered(one.was, next(ids)) for one in batch if one.is_old and one.was is not None]
        news = [numbered(one.row, next(ids), self.now) for one in batch if one.is_news]
        freed = [one.row.phone for one in batch if one.is_news and one.row.people == 1 and _was_shared(one)]
        same = [one for one in batch if not one.is_news]
        kept = {one.customer.phone: one.row for one in old}
        adopted = [numbered(one.row, kept[one.row.phone], one.was.since) for one in same if one.is_old and one.was]
        ended = [one.was.customer.row or kept.get(one.row.phone) for one in batch if one.is_news and one.was]
        people, fresh = [one.row for one in batch if one.row.others], self.brought.fresh_until
        forget = [row.phone for row in people] + [one.row.phone for one in batch if one.row.phone in self.noted]
        return [
            written_history(old, None),
            written_history(news, import_id),
            ended_rows([row for row in ended if row is not None], self.now, import_id),
            saved_customers([one for one in (*news, *adopted) if one.customer.people == 1], fresh),
            saved_shared_numbers([one for one in news if one.customer.people > 1], fresh),
            forgotten(shared_numbers, freed),
            refreshed(customers, [one.row.phone for one in same if one.row.people == 1 and not one.is_old], fresh),
            refreshed(shared_numbers, [one.row.phone for one in same if one.row.people > 1], fresh),
            forgotten(shared_people, forget),
            written_people(people),
        ]


@dataclass(frozen=True, slots=True)
class _Batch:
    """What one transaction writes, and what it counts for its import. `is_news` says that the mapping is another then,
    `is_released` that nobody must look through all parked calls for that."""

    statements: Statements
    import_id: int
    counts: Mapping[str, int]
    is_news: bool
    is_released: bool


def _opened(connection: Connection, merge: _Merge, changes: Sequence[_Change]) -> tuple[int, Iterator[int]]:
    """The number of the import, and numbers for all rows of history that these changes take."""
    import_id = begun(connection, merge.brought, merge.now, unchanged=len(merge.found.same))
    return import_id, count(rows_reserved(connection, sum(one.ids for one in changes)))


def _numbered(was: Held | None, row: int) -> Numbered:
    assert was is not None
    return numbered(was.customer, row, was.since)


def _was_shared(one: _Change) -> bool:
    return one.was is not None and one.was.customer.people > 1


class MappingTable:
    """`Customers` of pipeline/ports/customers.py. `batch_rows` is how many rows are written in one transaction while
    callbacks come."""

    def __init__(self, database: Database, *, batch_rows: int) -> None:
        self._database = database
        self._batch_rows = batch_rows
        self._pace = Pace(batch_rows)

    def merge_customers(self, rows: Sequence[Customer], brought: Brought = UNNAMED, /) -> MergeCounts:
        """Add what is new, change what differs. `rows` must have distinct phones.

        Each batch is a transaction, so that one that is killed leaves whole rows and a mapping version that rose with them,
        and whoever starts it again finds them unchanged. Between two batches callbacks have their turn.
        """
        if not rows:
            return MergeCounts(0, 0, 0)
        merge = self._compared(rows, brought)
        changes = list(merge.changes())
        if len(changes) <= self._batch_rows:  # all of it is one transaction
            with self._database.write() as connection:
                self._run(connection, merge.batch(changes, *_opened(connection, merge, changes)), merge.now)
            return merge.found.counts
        with self._database.write() as connection:
            import_id, ids = _opened(connection, merge, changes)
        left = iter(changes)
        while some := list(islice(left, self._pace.rows)):
            self._write(len(some), merge.batch(some, import_id, ids))
        return merge.found.counts

    def _compared(self, rows: Sequence[Customer], brought: Brought) -> _Merge:
        phones = [row.phone for row in rows]
        with self._database.read() as connection:
            known = find_held(connection, phones)
            noted = with_people(connection, phones)
        found = compare(rows, {phone: held.customer for phone, held in known.items()})
        return _Merge(found, known, noted, brought, self._database.clock())

    def _write(self, rows: int, batch: _Batch) -> None:
        """One transaction of so many rows, and a pause where callbacks come."""
        began = time.monotonic()
        with self._database.write() as connection:
            now = self._database.clock()
            calm = is_calm(connection, now)
            self._run(connection, batch, now)
        time.sleep(self._pace.pause(rows, time.monotonic() - began, is_calm=calm))

    def _run(self, connection: Connection, batch: _Batch, now: datetime) -> None:
        for statement in batch.statements:
            statement.run(connection)
        if any(batch.counts.values()):
            counted(connection, batch.import_id, now, batch.counts)
        if batch.is_news:
            bump(connection, MAPPING_VERSION, *([RELEASED_CHANGES] if batch.is_released else []))

    def retire_customers(self, phones: Collection[str], brought: Brought, /) -> int:
        """Nobody has these numbers any more. Batches as in a merge. Returns of how many anything was known."""
        with self._database.read() as connection:
            known = find_held(connection, phones)
        if not known:
            return 0
        now, wanted = self._database.clock(), iter(sorted(known.items()))
        with self._database.write() as connection:
            import_id = begun(connection, brought, now, unchanged=0)
            ids = count(rows_reserved(connection, sum(held.customer.row is None for held in known.values())))
        while batch := dict(islice(wanted, self._pace.rows)):
            statements, counts = _retired(batch, ids, now, import_id), {"retired": len(batch)}
            self._write(
                len(batch), _Batch(statements, import_id, counts, is_news=True, is_released=brought.is_released)
            )
        return len(known)

    def known_phones(self, after: str, limit: int, /) -> Sequence[str]:
        """The numbers in the mapping after this one, as they are kept."""
        with self._database.read(patient=True) as connection:
            return known_phones(connection, after, limit)

    def find_customers(self, phones: Collection[str]) -> Mapping[str, Customer]:
        """Those of the E.164 numbers that are in the mapping; of one that several people have, how many."""
        with self._database.read(patient=True) as connection:
            return find_customers(connection, phones)


def _retired(batch: Mapping[str, Held], ids: Iterator[int], now: datetime, import_id: int) -> Statements:
    old = [numbered(held.customer, next(ids), held.since) for held in batch.values() if held.customer.row is None]
    ended = [held.customer.row for held in batch.values() if held.customer.row is not None]
    return [
        written_history(old, None),
        ended_rows([*ended, *(one.row for one in old)], now, import_id),
        *(forgotten(table, batch) for table in (customers, shared_numbers, shared_people)),
    ]


def bump(connection: Connection, *names: str) -> None:
    """Count each one up."""
    insert(counters, [{"name": name, "value": 1} for name in names], ADDED).run(connection)
