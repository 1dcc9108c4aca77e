"""A conversion's way out: what an attempt came to (Outcome), where a conversion stands (State), and when to try again.

The state machine is the table CONVERSION_MOVES; nothing else decides where a conversion goes. Pure: no clock, no I/O.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum

from offhook.pipeline.callback import CallKey
from offhook.pipeline.states import Moves


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
    BLOCKED = "blocked"  # the destination takes nothing from us now: its own fault or a setting's, not the payload's
    REFUSED = "refused"  # the destination will never take it: the payload's fault
    MAYBE_SENT = "maybe_sent"  # the request left us, and nobody knows what became of it
    LEASE_EXPIRED = "lease_expired"  # the worker was killed or stalled while sending
    RELEASED = "released"  # claimed, never sent: a worker that stops gives it back
    HELD = "held"  # claimed, never sent: no copy may leave, as one may have arrived, or as none would be counted


# What an answer's status says by itself. Said by a gateway after it forwarded the request, or by none at all: it may have
# arrived. The setting OFFHOOK_MAYBE_SENT_STATUSES may name others. 52x are Cloudflare's,
# https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-5xx-errors/
MAYBE_SENT_STATUSES = frozenset({408, 502, 504, 520, 524, 527})
# The payload's fault: no later attempt can be taken.
REFUSED_STATUSES = frozenset({400, 409, 410, 413, 414, 415, 422, 431})
LATER_STATUSES = frozenset({408, 425, 429})
# Every 5xx that is known, by https://www.iana.org/assignments/http-status-codes or as Cloudflare's: not taken.
NOT_TAKEN_STATUSES = frozenset({*range(500, 509), 510, 511, *range(520, 528), 530})

UNSENT = frozenset({Result.RELEASED, Result.HELD})  # no attempt at all: not journaled, not counted
DAY_TURNED = "day_turned"  # the reason word of what is held: a second copy might count, or none is allowed
KEY_LACKS = (
    "key_lacks_"  # how the reason word of what is held begins that would not be counted; the field comes behind it
)
LATE_ANSWER = "late_answer"  # the reason word of what a late 2xx delivered


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


class Event(StrEnum):
    """What moves a conversion beside the result of an attempt."""

    CLAIM = "claim"
    TURN_OF_DAY = "day_turned"  # it may have arrived, and a second copy might arrive on another day, or is not allowed
    LATE_ANSWER = "late_answer"  # a 2xx whose fence was lost: a fact all the same, while nobody sends it
    ARRIVED = "arrived"  # an attempt is over, and a late 2xx of an earlier one has come meanwhile
    RETRY = "ask_again"  # a person wants it sent again
    REBUILD = "rebuild"  # a person has it decided anew


# The whole machine: (where it stands, what happened) -> where it may go, the first being the usual one.
CONVERSION_MOVES: Moves[State, Event | Result] = Moves(
    {
        (State.PENDING, Event.CLAIM): (State.SENDING,),
        (State.PENDING, Event.TURN_OF_DAY): (State.AMBIGUOUS,),
        (State.SENDING, Result.DELIVERED): (State.DELIVERED,),
        (State.SENDING, Result.RETRY): (State.PENDING, State.DEAD),
        (State.SENDING, Result.BLOCKED): (State.PENDING, State.DEAD),
        (State.SENDING, Result.REFUSED): (State.DEAD,),
        (State.SENDING, Result.MAYBE_SENT): (State.PENDING, State.AMBIGUOUS, State.DEAD),
        (State.SENDING, Result.LEASE_EXPIRED): (State.PENDING, State.AMBIGUOUS, State.QUARANTINED, State.DEAD),
        (State.SENDING, Result.RELEASED): (State.PENDING,),
        (State.SENDING, Result.HELD): (State.AMBIGUOUS,),
        (State.SENDING, Event.ARRIVED): (State.DELIVERED,),
        (State.PENDING, Event.LATE_ANSWER): (State.DELIVERED,),
        (State.DEAD, Event.LATE_ANSWER): (State.DELIVERED,),
        (State.AMBIGUOUS, Event.LATE_ANSWER): (State.DELIVERED,),
        (State.QUARANTINED, Event.LATE_ANSWER): (State.DELIVERED,),
        (State.DEAD, Event.RETRY): (State.PENDING,),
        (State.AMBIGUOUS, Event.RETRY): (State.PENDING,),
        (State.QUARANTINED, Event.RETRY): (State.PENDING,),
        (State.DEAD, Event.REBUILD): (State.PENDING,),
        (State.AMBIGUOUS, Event.REBUILD): (State.PENDING,),
    },
    begin=(State.PENDING,),
)

MOVING = (*CONVERSION_MOVES.sources(Event.CLAIM), *CONVERSION_MOVES.targets(Event.CLAIM))
"""What waits to be sent by itself, and what is being sent."""

# What says for certain that the destination did not take it.
NOT_TAKEN = frozenset({Result.RETRY, Result.BLOCKED, Result.REFUSED})


def nothing_can_have_counted(state: State, maybe_sent: bool, attempts: Sequence[tuple[Result, int | None]]) -> bool:
    """Whether other bytes may be sent in place of these: refused with a 4xx at last, or held before any was sent that could
    be counted, and by no attempt ever in doubt.

    `attempts` are all that the journal knows, the latest last: what each came to, and the status that was answered.
    """
    if state not in CONVERSION_MOVES.sources(Event.REBUILD) or maybe_sent:
        return False
    status = (attempts[-1][1] or 0) if attempts else 0
    is_refused = state is State.AMBIGUOUS or 400 <= status < 500
    return is_refused and all(result in NOT_TAKEN for result, _ in attempts)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When to try again. All times are seconds; `day_zone` is the time zone in which Rockerbox's day turns.

    `blocked_base_seconds` is the base for what the destination's or a setting's fault keeps out. `margin_seconds` is how
    long an attempt may take: what may not arrive on another day must leave so long before the day turns.
    """

    base_seconds: float = 2.0
    blocked_base_seconds: float = 30.0
    cap_seconds: float = 1800.0
    horizon_seconds: float = 72 * 3600.0
    retry_after_cap_seconds: float = 6 * 3600.0
    max_expired_leases: int = 3
    resend: Resend = Resend.SAME_DAY
    day_zone: tzinfo = UTC
    margin_seconds: float = 15.0


@dataclass(frozen=True, slots=True)
class Sending:
    """A conversion that was claimed: what the next step depends on, beside the outcome.

    `fence` is the number of this claim: a result that carries an older one changes nothing. `attempts` counts this one.
    `expired_leases` counts the workers that took it and let their leases end. `horizon_from` is when it was decided, or
    sent again by a person: the horizon is counted from there. `first_attempt_at` is when the first attempt
    left that may have arrived, not when it was claimed; it binds when `maybe_sent`.
    """

    key: CallKey
    fence: int
    attempts: int
    expired_leases: int
    horizon_from: datetime
    first_attempt_at: datetime
    maybe_sent: bool
    payload: bytes = b""


@dataclass(frozen=True, slots=True)
class Next:
    """Where a conversion goes, why (one word), and when it is due again (only when `pending`)."""

    state: State
    reason: str
    due_at: datetime | None = None


def full_jitter(
    attempts: int, policy: RetryPolicy, draw: Callable[[], float] = random.random, base_seconds: float | None = None
) -> float:
    """Seconds to wait after the `attempts`-th attempt: anywhere from 0 to the doubled base, capped.

    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    base = policy.base_seconds if base_seconds is None else base_seconds
    return draw() * min(policy.cap_seconds, base * 2.0 ** min(attempts - 1, 62))


def may_resend(first_attempt_at: datetime, at: datetime, policy: RetryPolicy) -> bool:
    """True when a second copy that leaves at `at` cannot be counted, should the first one have arrived."""
    since = resend_since(at, policy)
    return since is not None and since <= first_attempt_at


def resend_since(at: datetime, policy: RetryPolicy) -> datetime | None:
    """What may have arrived since then may leave again at `at`; None when nothing may.

    That is the beginning of Rockerbox's day, as long as what leaves now arrives, at the latest, before that day is over.
    """
    if policy.resend is not Resend.SAME_DAY:
        return datetime.min.replace(tzinfo=UTC) if policy.resend is Resend.ALWAYS else None
    here = at.astimezone(policy.day_zone)
    arrives = (at + timedelta(seconds=policy.margin_seconds)).astimezone(policy.day_zone)
    if arrives.date() != here.date():
        return None
    return here.replace(hour=0, minute=0, second=0, microsecond=0, fold=0).astimezone(UTC)


def after(
    sending: Sending, outcome: Outcome, now: datetime, policy: RetryPolicy, draw: Callable[[], float] = random.random
) -> Next:
    """Where a conversion goes after an attempt came to `outcome`. Raises IllegalMove where CONVERSION_MOVES has no such move."""
    to = _next(sending, outcome, now, policy, draw)
    CONVERSION_MOVES.check(State.SENDING, outcome.result, to.state)
    return to


def _next(sending: Sending, outcome: Outcome, now: datetime, policy: RetryPolicy, draw: Callable[[], float]) -> Next:
    match outcome.result:
        case Result.DELIVERED | Result.REFUSED | Result.HELD:
            return Next(CONVERSION_MOVES.usual(State.SENDING, outcome.result), outcome.reason)
        case Result.RELEASED:
            return Next(State.PENDING, outcome.reason, now)
        case Result.RETRY | Result.BLOCKED:
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
    if not may_resend(sending.first_attempt_at, now, policy):
        return Next(State.AMBIGUOUS, outcome.reason)
    return _again(sending, outcome, now, policy, draw)


def _again(sending: Sending, outcome: Outcome, now: datetime, policy: RetryPolicy, draw: Callable[[], float]) -> Next:
    """Later. A wait that ends beyond the horizon leaves a last attempt at the horizon."""
    horizon = sending.horizon_from + timedelta(seconds=policy.horizon_seconds)
    if now >= horizon:
        return Next(State.DEAD, "horizon_passed")
    base = policy.blocked_base_seconds if outcome.result is Result.BLOCKED else policy.base_seconds
    wait = full_jitter(sending.attempts, policy, draw, base)
    if outcome.retry_after_seconds is not None:
        wait = max(wait, min(outcome.retry_after_seconds, policy.retry_after_cap_seconds))
    return Next(State.PENDING, outcome.reason, min(now + timedelta(seconds=wait), horizon))


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
    """Opens after `threshold` failures in a row, for `base_seconds` doubled each time up to `cap_seconds`.

    A blockade that comes back within `same_blockade_seconds` is the same one, for which nobody is called a second time.
    """

    threshold: int = 20
    base_seconds: float = 5.0
    cap_seconds: float = 120.0
    same_blockade_seconds: float = 600.0


_UNHEALTHY = frozenset({Result.RETRY, Result.BLOCKED, Result.REFUSED, Result.MAYBE_SENT})


def breaker_after(breaker: Breaker, results: Collection[Result], now: datetime, policy: BreakerPolicy) -> Breaker:
    """The breaker after some attempts: a success closes it, and nothing else does.

    Refusals count as failures, those of the payload's fault as well: when every one is refused, it is not the payloads.
    """
    if Result.DELIVERED in results:
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


class Turn(StrEnum):
    """How a blockade changed."""

    BEGAN = "began"
    AGAIN = "again"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Blockade:
    """Whether the destination takes nothing from us (`Result.BLOCKED`), shared by all workers through the ledger.

    `reason` is None while it takes what comes. `changed_at` is when that began or ended; what left before then says
    nothing new.
    """

    reason: str | None = None
    changed_at: datetime | None = None


def blockade_after(blockade: Blockade, tried: Collection[tuple[Outcome, datetime]], now: datetime) -> Blockade:
    """The blockade after some attempts, each with the time at which it left. The one that left last decides."""
    decisive = [
        (left_at, outcome.reason if outcome.result is Result.BLOCKED else None)
        for outcome, left_at in tried
        if outcome.result in (Result.BLOCKED, Result.DELIVERED)
        and (blockade.changed_at is None or left_at >= blockade.changed_at)
    ]
    if not decisive:
        return blockade
    _, reason = max(decisive, key=lambda one: (one[0], one[1] is None))
    return blockade if (reason is None) == (blockade.reason is None) else Blockade(reason, now)


def turn_of(before: Blockade, after: Blockade, policy: BreakerPolicy) -> Turn | None:
    """What is logged of it; None when nothing changed."""
    if (before.reason is None) == (after.reason is None):
        return None
    if after.reason is None:
        return Turn.OVER
    if before.changed_at is None or after.changed_at is None:
        return Turn.BEGAN
    pause_seconds = (after.changed_at - before.changed_at).total_seconds()
    return Turn.AGAIN if pause_seconds < policy.same_blockade_seconds else Turn.BEGAN
