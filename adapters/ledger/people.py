"""What is found by the person that it is about, whichever spelling of a number it was kept under: customers and calls.

No other module of the ledger compares a column that names a person, so that these can be encrypted one day.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, Row, Select, Table, Text, column, select, text

from offhook.adapters.ledger.legal import is_one_of
from offhook.adapters.ledger.rows import Insert, WithRows, insert, key_of, look_up, source, with_rows
from offhook.adapters.ledger.schema import PersonText, calls, counters, customers, micros, shared_numbers
from offhook.adapters.ledger.waiting import MAPPING_VERSION
from offhook.pipeline.call import CallState
from offhook.pipeline.callback import CallKey, Direction, Status
from offhook.pipeline.customer import Customer
from offhook.pipeline.phone import spellings
from offhook.pipeline.ports.books import Asking, CallBefore

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


_ASKING = (("phone", "text"), ("until", "bigint"))
_BEFORE = (
    "account_sid", "call_sid", "state", "status", "direction", "from_number", "to_number", "duration_seconds",
    "first_received_at", "ended_at", "answered",
)  # fmt: skip


def calls_before(connection: Connection, asking: Collection[Asking], limit: int) -> dict[Asking, list[CallBefore]]:
    """Of each of these, the latest `limit` calls of that customer of which callbacks came until then, the latest first."""
    if not asking:
        return {}
    every = [
        {"phone": PersonText.kept(spelling), "until": micros(one.until)}
        for one in asking
        for spelling in spellings(one.phone)
    ]
    told = {"rows": json.dumps(every), "most": limit}
    rows = connection.execute(_calls_before(connection.dialect.name == "sqlite"), told).all()
    found: dict[tuple[str | None, int], list[CallBefore]] = {}
    for row in rows:
        found.setdefault((row.phone, row.until), []).append(_call_before(row))
    return {one: _latest(found, one, limit) for one in asking}


def _latest(found: Mapping[tuple[str | None, int], list[CallBefore]], one: Asking, limit: int) -> list[CallBefore]:
    by_spelling = (found.get((PersonText.kept(phone), micros(one.until)), []) for phone in spellings(one.phone))
    every = [call for calls_of_one in by_spelling for call in calls_of_one]
    return sorted(every, key=lambda call: call.first_received_at, reverse=True)[:limit]


@cache
def _calls_before(is_sqlite: bool) -> Any:
    """For each of `rows` a look-up of its own, by the index of customer and time.

    SQLite knows no LATERAL; a subquery that counts is bounded by the index as well.
    """
    names = ", ".join(f"t.{name}" for name in _BEFORE)
    condition = f"t.customer_phone = v.phone AND t.first_received_at <= v.until AND t.state <> '{CallState.MERGED}'"
    if is_sqlite:
        newest = (
            "SELECT rowid FROM calls AS c WHERE c.customer_phone = v.phone AND c.first_received_at <= v.until "
            f"AND c.state <> '{CallState.MERGED}' ORDER BY c.first_received_at DESC LIMIT :most"
        )
        told = f"SELECT v.phone, v.until, {names} FROM {source(True, _ASKING)} CROSS JOIN calls AS t"
        statement = f"{told} WHERE t.rowid IN ({newest})"
    else:
        inner = f"SELECT * FROM calls AS t WHERE {condition} ORDER BY t.first_received_at DESC LIMIT :most"
        statement = f"SELECT v.phone, v.until, {names} FROM {source(False, _ASKING)} CROSS JOIN LATERAL ({inner}) AS t"
    columns: list[Any] = [column("phone", Text), column("until", BigInteger), *(calls.c[name] for name in _BEFORE)]
    return text(statement).columns(*columns)


def _call_before(row: Row[Any]) -> CallBefore:
    return CallBefore(
        key=key_of(row),
        state=CallState(row.state),
        status=Status(row.status),
        direction=Direction(row.direction),
        from_=row.from_number,
        to=row.to_number,
        duration_seconds=row.duration_seconds,
        first_received_at=row.first_received_at,
        ended_at=row.ended_at,
        answered=None if row.answered is None else bool(row.answered),
    )


_CALLED = {"account_sid": "text", "call_sid": "text", "phone": "text", "first_received_at": "bigint"}
# OFFSET 0 keeps it a look-up of its own on Postgres, for each of the calls.
_CALLED_BEFORE = (
    "SELECT v.account_sid, v.call_sid FROM {rows} WHERE EXISTS (SELECT 1 FROM calls AS t WHERE t.customer_phone = v.phone "
    f"AND t.first_received_at < v.first_received_at AND t.state = '{CallState.CONVERTED}' LIMIT 1 OFFSET 0)"
)


def called_before(connection: Connection, found: Iterable[Row[Any]]) -> set[CallKey]:
    """Of these calls, those whose caller had a converted one that was first reported earlier."""
    rows = [
        {**key_of(row)._asdict(), "phone": PersonText.kept(phone), "first_received_at": micros(row.first_received_at)}
        for row in found
        if row.customer_phone is not None
        for phone in spellings(row.customer_phone)
    ]
    return {CallKey(*row) for row in with_rows(_CALLED_BEFORE, _CALLED, rows).returned(connection)}


def parked_after(place: str, limit: int) -> Select[Any]:
    """Parked calls, caller by caller. The `place` of a row is its caller's; those after the one given come, "" for all."""
    column = calls.c.customer_phone
    names = (calls.c.account_sid, calls.c.call_sid, column, column.label("place"))
    return (
        select(*names).where(text(is_one_of("state", [CallState.PARKED])), column > place).order_by(column).limit(limit)
    )
