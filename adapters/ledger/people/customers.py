"""The mapping and its history, found by number, email and customer id; and what is written of a number."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, Select, Table, select, text, union

from offhook.adapters.ledger.people.spelled import BY_PHONE, PHONE, every_spelling, found_by, line
from offhook.adapters.ledger.rows import Insert, WithRows, for_each, look_up, with_rows
from offhook.adapters.ledger.schema import (
    PersonText,
    customer_rows,
    customers,
    micros,
    micros_or_none,
    moment,
    shared_numbers,
    shared_people,
)
from offhook.adapters.ledger.waiting import MAPPING_VERSION
from offhook.pipeline.customer import Customer
from offhook.pipeline.phone import spellings

_OF_A_PERSON = ("phone", "email", "customer_id", "attributes", "row_id", "fresh_until", "changed_at")
_OF_SEVERAL = ("phone", "people", "row_id", "fresh_until", "changed_at")
_ONE = "SELECT phone, email, customer_id, attributes, row_id, fresh_until, changed_at, 1 AS people"
_SEVERAL = "SELECT phone, NULL, NULL, NULL, row_id, fresh_until, changed_at, people"
_NAMES = (*_OF_A_PERSON, "people")
_Row = tuple[str, str | None, str | None, str | None, int | None, int | None, int, int]
"""What the database holds of these names, as it holds it: by types of columns a million rows would take twice as long."""


class Held(NamedTuple):
    """What the mapping says of a number, and since when (microseconds) it stands there."""

    customer: Customer
    since_micros: int

    @property
    def since(self) -> datetime:
        since = moment(self.since_micros)
        assert since is not None
        return since


def find_customers(connection: Connection, phones: Collection[str]) -> dict[str, Customer]:
    """Those of the E.164 numbers that are in the mapping, by what they were asked by."""
    return {phone: held.customer for phone, held in find_held(connection, phones).items()}


def find_held(connection: Connection, phones: Collection[str]) -> dict[str, Held]:
    """The same, each with its time."""
    if not phones:
        return {}
    rows = connection.execute(_customers(connection.dialect.name == "sqlite"), _asked(phones)).all()
    return {phone: Held(_customer(phone, row), row[6]) for phone, row in _by_phone(phones, rows)}


def find_customers_and_version(connection: Connection, phones: Collection[str]) -> tuple[dict[str, Customer], int]:
    """The same and the mapping's version, of one moment: in one statement, since on Postgres each has its own."""
    statement = _customers_and_version(connection.dialect.name == "sqlite")
    rows = connection.execute(statement, _asked(phones)).all()
    found = _by_phone(phones, (row[1:] for row in rows if row[1] is not None))
    return {phone: _customer(phone, row) for phone, row in found}, rows[0][0]


def _asked(phones: Iterable[str]) -> dict[str, str]:
    return {"rows": json.dumps(every_spelling(phones))}


def _by_phone(phones: Iterable[str], rows: Iterable[Sequence[Any]]) -> Iterator[tuple[str, _Row]]:
    """That several people have a number goes before what is kept of one of them."""
    shown = PersonText.shown
    found: dict[Any, Any] = {shown(row[0]): row for row in sorted(rows, key=itemgetter(7))}
    return ((phone, found[one]) for phone, one in found_by(phones, found).items())


def _customer(phone: str, row: _Row) -> Customer:
    _, email, customer_id, kept, row_id, fresh_until, _, people = row
    shown = PersonText.shown
    attributes = attributes_of(shown(kept))
    return Customer(phone, shown(email), shown(customer_id), people, attributes, row_id, moment(fresh_until))


def attributes_of(kept: str | None) -> Mapping[str, str]:
    """What else is known of a customer, from the JSON in which it is kept."""
    return json.loads(kept) if kept else {}


def _look_up(is_sqlite: bool) -> str:
    named = look_up(is_sqlite, PHONE, customers, BY_PHONE, names=_OF_A_PERSON)
    shared = look_up(is_sqlite, PHONE, shared_numbers, BY_PHONE, names=_OF_SEVERAL)
    return f"{_ONE} FROM ({named}) AS n UNION ALL {_SEVERAL} FROM ({shared}) AS s"


@cache
def _customers(is_sqlite: bool) -> Any:
    return text(_look_up(is_sqlite))


@cache
def _customers_and_version(is_sqlite: bool) -> Any:
    version = f"SELECT coalesce((SELECT value FROM counters WHERE name = '{MAPPING_VERSION}'), 0) AS version"
    selected = f"SELECT m.version, {', '.join(f'f.{name}' for name in _NAMES)}"
    found = f"{selected} FROM ({version}) AS m LEFT JOIN ({_look_up(is_sqlite)}) AS f ON 1 = 1"
    return text(found)


_Said = tuple[str | None, str | None, str | None, str | None]


class Numbered(NamedTuple):
    """What is to be written of a number, and the row of history that says so. `said` is it as the tables hold it."""

    customer: Customer
    row: int
    from_at: datetime
    said: _Said


def numbered(customer: Customer, row: int, from_at: datetime) -> Numbered:
    return Numbered(customer, row, from_at, _said(customer))


_ON_CUSTOMER = "ON CONFLICT (phone) DO UPDATE SET " + ", ".join(
    f"{name} = excluded.{name}" for name in _OF_A_PERSON if name != "phone"
)
_ON_SHARED = "ON CONFLICT (phone) DO UPDATE SET " + ", ".join(
    f"{name} = excluded.{name}" for name in _OF_SEVERAL if name != "phone"
)
_OF_HISTORY = ("id", "phone", "email", "customer_id", "attributes", "people", "from_at", "brought_by")


def saved_customers(rows: Iterable[Numbered], fresh_until: datetime | None) -> Insert:
    """Who has these numbers, one person each, whoever had them before."""
    fresh = micros_or_none(fresh_until)
    values = [(*one.said, one.row, fresh, micros(one.from_at)) for one in rows]
    return Insert(customers, _OF_A_PERSON, values, _ON_CUSTOMER)


def saved_shared_numbers(rows: Iterable[Numbered], fresh_until: datetime | None) -> Insert:
    """How many people have these numbers."""
    fresh = micros_or_none(fresh_until)
    values = [(line(one.customer.phone), one.customer.people, one.row, fresh, micros(one.from_at)) for one in rows]
    return Insert(shared_numbers, _OF_SEVERAL, values, _ON_SHARED)


def written_history(rows: Iterable[Numbered], brought_by: int | None) -> Insert:
    """The rows of history that say so, since then."""
    values = [(one.row, *one.said, one.customer.people, micros(one.from_at), brought_by) for one in rows]
    return Insert(customer_rows, _OF_HISTORY, values, "")


def _said(customer: Customer) -> _Said:
    """Phone, email, customer id and attributes, as they are kept."""
    kept = PersonText.kept
    attributes = json.dumps(customer.attributes, ensure_ascii=False) if customer.attributes else None
    return line(customer.phone), kept(customer.email), kept(customer.customer_id), kept(attributes)


def refreshed(table: Table, phones: Iterable[str], fresh_until: datetime | None) -> WithRows:
    """What this table says of these numbers is good until then."""
    refresh = f"UPDATE {table.name} SET fresh_until = v.fresh_until FROM {{rows}} WHERE {table.name}.phone = v.phone"
    fresh = micros_or_none(fresh_until)
    return with_rows(refresh, {"phone": "text", "fresh_until": "bigint"}, every_spelling(phones, fresh_until=fresh))


def forgotten(table: Table, phones: Iterable[str]) -> WithRows:
    """What this table says of these numbers is taken out of it."""
    forget = f"DELETE FROM {table.name} WHERE phone IN (SELECT v.phone FROM {{rows}})"
    return with_rows(forget, dict(PHONE), every_spelling(phones))


def written_people(rows: Iterable[Customer]) -> Insert:
    """Who the several customers of these numbers are."""
    kept = PersonText.kept
    values = [
        (line(row.phone), place, kept(email), kept(customer_id))
        for row in rows
        for place, (email, customer_id) in enumerate(row.others, 1)
    ]
    return Insert(shared_people, ("phone", "place", "email", "customer_id"), values, "")


def with_people(connection: Connection, phones: Iterable[str]) -> set[str]:
    """Those of the numbers, as they were asked by, of which several customers are kept; at most times that is nobody."""
    every = list(phones)
    if not every or connection.execute(_ANY_PEOPLE).first() is None:
        return set()
    rows = for_each(connection, every_spelling(every), dict(PHONE), shared_people, BY_PHONE)
    return set(found_by(every, {row.phone for row in rows}))


_ANY_PEOPLE = text("SELECT 1 FROM shared_people LIMIT 1")


def first_not_over(
    connection: Connection, asked: Collection[tuple[str, datetime]]
) -> dict[tuple[str, datetime], Row[Any]]:
    """Of each (number, time) the row of history about one person that held then; else the first that came later."""
    rows: dict[str, list[Row[Any]]] = {}
    for row in rows_of_numbers(connection, {phone for phone, _ in asked}):
        if row.people == 1:
            rows.setdefault(row.phone, []).append(row)
    found = {}
    for phone, at in asked:
        still = (
            row for one in spellings(phone) for row in rows.get(one, ()) if row.until_at is None or row.until_at > at
        )
        for row in sorted(still, key=lambda row: row.from_at)[:1]:
            found[phone, at] = row
    return found


def numbers_named(connection: Connection, name: str) -> list[str]:
    """The numbers of which history says this email or this customer id."""
    past = (
        asked.where(customer_rows.c.until_at.is_not(None)) for asked in _named(customer_rows, name, _MOST_OF_A_NAME)
    )
    every = (phones_of(name, _MOST_OF_A_NAME), *past)
    return sorted({phone for asked in every for phone in connection.scalars(asked)})


def rows_of_import(connection: Connection, how: str, import_id: int, after: int, limit: int) -> list[tuple[int, str]]:
    """(number of the row, phone) of the rows of history after one that an import brought (`brought_by`) or ended."""
    past = customer_rows.c
    asked = select(past.id, past.phone).where(past[how] == import_id, past.id > after).order_by(past.id).limit(limit)
    return [(row.id, row.phone) for row in connection.execute(asked)]


_MOST_OF_A_NAME = 1000  # rows of history that are looked through for one email or id


def known_phones(connection: Connection, after: str, limit: int) -> list[str]:
    """The numbers in the mapping, as they are kept, after the one given."""
    found = set[str]()
    for column in (customers.c.phone, shared_numbers.c.phone):
        found.update(connection.scalars(select(column).where(column > after).order_by(column).limit(limit)))
    return sorted(found)[:limit]


_People = list[tuple[str | None, str | None]]  # email and customer id of each


def shared_after(connection: Connection, after: str, limit: int) -> dict[str, _People]:
    """The numbers of several customers after this one, with email and customer id of those who are kept by name."""
    found = set[str]()
    for column in (shared_people.c.phone, shared_numbers.c.phone):
        asked = select(column).where(column > after).distinct().order_by(column).limit(limit)
        found.update(connection.scalars(asked))
    first = sorted(found)[:limit]
    people = _people_of(connection, [{"phone": PersonText.kept(phone)} for phone in first])
    return {phone: people.get(phone, []) for phone in first}


def shared_among(connection: Connection, phones: Collection[str]) -> dict[str, _People]:
    """Those of the numbers that several customers have, by what they were asked by, with the same of each."""
    keys = every_spelling(phones)
    found = {row.phone: _People() for row in for_each(connection, keys, dict(PHONE), shared_numbers, BY_PHONE)}
    found |= _people_of(connection, keys)
    return {phone: found[kept] for phone, kept in found_by(phones, found).items()}


def _people_of(connection: Connection, keys: Iterable[Mapping[str, Any]]) -> dict[str, _People]:
    """Who the several customers of these numbers are, in the order of their source."""
    people: dict[str, _People] = {}
    for row in sorted(for_each(connection, keys, dict(PHONE), shared_people, BY_PHONE), key=lambda row: row.place):
        people.setdefault(row.phone, []).append((row.email, row.customer_id))
    return people


def customer_of(phone: str, row: Row[Any]) -> Customer:
    """Whom a row of history names, under this spelling of the number."""
    return Customer(phone, row.email, row.customer_id, row.people, attributes_of(row.attributes), row.id)


def rows_of_numbers(connection: Connection, phones: Iterable[str]) -> Sequence[Row[Any]]:
    """All of history that speaks of these numbers, in any spelling: number by number, the oldest first."""
    found = for_each(connection, every_spelling(phones), dict(PHONE), customer_rows, BY_PHONE)
    return sorted(found, key=lambda row: (row.phone, row.from_at, row.id))


def phones_of(name: str, limit: int) -> Select[Any]:
    """The numbers of the customers with this email or customer id, of those that share one with others, too."""
    asked = (one for table in (customers, shared_people) for one in _named(table, name, limit))
    found = union(*(one.subquery().select() for one in asked)).subquery()
    return select(found.c.phone).order_by(found.c.phone).limit(limit)


def _named(table: Table, name: str, limit: int) -> tuple[Select[Any], Select[Any]]:
    """The numbers of which this table says that email, or that customer id: a question each, as each has an index of its own."""
    numbers = select(table.c.phone).limit(limit)
    return numbers.where(table.c.email.in_(sorted({name, name.lower()}))), numbers.where(table.c.customer_id == name)
