"""Where the brand's customers live, found by the number that they call from."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from offhook.pipeline.customer import Customer


class MergeCounts(NamedTuple):
    """What a merge did to the table, in rows; numbers of several people are not among them."""

    added: int
    changed: int
    unchanged: int


class CustomerTable(Protocol):
    """What an import needs of it."""

    def merge_customers(self, rows: Sequence[Customer], /) -> MergeCounts:
        """Add what is new, change what differs, in short transactions; nobody is removed. The rows have distinct phones.

        Raises LedgerUnavailable; then some of the rows may be in.
        """


class Customers(CustomerTable, Protocol):
    """Those who are known, and how many have a number that several people have."""

    def find_customers(self, phones: Collection[str], /) -> Mapping[str, Customer]:
        """Those of the E.164 numbers that are known, by what they were asked by. Raises LedgerUnavailable."""

    def mapping_version(self) -> int:
        """Grows with every change. Raises LedgerUnavailable."""
