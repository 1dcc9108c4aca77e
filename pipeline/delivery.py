"""A conversion's way out: what an attempt came to (Outcome), where a conversion stands (State), and when to try again.

The state machine is the table TRANSITIONS; nothing else decides where a conversion goes. Pure: no clock, no I/O.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum

from pipeline.call import CallKey


class State(StrEnum):
    """Where a conversion stands in the outbox."""

    PENDING = "pending"
    SENDING = "sending"
    DELIVERED = "delivered"
    DEAD = "dead"
    AMBIGUOUS = "ambiguous"
    QUARANTINED = "quarantined"


class Result(StrEnum):
    """What one attempt came to."""

    DELIVERED = "delivered"
    RETRY = "retry"  # the destination did not take it and said or showed that it may later
    REFUSED = "refused"  # the destination will never take it
    MAYBE_SENT = "maybe_sent"  # the request left us and no answer came back
    LEASE_EXPIRED = "lease_expired"  # the worker was killed or stalled while sending
    RELEASED = "released"  # claimed, never sent: a worker that stops gives it back


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the destination answered to one attempt.

    `reason` is one word of ours, the same in log, ledger and page. `status_code` is None when no answer came. `answer`
    is what could be read of the body, cut to the limit. `retry_after_seconds` is what the destination asked for.
    `answered_at` is when it answered by its own clock, in whole seconds; None when it did not say.
    """

    result: Result
    reason: str
    status_code: int | None = None
    answer: str = ""
    retry_after_seconds: float | None = None
    answered_at: datetime | None = None


class Resend(StrEnum):
    """What to do with a conversion that may have arrived (setting OFFHOOK_RESEND_AMBIGUOUS).

    Rockerbox ignores a second one of the same day, so SAME_DAY cannot count twice; ALWAYS is right when the account has
    cross-day deduplication on, keyed by `order_id`; NEVER holds each for a person.
    """

    SAME_DAY = "same-day"
    ALWAYS = "always"
    NEVER = "never"


# The whole machine: (where it stands, what happened) -> where it may go, the first being the usual one.
# `sending` is entered by a claim alone, and a person's `retry` brings the four resting states back to `pending`.
TRANSITIONS: dict[tuple[State, Result | str], tuple[State, ...]] = {
    (State.PENDING, "claim"): (State.SENDING, State.AMBIGUOUS),
    (State.SENDING, Result.DELIVERED): (State.DELIVERED,),
    (State.SENDING, Result.RETRY): (State.PENDING, State.DEAD),
    (State.SENDING, Result.REFUSED): (State.DEAD,),
    (State.SENDING, Result.MAYBE_SENT): (State.PENDING, State.AMBIGUOUS, State.DEAD),
    (State.SENDING, Result.LEASE_EXPIRED): (State.PENDING, State.AMBIGUOUS, State.QUARANTINED),
    (State.SENDING, Result.RELEASED): (State.PENDING,),
    (State.DEAD, "retry"): (State.PENDING,),
    (State.AMBIGUOUS, "retry"): (State.PENDING,),
    (State.QUARANTINED, "retry"): (State.PENDING,),
}


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When to try again. All times are seconds; `day_zone` is the time zone in which Rockerbox's day turns."""

    base_seconds: float = 2.0
    cap_seconds: float = 1800.0
    horizon_seconds: float = 72 * 3600.0
    retry_after_cap_seconds: float = 6 * 3600.0
    max_expired_leases: int = 3
    resend: Resend = Resend.SAME_DAY
    day_zone: tzinfo = UTC


@dataclass(frozen=True, slots=True)
class Sending:
    """A conversion that was claimed: what the next step depends on, beside the outcome.

    `fence` is the number of this claim: a result that carries an older one changes nothing. `attempts` counts this one.
    `expired_leases` counts the workers that took it and were not heard of again.
    """

    key: CallKey
    fence: int
    attempts: int
    expired_leases: int
    created_at: datetime
    first_attempt_at: datetime
    maybe_sent: bool
    payload: bytes = b""


@dataclass(frozen=True, slots=True)
class Next:
    """Where a conversion goes, why (one word), and when it is due again (only when `pending`)."""

    state: State
    reason: str
    due_at: datetime | None = None


def full_jitter(attempts: int, policy: RetryPolicy, draw: Callable[[], float] = random.random) -> float:
    """Seconds to wait after the `attempts`-th attempt: anywhere from 0 to the doubled base, capped.

    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    ceiling = min(policy.cap_seconds, policy.base_seconds * 2.0 ** min(attempts - 1, 62))
    return draw() * ceiling


def may_resend(first_attempt_at: datetime, at: datetime, policy: RetryPolicy) -> bool:
    """True when a second copy that arrives at `at` cannot be counted, should the first one have arrived."""
    if policy.resend is not Resend.SAME_DAY:
        return policy.resend is Resend.ALWAYS
    return first_attempt_at.astimezone(policy.day_zone).date() == at.astimezone(policy.day_zone).date()


def after(
    sending: Sending, outcome: Outcome, now: datetime, policy: RetryPolicy, draw: Callable[[], float] = random.random
) -> Next:
    """Where a conversion goes after an attempt came to `outcome`. Always a move that TRANSITIONS allows."""
    match outcome.result:
        case Result.DELIVERED:
            return Next(State.DELIVERED, outcome.reason)
        case Result.REFUSED:
            return Next(State.DEAD, outcome.reason)
        case Result.RELEASED:
            return Next(State.PENDING, outcome.reason, now)
        case Result.RETRY:
            return _again(sending, outcome, now, policy, draw)
        case Result.MAYBE_SENT:
            return _after_maybe_sent(sending, outcome, now, policy, draw)
        case Result.LEASE_EXPIRED:
            if sending.expired_leases >= policy.max_expired_leases:
                return Next(State.QUARANTINED, "leases_expired")
            return _after_maybe_sent(sending, outcome, now, policy, draw)


def _after_maybe_sent(
    sending: Sending, outcome: Outcome, now: datetime, policy: RetryPolicy, draw: Callable[[], float]
) -> Next:
    """At once while a second copy cannot count; later and later when the destination goes on not answering."""
    if not may_resend(sending.first_attempt_at, now, policy):
        return Next(State.AMBIGUOUS, outcome.reason)
    if sending.attempts <= 1 or outcome.result is Result.LEASE_EXPIRED:
        return Next(State.PENDING, outcome.reason, now)
    return _again(sending, outcome, now, policy, draw)


def _again(sending: Sending, outcome: Outcome, now: datetime, policy: RetryPolicy, draw: Callable[[], float]) -> Next:
    wait = full_jitter(sending.attempts, policy, draw)
    if outcome.retry_after_seconds is not None:
        wait = max(wait, min(outcome.retry_after_seconds, policy.retry_after_cap_seconds))
    due_at = now + timedelta(seconds=wait)
    if due_at > sending.created_at + timedelta(seconds=policy.horizon_seconds):
        return Next(State.DEAD, "horizon_passed")
    return Next(State.PENDING, outcome.reason, due_at)


@dataclass(frozen=True, slots=True)
class Breaker:
    """One destination's health, shared by all workers through the ledger: while it is open nothing is sent.

    `failures` counts those in a row; `opened` how often it opened since the last success.
    """

    failures: int = 0
    opened: int = 0
    open_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """Opens after `threshold` failures in a row, for `base_seconds` doubled each time up to `cap_seconds`."""

    threshold: int = 20
    base_seconds: float = 5.0
    cap_seconds: float = 120.0


_UNHEALTHY = frozenset({Result.RETRY, Result.MAYBE_SENT})


def breaker_after(breaker: Breaker, results: list[Result], now: datetime, policy: BreakerPolicy) -> Breaker:
    """The breaker after some attempts: one success or refusal shows that the destination lives and closes it."""
    if any(result in (Result.DELIVERED, Result.REFUSED) for result in results):
        return Breaker()
    failures = breaker.failures + sum(result in _UNHEALTHY for result in results)
    if failures == breaker.failures or failures < policy.threshold:
        return Breaker(failures, breaker.opened, breaker.open_until)
    if breaker.open_until is not None and breaker.open_until > now:
        return Breaker(failures, breaker.opened, breaker.open_until)  # under way when it opened, or its probe
    return reopened(Breaker(failures, breaker.opened, breaker.open_until), now, policy)


def reopened(breaker: Breaker, now: datetime, policy: BreakerPolicy) -> Breaker:
    """Open for the next, longer pause. A probe that is let out does this too: only its success opens the door again."""
    wait = min(policy.cap_seconds, policy.base_seconds * 2.0 ** min(breaker.opened, 30))
    return Breaker(breaker.failures, breaker.opened + 1, now + timedelta(seconds=wait))


def breaker_allows(breaker: Breaker, limit: int, now: datetime, policy: BreakerPolicy) -> int:
    """How many conversions may be claimed now: all, none while open, one probe when the time is over."""
    if breaker.failures < policy.threshold:
        return limit
    if breaker.open_until is not None and breaker.open_until > now:
        return 0
    return min(limit, 1)
