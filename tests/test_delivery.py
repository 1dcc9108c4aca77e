"""The delivery state machine: each move is in the table, and a second copy is never sent where it could count."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.pipeline.callback import CallKey
from offhook.pipeline.delivery import (
    CONVERSION_MOVES,
    Blockade,
    Breaker,
    BreakerPolicy,
    Outcome,
    Resend,
    Result,
    RetryPolicy,
    Sending,
    State,
    Turn,
    after,
    blockade_after,
    breaker_after,
    breaker_allows,
    full_jitter,
    may_resend,
    reopened,
    turn_of,
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


@pytest.mark.parametrize("asked", [0.0, 1.0])
@pytest.mark.parametrize(("result", "waited"), [(Result.RETRY, 2), (Result.MAYBE_SENT, 2), (Result.BLOCKED, 30)])
def test_a_retry_after_that_is_shorter_than_the_back_off_shortens_nothing(
    asked: float, result: Result, waited: int
) -> None:
    outcome = Outcome(result, "http_503", 503, retry_after_seconds=asked)
    assert after(sending(), outcome, NOON, POLICY, full).due_at == NOON + timedelta(seconds=waited)


@pytest.mark.parametrize("result", [Result.RETRY, Result.BLOCKED])
def test_after_72_hours_a_conversion_is_dead(result: Result) -> None:
    late = NOON + timedelta(hours=72)
    to = after(sending(attempts=50), Outcome(result, "http_500", 500), late, POLICY, full)
    assert (to.state, to.reason) == (State.DEAD, "horizon_passed")


@pytest.mark.parametrize("retry_after", [None, 5 * 3600.0])
def test_a_wait_that_ends_beyond_the_horizon_leaves_a_last_attempt_at_the_horizon(retry_after: float | None) -> None:
    horizon = NOON + timedelta(hours=72)
    outcome = Outcome(Result.RETRY, "http_503", 503, retry_after_seconds=retry_after)
    to = after(sending(attempts=50), outcome, horizon - timedelta(minutes=10), POLICY, full)
    assert (to.state, to.due_at) == (State.PENDING, horizon)
    assert after(sending(attempts=51), outcome, horizon, POLICY, full).state is State.DEAD


def test_what_the_destination_or_a_setting_keeps_out_is_tried_again_slowly_and_never_refused() -> None:
    for attempts, seconds in ((1, 30), (2, 60), (5, 480), (50, 1800)):
        to = after(sending(attempts=attempts), Outcome(Result.BLOCKED, "http_403", 403), NOON, POLICY, full)
        assert (to.state, to.due_at) == (State.PENDING, NOON + timedelta(seconds=seconds))


@pytest.mark.parametrize("result", [Result.MAYBE_SENT, Result.LEASE_EXPIRED])
def test_what_may_have_arrived_is_sent_again_on_the_same_day_with_the_same_back_off(result: Result) -> None:
    to = after(sending(), Outcome(result, "reset"), NOON, POLICY, full)
    assert (to.state, to.due_at) == (State.PENDING, NOON + timedelta(seconds=2))


def test_a_destination_that_never_answers_is_asked_less_and_less_often() -> None:
    to = after(sending(attempts=4), Outcome(Result.MAYBE_SENT, "deadline"), NOON, POLICY, full)
    assert to.due_at == NOON + timedelta(seconds=16)


def test_what_may_have_arrived_is_held_for_a_person_once_the_day_has_turned() -> None:
    night = NOON + timedelta(hours=12)
    for result in (Result.MAYBE_SENT, Result.LEASE_EXPIRED):
        assert after(sending(), Outcome(result, "reset"), night, POLICY).state is State.AMBIGUOUS


def test_what_was_held_at_the_last_moment_waits_for_a_person() -> None:
    to = after(sending(), Outcome(Result.HELD, "day_turned"), NOON, POLICY)
    assert (to.state, to.reason, to.due_at) == (State.AMBIGUOUS, "day_turned", None)


@pytest.mark.parametrize(
    ("leaves", "allowed"),
    [("23:59:44", True), ("23:59:45", False), ("23:59:59", False), ("00:00:00", False), ("00:10:00", False)],
)
def test_a_second_copy_leaves_only_if_it_arrives_before_the_day_turns(leaves: str, allowed: bool) -> None:
    at = datetime.fromisoformat(f"2026-03-1{3 if leaves < '12' else 2}T{leaves}+00:00")
    assert may_resend(NOON, at, POLICY) is allowed


def test_the_day_begins_at_midnight_of_its_zone_though_the_clocks_are_changed_at_midnight() -> None:
    havana = RetryPolicy(day_zone=ZoneInfo("America/Havana"))  # 2026-03-08: from 0:00 to 1:00, from UTC-5 to UTC-4
    turn = datetime(2026, 3, 8, 5, tzinfo=UTC)
    evening = turn + timedelta(hours=20)
    assert may_resend(turn, evening, havana)
    assert not may_resend(turn - timedelta(seconds=1), evening, havana)


@given(
    first=st.integers(0, 400 * 86_400),
    later=st.integers(0, 3 * 86_400),
    zone=st.sampled_from(["UTC", "America/New_York", "America/Havana", "Asia/Kolkata", "Pacific/Apia"]),
)
def test_no_second_copy_is_ever_under_way_on_another_day_than_the_first(first: int, later: int, zone: str) -> None:
    policy = RetryPolicy(day_zone=ZoneInfo(zone))
    first_at = NOON + timedelta(seconds=first)
    at = first_at + timedelta(seconds=later)
    if may_resend(first_at, at, policy):
        days = {(moment.astimezone(policy.day_zone)).date() for moment in (first_at, at, at + timedelta(seconds=15))}
        assert len(days) == 1


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
    assert to.state in CONVERSION_MOVES.rows[State.SENDING, result]
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


def test_a_success_closes_the_breaker() -> None:
    breaker = Breaker(failures=9, opened=3, open_until=NOON)
    assert breaker_after(breaker, [Result.RETRY, Result.DELIVERED], NOON, BREAKER) == Breaker()


@pytest.mark.parametrize("result", [Result.RETRY, Result.MAYBE_SENT, Result.BLOCKED, Result.REFUSED])
def test_many_refusals_in_a_row_open_the_breaker_as_failures_do(result: Result) -> None:
    breaker = breaker_after(Breaker(), [result] * 3, NOON, BREAKER)
    assert breaker_allows(breaker, 20, NOON, BREAKER) == 0
    assert breaker_after(breaker, [result], NOON, BREAKER).failures == 4


def test_what_was_not_sent_says_nothing_about_the_destination() -> None:
    unsent = [Result.LEASE_EXPIRED, Result.RELEASED, Result.HELD]
    assert breaker_after(Breaker(2), unsent, NOON, BREAKER) == Breaker(2)


def blockade_of(*steps: tuple[float, float, Result]) -> list[Turn | None]:
    """The turns that attempts come to, one after the other: when each left and came back (seconds after noon), and its result."""
    blockade, turns = Blockade(), []
    for left, back, result in steps:
        left_at, now = (NOON + timedelta(seconds=seconds) for seconds in (left, back))
        later = blockade_after(blockade, [(Outcome(result, "http_403"), left_at)], now)
        turns.append(turn_of(blockade, later, BREAKER))
        blockade = later
    return turns


def test_a_destination_that_takes_nothing_is_said_once_and_so_is_its_end() -> None:
    blocked = [(second, second + 0.1, Result.BLOCKED) for second in range(6)]
    taken = [(second, second + 0.1, Result.DELIVERED) for second in range(6, 9)]
    assert blockade_of(*blocked, *taken) == [Turn.BEGAN, *[None] * 5, Turn.OVER, None, None]


def test_a_straggler_from_before_the_end_begins_nothing() -> None:
    assert blockade_of((0, 1, Result.BLOCKED), (2, 3, Result.DELIVERED), (2.9, 9, Result.BLOCKED)) == [
        Turn.BEGAN,
        Turn.OVER,
        None,
    ]


def test_a_blockade_that_comes_back_soon_is_the_same_one() -> None:
    first = [(0, 1, Result.BLOCKED), (2, 3, Result.DELIVERED)]
    assert blockade_of(*first, (100, 101, Result.BLOCKED))[-1] is Turn.AGAIN
    assert blockade_of(*first, (700, 701, Result.BLOCKED))[-1] is Turn.BEGAN


@pytest.mark.parametrize("result", [Result.RETRY, Result.REFUSED, Result.MAYBE_SENT, Result.LEASE_EXPIRED])
def test_other_troubles_are_no_blockade_and_end_none(result: Result) -> None:
    assert blockade_of((0, 1, result), (2, 3, Result.BLOCKED), (4, 5, result)) == [None, Turn.BEGAN, None]
