"""The mapping's history in memory: `History` without a database."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from offhook.pipeline.phone import spellings
from offhook.pipeline.ports.customers import Brought
from offhook.pipeline.ports.history import HistoryLine, ImportLine, SharedNumber
from tests.fakes.kept import Kept


class MemoryHistory:
    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def of_numbers(self, phones: Collection[str], /) -> Sequence[HistoryLine]:
        asked = {spelling for phone in phones for spelling in spellings(phone)}
        found = [line for line in self._kept.history if line.customer.phone in asked]
        return sorted(found, key=lambda line: (line.customer.phone, line.from_at, line.customer.row))

    def numbers_named(self, name: str, /) -> Sequence[str]:
        emails = (name, name.lower())
        said = [line.customer for line in self._kept.history]
        shared = ((one, people) for one in self._kept.customers.values() for people in one.others)
        found = [(one.phone, one.email, one.customer_id) for one in said]
        found += [(one.phone, email, id_) for one, (email, id_) in shared]
        return sorted({phone for phone, email, id_ in found if email in emails or id_ == name})

    def import_(self, id_: int, /) -> ImportLine | None:
        return next((one for one in self._kept.imports.values() if one.id == id_), None)

    def import_of(self, brought: Brought, /) -> ImportLine | None:
        return self._kept.imports.get((brought.source.value, brought.name, brought.run))

    def touched(self, import_id: int, /) -> Iterator[Sequence[str]]:
        for line in list(self._kept.history):
            if import_id in (line.brought_by, line.ended_by):
                yield [line.customer.phone]

    def shared_numbers(self, after: str, limit: int, /) -> Sequence[SharedNumber]:
        found = [one for one in self._kept.customers.values() if (one.people > 1 or one.others) and one.phone > after]
        return [SharedNumber(one.phone, one.others) for one in sorted(found, key=lambda one: one.phone)[:limit]]

    def shared_among(self, phones: Collection[str], /) -> Sequence[SharedNumber]:
        shared = {one.phone: one for one in self.shared_numbers("", len(self._kept.customers))}
        found = ((phone, next((shared[one] for one in spellings(phone) if one in shared), None)) for phone in phones)
        return [SharedNumber(phone, one.named) for phone, one in found if one is not None]

    def mark_undone(self, import_id: int, now: datetime, /) -> None:
        for key, one in self._kept.imports.items():
            if one.id == import_id:
                self._kept.imports[key] = replace(one, undone_at=now)

    def line(self, row: int, /) -> HistoryLine | None:
        return next((one for one in self._kept.history if one.customer.row == row), None)

    def imports(self, limit: int, before: int | None = None, /) -> Sequence[ImportLine]:
        found = [one for one in self._kept.imports.values() if before is None or one.id < before]
        return sorted(found, key=lambda one: -one.id)[:limit]
