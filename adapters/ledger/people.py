"""Who has a number: the one way to look the mapping up, whichever of its spellings a line was kept under."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from functools import cache
from typing import Any

from sqlalchemy import Connection, Row, text

from offhook.adapters.ledger.rows import look_up
from offhook.adapters.ledger.schema import counters, customers, shared_numbers
from offhook.adapters.ledger.waiting import MAPPING_VERSION
from offhook.pipeline.conversion import Customer
from offhook.pipeline.phone import spellings

_PHONE = (("phone", "text"),)
_BY_PHONE = "t.phone = v.phone"
_NAMES = (customers.c.phone, customers.c.email, customers.c.customer_id, shared_numbers.c.people)


def find_customers(connection: Connection, phones: Collection[str]) -> dict[str, Customer]:
    """Those of the E.164 numbers that are in the mapping, by what they were asked by."""
    if not phones:
        return {}
    rows = connection.execute(_customers(connection.dialect.name == "sqlite"), _asked(phones)).all()
    return _by_phone(phones, rows)


def find_customers_and_version(connection: Connection, phones: Collection[str]) -> tuple[dict[str, Customer], int]:
    """The same and the mapping's version, of one moment: in one statement, since on Postgres each has its own."""
    statement = _customers_and_version(connection.dialect.name == "sqlite")
    rows = connection.execute(statement, _asked(phones)).all()
    return _by_phone(phones, (row for row in rows if row.phone is not None)), rows[0].version


def _asked(phones: Iterable[str]) -> dict[str, str]:
    every = sorted({spelling for phone in phones for spelling in spellings(phone)})
    return {"rows": json.dumps([{"phone": phone} for phone in every])}


def _by_phone(phones: Iterable[str], rows: Iterable[Row[Any]]) -> dict[str, Customer]:
    """That several people have a number goes before what is kept of one of them."""
    found = {row.phone: row for row in sorted(rows, key=lambda row: row.people)}
    kept = ((phone, next((found[one] for one in spellings(phone) if one in found), None)) for phone in phones)
    return {phone: Customer(phone, row.email, row.customer_id, row.people) for phone, row in kept if row is not None}


def _look_up(is_sqlite: bool) -> str:
    named = look_up(is_sqlite, _PHONE, customers, _BY_PHONE, names=("phone", "email", "customer_id"))
    shared = look_up(is_sqlite, _PHONE, shared_numbers, _BY_PHONE, names=("phone", "people"))
    one = f"SELECT phone, email, customer_id, 1 AS people FROM ({named}) AS n"
    return f"{one} UNION ALL SELECT phone, NULL, NULL, people FROM ({shared}) AS s"


@cache
def _customers(is_sqlite: bool) -> Any:
    return text(_look_up(is_sqlite)).columns(*_NAMES)


@cache
def _customers_and_version(is_sqlite: bool) -> Any:
    version = f"SELECT coalesce((SELECT value FROM counters WHERE name = '{MAPPING_VERSION}'), 0) AS version"
    told = "SELECT m.version, f.phone, f.email, f.customer_id, f.people"
    found = f"{told} FROM ({version}) AS m LEFT JOIN ({_look_up(is_sqlite)}) AS f ON 1 = 1"
    return text(found).columns(counters.c.value.label("version"), *_NAMES)
