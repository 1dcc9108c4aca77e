"""The numbers whose calls wait for a customer, in three orders, each with an index of its own: a page costs what it shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    delete,
    func,
    insert,
    literal,
    select,
    text,
    union,
    union_all,
)

from offhook.adapters.ledger.people.callers import IS_PARKED
from offhook.adapters.ledger.schema import calls, unknown_callers
from offhook.pipeline.ports.unknown import CallersMark

_Names = Any
_Order = Callable[[_Names], Sequence[ColumnElement[Any]]]


def callers_after(after: str, limit: int) -> Select[Any]:
    """Those after this number, number by number."""
    return select(unknown_callers).where(unknown_callers.c.phone > after).order_by(unknown_callers.c.phone).limit(limit)


def most_frequent_callers(limit: int, after: CallersMark | None) -> Select[Any]:
    """Those with the most calls; of as many the one that called last."""
    if after is None:
        return _first(unknown_callers, _by_calls, limit)
    as_many, fewer = unknown_callers.c.calls == after.calls, unknown_callers.c.calls < after.calls
    return _behind([*(as_many & part for part in _called_before(after)), fewer], _by_calls, limit)


def latest_callers(limit: int, after: CallersMark | None) -> Select[Any]:
    """Those whose last call is the latest."""
    if after is None:
        return _first(unknown_callers, _by_time, limit)
    return _behind(_called_before(after), _by_time, limit)


def callers_behind(count: int) -> Select[Any]:
    """One number, where there are more than so many; it walks along as many entries of an index."""
    return select(unknown_callers.c.phone).order_by(unknown_callers.c.phone).offset(count).limit(1)


def _by_time(names: _Names) -> Sequence[ColumnElement[Any]]:
    return names.latest_at.desc(), names.phone


def _by_calls(names: _Names) -> Sequence[ColumnElement[Any]]:
    return names.calls.desc(), *_by_time(names)


def _called_before(after: CallersMark) -> list[ColumnElement[bool]]:
    """Those of the same moment with higher numbers, and those whose last call came before."""
    then = literal(after.latest_at, unknown_callers.c.latest_at.type)
    return [
        (unknown_callers.c.latest_at == then) & (unknown_callers.c.phone > after.phone),
        unknown_callers.c.latest_at < then,
    ]


def _first(rows: FromClause, order: _Order, limit: int) -> Select[Any]:
    return select(rows).order_by(*order(rows.c)).limit(limit)


def _behind(parts: Sequence[ColumnElement[bool]], order: _Order, limit: int) -> Select[Any]:
    """The first of these parts of the order together. Each is sought in the index for itself: with one condition of several
    parts a database would walk to the place from the beginning.
    """
    found = [select(_first(unknown_callers, order, limit).where(part).subquery()) for part in parts]
    return _first(union_all(*found).subquery(), order, limit)


_TURN = text(f"SELECT pg_advisory_xact_lock({0x0FF_4028})")  # as the triggers of migration 0028 take it


def count_callers_anew(connection: Connection, after: str, limit: int) -> str | None:
    """Have the rows of some numbers after this one be what a count of their calls gives. Returns the last of these numbers, None
    where there are no more.
    """
    if connection.dialect.name != "sqlite":
        connection.execute(_TURN)
    last = connection.execute(_end_of_page(after, limit)).scalar()
    number, at = calls.c.customer_phone, calls.c.first_received_at
    right = select(number, func.count(), func.min(at), func.max(at)).where(IS_PARKED, *_within(number, after, last))
    connection.execute(delete(unknown_callers).where(*_within(unknown_callers.c.phone, after, last)))
    connection.execute(insert(unknown_callers).from_select(list(unknown_callers.c), right.group_by(number)))
    return last


def _end_of_page(after: str, limit: int) -> Select[Any]:
    """The last of so many numbers that have a row or should have one."""
    number, kept = calls.c.customer_phone, unknown_callers.c.phone
    of_calls = select(number.label("phone")).where(IS_PARKED, number > after).distinct()
    of_rows = select(kept).where(kept > after)
    parts = (of_calls.order_by(number).limit(limit).subquery(), of_rows.order_by(kept).limit(limit).subquery())
    every = union(*map(select, parts)).subquery()
    return select(every.c.phone).order_by(every.c.phone).offset(limit - 1).limit(1)


def _within(column: ColumnElement[Any], after: str, last: str | None) -> Sequence[ColumnElement[bool]]:
    return (column > after,) if last is None else (column > after, column <= last)
