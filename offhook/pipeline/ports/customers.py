"""Where the brand's customers live, found by the number that they call from."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Protocol

from offhook.pipeline.customer import Customer


class Source(StrEnum):
    """By which way rows came into the mapping."""

    IMPORT = "import"
    SYNC = "sync"
    API = "api"
    LOOKUP = "lookup"
    UNDO = "undo"
    DASHBOARD = "dashboard"


@dataclass(frozen=True, slots=True)
class Brought:
    """What brought rows. `name` is a file, a URL without its secrets, a token's name or a look-up source.

    What has the same source, name and `run` is one import of the mapping's history, however many merges it takes: a file
    has a `run` of its own each time it is imported, and what comes row by row is one import a day (UTC) without any.
    `fresh_until` is how long a look-up's answer is good; None for ever. `is_released`: the calls of its numbers that wait
    are decided again because of a look-up's answer (`Books.answered`), so that nobody must look through all that wait.
    """

    source: Source
    name: str
    fresh_until: datetime | None = None
    run: str = ""
    is_released: bool = False


UNNAMED = Brought(Source.IMPORT, "-")
"""Rows of which nobody says where they come from."""


class MergeCounts(NamedTuple):
    """What a merge did to the table, in numbers. One that several people have is among them only where the table said
    something else of it: it is `changed`, as nobody has it alone any more."""

    added: int
    changed: int
    unchanged: int


class CustomerTable(Protocol):
    """What an import needs of it."""

    def merge_customers(self, rows: Sequence[Customer], brought: Brought = UNNAMED, /) -> MergeCounts:
        """Add what is new, change what differs, in short transactions; nobody is removed. The rows have distinct phones.

        History keeps what was there before. What is the same gets the lifetime of `brought` and no new row of history.
        Raises LedgerUnavailable; then some of the rows may be in.
        """

    def retire_customers(self, phones: Collection[str], brought: Brought, /) -> int:
        """Nobody has these E.164 numbers any more; history keeps who had them. Returns of how many anything was known.

        Raises LedgerUnavailable; then some of them may be retired.
        """

    def known_phones(self, after: str, limit: int, /) -> Sequence[str]:
        """The numbers of which anything is known, as they are kept, after the one given ("" for the first). Raises
        LedgerUnavailable."""


class Customers(CustomerTable, Protocol):
    """Those who are known, and how many have a number that several people have."""

    def find_customers(self, phones: Collection[str], /) -> Mapping[str, Customer]:
        """Those of the E.164 numbers that are known, by what they were asked by, each with its `row` of history and how
        long it is good. Raises LedgerUnavailable."""

    def mapping_version(self) -> int:
        """Grows with every change. Raises LedgerUnavailable."""
