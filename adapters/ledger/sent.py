"""Reads conversions by period: what was made, and what arrived. Changes nothing, and reads no row outside of the period."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row, select, text

from offhook.adapters.ledger.engine import Database
from offhook.adapters.ledger.people.callers import called_before
from offhook.adapters.ledger.rows import BY_KEY, KEY, for_each, key_of, named
from offhook.adapters.ledger.schema import HOUR, calls, conversions, legs, micros
from offhook.adapters.ledger.stories import conversion_line
from offhook.pipeline.callback import CallKey
from offhook.pipeline.story import ConversionLine, HourCount

_PAGE_ROWS = 500
_BY_HOUR = text(
    f"SELECT delivered_at / {HOUR} AS hour, action, count(*) AS found FROM conversions "
    "WHERE delivered_at >= :since AND delivered_at < :until GROUP BY 1, 2 ORDER BY 1, 2"
)


class SentOnSql:
    """`Sent` of pipeline/ports/sent.py."""

    def __init__(self, database: Database) -> None:
        self._read = partial(database.read, patient=True)

    def made(self, since: datetime, until: datetime) -> Iterator[Sequence[ConversionLine]]:
        """Page by page along the time of their making; those of one moment may be on two pages, so they are remembered."""
        place, known = since, set[CallKey]()
        while rows := self._made(place, until, len(known)):
            fresh = [row for row in rows if key_of(row) not in known]
            if not fresh:
                return
            yield list(map(conversion_line, fresh))
            if len(fresh) < _PAGE_ROWS:
                return
            last = rows[-1].created_at
            known = (known if last == place else set()) | {key_of(row) for row in fresh if row.created_at == last}
            place = last

    def _made(self, place: datetime, until: datetime, known: int) -> Sequence[Row[Any]]:
        at = conversions.c.created_at
        statement = select(conversions).where(at >= place, at < until).order_by(at).limit(_PAGE_ROWS + known)
        with self._read() as connection:
            return connection.execute(statement).all()

    def returning(self, keys: Collection[CallKey]) -> set[CallKey]:
        with self._read() as connection:
            root_of = _roots(connection, keys)
            found = for_each(connection, named(set(root_of.values())), KEY, calls, BY_KEY)
            known = called_before(connection, found)
        return {key for key in keys if root_of.get(key) in known}

    def delivered(self, since: datetime, until: datetime) -> Sequence[HourCount]:
        with self._read() as connection:
            rows = connection.execute(_BY_HOUR, {"since": micros(since), "until": micros(until)}).all()
        return [HourCount(datetime.fromtimestamp(row.hour * 3600, UTC), row.action, row.found) for row in rows]


def _roots(connection: Connection, keys: Collection[CallKey]) -> dict[CallKey, CallKey]:
    """The call that each belongs to; another one, where what was converted turned out to be a leg."""
    linked = for_each(connection, named(keys), KEY, legs, BY_KEY)
    return {key_of(row): CallKey(row.account_sid, row.root_sid) for row in linked}
