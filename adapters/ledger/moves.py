"""Moves of many conversions in one statement each, the same on SQLite and Postgres: rows travel as one JSON parameter.

A statement a row would be a round trip a row. The text stays the same whatever the number of rows, so that it is planned
as a look-up of each row by its key, with statistics or without.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from offhook.adapters.ledger.legal import leads, may_move, of_the_row
from offhook.adapters.ledger.rows import KEY, WithRows, named, with_rows
from offhook.adapters.ledger.schema import micros, micros_or_none
from offhook.pipeline.callback import CallKey
from offhook.pipeline.delivery import CONVERSION_MOVES, LATE_ANSWER, UNSENT, Event, Result, State
from offhook.pipeline.ports.outbox import Attempt

_MOVED = {
    "state": "text",
    "reason": "text",
    "due_at": "bigint",
    "attempts": "integer",
    "expired_leases": "integer",
    "maybe_sent": "smallint",
    "first_attempt_at": "bigint",
    "delivered_at": "bigint",
}
_TRIED = {
    "fence": "integer",
    "number": "integer",
    "started_at": "bigint",
    "finished_at": "bigint",
    "result": "text",
    "reason": "text",
    "status_code": "integer",
    "answer": "text",
    "next_state": "text",
}
_MOVES = {**KEY, "fence": "integer", "from_state": "text", **_MOVED}
_LINE = {**KEY, **_TRIED}
_THE_ROW = "conversions.account_sid = v.account_sid AND conversions.call_sid = v.call_sid"
_LEADS = leads(CONVERSION_MOVES, (*Result, Event.ARRIVED), "v.from_state", "v.state")
# `from_state` is a column, also where the table is asked: by the index of what is being sent, all of that would be read for each
# row, and on Postgres all that was ever sent lies dead in it until somebody vacuums.
_MOVE = (
    f"UPDATE conversions SET {', '.join(f'{name} = v.{name}' for name in _MOVED)}, lease_until = NULL FROM {{rows}} "
    f"WHERE {_THE_ROW} AND conversions.fence = v.fence AND conversions.state = v.from_state AND {_LEADS} "
    "RETURNING conversions.account_sid, conversions.call_sid, conversions.fence"
)
_JOURNAL = f"INSERT INTO attempts ({', '.join(_LINE)}) SELECT {', '.join(_LINE)} FROM {{rows}}"
LATE = "late"  # stands in an attempt's next_state: its fence was lost

# Which attempt it is: the conversion, the claim, and when it left.
AttemptKey = tuple[str, str, int, int]


@dataclass(frozen=True, slots=True)
class Ready:
    """Attempts, their moves and their lines in the journal, made ready before anybody's turn to write."""

    attempts: tuple[Attempt, ...]
    moves: WithRows
    lines: WithRows


def ready(attempts: Iterable[Attempt]) -> Ready:
    """To be moved and, those that left, journaled. What the caller does with its own list afterwards changes nothing."""
    every = tuple(attempts)
    for one in every:
        _must_be_legal(one)
    return Ready(every, with_rows(_MOVE, _MOVES, map(_moved_row, every)), _lines(left(every), None))


def _must_be_legal(one: Attempt) -> None:
    """Raises IllegalMove, before anything is written."""
    is_late = (one.next.state, one.next.reason) == (State.DELIVERED, LATE_ANSWER)
    CONVERSION_MOVES.check(State.SENDING, Event.ARRIVED if is_late else one.outcome.result, one.next.state)


def left(attempts: Iterable[Attempt]) -> list[Attempt]:
    """Those whose request left."""
    return [one for one in attempts if one.outcome.result not in UNSENT]


def move(connection: Connection, attempts: Ready) -> set[tuple[CallKey, int]]:
    """Move those whose fence still holds. Returns them, each with its fence."""
    found = attempts.moves.returned(connection)
    return {(CallKey(account, call), fence) for account, call, fence in found}


def deliver_late(connection: Connection, moves: Collection[Attempt]) -> set[CallKey]:
    """A late 2xx: the conversion has arrived, whatever it rests in. What is being sent is left alone."""
    statement = (
        f"UPDATE conversions SET state = '{CONVERSION_MOVES.only_target(Event.LATE_ANSWER)}', "
        f"reason = '{LATE_ANSWER}', due_at = NULL, "
        f"delivered_at = v.delivered_at FROM {{rows}} WHERE {_THE_ROW} "
        f"AND {may_move(CONVERSION_MOVES, Event.LATE_ANSWER, of_the_row('conversions.state'))} "
        "RETURNING conversions.account_sid, conversions.call_sid"
    )
    rows = [{**one.sending.key._asdict(), "delivered_at": micros(one.finished_at)} for one in moves]
    found = with_rows(statement, {**KEY, "delivered_at": "bigint"}, rows).returned(connection)
    return {CallKey(account, call) for account, call in found}


def journal(connection: Connection, attempts: Ready) -> None:
    """Write attempts down, those that left."""
    attempts.lines.run(connection)


def journal_late(connection: Connection, attempts: Iterable[Attempt]) -> None:
    """Write attempts down whose fence was lost."""
    _lines(attempts, LATE).run(connection)


def _lines(attempts: Iterable[Attempt], next_state: str | None) -> WithRows:
    return with_rows(_JOURNAL, _LINE, [_attempt_row(one, next_state) for one in attempts])


def journaled(connection: Connection, attempts: Iterable[Attempt]) -> dict[AttemptKey, str]:
    """Those that stand in the journal already, and their `next_state` in it."""
    statement = (
        "SELECT v.account_sid, v.call_sid, v.fence, v.started_at, attempts.next_state "
        "FROM {rows} JOIN attempts USING (account_sid, call_sid) "
        "WHERE attempts.fence = v.fence AND attempts.started_at = v.started_at AND attempts.result = v.result"
    )
    columns = {**KEY, "fence": "integer", "started_at": "bigint", "result": "text"}
    rows = [{name: _attempt_row(one, None)[name] for name in columns} for one in attempts]
    return {
        (row[0], row[1], row[2], row[3]): row[4] for row in with_rows(statement, columns, rows).returned(connection)
    }


def attempt_key(one: Attempt) -> AttemptKey:
    return (*one.sending.key, one.sending.fence, micros(one.started_at))


def arrived(connection: Connection, keys: Collection[CallKey]) -> set[CallKey]:
    """Those of which the journal knows a 2xx."""
    statement = (
        "SELECT DISTINCT v.account_sid, v.call_sid FROM {rows} JOIN attempts USING (account_sid, call_sid) "
        f"WHERE attempts.result = '{Result.DELIVERED}'"
    )
    return {CallKey(*row) for row in with_rows(statement, KEY, named(keys)).returned(connection)}


def _moved_row(one: Attempt) -> dict[str, Any]:
    sending, result, to = one.sending, one.outcome.result, one.next
    maybe_sent = sending.maybe_sent or result in (Result.MAYBE_SENT, Result.LEASE_EXPIRED)
    return {
        **sending.key._asdict(),
        "fence": sending.fence,
        "from_state": State.SENDING.value,
        "state": to.state.value,
        "reason": to.reason,
        "due_at": micros_or_none(to.due_at),
        "attempts": sending.attempts - (result in UNSENT),
        "expired_leases": sending.expired_leases,
        "maybe_sent": int(maybe_sent),
        # What was not taken for certain binds the next attempt to no day.
        "first_attempt_at": micros(sending.first_attempt_at) if maybe_sent else None,
        "delivered_at": micros(one.finished_at) if to.state is State.DELIVERED else None,
    }


def _attempt_row(one: Attempt, next_state: str | None) -> dict[str, Any]:
    return {
        **one.sending.key._asdict(),
        "fence": one.sending.fence,
        "number": one.sending.attempts,
        "started_at": micros(one.started_at),
        "finished_at": micros(one.finished_at),
        "result": one.outcome.result.value,
        "reason": one.outcome.reason,
        "status_code": one.outcome.status_code,
        "answer": one.outcome.answer,
        "next_state": next_state or one.next.state.value,
    }
