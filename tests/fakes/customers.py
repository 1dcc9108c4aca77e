"""The mapping in memory: `Customers` without a database."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from offhook.pipeline.customer import Customer
from offhook.pipeline.phone import spellings
from offhook.pipeline.ports.customers import UNNAMED, Brought, MergeCounts
from offhook.pipeline.ports.history import HistoryLine, ImportLine
from tests.fakes.kept import Kept


class MemoryCustomers:
    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def merge_customers(self, rows: Sequence[Customer], brought: Brought = UNNAMED, /) -> MergeCounts:
        known, now = self.find_customers([row.phone for row in rows]), datetime.now(UTC)
        other = [row for row in rows if known.get(row.phone) != row]
        one_person = [row for row in rows if row.people == 1]
        added = sum(row.phone not in known for row in one_person)
        changed = sum(row.phone in known for row in other)
        counts = MergeCounts(added, changed, sum(row not in other for row in one_person))
        if rows:
            import_id = self._count(brought, now, *counts, 0)
        for row in rows:
            was = known.get(row.phone, row)
            id_ = was.row if row not in other else self._remember(row, now, import_id)
            self._kept.customers[_line(row.phone)] = replace(
                row, phone=_line(row.phone), row=id_, fresh_until=brought.fresh_until
            )
        self._kept.mapping_version += bool(other)
        self._kept.released_changes += bool(other) and brought.is_released
        return counts

    def retire_customers(self, phones: Collection[str], brought: Brought, /) -> int:
        known, now = self.find_customers(phones), datetime.now(UTC)
        if known:
            import_id = self._count(brought, now, 0, 0, 0, len(known))
            self._kept.mapping_version += 1
            self._kept.released_changes += brought.is_released
        for phone in known:
            self._end(phone, now, import_id)
            del self._kept.customers[_line(phone)]
        return len(known)

    def _remember(self, row: Customer, now: datetime, import_id: int) -> int:
        self._end(row.phone, now, import_id)
        numbered = replace(row, phone=_line(row.phone), row=len(self._kept.history) + 1)
        self._kept.history.append(HistoryLine(numbered, now, None, import_id, None))
        return len(self._kept.history)

    def _end(self, phone: str, now: datetime, import_id: int) -> None:
        for place, line in enumerate(self._kept.history):
            if line.customer.phone == _line(phone) and line.until_at is None:
                self._kept.history[place] = replace(line, until_at=now, ended_by=import_id)

    def _count(self, brought: Brought, now: datetime, added: int, changed: int, same: int, retired: int) -> int:
        key = (brought.source, brought.name, brought.run or now.date().isoformat())
        new = ImportLine(len(self._kept.imports) + 1, brought.source, brought.name, now, now, 0, 0, 0, 0, None)
        was = self._kept.imports.setdefault(key, new)
        self._kept.imports[key] = replace(
            was,
            finished_at=now,
            added=was.added + added,
            changed=was.changed + changed,
            unchanged=was.unchanged + same,
            retired=was.retired + retired,
        )
        return was.id

    def known_phones(self, after: str, limit: int, /) -> Sequence[str]:
        return sorted(phone for phone in self._kept.customers if phone > after)[:limit]

    def find_customers(self, phones: Collection[str], /) -> Mapping[str, Customer]:
        found = {phone: self._kept.customers.get(_line(phone)) for phone in phones}
        return {phone: replace(one, phone=phone, others=()) for phone, one in found.items() if one is not None}

    def mapping_version(self) -> int:
        return self._kept.mapping_version


def _line(phone: str) -> str:
    """One name for a line, however its number is spelled."""
    return spellings(phone)[0]
