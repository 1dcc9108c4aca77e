"""The numbers whose calls wait for a customer, in three orders, each with an index of its own: a page costs what it shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Select, literal, select, union_all

from offhook.adapters.ledger.schema import unknown_callers
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
