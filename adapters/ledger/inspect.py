"""Reads the ledger for people: what waits, what became of a call and why. Changes nothing but a person's `retry`."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, func, or_, select, text, update

from adapters.ledger.books import to_raw
from adapters.ledger.engine import Database
from adapters.ledger.schema import attempts, breakers, callbacks, calls, conversions, decisions
from pipeline.call import RawCallback
from pipeline.delivery import State

RETRYABLE = (State.DEAD.value, State.AMBIGUOUS.value, State.QUARANTINED.value)


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits. Ages are seconds since the oldest came; 0.0 when nothing waits."""

    unfolded_age_seconds: float
    undecided_age_seconds: float
    undelivered_age_seconds: float
    held_for_a_person: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one call. `reasons` are words; `payload` and `delivery` (a State) are None where nothing is told of it."""

    account_sid: str
    call_sid: str
    state: str
    reasons: tuple[str, ...]
    payload: bytes | None
    delivery: str | None


@dataclass(frozen=True, slots=True)
class CallStory:
    """All that the ledger knows of one call, oldest first. Rows are as in schema.py."""

    call: Row[Any]
    callbacks: Sequence[Row[Any]]
    decisions: Sequence[tuple[Row[Any], list[list[str]]]]
    conversion: Row[Any] | None
    attempts: Sequence[Row[Any]]


def read_backlog(connection: Connection, now: datetime) -> Backlog:
    received = select(func.min(callbacks.c.received_at)).where(text("folded = 0"))
    settled = select(func.min(calls.c.settle_at)).where(text("state = 'settling'"), calls.c.settle_at <= now)
    created = select(func.min(conversions.c.due_at)).where(text("state = 'pending'"), conversions.c.due_at <= now)
    held = select(func.count()).select_from(conversions).where(conversions.c.state.in_(RETRYABLE))

    def age(statement: Any) -> float:
        oldest = connection.execute(statement).scalar_one()
        return max(0.0, (now - oldest).total_seconds()) if oldest else 0.0

    return Backlog(age(received), age(settled), age(created), connection.execute(held).scalar_one())


def read_next_moment(connection: Connection) -> datetime | None:
    """The earliest time at which a call is settled, a conversion is to be sent, or a lease is over."""
    settled = select(func.min(calls.c.settle_at)).where(text("state = 'settling'"))
    due = select(func.min(conversions.c.due_at)).where(text("state = 'pending'"))
    leased = select(func.min(conversions.c.lease_until)).where(text("state = 'sending'"))
    settled_at, due_at, leased_until, open_until = (
        connection.execute(statement).scalar_one()
        for statement in (settled, due, leased, select(func.max(breakers.c.open_until)))
    )
    if due_at is not None and open_until is not None:
        due_at = max(due_at, open_until)
    return min((moment for moment in (settled_at, due_at, leased_until) if moment is not None), default=None)


class Inspection:
    def __init__(self, database: Database) -> None:
        self._database = database

    def conversions(self, states: Collection[str], limit: int) -> Sequence[Row[Any]]:
        """The newest conversions, of these states or of all."""
        statement = select(conversions).order_by(conversions.c.created_at.desc()).limit(limit)
        if states:
            statement = statement.where(conversions.c.state.in_(list(states)))
        with self._database.read() as connection:
            return connection.execute(statement).all()

    def conversion_counts(self) -> dict[str, int]:
        statement = select(conversions.c.state, func.count()).group_by(conversions.c.state)
        with self._database.read() as connection:
            return {row[0]: row[1] for row in connection.execute(statement)}

    def call_counts(self) -> dict[str, int]:
        statement = select(calls.c.state, func.count()).group_by(calls.c.state)
        with self._database.read() as connection:
            return {row[0]: row[1] for row in connection.execute(statement)}

    def stories(self, call_sid: str) -> list[CallStory]:
        """The call of this CallSid (a child leg's will do), in each account that has one."""
        with self._database.read() as connection:
            root_sids = [call_sid, *connection.execute(_ROOTS, {"sid": call_sid}).scalars()]
            rows = connection.execute(select(calls).where(calls.c.call_sid.in_(root_sids), calls.c.state != "merged"))
            return [_story(connection, row) for row in rows.all()]

    def retry(self, keys: Sequence[tuple[str, str]], now: datetime) -> int:
        """Send these again, whatever they rest in but delivered. Returns how many were moved.

        What came before binds no more: a person has looked, and has said that a copy may go out now, whatever the day.
        """
        moved = 0
        with self._database.write() as connection:
            for account_sid, call_sid in keys:
                moved += connection.execute(
                    update(conversions)
                    .where(conversions.c.account_sid == account_sid, conversions.c.call_sid == call_sid)
                    .where(conversions.c.state.in_(RETRYABLE))
                    .values(
                        state=State.PENDING.value,
                        reason="asked_by_a_person",
                        due_at=now,
                        horizon_from=now,
                        first_attempt_at=None,
                        maybe_sent=0,
                        expired_leases=0,
                    )
                ).rowcount
        return moved

    def raw_callbacks(
        self, *, since: datetime | None = None, call_sid: str | None = None, after_seq: int = 0, limit: int = 1000
    ) -> list[tuple[int, RawCallback]]:
        """A page of callbacks in the order of their arrival, with the sequence number to go on from."""
        statement = select(callbacks).where(callbacks.c.seq > after_seq).order_by(callbacks.c.seq).limit(limit)
        if since is not None:
            statement = statement.where(callbacks.c.received_at >= since)
        if call_sid is not None:
            of_leg = or_(callbacks.c.call_sid == call_sid, callbacks.c.parent_call_sid == call_sid)
            statement = statement.where(of_leg)
        with self._database.read() as connection:
            return [(row.seq, to_raw(row)) for row in connection.execute(statement)]

    def every_callback(self, *, since: datetime | None = None, call_sid: str | None = None) -> Iterator[RawCallback]:
        """All of them, a page at a time, so that memory stays small."""
        after_seq = 0
        while page := self.raw_callbacks(since=since, call_sid=call_sid, after_seq=after_seq):
            yield from (raw for _, raw in page)
            after_seq = page[-1][0]

    def outcomes(self) -> list[Outcome]:
        """What became of every call, in the order in which they were first heard of."""
        newest = select(func.max(decisions.c.id)).group_by(decisions.c.account_sid, decisions.c.call_sid)
        decided = select(decisions).where(decisions.c.id.in_(newest)).subquery()
        told = conversions.c
        statement = (
            select(calls.c.account_sid, calls.c.call_sid, calls.c.state, decided.c.reasons, told.payload, told.state)
            .outerjoin(decided, _same_call(decided.c))
            .outerjoin(conversions, _same_call(told))
            .where(calls.c.state != "merged")
            .order_by(calls.c.first_received_at, calls.c.call_sid)
        )
        with self._database.read() as connection:
            rows = connection.execute(statement).all()
        return [
            Outcome(row[0], row[1], row[2], tuple(word for word, _ in json.loads(row[3] or "[]")), row[4], row[5])
            for row in rows
        ]

    def following(self) -> Following:
        """Tells of the callbacks that come in from now on."""
        with self._database.read() as connection:
            return Following(self._database, connection.execute(select(func.max(callbacks.c.seq))).scalar_one() or 0)


def _same_call(columns: Any) -> Any:
    return and_(columns.account_sid == calls.c.account_sid, columns.call_sid == calls.c.call_sid)


class Following:
    """Callbacks as they come in, each once.

    A row may show after one with a greater number: on Postgres the number is taken before the commit. Numbers that were
    passed over are asked for again until `_MISSING_SECONDS` have gone by (most of them were duplicates and never come).
    """

    def __init__(self, database: Database, last_seq: int) -> None:
        self._database = database
        self._last_seq = last_seq
        self._missing: dict[int, float] = {}

    def fresh(self, limit: int = 500) -> list[RawCallback]:
        """Up to `limit` that were not told yet, in the order of their numbers. Raises LedgerUnavailable."""
        now = time.monotonic()
        self._missing = {seq: until for seq, until in self._missing.items() if until > now}
        is_fresh = or_(callbacks.c.seq > self._last_seq, callbacks.c.seq.in_(list(self._missing)))
        with self._database.read() as connection:
            rows = connection.execute(select(callbacks).where(is_fresh).order_by(callbacks.c.seq).limit(limit)).all()
        for row in rows:
            self._took(row.seq, now + _MISSING_SECONDS)
        return [to_raw(row) for row in rows]

    def _took(self, seq: int, until: float) -> None:
        self._missing.pop(seq, None)
        if seq > self._last_seq:
            passed_over = range(max(self._last_seq + 1, seq - _MAX_MISSING), seq)
            self._missing.update(dict.fromkeys(passed_over, until))
            self._last_seq = seq
        while len(self._missing) > _MAX_MISSING:
            del self._missing[next(iter(self._missing))]


_MISSING_SECONDS = 30.0  # longer than a callback may wait to be stored (OFFHOOK_STORE_TIMEOUT_SECONDS, 15 at most)
_MAX_MISSING = 1000
_ROOTS = text("SELECT root_sid FROM legs WHERE call_sid = :sid")


def _story(connection: Connection, call: Row[Any]) -> CallStory:
    def rows(table: Any, *order: Any) -> Sequence[Row[Any]]:
        mine = (table.c.account_sid == call.account_sid, table.c.call_sid == call.call_sid)
        return connection.execute(select(table).where(*mine).order_by(*order)).all()

    of_family = text(
        "(account_sid, call_sid) IN (SELECT account_sid, call_sid FROM legs WHERE account_sid = :a AND root_sid = :r)"
    ).bindparams(a=call.account_sid, r=call.call_sid)
    arrived = connection.execute(select(callbacks).where(of_family).order_by(callbacks.c.seq)).all()
    told = rows(conversions)
    return CallStory(
        call=call,
        callbacks=arrived,
        decisions=[(row, json.loads(row.reasons)) for row in rows(decisions, decisions.c.id)],
        conversion=told[0] if told else None,
        attempts=rows(attempts, attempts.c.id),
    )
