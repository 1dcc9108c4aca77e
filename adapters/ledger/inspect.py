"""Reads the ledger for people: what waits, what became of a call and why. Changes nothing but a person's `retry`."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row, and_, exists, func, literal, select, text, tuple_

from offhook.adapters.ledger.books import BY_KEY, BY_ROOT, to_raw
from offhook.adapters.ledger.engine import Database
from offhook.adapters.ledger.rows import KEY, for_each, with_rows
from offhook.adapters.ledger.schema import attempts, callbacks, calls, conversions, decisions, legs, micros, replaced
from offhook.adapters.ledger.waiting import IS_UNFINISHED, UNFINISHED_COUNT, bounded_count
from offhook.pipeline.callback import RawCallback
from offhook.pipeline.delivery import State
from offhook.pipeline.phone import spellings
from offhook.pipeline.unfinished import UNFINISHED

RETRYABLE = (State.DEAD.value, State.AMBIGUOUS.value, State.QUARANTINED.value)


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
    replaced: Sequence[Row[Any]]


def state_of(call: Any) -> str:
    """What a call's state is called where people read it: `unfinished` is an open one that waited too long for its end."""
    return UNFINISHED if call.state == "open" and call.decided_at else str(call.state)


class Inspection:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._read = partial(database.read, patient=True)

    def conversions(self, states: Collection[str], limit: int) -> Sequence[Row[Any]]:
        """The newest conversions, of these states or of all."""
        newest = select(conversions).order_by(conversions.c.created_at.desc()).limit(limit)
        wanted = [newest.where(conversions.c.state == state) for state in sorted(set(states))] or [newest]
        with self._read() as connection:
            rows = [row for statement in wanted for row in connection.execute(statement)]
        return sorted(rows, key=lambda row: row.created_at, reverse=True)[:limit]

    def unfinished(self, limit: int) -> Sequence[Row[Any]]:
        """The calls that were called unfinished and still are, the latest first."""
        statement = select(calls).where(text(IS_UNFINISHED)).order_by(calls.c.decided_at.desc()).limit(limit)
        with self._read() as connection:
            return connection.execute(statement).all()

    def unfinished_count(self) -> int:
        """How many of them there are, counted up to COUNTED_UP_TO + 1."""
        return int(self._database.ask(f"SELECT {UNFINISHED_COUNT}", patient=True)[0])

    def conversion_counts(self) -> dict[str, int]:
        """How many conversions rest in each state that any rests in, counted up to COUNTED_UP_TO + 1."""
        question = ", ".join(map(bounded_count, State))
        found = zip(State, self._database.ask(f"SELECT {question}", patient=True), strict=True)
        return {state.value: count for state, count in found if count}

    def stories(self, call_sid: str) -> list[CallStory]:
        """The call of this CallSid (a child leg's will do), in each account that has one."""
        with self._read() as connection:
            named = [{"account_sid": account, "call_sid": call_sid} for account in _accounts_of(connection, call_sid)]
            linked = for_each(connection, named, KEY, legs, BY_KEY)
            roots = [{"account_sid": row.account_sid, "call_sid": row.root_sid} for row in linked]
            rows = for_each(connection, roots, KEY, calls, f"{BY_KEY} AND t.state <> 'merged'")
            return [_story(connection, row) for row in rows]

    def calls_of(self, phone: str, limit: int) -> Sequence[Row[Any]]:
        """The newest calls whose customer has this number (E.164)."""
        statement = (
            select(calls)
            .where(calls.c.customer_phone.in_(spellings(phone)), calls.c.state != "merged")
            .order_by(calls.c.first_received_at.desc())
            .limit(limit)
        )
        with self._read() as connection:
            return connection.execute(statement).all()

    def retry(self, keys: Sequence[tuple[str, str]], now: datetime) -> int:
        """Send these again, whatever they rest in but delivered. Returns how many were moved.

        What came before binds no more: a person has looked, and has said that a copy may go out now, whatever the day.
        In batches, so that no callback waits for it.
        """
        moved = 0
        for first in range(0, len(keys), _BATCH_ROWS):
            batch = [
                {"account_sid": key[0], "call_sid": key[1], "now": micros(now)} for key in keys[first:][:_BATCH_ROWS]
            ]
            retried = with_rows(_RETRY, {**KEY, "now": "bigint"}, batch)
            with self._database.write() as connection:
                moved += retried.run(connection)
        return moved

    def has_callbacks(self, call_sid: str) -> bool:
        """Whether any callback of this leg, or of a child of it, has arrived."""
        of_leg = exists().where(callbacks.c.call_sid == call_sid)
        of_child = exists().where(callbacks.c.parent_call_sid == call_sid)
        with self._read() as connection:
            return any(connection.execute(select(of_leg, of_child)).one())

    def every_callback(self, *, since: datetime | None = None, call_sid: str | None = None) -> Iterator[RawCallback]:
        """All callbacks in the order of their arrival, a page at a time, so that memory stays small.

        `since` is the earliest arrival; `call_sid` names a leg, whose children come with it.
        """
        if call_sid is not None:
            yield from self._callbacks_of(call_sid, since)
            return
        place: tuple[Any, ...] = (callbacks.c.seq,)
        after: tuple[Any, ...] = (0,)
        if since is not None:
            place, after = (callbacks.c.received_at, callbacks.c.seq), (since, 0)
        while page := self._page(place, after):
            yield from map(to_raw, page)
            after = tuple(getattr(page[-1], column.name) for column in place)

    def _page(self, place: tuple[Any, ...], after: tuple[Any, ...]) -> Sequence[Row[Any]]:
        """The callbacks that come next after a place in an order that has an index."""
        bounds = [literal(value, column.type) for column, value in zip(place, after, strict=True)]
        statement = select(callbacks).where(tuple_(*place) > tuple_(*bounds)).order_by(*place).limit(_PAGE_ROWS)
        with self._read() as connection:
            return connection.execute(statement).all()

    def _callbacks_of(self, call_sid: str, since: datetime | None) -> Iterator[RawCallback]:
        of_leg = select(callbacks).where(callbacks.c.call_sid == call_sid)
        of_children = select(callbacks).where(callbacks.c.parent_call_sid == call_sid)
        with self._read() as connection:
            rows = [row for statement in (of_leg, of_children) for row in connection.execute(statement)]
        found = {row.seq: row for row in rows if since is None or row.received_at >= since}
        yield from (to_raw(found[seq]) for seq in sorted(found))

    def outcomes(self) -> list[Outcome]:
        """What became of every call, in the order in which they were first heard of."""
        newest = select(func.max(decisions.c.id)).group_by(decisions.c.account_sid, decisions.c.call_sid)
        decided = select(decisions).where(decisions.c.id.in_(newest)).subquery()
        told = conversions.c
        statement = (
            select(
                *(calls.c.account_sid, calls.c.call_sid, calls.c.state, calls.c.decided_at),
                *(decided.c.reasons, told.payload, told.state.label("delivery")),
            )
            .outerjoin(decided, _same_call(decided.c))
            .outerjoin(conversions, _same_call(told))
            .where(calls.c.state != "merged")
            .order_by(calls.c.first_received_at, calls.c.call_sid)
        )
        with self._read() as connection:
            rows = connection.execute(statement).all()
        return [
            Outcome(row.account_sid, row.call_sid, state_of(row), _words(row.reasons), row.payload, row.delivery)
            for row in rows
        ]

    def following(self) -> Following:
        """Tells of the callbacks that come in from now on."""
        with self._read() as connection:
            return Following(self._database, connection.execute(select(func.max(callbacks.c.seq))).scalar_one() or 0)


def _words(reasons: str | None) -> tuple[str, ...]:
    return tuple(word for word, _ in json.loads(reasons or "[]"))


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
        newer = select(callbacks).where(callbacks.c.seq > self._last_seq).order_by(callbacks.c.seq).limit(limit)
        keys = [{"seq": seq} for seq in self._missing]
        with self._database.read(patient=True) as connection:
            late = for_each(connection, keys, {"seq": "bigint"}, callbacks, "t.seq = v.seq")
            rows = sorted([*late, *connection.execute(newer)], key=lambda row: row.seq)[:limit]
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
_PAGE_ROWS = 1000
_BATCH_ROWS = 500
# Callbacks alone are found by a CallSid without its account: an index of random keys on every table costs each call a page.
_ACCOUNTS = text(
    "SELECT account_sid FROM callbacks WHERE call_sid = :sid UNION "
    "SELECT account_sid FROM callbacks WHERE parent_call_sid = :sid ORDER BY account_sid"
)
_RETRY = (
    "UPDATE conversions SET state = 'pending', reason = 'asked_by_a_person', due_at = v.now, horizon_from = v.now, "
    "first_attempt_at = NULL, maybe_sent = 0, expired_leases = 0 FROM {rows} "
    "WHERE conversions.account_sid = v.account_sid AND conversions.call_sid = v.call_sid "
    f"AND conversions.state IN ({', '.join(repr(state) for state in RETRYABLE)})"
)


def _accounts_of(connection: Connection, call_sid: str) -> Sequence[str]:
    """The accounts that have told of this leg, or of a child of it."""
    return connection.execute(_ACCOUNTS, {"sid": call_sid}).scalars().all()


def _story(connection: Connection, call: Row[Any]) -> CallStory:
    def rows(table: Any, *order: Any) -> Sequence[Row[Any]]:
        mine = (table.c.account_sid == call.account_sid, table.c.call_sid == call.call_sid)
        return connection.execute(select(table).where(*mine).order_by(*order)).all()

    root = [{"account_sid": call.account_sid, "call_sid": call.call_sid}]
    family = [row._asdict() for row in for_each(connection, root, KEY, legs, BY_ROOT)]
    named = [{name: leg[name] for name in KEY} for leg in family]
    arrived = sorted(for_each(connection, named, KEY, callbacks, BY_KEY), key=lambda row: row.seq)
    told = rows(conversions)
    return CallStory(
        call=call,
        callbacks=arrived,
        decisions=[(row, json.loads(row.reasons)) for row in rows(decisions, decisions.c.id)],
        conversion=told[0] if told else None,
        attempts=rows(attempts, attempts.c.id),
        replaced=rows(replaced, replaced.c.id),
    )
