"""The mapping in memory: `Customers` without a database."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from offhook.pipeline.customer import Customer
from offhook.pipeline.phone import spellings
from offhook.pipeline.ports.customers import MergeCounts
from tests.fakes.kept import Kept


class MemoryCustomers:
    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def merge_customers(self, rows: Sequence[Customer], /) -> MergeCounts:
        known = self.find_customers([row.phone for row in rows])
        other = [row for row in rows if known.get(row.phone) != row]
        for row in other:
            self._kept.customers[_line(row.phone)] = row
        self._kept.mapping_version += bool(other)
        one_person = [row for row in rows if row.people == 1]
        added = sum(row.phone not in known for row in one_person)
        changed = sum(row.people == 1 for row in other) - added
        return MergeCounts(added, changed, len(one_person) - added - changed)

    def find_customers(self, phones: Collection[str], /) -> Mapping[str, Customer]:
        found = {phone: self._kept.customers.get(_line(phone)) for phone in phones}
        return {
            phone: Customer(phone, one.email, one.customer_id, one.people)
            for phone, one in found.items()
            if one is not None
        }

    def mapping_version(self) -> int:
        return self._kept.mapping_version


def _line(phone: str) -> str:
    """One name for a line, however its number is spelled."""
    return spellings(phone)[0]
