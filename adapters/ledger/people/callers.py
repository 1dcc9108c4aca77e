"""Calls by their customers: those of one, those that came before, those that wait."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cache
from operator import itemgetter
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, TextClause, select, text

from offhook.adapters.ledger.legal import is_one_of
from offhook.adapters.ledger.people.spelled import PHONE, every_spelling, found_by
from offhook.adapters.ledger.rows import key_of, source, with_rows
from offhook.adapters.ledger.schema import PersonText, calls, micros, moment
from offhook.pipeline.call import CallState
from offhook.pipeline.callback import CallKey, Direction
from offhook.pipeline.phone import spellings
from offhook.pipeline.ports.books import Asking, CallBefore


def is_call_of(phone: str) -> ColumnElement[bool]:
    """Holds for the calls whose customer has this number (E.164)."""
    return calls.c.customer_phone.in_(spellings(phone))


_Row = Sequence[Any]
_ASKING = (
    ("place", "integer"), ("phone", "text"), ("until", "bigint"), ("account_sid", "text"), ("call_sid", "text"),
)  # fmt: skip
_BEFORE = (
    "account_sid", "call_sid", "state", "direction", "from_number", "to_number", "duration_seconds",
    "first_received_at", "ended_at", "answered",
)  # fmt: skip
_NO_CALL = CallKey("", "")


def calls_before(connection: Connection, asking: Sequence[Asking], limit: int) -> list[list[CallBefore]]:
    """Of each of these, in their order, the calls of that customer of which callbacks came until then, without the one that
    is not to be given: the latest `limit`, the latest first."""
    if not asking:
        return []
    every = [row for place, one in enumerate(asking) for row in _as_rows(place, one)]
    parameters = {"rows": json.dumps(every), "most": limit}
    statement = _calls_before(connection.dialect.name == "sqlite")
    found: list[list[_Row]] = [[] for _ in asking]
    for row in connection.execute(statement, parameters).all():  # one by one costs more
        found[row[0]].append(row)
    return [_latest(rows, limit) for rows in found]


def _as_rows(place: int, one: Asking) -> Iterator[dict[str, Any]]:
    but, until = one.but or _NO_CALL, micros(one.until)
    for phone in spellings(one.phone):
        yield {"place": place, "phone": PersonText.kept(phone), "until": until, **but._asdict()}


def _latest(rows: list[_Row], limit: int) -> list[CallBefore]:
    if len(rows) > 1:  # a number in two spellings has the latest of each
        rows.sort(key=_FIRST_RECEIVED, reverse=True)
    return [_call_before(row) for row in rows[:limit]]


@cache
def _calls_before(is_sqlite: bool) -> TextClause:
    """For each of `rows` a look-up of its own, by the index of customer and time.

    SQLite knows no LATERAL; a subquery that counts is bounded by the index as well.
    """
    names = ", ".join(f"t.{name}" for name in _BEFORE)
    newest = (
        "FROM calls AS c WHERE c.customer_phone = v.phone AND c.first_received_at <= v.until "
        f"AND c.state <> '{CallState.MERGED}' AND (c.call_sid <> v.call_sid OR c.account_sid <> v.account_sid) "
        "ORDER BY c.first_received_at DESC LIMIT :most"
    )
    given = source(is_sqlite, _ASKING)
    if is_sqlite:  # materialized: else the JSON is read again for each row that is found
        known = f"WITH v AS MATERIALIZED (SELECT * FROM {given}) SELECT v.place, {names} FROM v"
        return text(f"{known} CROSS JOIN calls AS t WHERE t.rowid IN (SELECT c.rowid {newest})")
    return text(f"SELECT v.place, {names} FROM {given} CROSS JOIN LATERAL (SELECT * {newest}) AS t")


_FIRST_RECEIVED = itemgetter(1 + _BEFORE.index("first_received_at"))
_STATES = {each.value: each for each in CallState}
_DIRECTIONS = {each.value: each for each in Direction}


def _call_before(row: _Row) -> CallBefore:
    """Of a row of `_calls_before` as the database holds it: a caller may have a hundred such calls, each decision reads them."""
    _, account, sid, state, direction, from_, to, seconds, first_received_at, ended_at, answered = row
    first = moment(first_received_at)
    assert first is not None
    return CallBefore(
        CallKey(account, sid),
        _STATES[state],
        _DIRECTIONS[direction],
        PersonText.shown(from_) or "",
        PersonText.shown(to) or "",
        seconds,
        first,
        moment(ended_at),
        None if answered is None else bool(answered),
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


IS_PARKED = text(is_one_of("state", [CallState.PARKED]))


def parked_after(place: str, limit: int) -> Select[Any]:
    """Parked calls, caller by caller. The `place` of a row is its caller's; those after the one given come, "" for all."""
    column = calls.c.customer_phone
    names = (calls.c.account_sid, calls.c.call_sid, column, column.label("place"))
    return select(*names).where(IS_PARKED, column > place).order_by(column).limit(limit)


def parked_of(phone: str, limit: int) -> Select[Any]:
    """The parked calls of this number (E.164)."""
    names = (calls.c.account_sid, calls.c.call_sid, calls.c.customer_phone)
    return select(*names).where(IS_PARKED, is_call_of(phone)).limit(limit)


# OFFSET 0 keeps it a look-up of its own on Postgres, for each of the numbers.
_IF = "EXISTS (SELECT 1 FROM calls WHERE calls.customer_phone = v.phone AND {state} LIMIT 1 OFFSET 0)"
_IF_PARKED = _IF.format(state=is_one_of("state", [CallState.PARKED]))
_IF_TO_BE_DECIDED = _IF.format(state="calls.state = v.state")  # no literal: no index of some of them can be chosen
_HAS = "SELECT v.phone FROM {rows} WHERE "
_TO_BE_DECIDED = {**dict(PHONE), "state": "text"}


def with_parked_calls(connection: Connection, phones: Collection[str]) -> set[str]:
    """Those of the numbers that a parked call came from."""
    return _with(connection, _HAS + _IF_PARKED, phones)


def with_waiting_calls(connection: Connection, phones: Collection[str]) -> set[str]:
    """Those of the numbers that a call came from which is parked, or is to be decided and may be parked just now."""
    return _with(connection, f"{_HAS}{_IF_TO_BE_DECIDED} OR {_IF_PARKED}", phones)


def _with(connection: Connection, question: str, phones: Collection[str]) -> set[str]:
    rows = every_spelling(phones, state=CallState.SETTLING.value)
    found = with_rows(question, _TO_BE_DECIDED, rows).returned(connection)
    return set(found_by(phones, {str(PersonText.shown(row.phone)) for row in found}))
