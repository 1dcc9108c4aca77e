"""The outbox in memory: `Outbox` without a database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from offhook.pipeline.callback import CallKey
from offhook.pipeline.delivery import (
    DAY_TURNED,
    LATE_ANSWER,
    UNSENT,
    BreakerPolicy,
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
from tests.fakes.kept import Kept, KeptAttempt, KeptConversion

_RETRYABLE = (State.DEAD, State.AMBIGUOUS, State.QUARANTINED)


class MemoryOutbox:
    def __init__(self, kept: Kept, breaker_policy: BreakerPolicy) -> None:
        self._kept = kept
        self._policy = breaker_policy

    def claim(
        self, now: datetime, limit: int, lease_seconds: float, policy: RetryPolicy, *, newest: bool = False
    ) -> Claimed:
        held = self._hold(now, policy)
        allowed = breaker_allows(self._kept.breaker, limit, now, self._policy)
        due = [
            (one.due_at, one.key, one)
            for one in self._kept.conversions.values()
            if one.state is State.PENDING and one.due_at is not None and one.due_at <= now
        ]
        taken = [one for _, _, one in sorted(due, key=lambda each: each[0], reverse=newest)[:allowed]]
        for one in taken:
            _lease(one, now, now + timedelta(seconds=lease_seconds))
        if taken and self._kept.breaker.failures >= self._policy.threshold:
            self._kept.breaker = reopened(self._kept.breaker, now, self._policy)
        return Claimed(sorted((one.sending() for one in taken), key=lambda one: one.horizon_from), held)

    def _hold(self, now: datetime, policy: RetryPolicy) -> list[Attempt]:
        since, held = resend_since(now, policy), []
        unsure = [
            (one.first_attempt_at, one)
            for one in self._kept.conversions.values()
            if one.state is State.PENDING and one.maybe_sent and one.first_attempt_at
        ]
        overdue = [(first, one) for first, one in unsure if since is None or first < since]
        for _, one in sorted(overdue, key=lambda each: each[0])[:MOST_AT_ONCE]:
            held.append(_held(one.sending(), now))
            one.state, one.reason, one.due_at = State.AMBIGUOUS, DAY_TURNED, None
        return held

    def finish(self, attempts: Sequence[Attempt], now: datetime) -> Finished:
        moved, late, fresh = [], [], []
        for one in map(self._unless_arrived, attempts):
            if self._is_ours(one):
                self._move(one, came_late=False)
                moved.append(one)
                fresh += _left([one])
            elif _left([one]):
                settled = self._came_late(one, fresh)
                moved += [settled] if settled else []
                late += [] if settled else [one]
        return Finished(moved, late, self._note_health(fresh, now))

    def _is_ours(self, one: Attempt) -> bool:
        kept = self._kept.conversions[one.sending.key]
        return (kept.fence, kept.state) == (one.sending.fence, State.SENDING)

    def _came_late(self, one: Attempt, fresh: list[Attempt]) -> Attempt | None:
        """An attempt whose fence is lost: as it moved its conversion, before or now; None where it moved nothing."""
        known = [each for each in self._kept.attempts if _is_the_same(each.attempt, one)]
        if known:
            return None if known[0].came_late else one
        fresh.append(one)
        self._kept.attempts.append(KeptAttempt(one, came_late=True))
        kept = self._kept.conversions[one.sending.key]
        if one.outcome.result is not Result.DELIVERED or kept.state in (State.SENDING, State.DELIVERED):
            return None
        kept.state, kept.reason, kept.due_at = State.DELIVERED, LATE_ANSWER, None
        kept.delivered_at = one.finished_at
        return replace(one, next=Next(State.DELIVERED, LATE_ANSWER))

    def _unless_arrived(self, one: Attempt) -> Attempt:
        """Where a 2xx has come of an earlier attempt, the conversion has arrived."""
        if not one.sending.maybe_sent or one.next.state is State.DELIVERED:
            return one
        came = {each.attempt.outcome.result for each in self._kept.attempts if _key(each) == one.sending.key}
        return replace(one, next=Next(State.DELIVERED, LATE_ANSWER)) if Result.DELIVERED in came else one

    def _move(self, one: Attempt, *, came_late: bool) -> None:
        kept, sending, result = self._kept.conversions[one.sending.key], one.sending, one.outcome.result
        kept.state, kept.reason, kept.due_at, kept.lease_until = one.next.state, one.next.reason, one.next.due_at, None
        kept.attempts = sending.attempts - (result in UNSENT)
        kept.expired_leases = sending.expired_leases
        kept.maybe_sent = sending.maybe_sent or result in (Result.MAYBE_SENT, Result.LEASE_EXPIRED)
        kept.first_attempt_at = sending.first_attempt_at if kept.maybe_sent else None
        kept.delivered_at = one.finished_at if one.next.state is State.DELIVERED else None
        self._kept.attempts += [KeptAttempt(each, came_late) for each in _left([one])]

    def _note_health(self, tried: Sequence[Attempt], now: datetime) -> tuple[Turn, str] | None:
        before = self._kept.blockade
        results = [one.outcome.result for one in tried]
        self._kept.breaker = breaker_after(self._kept.breaker, results, now, self._policy)
        self._kept.blockade = blockade_after(before, [(one.outcome, one.started_at) for one in tried], now)
        turn = turn_of(before, self._kept.blockade, self._policy)
        return None if turn is None else (turn, self._kept.blockade.reason or before.reason or "")

    def expire_leases(self, now: datetime, policy: RetryPolicy) -> Sequence[Attempt]:
        late = [
            one
            for one in self._kept.conversions.values()
            if one.state is State.SENDING and one.lease_until is not None and one.lease_until < now
        ]
        expired = [
            self._unless_arrived(_expired(one, now, policy)) for one in sorted(late, key=_lease_until)[:MOST_AT_ONCE]
        ]
        for one in expired:
            self._move(one, came_late=False)
        return expired

    def retry(self, keys: Sequence[CallKey], now: datetime, *, asked_at: datetime | None = None) -> int:
        found = [self._kept.conversions[key] for key in set(keys) if key in self._kept.conversions]
        resting = [one for one in found if one.state in _RETRYABLE]
        again = [one for one in resting if asked_at is None or one.horizon_from < asked_at]
        for one in again:
            one.state, one.reason, one.due_at, one.horizon_from = State.PENDING, "asked_by_a_person", now, now
            one.first_attempt_at, one.maybe_sent, one.expired_leases = None, False, 0
        return len(again)


def _lease(one: KeptConversion, now: datetime, until: datetime) -> None:
    one.state, one.lease_until, one.due_at = State.SENDING, until, None
    one.fence, one.attempts, one.first_attempt_at = one.fence + 1, one.attempts + 1, one.first_attempt_at or now


def _lease_until(one: KeptConversion) -> datetime:
    assert one.lease_until is not None
    return one.lease_until


def _held(sending: Sending, now: datetime) -> Attempt:
    return Attempt(sending, Outcome(Result.HELD, DAY_TURNED), now, now, Next(State.AMBIGUOUS, DAY_TURNED))


def _expired(one: KeptConversion, now: datetime, policy: RetryPolicy) -> Attempt:
    counted = replace(one.sending(), expired_leases=one.expired_leases + 1)
    outcome = Outcome(Result.LEASE_EXPIRED, "lease_expired")
    return Attempt(counted, outcome, _lease_until(one), now, after(counted, outcome, now, policy))


def _left(attempts: Iterable[Attempt]) -> list[Attempt]:
    return [one for one in attempts if one.outcome.result not in UNSENT]


def _key(one: KeptAttempt) -> CallKey:
    return one.attempt.sending.key


def _is_the_same(one: Attempt, other: Attempt) -> bool:
    return _identity(one) == _identity(other)


def _identity(one: Attempt) -> tuple[CallKey, int, datetime, Result]:
    return one.sending.key, one.sending.fence, one.started_at, one.outcome.result
