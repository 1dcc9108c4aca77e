"""Numbers that are looked up: which are due, which a worker asks for now, what came of it. By the database's clock."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, select, text

from offhook.adapters.ledger.engine import Database
from offhook.adapters.ledger.people.asked_for import (
    claimed_look_ups,
    finished_look_ups,
    forgotten_look_ups,
    fresh_numbers,
    is_looked_up,
)
from offhook.adapters.ledger.people.callers import with_waiting_calls
from offhook.adapters.ledger.schema import PersonText, lookups
from offhook.adapters.ledger.waiting import IS_ASKED, IS_WANTED
from offhook.pipeline.ports.look_ups import LookedUp, LookUpLine, LookUpState, Wanted

_FORGOTTEN_AT_ONCE = 100


class LookUpsTable:
    """`LookUps` of pipeline/ports/look_ups.py."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim_look_ups(self, now: datetime, limit: int, lease_seconds: float) -> Sequence[Wanted]:
        due = select(lookups).where(text(IS_ASKED), lookups.c.due_at <= now).order_by(lookups.c.due_at)
        until = now + timedelta(seconds=lease_seconds)
        with self._database.write() as connection:
            some = due.limit(limit + _FORGOTTEN_AT_ONCE).with_for_update(skip_locked=True)
            wanted = _wanted(connection, connection.execute(some).all())[:limit]
            taken = claimed_look_ups([row.phone for row in wanted], until).returned(connection)
        return [Wanted(str(PersonText.shown(row.phone)), row.fence, row.attempts) for row in taken]

    def finish_look_ups(self, done: Collection[LookedUp]) -> None:
        finished = finished_look_ups(done)
        with self._database.write() as connection:
            finished.run(connection)

    def fresh_numbers(self, phones: Collection[str], now: datetime) -> Collection[str]:
        with self._database.read() as connection:
            return fresh_numbers(connection, phones, now)

    def look_ups(self, limit: int) -> Sequence[LookUpLine]:
        some = select(lookups).where(text(IS_WANTED)).order_by(lookups.c.wanted_at).limit(limit)
        with self._database.read(patient=True) as connection:
            rows = connection.execute(some).all()
        return sorted(map(_line, rows), key=lambda one: one.due_at)

    def look_up_of(self, phone: str) -> LookUpLine | None:
        with self._database.read(patient=True) as connection:
            row = connection.execute(select(lookups).where(text(IS_WANTED), is_looked_up(phone))).first()
        return None if row is None else _line(row)


def _line(row: Row[Any]) -> LookUpLine:
    return LookUpLine(row.phone, row.wanted_at, row.due_at, row.attempts, row.source, row.reason)


def _wanted(connection: Connection, rows: Sequence[Row[Any]]) -> list[Row[Any]]:
    """Those to be asked for, first those that a call waits for. What was unknown, and of what no call waits, is forgotten."""
    unknown = {row.phone for row in rows if row.state == LookUpState.UNKNOWN}
    idle = unknown - with_waiting_calls(connection, unknown)
    forgotten_look_ups(idle).run(connection)
    asked = [row for row in rows if row.phone not in idle]
    return sorted(asked, key=lambda row: (row.wanted_at is None, row.due_at))
