"""From staging into the mapping: who has each number, what the file says twice, and where it names several people.

Keeps no rows in memory: those of one number are read again where there are several.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator
from dataclasses import replace
from itertools import islice

from offhook.adapters.customers.fields import ImportLimits, Reason
from offhook.pipeline.customer import Conflict, Customer
from offhook.pipeline.phone import spellings
from offhook.pipeline.ports.customers import UNNAMED, Brought, CustomerTable

SCHEMA = """
    CREATE TABLE taken (line INTEGER, phone TEXT, email TEXT, customer_id TEXT, attributes TEXT, row TEXT);
    CREATE TABLE missing (phone TEXT);
    CREATE TABLE rejected (line INTEGER, reason TEXT, detail TEXT, row TEXT);
"""
_INDEX = "CREATE INDEX taken_phone ON taken (phone, line, email, customer_id, attributes)"
_NUMBERS = "SELECT phone, count(*), email, customer_id, attributes FROM taken GROUP BY phone ORDER BY phone"
_OF_NUMBER = "SELECT line, email, customer_id, attributes FROM taken WHERE phone = ? ORDER BY line"
_SET_ASIDE = "INSERT INTO rejected SELECT line, ?, ?, row FROM taken WHERE phone = ? AND line = ?"

_Named = tuple[str | None, str | None]  # email and customer id


class _People:
    """Who is the same person: those with the same email or the same customer id, and whoever is the same as these.

    Of at most so many names; what comes beyond is another person each.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._above: dict[tuple[str, str], tuple[str, str]] = {}
        self.is_full = False

    def add(self, named: _Named) -> None:
        names = _names(named)
        if len(self._above) >= self._most:
            self.is_full = self.is_full or any(name not in self._above for name in names)
            return
        for name in names:
            self._above.setdefault(name, name)
        for name in names[1:]:
            self._above[self._top(name)] = self._top(names[0])

    def __len__(self) -> int:
        return sum(name == above for name, above in self._above.items()) + self.is_full

    def person(self, named: _Named) -> tuple[str, str] | None:
        """A name of the person; None for one beyond the most."""
        known = [name for name in _names(named) if name in self._above]
        return self._top(known[0]) if known else None

    def _top(self, name: tuple[str, str]) -> tuple[str, str]:
        while (above := self._above[name]) != name:
            self._above[name] = name = self._above[above]
        return name


def _names(named: _Named) -> list[tuple[str, str]]:
    email, customer_id = named
    names = (("email", email and email.lower()), ("id", customer_id))
    return [(kind, name) for kind, name in names if name]


class Merging:
    """Settles conflicts and hands distinct phones to the table, a chunk at a time.

    `numbers` is in how many of the file's rows numbers stood (a row with two counts twice), `shared` how many numbers
    several people have.
    """

    def __init__(
        self,
        staging: sqlite3.Connection,
        table: CustomerTable,
        conflict: Conflict,
        limits: ImportLimits,
        brought: Brought = UNNAMED,
    ) -> None:
        self._staging = staging
        self._table = table
        self._conflict = conflict
        self._limits = limits
        self._brought = brought
        self.numbers = 0
        self.added = self.changed = self.unchanged = self.duplicate_rows = self.conflicts = self.shared = 0
        staging.execute(_INDEX)

    def chunks(self, chunk_rows: int) -> Iterator[int]:
        """Merge everything; yields after each chunk how many `numbers` are done."""
        rows = self._rows()
        while chunk := list(islice(rows, chunk_rows)):
            counts = self._table.merge_customers(chunk, self._brought)
            self.added += counts.added
            self.changed += counts.changed
            self.unchanged += counts.unchanged
            yield self.numbers

    def retired(self, chunk_rows: int) -> Iterator[int]:
        """Retire what `find_missing` found; yields after each chunk how many these were."""
        missing = (phone for (phone,) in self._staging.execute("SELECT phone FROM missing ORDER BY phone"))
        while chunk := list(islice(missing, chunk_rows)):
            yield self._table.retire_customers(chunk, self._brought)

    def names_one(self, phones: Collection[str]) -> bool:
        """Whether the file gives one of these spellings of a number to one customer, by itself or by the policy."""
        people = _People(self._limits.people)
        for phone in phones:
            for _, email, customer_id, _ in self._of(phone):
                people.add((email, customer_id))
        return len(people) == 1 or (len(people) > 1 and self._conflict != "none")

    def _rows(self) -> Iterator[Customer]:
        for phone, number, email, customer_id, attributes in self._staging.execute(_NUMBERS):
            self.numbers += number
            yield _customer(phone, email, customer_id, attributes) if number == 1 else self._settled(phone)

    def _settled(self, phone: str) -> Customer:
        """One row of the several that a number has."""
        people = _People(self._limits.people)
        for _, email, customer_id, _ in self._of(phone):
            people.add((email, customer_id))
        if len(people) == 1:
            return self._of_one(phone, people)
        self.shared += 1
        settled = self._of_nobody(phone, people) if self._conflict == "none" else self._of_one(phone, people)
        return replace(settled, others=self._named(phone, people))

    def _named(self, phone: str, people: _People) -> tuple[_Named, ...]:
        """Who they are: of each the names of the first row, as many as are kept."""
        found: dict[object, _Named] = {}
        for line, email, customer_id, _ in self._of(phone):
            if len(found) >= self._limits.named:
                break
            found.setdefault(people.person((email, customer_id)) or line, (email, customer_id))
        return tuple(found.values())

    def _of(self, phone: str) -> Iterator[tuple[int, str | None, str | None, str | None]]:
        return iter(self._staging.execute(_OF_NUMBER, (phone,)))

    def _of_one(self, phone: str, people: _People) -> Customer:
        """The person of the row that wins: what its rows say together, its own row first."""
        order = "ASC" if self._conflict == "first" else "DESC"
        rows = self._staging.execute(_OF_NUMBER.replace("ORDER BY line", f"ORDER BY line {order}"), (phone,))
        line, email, customer_id, attributes = next(rows)
        winner, person = (email, customer_id), people.person((email, customer_id))
        customer = _customer(phone, email, customer_id, attributes)
        for other, email, customer_id, attributes in rows:
            if (email, customer_id) == winner or (person and people.person((email, customer_id)) == person):
                self.duplicate_rows += 1
                customer = _together(customer, _customer(phone, email, customer_id, attributes))
            else:
                self._set_aside(phone, other, f"line {line} gives the number to another customer and is used")
        return customer

    def _of_nobody(self, phone: str, people: _People) -> Customer:
        least = "at least " if people.is_full else ""
        detail = f"{least}{len(people)} customers have this number; a call from it waits (several_customers)"
        seen: set[_Named] = set()
        for line, *named, _ in self._of(phone):
            if (named[0], named[1]) in seen:
                self.duplicate_rows += 1
                continue
            if len(seen) < self._limits.people:
                seen.add((named[0], named[1]))
            self._set_aside(phone, line, detail)
        return Customer(phone, None, None, len(people))

    def _set_aside(self, phone: str, line: int, detail: str) -> None:
        self.conflicts += 1
        self._staging.execute(_SET_ASIDE, (Reason.CONFLICT.value, detail, phone, line))


def find_missing(staging: sqlite3.Connection, table: CustomerTable, chunk_rows: int) -> tuple[int, int]:
    """Note which numbers of the table are not in the file, in any spelling. Returns how many, and how many it has."""
    missing = known = 0
    after = ""
    while phones := table.known_phones(after, chunk_rows):
        gone = [phone for phone in phones if not any(_is_staged(staging, one) for one in spellings(phone))]
        staging.executemany("INSERT INTO missing VALUES (?)", ((phone,) for phone in gone))
        missing, known, after = missing + len(gone), known + len(phones), phones[-1]
    return missing, known


def _is_staged(staging: sqlite3.Connection, phone: str) -> bool:
    return staging.execute("SELECT 1 FROM taken WHERE phone = ? LIMIT 1", (phone,)).fetchone() is not None


def _customer(phone: str, email: str | None, customer_id: str | None, attributes: str | None) -> Customer:
    return Customer(phone, email, customer_id, attributes=json.loads(attributes) if attributes else {})


def _together(one: Customer, other: Customer) -> Customer:
    """What both rows say of a person, the first one's word first."""
    return replace(
        one,
        email=one.email or other.email,
        customer_id=one.customer_id or other.customer_id,
        attributes={**other.attributes, **one.attributes},
    )
