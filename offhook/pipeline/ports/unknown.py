"""Who calls and is not known: the numbers whose calls wait for a customer. Changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol


@dataclass(frozen=True, slots=True)
class UnknownCaller:
    """A number that nobody is known to have, or several are: how many calls of it wait, and when the first and last came."""

    phone: str
    calls: int
    oldest_at: datetime
    latest_at: datetime


class CallersMark(NamedTuple):
    """Where a page of callers ends, the last one of it; the next page begins behind it."""

    calls: int
    latest_at: datetime
    phone: str


class UnknownCallers(Protocol):
    """Numbers of calls that are parked. Each method raises LedgerUnavailable."""

    def callers(self, after: str, limit: int, /) -> Sequence[UnknownCaller]:
        """Those after the number `after` ("" for the first), number by number."""

    def most_frequent(self, limit: int, after: CallersMark | None = None, /) -> Sequence[UnknownCaller]:
        """Those that called most often, of as many calls the one that called last; from behind `after`."""

    def latest(self, limit: int, after: CallersMark | None = None, /) -> Sequence[UnknownCaller]:
        """Those that called last, from behind `after`."""

    def are_more_than(self, count: int, /) -> bool:
        """Whether there are more of these numbers than so many."""
