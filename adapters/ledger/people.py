"""What is found by the person that it is about, whichever spelling of a number it was kept under: customers and calls.

No other module of the ledger compares a column that names a person, so that these can be encrypted one day.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Row,
    Select,
    Table,
    Text,
    and_,
    func,
    literal,
    or_,
    select,
    text,
    union,
)
from sqlalchemy import (
    column as named_column,
)

from offhook.adapters.ledger.legal import is_one_of
from offhook.adapters.ledger.rows import Insert, WithRows, for_each, insert, key_of, look_up, source, with_rows
from offhook.adapters.ledger.schema import (
    PersonText,
    calls,
    counters,
    customer_rows,
    customers,
    lookups,
    micros,
    micros_or_none,
    shared_numbers,
    shared_people,
)
from offhook.adapters.ledger.waiting import MAPPING_VERSION
from offhook.pipeline.call import CallState
from offhook.pipeline.callback import CallKey, Direction
from offhook.pipeline.customer import Customer
from offhook.pipeline.phone import spellings
from offhook.pipeline.ports.books import Asking, CallBefore
from offhook.pipeline.ports.look_ups import LookedUp, LookUpState
from offhook.pipeline.ports.unknown import CallersMark

_PHONE = (("phone", "text"),)
_BY_PHONE = "t.phone = v.phone"
_OF_A_PERSON = ("phone", "email", "customer_id", "attributes", "row_id", "fresh_until", "changed_at")
_OF_SEVERAL = ("phone", "people", "row_id", "changed_at")
_ONE = "SELECT phone, email, customer_id, attributes, row_id, fresh_until, changed_at, 1 AS people"
_SEVERAL = "SELECT phone, NULL, NULL, NULL, row_id, NULL, changed_at, people"
_NAMES = (*(customers.c[name] for name in _OF_A_PERSON), shared_numbers.c.people)


class Held(NamedTuple):
    """What the mapping says of a number, and since when it stands there."""

    customer: Customer
    since: datetime


def find_customers(connection: Connection, phones: Collection[str]) -> dict[str, Customer]:
    """Those of the E.164 numbers that are in the mapping, by what they were asked by."""
    return {phone: held.customer for phone, held in find_held(connection, phones).items()}


def find_held(connection: Connection, phones: Collection[str]) -> dict[str, Held]:
    """The same, each with its time."""
    if not phones:
        return {}
    rows = connection.execute(_customers(connection.dialect.name == "sqlite"), _asked(phones)).all()
    return {phone: Held(_customer(phone, row), row.changed_at) for phone, row in _by_phone(phones, rows)}


def find_customers_and_version(connection: Connection, phones: Collection[str]) -> tuple[dict[str, Customer], int]:
    """The same and the mapping's version, of one moment: in one statement, since on Postgres each has its own."""
    statement = _customers_and_version(connection.dialect.name == "sqlite")
    rows = connection.execute(statement, _asked(phones)).all()
    found = _by_phone(phones, (row for row in rows if row.phone is not None))
    return {phone: _customer(phone, row) for phone, row in found}, rows[0].version


def _asked(phones: Iterable[str]) -> dict[str, str]:
    return {"rows": json.dumps(_every_spelling(phones))}


def _every_spelling(phones: Iterable[str]) -> list[dict[str, Any]]:
    every = sorted({spelling for phone in phones for spelling in spellings(phone)})
    return [{"phone": PersonText.kept(phone)} for phone in every]


def _by_phone(phones: Iterable[str], rows: Iterable[Row[Any]]) -> Iterator[tuple[str, Row[Any]]]:
    """That several people have a number goes before what is kept of one of them."""
    found = {row.phone: row for row in sorted(rows, key=lambda row: row.people)}
    kept = ((phone, next((found[one] for one in spellings(phone) if one in found), None)) for phone in phones)
    return ((phone, row) for phone, row in kept if row is not None)


def _customer(phone: str, row: Row[Any]) -> Customer:
    attributes = attributes_of(row.attributes)
    return Customer(phone, row.email, row.customer_id, row.people, attributes, row.row_id, row.fresh_until)


def attributes_of(kept: str | None) -> Mapping[str, str]:
    """What else is known of a customer, from the JSON in which it is kept."""
    return json.loads(kept) if kept else {}


def _look_up(is_sqlite: bool) -> str:
    named = look_up(is_sqlite, _PHONE, customers, _BY_PHONE, names=_OF_A_PERSON)
    shared = look_up(is_sqlite, _PHONE, shared_numbers, _BY_PHONE, names=_OF_SEVERAL)
    return f"{_ONE} FROM ({named}) AS n UNION ALL {_SEVERAL} FROM ({shared}) AS s"


@cache
def _customers(is_sqlite: bool) -> Any:
    return text(_look_up(is_sqlite)).columns(*_NAMES)


@cache
def _customers_and_version(is_sqlite: bool) -> Any:
    version = f"SELECT coalesce((SELECT value FROM counters WHERE name = '{MAPPING_VERSION}'), 0) AS version"
    told = f"SELECT m.version, {', '.join(f'f.{column.name}' for column in _NAMES)}"
    found = f"{told} FROM ({version}) AS m LEFT JOIN ({_look_up(is_sqlite)}) AS f ON 1 = 1"
    return text(found).columns(counters.c.value.label("version"), *_NAMES)


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


def saved_shared_numbers(rows: Iterable[Numbered]) -> Insert:
    """How many people have these numbers."""
    values = [(_line(one.customer.phone), one.customer.people, one.row, micros(one.from_at)) for one in rows]
    return Insert(shared_numbers, _OF_SEVERAL, values, _ON_SHARED)


def written_history(rows: Iterable[Numbered], brought_by: int | None) -> Insert:
    """The rows of history that say so, since then."""
    values = [(one.row, *one.said, one.customer.people, micros(one.from_at), brought_by) for one in rows]
    return Insert(customer_rows, _OF_HISTORY, values, "")


def _said(customer: Customer) -> _Said:
    """Phone, email, customer id and attributes, as they are kept."""
    kept = PersonText.kept
    attributes = json.dumps(customer.attributes, ensure_ascii=False) if customer.attributes else None
    return _line(customer.phone), kept(customer.email), kept(customer.customer_id), kept(attributes)


def _line(phone: str) -> str | None:
    """The one spelling under which a number is written."""
    return PersonText.kept(spellings(phone)[0])


def refreshed_customers(phones: Iterable[str], fresh_until: datetime | None) -> WithRows:
    """What is kept of these numbers is good until then."""
    fresh = micros_or_none(fresh_until)
    rows = [one | {"fresh_until": fresh} for one in _every_spelling(phones)]
    return with_rows(_REFRESH, {"phone": "text", "fresh_until": "bigint"}, rows)


def forgotten(table: Table, phones: Iterable[str]) -> WithRows:
    """What this table says of these numbers is taken out of it."""
    forget = f"DELETE FROM {table.name} WHERE phone IN (SELECT v.phone FROM {{rows}})"
    return with_rows(forget, dict(_PHONE), _every_spelling(phones))


def written_people(rows: Iterable[Customer]) -> Insert:
    """Who the several customers of these numbers are."""
    kept = PersonText.kept
    values = [
        (_line(row.phone), place, kept(email), kept(customer_id))
        for row in rows
        for place, (email, customer_id) in enumerate(row.others, 1)
    ]
    return Insert(shared_people, ("phone", "place", "email", "customer_id"), values, "")


def with_people(connection: Connection, phones: Iterable[str]) -> set[str]:
    """Those of the numbers, as they were asked by, of which several customers are kept; at most times that is nobody."""
    every = list(phones)
    if not every or connection.execute(_ANY_PEOPLE).first() is None:
        return set()
    rows = for_each(connection, _every_spelling(every), dict(_PHONE), shared_people, _BY_PHONE)
    found = {row.phone for row in rows}
    return {phone for phone in every if found.intersection(spellings(phone))}


_REFRESH = "UPDATE customers SET fresh_until = v.fresh_until FROM {rows} WHERE customers.phone = v.phone"
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
    told = customer_rows.c
    emails = select(told.phone).where(told.email.in_({name, name.lower()}))
    ids = select(told.phone).where(told.customer_id == name)
    return sorted({phone for asked in (emails, ids) for phone in connection.scalars(asked.limit(_MOST_OF_A_NAME))})


def rows_of_import(connection: Connection, how: str, import_id: int, after: int, limit: int) -> list[tuple[int, str]]:
    """(number of the row, phone) of the rows of history after one that an import brought (`brought_by`) or ended."""
    told = customer_rows.c
    asked = select(told.id, told.phone).where(told[how] == import_id, told.id > after).order_by(told.id).limit(limit)
    return [(row.id, row.phone) for row in connection.execute(asked)]


_MOST_OF_A_NAME = 1000  # rows of history that are looked through for one email or id


def known_phones(connection: Connection, after: str, limit: int) -> list[str]:
    """The numbers in the mapping, as they are kept, after the one given."""
    found = set[str]()
    for column in (customers.c.phone, shared_numbers.c.phone):
        found.update(connection.scalars(select(column).where(column > after).order_by(column).limit(limit)))
    return sorted(found)[:limit]


def shared_after(connection: Connection, after: str, limit: int) -> dict[str, list[tuple[str | None, str | None]]]:
    """The numbers of several customers after this one, with email and customer id of those who are kept by name."""
    found: dict[str, list[tuple[str | None, str | None]]] = {}
    for column in (shared_people.c.phone, shared_numbers.c.phone):
        asked = select(column).where(column > after).distinct().order_by(column).limit(limit)
        found.update({phone: [] for phone in connection.scalars(asked)})
    first = {phone: found[phone] for phone in sorted(found)[:limit]}
    keys = [{"phone": PersonText.kept(phone)} for phone in first]
    for row in sorted(for_each(connection, keys, dict(_PHONE), shared_people, _BY_PHONE), key=lambda row: row.place):
        first[row.phone].append((row.email, row.customer_id))
    return first


def unknown_callers(after: str, limit: int) -> Select[Any]:
    """The callers of parked calls after this one, with how many calls they have, the first and the last."""
    number = calls.c.customer_phone
    return _unknown().where(number > after).order_by(number).limit(limit)


def most_frequent_callers(limit: int, after: CallersMark | None) -> Select[Any]:
    """Those with the most parked calls; of as many the one that called last."""
    asked = _unknown().where(calls.c.customer_phone > "")
    if after is not None:
        fewer, as_many = func.count() < after.calls, func.count() == after.calls
        asked = asked.having(or_(fewer, and_(as_many, _called_before(after))))
    return asked.order_by(func.count().desc(), _LATEST.desc(), calls.c.customer_phone).limit(limit)


def latest_callers(limit: int, after: CallersMark | None) -> Select[Any]:
    """Those whose last parked call is the latest."""
    asked = _unknown().where(calls.c.customer_phone > "")
    if after is not None:
        asked = asked.having(_called_before(after))
    return asked.order_by(_LATEST.desc(), calls.c.customer_phone).limit(limit)


_LATEST = func.max(calls.c.first_received_at)


def _called_before(after: CallersMark) -> ColumnElement[bool]:
    """Holds for those whose last call came before; of one moment for those of higher numbers."""
    then = literal(after.latest_at, calls.c.first_received_at.type)
    return or_(then > _LATEST, and_(then == _LATEST, calls.c.customer_phone > after.phone))


def _unknown() -> Select[Any]:
    number, at = calls.c.customer_phone, calls.c.first_received_at
    return select(number, func.count(), func.min(at), func.max(at)).where(_IS_PARKED).group_by(number)


_IS_PARKED = text(is_one_of("state", [CallState.PARKED]))


def customer_of(phone: str, row: Row[Any]) -> Customer:
    """Whom a row of history names, under this spelling of the number."""
    return Customer(phone, row.email, row.customer_id, row.people, attributes_of(row.attributes), row.id)


def rows_of_numbers(connection: Connection, phones: Iterable[str]) -> Sequence[Row[Any]]:
    """All of history that speaks of these numbers, in any spelling: number by number, the oldest first."""
    found = for_each(connection, _every_spelling(phones), dict(_PHONE), customer_rows, _BY_PHONE)
    return sorted(found, key=lambda row: (row.phone, row.from_at, row.id))


def is_call_of(phone: str) -> ColumnElement[bool]:
    """Holds for the calls whose customer has this number (E.164)."""
    return calls.c.customer_phone.in_(spellings(phone))


_ASKING = (("phone", "text"), ("until", "bigint"))
_BEFORE = (
    "account_sid", "call_sid", "state", "direction", "from_number", "to_number", "duration_seconds",
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
    columns: list[Any] = [
        named_column("phone", Text),
        named_column("until", BigInteger),
        *(calls.c[name] for name in _BEFORE),
    ]
    return text(statement).columns(*columns)


def _call_before(row: Row[Any]) -> CallBefore:
    return CallBefore(
        key=key_of(row),
        state=CallState(row.state),
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


def parked_of(phone: str, limit: int) -> Select[Any]:
    """The parked calls of this number (E.164)."""
    names = (calls.c.account_sid, calls.c.call_sid, calls.c.customer_phone)
    return select(*names).where(_IS_PARKED, is_call_of(phone)).limit(limit)


# Numbers that are looked up. They stand under the spelling that we keep.

_AT = (*_PHONE, ("now", "bigint"))
_FRESH = (
    (customers, f"{_BY_PHONE} AND (t.fresh_until IS NULL OR t.fresh_until > v.now)"),
    (shared_numbers, _BY_PHONE),
    (lookups, f"{_BY_PHONE} AND t.state = '{LookUpState.UNKNOWN}' AND t.due_at > v.now"),
)
_WAITS_STILL = f"lookups.state = '{LookUpState.WANTED}'"
_WANT = (
    f"ON CONFLICT (phone) DO UPDATE SET state = excluded.state, "
    "wanted_at = coalesce(lookups.wanted_at, excluded.wanted_at), to_release = 0, "
    f"due_at = CASE WHEN {_WAITS_STILL} THEN lookups.due_at ELSE excluded.due_at END"
)
_CLAIM = (
    f"UPDATE lookups SET state = '{LookUpState.WANTED}', fence = lookups.fence + 1, due_at = v.until FROM {{rows}} "
    "WHERE lookups.phone = v.phone RETURNING lookups.phone, lookups.fence, lookups.attempts"
)
_LOOKED_UP = {
    **dict(_PHONE), "fence": "integer", "state": "text", "due_at": "bigint", "attempts": "integer", "source": "text",
    "reason": "text",
}  # fmt: skip
_WRITTEN = ("state", "due_at", "attempts", "source", "reason")
_FINISH = (
    f"UPDATE lookups SET {', '.join(f'{name} = v.{name}' for name in _WRITTEN)}, to_release = CASE "
    f"WHEN v.state = '{LookUpState.KNOWN}' OR (v.state = '{LookUpState.UNKNOWN}' AND lookups.wanted_at IS NOT NULL) "
    f"THEN 1 ELSE 0 END FROM {{rows}} WHERE lookups.phone = v.phone AND lookups.fence = v.fence AND {_WAITS_STILL}"
)
_HAS_PARKED = (
    "SELECT v.phone FROM {rows} WHERE EXISTS "
    f"(SELECT 1 FROM calls WHERE calls.customer_phone = v.phone AND {is_one_of('state', [CallState.PARKED])})"
)
_FORGET = "DELETE FROM lookups WHERE phone IN (SELECT v.phone FROM {rows})"
_RELEASED = (
    "UPDATE lookups SET wanted_at = NULL, to_release = 0 FROM {rows} "
    f"WHERE lookups.phone = v.phone AND lookups.state = '{LookUpState.UNKNOWN}'"
)
# The state is no literal, so that no partial index can be chosen. Those whose legs may still arrive wait on.
_RELEASE = (
    "UPDATE calls SET settle_at = v.now FROM {rows} WHERE calls.customer_phone = v.phone AND calls.state = v.state "
    "AND calls.settle_at > v.now AND calls.final_at <= v.settled"
)
_RELEASING = {**dict(_PHONE), "state": "text", "now": "bigint", "settled": "bigint"}


def fresh_numbers(connection: Connection, phones: Collection[str], now: datetime) -> set[str]:
    """Those of the E.164 numbers that need no look-up at `now`."""
    if not phones:
        return set()
    rows = [{"phone": PersonText.kept(one), "now": micros(now)} for phone in phones for one in spellings(phone)]
    found = connection.execute(_fresh(connection.dialect.name == "sqlite"), {"rows": json.dumps(rows)}).scalars()
    known = set(found)
    return {phone for phone in phones if not known.isdisjoint(spellings(phone))}


@cache
def _fresh(is_sqlite: bool) -> Any:
    each = (look_up(is_sqlite, _AT, table, condition, names=("phone",)) for table, condition in _FRESH)
    return text(" UNION ALL ".join(f"SELECT phone FROM ({one}) AS f" for one in each)).columns(customers.c.phone)


def is_looked_up(phone: str) -> ColumnElement[bool]:
    """Holds for the look-up of this number (E.164)."""
    return lookups.c.phone == spellings(phone)[0]


def wanted_look_ups(phones: Iterable[str], now: datetime) -> Insert:
    """These numbers are to be looked up; one that is being looked up already goes on."""
    fresh = dict.fromkeys(("fence", "attempts", "to_release"), 0) | dict.fromkeys(("source", "reason"), "")
    every = sorted({spellings(phone)[0] for phone in phones})
    rows = [
        {"phone": phone, "state": LookUpState.WANTED.value, "wanted_at": now, "due_at": now, **fresh} for phone in every
    ]
    return insert(lookups, rows, _WANT)


def claimed_look_ups(phones: Iterable[str], until: datetime) -> WithRows:
    """Nobody else asks for these numbers until then. Gives phone, fence and attempts of each."""
    rows = [{"phone": PersonText.kept(phone), "until": micros(until)} for phone in phones]
    return with_rows(_CLAIM, {**dict(_PHONE), "until": "bigint"}, rows)


def finished_look_ups(done: Iterable[LookedUp]) -> WithRows:
    """What came of these claims, where they still hold."""
    return with_rows(
        _FINISH,
        _LOOKED_UP,
        [
            {
                "phone": PersonText.kept(one.wanted.phone),
                "fence": one.wanted.fence,
                "state": one.state.value,
                "due_at": micros(one.due_at),
                "attempts": one.attempts,
                "source": one.source,
                "reason": one.reason,
            }
            for one in done
        ],
    )


def with_parked_calls(connection: Connection, phones: Collection[str]) -> set[str]:
    """Those of the numbers that a parked call came from."""
    spelled = {one: phone for phone in phones for one in spellings(phone)}
    rows = with_rows(_HAS_PARKED, dict(_PHONE), [{"phone": PersonText.kept(one)} for one in spelled]).returned(
        connection
    )
    return {spelled[str(PersonText.shown(row.phone))] for row in rows}


def forgotten_look_ups(phones: Iterable[str], state: LookUpState | None = None) -> WithRows:
    """Nothing is known of the look-ups of these numbers any more: of those in this state, if one is given."""
    forget = _FORGET if state is None else f"{_FORGET} AND state = '{state}'"
    return with_rows(forget, dict(_PHONE), [{"phone": PersonText.kept(phone)} for phone in phones])


def released_look_ups(phones: Iterable[str]) -> WithRows:
    """No call waits any more for these numbers, which nobody has."""
    return with_rows(_RELEASED, dict(_PHONE), [{"phone": PersonText.kept(phone)} for phone in phones])


def released_calls(phones: Iterable[str], now: datetime, settled_before: datetime) -> WithRows:
    """The calls of these numbers that wait for a look-up are due: those that had their end before `settled_before`."""
    fixed = {"state": CallState.SETTLING.value, "now": micros(now), "settled": micros(settled_before)}
    rows = [{"phone": PersonText.kept(one), **fixed} for phone in phones for one in spellings(phone)]
    return with_rows(_RELEASE, _RELEASING, rows)
