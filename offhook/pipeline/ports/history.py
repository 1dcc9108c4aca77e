"""What the mapping said of a number and when, and what brought it. Changes nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from offhook.pipeline.conversion import Customer
from offhook.pipeline.ports.customers import Source


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """What was said of a number. It held from `from_at` until `until_at`, None while it does.

    `brought_by` and `ended_by` are the numbers of the imports that did so; None for what was there before there was a
    history, and for what holds.
    """

    customer: Customer
    from_at: datetime
    until_at: datetime | None
    brought_by: int | None
    ended_by: int | None


@dataclass(frozen=True, slots=True)
class ImportLine:
    """What brought rows, and what it did to the mapping, in numbers. `undone_at` is when a person took it back."""

    id: int
    source: Source
    name: str
    started_at: datetime
    finished_at: datetime | None
    added: int
    changed: int
    unchanged: int
    retired: int
    undone_at: datetime | None


class History(Protocol):
    """The mapping's history. Each method raises LedgerUnavailable."""

    def of_numbers(self, phones: Collection[str], /) -> Sequence[HistoryLine]:
        """All that was ever said of these E.164 numbers, in any of their spellings: number by number, the oldest first."""

    def imports(self, limit: int, /) -> Sequence[ImportLine]:
        """What brought rows, the latest first."""
