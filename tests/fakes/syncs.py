"""When lists are fetched, in memory: `Syncs` without a database."""

from __future__ import annotations

from datetime import datetime

from tests.fakes.kept import Kept


class MemorySyncs:
    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def claim(self, name: str, now: datetime, until: datetime, /) -> bool:
        version, due_at = self._kept.syncs.get(name, (None, now))
        if due_at > now:
            return False
        self._kept.syncs[name] = (version, until)
        return True

    def version(self, name: str, /) -> str | None:
        return self._kept.syncs[name][0] if name in self._kept.syncs else None

    def taken(self, name: str, version: str | None, due_at: datetime, /) -> None:
        self._kept.syncs[name] = (version, due_at)
