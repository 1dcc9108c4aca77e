"""The outbox: claims with a lease and a fence, results, and the breaker that all workers share.

A claim raises the row's fence; a result is written only where the fence is still the same, so that a worker that was
presumed dead changes nothing. Where a conversion goes is decided in pipeline/delivery.py alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, and_, bindparam, insert, select, text, update

from adapters.ledger.books import upsert
from adapters.ledger.engine import Database
from adapters.ledger.schema import attempts as attempts_table
from adapters.ledger.schema import breakers, conversions
from pipeline.call import CallKey
from pipeline.delivery import (
    Breaker,
    BreakerPolicy,
    Outcome,
    Result,
    RetryPolicy,
    Sending,
    State,
    after,
    breaker_after,
    breaker_allows,
    may_resend,
    reopened,
)
from pipeline.ports import Attempt

DESTINATION = "rockerbox"
_PENDING = text("state = 'pending'")
_SENDING = text("state = 'sending'")
_THIS_ROW = and_(conversions.c.account_sid == bindparam("k_account"), conversions.c.call_sid == bindparam("k_call"))


class OutboxTable:
    """`Outbox` of pipeline/ports.py."""

    def __init__(self, database: Database, breaker_policy: BreakerPolicy) -> None:
        self._database = database
        self._breaker_policy = breaker_policy

    def claim(self, now: datetime, limit: int, lease_seconds: float, policy: RetryPolicy) -> Sequence[Sending]:
        """Lease due conversions. A look without the write lock comes first: most looks find nothing."""
        with self._database.read() as connection:
            waiting = connection.execute(select(conversions.c.call_sid).where(*_due(now)).limit(1)).first()
            if waiting is None or breaker_allows(_read_breaker(connection), limit, now, self._breaker_policy) == 0:
                return []
        with self._database.write() as connection:
            allowed = self._allowed(connection, now, limit)
            return _claim(connection, now, allowed, lease_seconds, policy) if allowed else []

    def _allowed(self, connection: Connection, now: datetime, limit: int) -> int:
        """How many the breaker lets out. A probe is one worker's alone: the door closes behind it."""
        breaker = _read_breaker(connection, lock=True)
        allowed = breaker_allows(breaker, limit, now, self._breaker_policy)
        if allowed and breaker.failures >= self._breaker_policy.threshold:
            _write_breaker(connection, reopened(breaker, now, self._breaker_policy))
        return allowed

    def finish(self, done: Sequence[Attempt], now: datetime) -> int:
        """Journal attempts and move their conversions, those whose fence still holds. Returns how many moved."""
        if not done:
            return 0
        with self._database.write() as connection:
            moved = sum(_move(connection, attempt) for attempt in done)
            sent = [attempt for attempt in done if attempt.outcome.result is not Result.RELEASED]
            if sent:
                connection.execute(insert(attempts_table), [_attempt_row(attempt) for attempt in sent])
                self._tell_breaker(connection, [attempt.outcome.result for attempt in sent], now)
            return moved

    def _tell_breaker(self, connection: Connection, results: list[Result], now: datetime) -> None:
        breaker = _read_breaker(connection)
        if breaker_after(breaker, results, now, self._breaker_policy) == breaker:
            return
        breaker = _read_breaker(connection, lock=True)
        _write_breaker(connection, breaker_after(breaker, results, now, self._breaker_policy))

    def expire_leases(self, now: datetime, policy: RetryPolicy) -> int:
        """Take back conversions whose worker was not heard of in time. Returns how many."""
        late = and_(_SENDING, conversions.c.lease_until < now)
        with self._database.read() as connection:
            if connection.execute(select(conversions.c.call_sid).where(late).limit(1)).first() is None:
                return 0
        with self._database.write() as connection:
            rows = connection.execute(select(conversions).where(late).with_for_update(skip_locked=True)).all()
            expired = [_expired(row, now, policy) for row in rows]
            for attempt in expired:
                _move(connection, attempt)
            if expired:
                connection.execute(insert(attempts_table), [_attempt_row(attempt) for attempt in expired])
            return len(expired)


def _due(now: datetime) -> tuple[Any, ...]:
    return (_PENDING, conversions.c.due_at <= now)


def _claim(
    connection: Connection, now: datetime, limit: int, lease_seconds: float, policy: RetryPolicy
) -> list[Sending]:
    statement = select(conversions).where(*_due(now)).order_by(conversions.c.due_at).limit(limit)
    rows = connection.execute(statement.with_for_update(skip_locked=True)).all()
    held = [row for row in rows if row.maybe_sent and not may_resend(row.first_attempt_at, now, policy)]
    taken = [row for row in rows if row not in held]
    if held:  # the day has turned since: a second copy might count
        values = {"state": State.AMBIGUOUS.value, "reason": "day_turned", "due_at": None}
        connection.execute(update(conversions).where(_THIS_ROW).values(values), [_name(row) for row in held])
    if taken:
        _lease(connection, taken, now, now + timedelta(seconds=lease_seconds))
    return [_sending(row, now, claimed=True) for row in taken]


def _lease(connection: Connection, rows: Sequence[Row[Any]], now: datetime, until: datetime) -> None:
    statement = update(conversions).where(_THIS_ROW)
    statement = statement.values(
        state=State.SENDING.value,
        lease_until=until,
        due_at=None,
        fence=bindparam("next_fence"),
        attempts=bindparam("next_attempts"),
        first_attempt_at=bindparam("first"),
    )
    connection.execute(
        statement,
        [
            {
                **_name(row),
                "next_fence": row.fence + 1,
                "next_attempts": row.attempts + 1,
                "first": row.first_attempt_at or now,
            }
            for row in rows
        ],
    )


def _name(row: Row[Any]) -> dict[str, str]:
    return {"k_account": row.account_sid, "k_call": row.call_sid}


def _sending(row: Row[Any], now: datetime, *, claimed: bool) -> Sending:
    return Sending(
        key=CallKey(row.account_sid, row.call_sid),
        fence=row.fence + claimed,
        attempts=row.attempts + claimed,
        expired_leases=row.expired_leases,
        created_at=row.horizon_from,
        first_attempt_at=row.first_attempt_at or now,
        maybe_sent=bool(row.maybe_sent),
        payload=bytes(row.payload),
    )


def _expired(row: Row[Any], now: datetime, policy: RetryPolicy) -> Attempt:
    sending = _sending(row, now, claimed=False)
    counted = Sending(
        sending.key,
        sending.fence,
        sending.attempts,
        sending.expired_leases + 1,
        sending.created_at,
        sending.first_attempt_at,
        sending.maybe_sent,
    )
    outcome = Outcome(Result.LEASE_EXPIRED, "lease_expired")
    return Attempt(counted, outcome, row.lease_until, now, after(counted, outcome, now, policy))


_MOVE = (
    update(conversions)
    .where(_THIS_ROW, conversions.c.fence == bindparam("k_fence"), _SENDING)
    .values(
        state=bindparam("to_state"),
        reason=bindparam("to_reason"),
        due_at=bindparam("to_due_at"),
        lease_until=None,
        attempts=bindparam("to_attempts"),
        expired_leases=bindparam("to_expired_leases"),
        maybe_sent=bindparam("to_maybe_sent"),
        first_attempt_at=bindparam("to_first_attempt_at"),
        delivered_at=bindparam("to_delivered_at"),
    )
)


def _move(connection: Connection, attempt: Attempt) -> int:
    sending, result, to = attempt.sending, attempt.outcome.result, attempt.next
    released = result is Result.RELEASED
    never_tried = released and sending.attempts == 1
    moved = connection.execute(
        _MOVE,
        {
            "k_account": sending.key.account_sid,
            "k_call": sending.key.call_sid,
            "k_fence": sending.fence,
            "to_state": to.state.value,
            "to_reason": to.reason,
            "to_due_at": to.due_at,
            "to_attempts": sending.attempts - released,
            "to_expired_leases": sending.expired_leases,
            "to_maybe_sent": int(sending.maybe_sent or result in (Result.MAYBE_SENT, Result.LEASE_EXPIRED)),
            "to_first_attempt_at": None if never_tried else sending.first_attempt_at,
            "to_delivered_at": attempt.finished_at if to.state is State.DELIVERED else None,
        },
    )
    return moved.rowcount


def _attempt_row(attempt: Attempt) -> dict[str, Any]:
    return {
        **attempt.sending.key._asdict(),
        "fence": attempt.sending.fence,
        "number": attempt.sending.attempts,
        "started_at": attempt.started_at,
        "finished_at": attempt.finished_at,
        "result": attempt.outcome.result.value,
        "reason": attempt.outcome.reason,
        "status_code": attempt.outcome.status_code,
        "answer": attempt.outcome.answer,
        "next_state": attempt.next.state.value,
    }


def _read_breaker(connection: Connection, *, lock: bool = False) -> Breaker:
    statement = select(breakers).where(breakers.c.destination == DESTINATION)
    row = connection.execute(statement.with_for_update() if lock else statement).first()
    return Breaker(row.failures, row.opened, row.open_until) if row else Breaker()


def _write_breaker(connection: Connection, breaker: Breaker) -> None:
    values = {"failures": breaker.failures, "opened": breaker.opened, "open_until": breaker.open_until}
    statement = upsert(connection)(breakers).values(destination=DESTINATION, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=["destination"], set_=values))
