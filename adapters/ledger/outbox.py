"""The outbox: claims with a lease and a fence, results, and the breaker that all workers share.

A claim raises the row's fence; a result is written only where the fence is still the same, so that a worker that was
presumed dead changes nothing, but for a 2xx, which no fence undoes. Where a conversion goes is decided in
pipeline/delivery.py alone. Each step is one statement for all of its rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Integer, Row, and_, bindparam, exists, func, select, text, update

from offhook.adapters.ledger import moves
from offhook.adapters.ledger.engine import Database
from offhook.adapters.ledger.legal import may_move, of_the_row
from offhook.adapters.ledger.rows import KEY, insert, key_of, with_rows
from offhook.adapters.ledger.schema import Moment, breakers, conversions, micros
from offhook.adapters.ledger.tallies import count_sent
from offhook.pipeline.callback import CallKey
from offhook.pipeline.delivery import (
    CONVERSION_MOVES,
    DAY_TURNED,
    LATE_ANSWER,
    Blockade,
    Breaker,
    BreakerPolicy,
    Event,
    Next,
    Outcome,
    Result,
    RetryPolicy,
    Sending,
    State,
    Turn,
    after,
    blockade_after,
    breaker_after,
    breaker_allows,
    reopened,
    resend_since,
    turn_of,
)
from offhook.pipeline.ports.outbox import MOST_AT_ONCE, Attempt, Claimed, Finished

DESTINATION = "rockerbox"
# As the indexes say it.
_MAY_BE_CLAIMED = text(may_move(CONVERSION_MOVES, Event.CLAIM))
_MAY_EXPIRE = text(may_move(CONVERSION_MOVES, Result.LEASE_EXPIRED))
_MAY_HAVE_ARRIVED = text(f"{may_move(CONVERSION_MOVES, Event.TURN_OF_DAY)} AND maybe_sent = 1")
_CLAIMED = CONVERSION_MOVES.only_target(Event.CLAIM)
_HELD = CONVERSION_MOVES.only_target(Event.TURN_OF_DAY)
_OF_A_SENDING = [
    conversions.c[name]
    for name in (
        "account_sid", "call_sid", "fence", "attempts", "expired_leases", "horizon_from", "first_attempt_at",
        "maybe_sent", "payload",
    )
]  # fmt: skip
_FAR = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Health:
    """What all workers know of the destination."""

    breaker: Breaker
    blockade: Blockade


@dataclass(frozen=True, slots=True)
class _Written:
    """Results as they were written; `fresh` are those attempts that the journal did not know before."""

    moved: Sequence[Attempt]
    late: Sequence[Attempt]
    fresh: Sequence[Attempt]


class OutboxTable:
    """`Outbox` of pipeline/ports/outbox.py."""

    def __init__(self, database: Database, breaker_policy: BreakerPolicy) -> None:
        self._database = database
        self._breaker_policy = breaker_policy

    def claim(
        self, now: datetime, limit: int, lease_seconds: float, policy: RetryPolicy, *, newest: bool = False
    ) -> Claimed:
        """Lease due conversions, hold those that may not leave twice. A look without the write lock comes first: most find nothing."""
        since = resend_since(now, policy) or _FAR
        with self._database.read() as connection:
            looks = select(exists().where(*_due(now)), exists().where(_overdue(since)))
            waiting, overdue = connection.execute(looks).one()
            allowed = waiting and breaker_allows(_read_health(connection).breaker, limit, now, self._breaker_policy)
        if not allowed and not overdue:
            return Claimed()
        with self._database.write() as connection:
            held = _hold(connection, since, now) if overdue else []
            taken = self._lease(connection, now, limit, lease_seconds, newest) if allowed else []
        return Claimed(sorted(map(_sending, taken), key=lambda one: one.horizon_from), held)

    def _lease(
        self, connection: Connection, now: datetime, limit: int, lease_seconds: float, newest: bool
    ) -> Sequence[Row[Any]]:
        """As many as the breaker lets out. A probe is one worker's alone: the door closes behind it."""
        health = _read_health(connection, lock=True)
        allowed = breaker_allows(health.breaker, limit, now, self._breaker_policy)
        until = now + timedelta(seconds=lease_seconds)
        wanted = {"now": now, "until": until, "limit": allowed}
        taken = connection.execute(_LEASE_NEWEST if newest else _LEASE_OLDEST, wanted).all() if allowed else []
        if taken and health.breaker.failures >= self._breaker_policy.threshold:
            opened = reopened(health.breaker, now, self._breaker_policy)
            _write_health(connection, replace(health, breaker=opened))
        return taken

    def finish(self, done: Sequence[Attempt], now: datetime) -> Finished:
        """Journal attempts and move their conversions, those whose fence still holds, and a late 2xx."""
        if not done:
            return Finished()
        ready = moves.ready(done)
        with self._database.write() as connection:
            written = _write(connection, ready)
            count_sent(connection, {one.sending.key for one in written.moved})
            turn = self._note_health(connection, written.fresh, now)
        return Finished(written.moved, written.late, turn)

    def _note_health(self, connection: Connection, tried: Sequence[Attempt], now: datetime) -> tuple[Turn, str] | None:
        before = _read_health(connection)
        if self._health_after(before, tried, now) == before:
            return None
        before = _read_health(connection, lock=True)
        later = self._health_after(before, tried, now)
        _write_health(connection, later)
        turn = turn_of(before.blockade, later.blockade, self._breaker_policy)
        return None if turn is None else (turn, later.blockade.reason or before.blockade.reason or "")

    def _health_after(self, health: _Health, tried: Sequence[Attempt], now: datetime) -> _Health:
        results = [one.outcome.result for one in tried]
        return _Health(
            breaker_after(health.breaker, results, now, self._breaker_policy),
            blockade_after(health.blockade, [(one.outcome, one.started_at) for one in tried], now),
        )

    def expire_leases(self, now: datetime, policy: RetryPolicy) -> Sequence[Attempt]:
        """Take back conversions whose worker's lease ended."""
        late = and_(_MAY_EXPIRE, conversions.c.lease_until < now)
        with self._database.read() as connection:
            if not connection.execute(select(exists().where(late))).scalar_one():
                return []
        with self._database.write() as connection:
            some = select(conversions).where(late).order_by(conversions.c.lease_until).limit(MOST_AT_ONCE)
            rows = connection.execute(some.with_for_update(skip_locked=True)).all()
            expired = _unless_arrived(connection, moves.ready([_expired(row, now, policy) for row in rows]))
            moves.move(connection, expired)
            moves.journal(connection, expired)
            count_sent(connection, [one.sending.key for one in expired.attempts])
            return expired.attempts

    def retry(self, keys: Sequence[CallKey], now: datetime, *, asked_at: datetime | None = None) -> int:
        """Send these again, whatever they rest in but delivered. Returns how many were moved.

        What came before binds no more: a person has looked, and has said that a copy may go out now, whatever the day.
        In batches, so that no callback waits for it. What was sent again since `asked_at` stays as it is.
        """
        moved, before = 0, micros(asked_at or _FAR)
        for first in range(0, len(keys), _RETRIED_AT_ONCE):
            batch = [
                {**key._asdict(), "now": micros(now), "asked_at": before} for key in keys[first:][:_RETRIED_AT_ONCE]
            ]
            retried = with_rows(_RETRY, {**KEY, "now": "bigint", "asked_at": "bigint"}, batch)
            with self._database.write() as connection:
                moved += retried.run(connection)
                count_sent(connection, keys[first:][:_RETRIED_AT_ONCE])
        return moved


def _due(now: Any) -> tuple[Any, ...]:
    return (_MAY_BE_CLAIMED, conversions.c.due_at <= now)


def _overdue(since: datetime) -> Any:
    """What may have arrived on another day than the one that began at `since`."""
    return and_(_MAY_HAVE_ARRIVED, conversions.c.first_attempt_at < since)


def _is(picked: Any) -> Any:
    return and_(conversions.c.account_sid == picked.c.account_sid, conversions.c.call_sid == picked.c.call_sid)


def _leasing(order: Any) -> Any:
    """The statement that leases what is due, made once: to put it together costs as much as to run it."""
    now, until = bindparam("now", type_=Moment), bindparam("until", type_=Moment)
    due = select(conversions.c.account_sid, conversions.c.call_sid).where(*_due(now)).order_by(order)
    picked = due.limit(bindparam("limit", type_=Integer)).with_for_update(skip_locked=True).cte("picked")
    values = {
        "state": _CLAIMED.value,
        "lease_until": until,
        "due_at": None,
        "fence": conversions.c.fence + 1,
        "attempts": conversions.c.attempts + 1,
        "first_attempt_at": func.coalesce(conversions.c.first_attempt_at, now),
    }
    return update(conversions).where(_is(picked)).values(values).returning(*_OF_A_SENDING)


_LEASE_OLDEST, _LEASE_NEWEST = _leasing(conversions.c.due_at), _leasing(conversions.c.due_at.desc())


def _hold(connection: Connection, since: datetime, now: datetime) -> list[Attempt]:
    """What may have arrived, and may not leave again by the policy of now, is a person's, due or not."""
    overdue = select(conversions.c.account_sid, conversions.c.call_sid).where(_overdue(since))
    some = overdue.order_by(conversions.c.first_attempt_at).limit(MOST_AT_ONCE)
    picked = some.with_for_update(skip_locked=True).cte("picked")
    values = {"state": _HELD.value, "reason": DAY_TURNED, "due_at": None}
    rows = connection.execute(update(conversions).where(_is(picked)).values(values).returning(*_OF_A_SENDING)).all()
    count_sent(connection, map(key_of, rows))
    outcome, to = Outcome(Result.HELD, DAY_TURNED), Next(_HELD, DAY_TURNED)
    return [Attempt(_sending(row), outcome, now, now, to) for row in rows]


def _sending(row: Row[Any]) -> Sending:
    return Sending(
        key=key_of(row),
        fence=row.fence,
        attempts=row.attempts,
        expired_leases=row.expired_leases,
        horizon_from=row.horizon_from,
        first_attempt_at=row.first_attempt_at,
        maybe_sent=bool(row.maybe_sent),
        payload=bytes(row.payload),
    )


def _expired(row: Row[Any], now: datetime, policy: RetryPolicy) -> Attempt:
    """The attempt of a worker whose lease ended: where its conversion goes, should nobody know better."""
    counted = replace(_sending(row), expired_leases=row.expired_leases + 1)
    outcome = Outcome(Result.LEASE_EXPIRED, "lease_expired")
    return Attempt(counted, outcome, row.lease_until, now, after(counted, outcome, now, policy))


def _unless_arrived(connection: Connection, done: moves.Ready) -> moves.Ready:
    """Where a late 2xx has come of an earlier attempt while this one was under way, the conversion has arrived."""
    doubtful = {
        one.sending.key for one in done.attempts if one.sending.maybe_sent and one.next.state is not State.DELIVERED
    }
    known = moves.arrived(connection, doubtful)
    if not known:
        return done
    to = Next(CONVERSION_MOVES.check(State.SENDING, Event.ARRIVED, State.DELIVERED), LATE_ANSWER)
    return moves.ready([replace(one, next=to) if one.sending.key in known else one for one in done.attempts])


def _write(connection: Connection, done: moves.Ready) -> _Written:
    wanted = _unless_arrived(connection, done)
    ours = moves.move(connection, wanted)
    if len(ours) == len(wanted.attempts):
        moves.journal(connection, wanted)
        return _Written(wanted.attempts, [], moves.left(wanted.attempts))
    moved = [one for one in wanted.attempts if (one.sending.key, one.sending.fence) in ours]
    unmoved = [one for one in wanted.attempts if (one.sending.key, one.sending.fence) not in ours]
    moves.journal(connection, moves.ready(moved))
    return _with_late(connection, moved, unmoved)


def _with_late(connection: Connection, moved: Sequence[Attempt], unmoved: Sequence[Attempt]) -> _Written:
    """What those come to whose fence did not hold any more."""
    lost = moves.left(unmoved)
    known = moves.journaled(connection, lost)
    fresh = [one for one in lost if moves.attempt_key(one) not in known]
    settled = _settle_late(connection, fresh)
    # The commit of an earlier try came through, though nobody learned of it.
    before = [one for one in lost if known.get(moves.attempt_key(one), moves.LATE) != moves.LATE]
    gone = {one.sending.key for one in (*settled, *before)}
    late = [one for one in lost if one.sending.key not in gone]
    return _Written([*moved, *before, *settled], late, moves.left([*moved, *fresh]))


def _settle_late(connection: Connection, late: Sequence[Attempt]) -> list[Attempt]:
    """Note results whose fence is lost. Returns those that delivered their conversion all the same."""
    moves.journal_late(connection, late)
    answered = {one.sending.key: one for one in late if one.outcome.result is Result.DELIVERED}
    settled = moves.deliver_late(connection, answered.values())
    to = Next(State.DELIVERED, LATE_ANSWER)
    return [replace(one, next=to) for key, one in answered.items() if key in settled]


def _read_health(connection: Connection, *, lock: bool = False) -> _Health:
    statement = select(breakers).where(breakers.c.destination == DESTINATION)
    row = connection.execute(statement.with_for_update() if lock else statement).first()
    if row is None:
        return _Health(Breaker(), Blockade())
    return _Health(
        Breaker(row.failures, row.opened, row.open_until), Blockade(row.blocked_reason, row.blocked_changed_at)
    )


def _write_health(connection: Connection, health: _Health) -> None:
    values = {
        "failures": health.breaker.failures,
        "opened": health.breaker.opened,
        "open_until": health.breaker.open_until,
        "blocked_reason": health.blockade.reason,
        "blocked_changed_at": health.blockade.changed_at,
    }
    changed = ", ".join(f"{name} = excluded.{name}" for name in values)
    row = {"destination": DESTINATION, **values}
    insert(breakers, [row], f"ON CONFLICT (destination) DO UPDATE SET {changed}").run(connection)


_RETRIED_AT_ONCE = 500
_RETRY = (
    f"UPDATE conversions SET state = '{CONVERSION_MOVES.only_target(Event.RETRY)}', "
    "reason = 'asked_by_a_person', due_at = v.now, horizon_from = v.now, "
    "first_attempt_at = NULL, maybe_sent = 0, expired_leases = 0 FROM {rows} "
    "WHERE conversions.account_sid = v.account_sid AND conversions.call_sid = v.call_sid AND conversions.horizon_from < v.asked_at "
    f"AND {may_move(CONVERSION_MOVES, Event.RETRY, of_the_row('conversions.state'))}"
)
