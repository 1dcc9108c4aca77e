"""What is found by the person that it is about, whichever spelling of a number it was kept under: customers and calls.

No other module of the ledger compares a column that names a person, so that these can be encrypted one day.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, Table, select, text, union

from offhook.adapters.ledger.legal import is_one_of
from offhook.adapters.ledger.rows import Insert, WithRows, insert, look_up, with_rows
from offhook.adapters.ledger.schema import PersonText, calls, counters, customers, shared_numbers
from offhook.adapters.ledger.waiting import MAPPING_VERSION
from offhook.pipeline.call import CallState
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
    return {"rows": json.dumps([{"phone": PersonText.kept(phone)} for phone in every])}


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


def saved_customers(rows: Iterable[Customer], now: datetime) -> Insert:
    """Who has these numbers, one person each, whoever had them before."""
    return _saved(customers, rows, ("email", "customer_id"), now)


def saved_shared_numbers(rows: Iterable[Customer], now: datetime) -> Insert:
    """How many people have these numbers."""
    return _saved(shared_numbers, rows, ("people",), now)


def _saved(table: Table, rows: Iterable[Customer], names: Sequence[str], now: datetime) -> Insert:
    values = [
        {"phone": spellings(row.phone)[0], **{name: getattr(row, name) for name in names}, "changed_at": now}
        for row in rows
    ]
    changed = ", ".join(f"{name} = excluded.{name}" for name in (*names, "changed_at"))
    return insert(table, values, f"ON CONFLICT (phone) DO UPDATE SET {changed}")


def no_longer_shared(phones: Iterable[str]) -> WithRows:
    """These numbers are one person's again."""
    every = [{"phone": PersonText.kept(one)} for phone in phones for one in spellings(phone)]
    return with_rows(_UNSHARE, dict(_PHONE), every)


_UNSHARE = "DELETE FROM shared_numbers WHERE phone IN (SELECT v.phone FROM {rows})"


def is_call_of(phone: str) -> ColumnElement[bool]:
    """Holds for the calls whose customer has this number (E.164)."""
    return calls.c.customer_phone.in_(spellings(phone))


def phones_of(name: str, limit: int) -> Select[Any]:
    """The numbers of the customers with this email or customer id, a question for each, as each has an index of its own."""
    by_email = select(customers.c.phone).where(customers.c.email.in_(sorted({name, name.lower()}))).limit(limit)
    by_id = select(customers.c.phone).where(customers.c.customer_id == name).limit(limit)
    found = union(by_email.subquery().select(), by_id.subquery().select()).subquery()
    return select(found.c.phone).order_by(found.c.phone).limit(limit)


def parked_after(place: str, limit: int) -> Select[Any]:
    """Parked calls, caller by caller. The `place` of a row is its caller's; those after the one given come, "" for all."""
    column = calls.c.customer_phone
    names = (calls.c.account_sid, calls.c.call_sid, column, column.label("place"))
    return (
        select(*names).where(text(is_one_of("state", [CallState.PARKED])), column > place).order_by(column).limit(limit)
    )
