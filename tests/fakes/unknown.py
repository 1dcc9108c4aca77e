"""The callers of parked calls in memory: `UnknownCallers` without a database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from offhook.pipeline.ports.unknown import CallersMark, UnknownCaller
from tests.fakes.kept import Kept


class MemoryUnknown:
    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def callers(self, after: str, limit: int, /) -> Sequence[UnknownCaller]:
        return [one for one in self._every() if one.phone > after][:limit]

    def most_frequent(self, limit: int, after: CallersMark | None = None, /) -> Sequence[UnknownCaller]:
        found = sorted(self.latest(len(self._kept.calls)), key=lambda one: -one.calls)
        return _behind(found, after)[:limit]

    def latest(self, limit: int, after: CallersMark | None = None, /) -> Sequence[UnknownCaller]:
        return _behind(sorted(self._every(), key=lambda one: one.latest_at, reverse=True), after)[:limit]

    def are_more_than(self, count: int, /) -> bool:
        return len(self._every()) > count

    def _every(self) -> list[UnknownCaller]:
        came: dict[str, list[datetime]] = {}
        for one in self._kept.calls.values():
            if one.state == "parked" and one.customer_phone is not None:
                came.setdefault(one.customer_phone, []).append(one.folded.call.first_received_at)
        return [UnknownCaller(phone, len(at), min(at), max(at)) for phone, at in sorted(came.items())]


def _behind(found: list[UnknownCaller], after: CallersMark | None) -> list[UnknownCaller]:
    """Those behind the one that the mark names, which must be among them."""
    if after is None:
        return found
    at = [CallersMark(one.calls, one.latest_at, one.phone) for one in found].index(after)
    return found[at + 1 :]
