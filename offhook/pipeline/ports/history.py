"""What the mapping said of a number and when, and what brought it. Changes no customer."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from offhook.pipeline.customer import Customer
from offhook.pipeline.ports.customers import Brought, Source


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


@dataclass(frozen=True, slots=True)
class SharedNumber:
    """A number that several customers are said to have. `named` are email and customer id of those who are kept by name."""

    phone: str
    named: tuple[tuple[str | None, str | None], ...]


class History(Protocol):
    """The mapping's history. Each method raises LedgerUnavailable."""

    def of_numbers(self, phones: Collection[str], /) -> Sequence[HistoryLine]:
        """All that was ever said of these E.164 numbers, in any of their spellings: number by number, the oldest first."""

    def numbers_named(self, name: str, /) -> Sequence[str]:
        """The numbers of which it was ever said that their customer has this email, or this customer id; and those that
        several are said to have now of whom it is one."""

    def line(self, row: int, /) -> HistoryLine | None:
        """What the row of this number says."""

    def imports(self, limit: int, before: int | None = None, /) -> Sequence[ImportLine]:
        """What brought rows, the latest first; only those of lower numbers than `before`."""

    def import_(self, id_: int, /) -> ImportLine | None:
        """The one of this number."""

    def import_of(self, brought: Brought, /) -> ImportLine | None:
        """What all merges with this source, name and `run` have done so far; None where there was none."""

    def touched(self, import_id: int, /) -> Iterator[Sequence[str]]:
        """The numbers of which an import said something new, or which it retired: page by page, each at least once."""

    def shared_numbers(self, after: str, limit: int, /) -> Sequence[SharedNumber]:
        """The numbers of several customers after the one given ("" for the first), whoever of them is credited."""

    def shared_among(self, phones: Collection[str], /) -> Sequence[SharedNumber]:
        """Those of these E.164 numbers that several customers have, in any spelling, each as it was asked by."""

    def mark_undone(self, import_id: int, now: datetime, /) -> None:
        """A person took this import back."""
