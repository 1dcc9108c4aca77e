"""The delivery state machine: each move is in the table, and a second copy is never sent where it could count."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.call import CallKey
from pipeline.delivery import (
    TRANSITIONS,
    Breaker,
    BreakerPolicy,
    Outcome,
    Resend,
    Result,
    RetryPolicy,
    Sending,
    State,
    after,
    breaker_after,
    breaker_allows,
    full_jitter,
    may_resend,
    reopened,
)

pytestmark = pytest.mark.unit

NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)
POLICY = RetryPolicy()


def sending(*, attempts: int = 1, expired: int = 0, created: datetime = NOON, first: datetime = NOON) -> Sending:
    return Sending(CallKey("AC1", "CA1"), 1, attempts, expired, created, first, False)


def full() -> float:
    return 1.0


def test_a_delivered_conversion_rests() -> None:
    to = after(sending(), Outcome(Result.DELIVERED, "delivered", 200), NOON, POLICY)
    assert (to.state, to.due_at) == (State.DELIVERED, None)


def test_a_refused_conversion_is_dead_at_once() -> None:
    assert after(sending(), Outcome(Result.REFUSED, "http_400", 400), NOON, POLICY).state is State.DEAD


@pytest.mark.parametrize(("attempts", "seconds"), [(1, 2), (2, 4), (5, 32), (10, 1024), (11, 1800), (500, 1800)])
def test_waits_double_up_to_half_an_hour(attempts: int, seconds: float) -> None:
    assert full_jitter(attempts, POLICY, full) == seconds
    assert full_jitter(attempts, POLICY, lambda: 0.0) == 0


def test_retry_after_is_honoured_up_to_six_hours() -> None:
    for asked, waited in ((120, 120), (86_400, 6 * 3600)):
        outcome = Outcome(Result.RETRY, "http_429", 429, retry_after_seconds=asked)
        assert after(sending(), outcome, NOON, POLICY, full).due_at == NOON + timedelta(seconds=waited)


def test_after_72_hours_a_conversion_is_dead() -> None:
    late = NOON + timedelta(hours=72)
    to = after(sending(attempts=50), Outcome(Result.RETRY, "http_500", 500), late, POLICY, full)
    assert (to.state, to.reason) == (State.DEAD, "horizon_passed")


def test_what_may_have_arrived_is_sent_again_at_once_on_the_same_day() -> None:
    to = after(sending(), Outcome(Result.MAYBE_SENT, "reset"), NOON, POLICY, full)
    assert (to.state, to.due_at) == (State.PENDING, NOON)


def test_a_destination_that_never_answers_is_asked_less_and_less_often() -> None:
    to = after(sending(attempts=4), Outcome(Result.MAYBE_SENT, "deadline"), NOON, POLICY, full)
    assert to.due_at == NOON + timedelta(seconds=16)


def test_what_may_have_arrived_is_held_for_a_person_once_the_day_has_turned() -> None:
    night = NOON + timedelta(hours=12)
    for result in (Result.MAYBE_SENT, Result.LEASE_EXPIRED):
        assert after(sending(), Outcome(result, "reset"), night, POLICY).state is State.AMBIGUOUS


@pytest.mark.parametrize(
    ("resend", "allowed"), [(Resend.ALWAYS, True), (Resend.NEVER, False), (Resend.SAME_DAY, False)]
)
def test_the_policy_says_whether_a_second_copy_may_go_out_another_day(resend: Resend, allowed: bool) -> None:
    assert may_resend(NOON, NOON + timedelta(days=1), RetryPolicy(resend=resend)) is allowed


def test_the_day_turns_in_the_time_zone_of_the_account() -> None:
    evening = datetime(2026, 3, 12, 23, 30, tzinfo=UTC)
    assert not may_resend(evening, evening + timedelta(hours=1), POLICY)
    new_york = RetryPolicy(day_zone=ZoneInfo("America/New_York"))
    assert may_resend(evening, evening + timedelta(hours=1), new_york)


def test_three_expired_leases_quarantine_a_conversion() -> None:
    outcome = Outcome(Result.LEASE_EXPIRED, "lease_expired")
    assert after(sending(expired=2), outcome, NOON, POLICY).state is State.PENDING
    assert after(sending(expired=3), outcome, NOON, POLICY).state is State.QUARANTINED


@given(
    result=st.sampled_from(list(Result)),
    attempts=st.integers(1, 1000),
    expired=st.integers(0, 5),
    hours=st.floats(0, 200),
    retry_after=st.none() | st.floats(0, 1e9),
    resend=st.sampled_from(list(Resend)),
    draw=st.floats(0, 1),
)
def test_every_move_is_in_the_table(
    result: Result, attempts: int, expired: int, hours: float, retry_after: float | None, resend: Resend, draw: float
) -> None:
    now = NOON + timedelta(hours=hours)
    outcome = Outcome(result, "why", retry_after_seconds=retry_after)
    policy = RetryPolicy(resend=resend)
    to = after(sending(attempts=attempts, expired=expired), outcome, now, policy, lambda: draw)
    assert to.state in TRANSITIONS[State.SENDING, result]
    assert (to.due_at is not None) == (to.state is State.PENDING)
    assert to.due_at is None or now <= to.due_at <= NOON + timedelta(hours=max(72.0, hours))


BREAKER = BreakerPolicy(threshold=3, base_seconds=10, cap_seconds=40)


def test_the_breaker_opens_after_failures_in_a_row_and_lets_one_probe_out() -> None:
    breaker = breaker_after(Breaker(), [Result.RETRY] * 2, NOON, BREAKER)
    assert breaker_allows(breaker, 20, NOON, BREAKER) == 20
    breaker = breaker_after(breaker, [Result.MAYBE_SENT], NOON, BREAKER)
    assert breaker_allows(breaker, 20, NOON, BREAKER) == 0
    assert breaker_allows(breaker, 20, NOON + timedelta(seconds=10), BREAKER) == 1


def test_a_failing_probe_opens_the_breaker_for_longer_up_to_the_cap() -> None:
    breaker, now, pauses = Breaker(), NOON, []
    breaker = breaker_after(breaker, [Result.RETRY] * 3, now, BREAKER)
    for _ in range(4):
        assert breaker.open_until is not None
        pauses.append((breaker.open_until - now).total_seconds())
        now = breaker.open_until
        breaker = breaker_after(reopened(breaker, now, BREAKER), [Result.RETRY], now, BREAKER)
    assert pauses == [10, 20, 40, 40]


@pytest.mark.parametrize("result", [Result.DELIVERED, Result.REFUSED])
def test_an_answer_closes_the_breaker(result: Result) -> None:
    breaker = Breaker(failures=9, opened=3, open_until=NOON)
    assert breaker_after(breaker, [Result.RETRY, result], NOON, BREAKER) == Breaker()


def test_expired_leases_say_nothing_about_the_destination() -> None:
    assert breaker_after(Breaker(2), [Result.LEASE_EXPIRED, Result.RELEASED], NOON, BREAKER) == Breaker(2)
