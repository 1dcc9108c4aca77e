"""The mapping's history in memory: `History` without a database."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from offhook.pipeline.phone import spellings
from offhook.pipeline.ports.history import HistoryLine, ImportLine
from tests.fakes.kept import Kept


class MemoryHistory:
    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def of_numbers(self, phones: Collection[str], /) -> Sequence[HistoryLine]:
        asked = {spelling for phone in phones for spelling in spellings(phone)}
        found = [line for line in self._kept.history if line.customer.phone in asked]
        return sorted(found, key=lambda line: (line.customer.phone, line.from_at, line.customer.row))

    def imports(self, limit: int, /) -> Sequence[ImportLine]:
        return sorted(self._kept.imports.values(), key=lambda one: -one.id)[:limit]
