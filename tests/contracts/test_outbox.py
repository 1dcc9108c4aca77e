"""What `Outbox` promises: each number that is returned, fences, limits, order, nothing to do, and what comes late."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from offhook.pipeline.customer import Customer
from offhook.pipeline.delivery import Next, Outcome, Resend, Result, RetryPolicy, Sending, State, Turn
from offhook.pipeline.ports.outbox import MOST_AT_ONCE, Attempt, Claimed, Finished
from offhook.pipeline.steps import attempt
from tests.contracts.conftest import WholeLedger
from tests.fakes.callbacks import CALLER, NOON, key, raw, sid
from tests.fakes.steps import decide, fold

POLICY = RetryPolicy(base_seconds=0.001)
LEASE_SECONDS = 60.0
DELIVERED = Outcome(Result.DELIVERED, "delivered", 200, "taken")
BUSY = Outcome(Result.RETRY, "http_503", 503)
REFUSED = Outcome(Result.REFUSED, "http_400", 400)
BLOCKED = Outcome(Result.BLOCKED, "http_403", 403)
UNSURE = Outcome(Result.MAYBE_SENT, "reset")
STOPPED = Outcome(Result.RELEASED, "stopped")
SECOND = timedelta(seconds=1)
AFTER_LEASE = NOON + timedelta(seconds=LEASE_SECONDS) + SECOND


def filled(ledger: WholeLedger, count: int) -> WholeLedger:
    """With so many conversions, each due a second after the one before; the first one at noon."""
    ledger.merge_customers([Customer(CALLER, "ann@example.com", None)])
    ledger.append([raw(number, at=NOON + number * SECOND) for number in range(count)])
    fold(ledger)
    assert decide(ledger, NOON + timedelta(hours=1)) == count
    return ledger


def claim(ledger: WholeLedger, limit: int = 1, now: datetime = NOON, *, newest: bool = False) -> list[Sending]:
    return list(ledger.claim(now, limit, LEASE_SECONDS, POLICY, newest=newest).taken)


def made(sending: Sending, outcome: Outcome, at: datetime = NOON) -> Attempt:
    return attempt(sending, outcome, at, at, POLICY)


def finish(ledger: WholeLedger, sendings: Sequence[Sending], outcome: Outcome, at: datetime = NOON) -> Finished:
    return ledger.finish([made(one, outcome, at) for one in sendings], at)


def is_nothing(claimed: Claimed) -> bool:
    return not claimed.taken and not claimed.held


def states(ledger: WholeLedger) -> dict[str, int]:
    return dict(ledger.stories.conversion_counts())


def lines(ledger: WholeLedger, number: int = 0) -> list[tuple[int, str, str, bool]]:
    """The journal of one conversion."""
    [story] = ledger.stories.of_call(sid(number))
    return [(one.number, one.result, one.next_state, one.came_late) for one in story.attempts]


# claim


def test_nothing_is_claimed_where_nothing_waits(ledger: WholeLedger) -> None:
    assert is_nothing(ledger.claim(NOON, 10, LEASE_SECONDS, POLICY))


def test_a_claim_takes_as_many_as_it_may_and_each_of_them_once(ledger: WholeLedger) -> None:
    filled(ledger, 5)
    late = NOON + timedelta(minutes=1)
    found = [one.key for _ in range(4) for one in claim(ledger, 2, late)]
    assert Counter(found) == {key(number): 1 for number in range(5)}
    assert states(ledger) == {"sending": 5}


def test_a_claim_of_none_takes_none(ledger: WholeLedger) -> None:
    filled(ledger, 2)
    assert claim(ledger, 0) == []
    assert states(ledger) == {"pending": 2}


@pytest.mark.parametrize(("newest", "taken"), [(False, [0, 1]), (True, [2, 3])])
def test_those_that_have_been_due_for_longest_go_first_or_last(
    ledger: WholeLedger, newest: bool, taken: list[int]
) -> None:
    filled(ledger, 5)
    found = claim(ledger, 2, NOON + 3 * SECOND, newest=newest)
    assert sorted(one.key for one in found) == [key(number) for number in taken]


def test_what_is_not_due_is_not_claimed(ledger: WholeLedger) -> None:
    filled(ledger, 3)
    assert [one.key for one in claim(ledger, 10, NOON + SECOND)] == [key(0), key(1)]
    assert claim(ledger, 10, NOON - SECOND) == []


def test_a_claim_raises_the_fence_counts_the_attempt_and_brings_the_payload(ledger: WholeLedger) -> None:
    filled(ledger, 1)
    [first] = claim(ledger)
    assert (first.fence, first.attempts, first.expired_leases, first.maybe_sent) == (1, 1, 0, False)
    assert sid(0).encode() in first.payload
    assert first.first_attempt_at == NOON
    finish(ledger, [first], BUSY)
    [second] = claim(ledger, 1, NOON + SECOND)
    assert (second.fence, second.attempts, second.payload) == (2, 2, first.payload)
    assert second.horizon_from == first.horizon_from


def test_what_may_have_arrived_on_another_day_is_held_due_or_not_and_said_once(ledger: WholeLedger) -> None:
    filled(ledger, 3)
    finish(ledger, claim(ledger, 2, NOON + SECOND), UNSURE)
    tomorrow = NOON + timedelta(days=1)
    claimed = ledger.claim(tomorrow, 1, LEASE_SECONDS, POLICY)
    assert {one.sending.key for one in claimed.held} == {key(0), key(1)}
    assert {(one.next, one.outcome.result) for one in claimed.held} == {
        (Next(State.AMBIGUOUS, "day_turned"), Result.HELD)
    }
    assert [one.key for one in claimed.taken] == [key(2)]
    assert is_nothing(ledger.claim(tomorrow, 10, LEASE_SECONDS, POLICY))
    assert len(lines(ledger)) == 1, "what never left is no attempt"
    assert {one.due_at for one in ledger.stories.conversions(["ambiguous"], 10)} == {None}


def test_what_may_have_arrived_leaves_again_on_the_same_day(ledger: WholeLedger) -> None:
    filled(ledger, 1)
    finish(ledger, claim(ledger), UNSURE)
    [again] = claim(ledger, 1, NOON + timedelta(hours=2))
    assert (again.maybe_sent, again.first_attempt_at) == (True, NOON)


# finish


def test_no_results_are_nothing(ledger: WholeLedger) -> None:
    finished = ledger.finish([], NOON)
    assert (list(finished.moved), list(finished.late), finished.turn) == ([], [], None)


@pytest.mark.parametrize(
    ("outcome", "state", "journaled"),
    [
        (DELIVERED, "delivered", 1),
        (BUSY, "pending", 1),
        (REFUSED, "dead", 1),
        (UNSURE, "pending", 1),
        (STOPPED, "pending", 0),
    ],
)
def test_a_result_moves_its_conversion_and_is_journaled_when_it_left(
    ledger: WholeLedger, outcome: Outcome, state: str, journaled: int
) -> None:
    filled(ledger, 1)
    finished = finish(ledger, claim(ledger), outcome)
    assert ([one.next.state for one in finished.moved], list(finished.late), finished.turn) == ([state], [], None)
    assert states(ledger) == {state: 1}
    assert lines(ledger) == [(1, outcome.result, state, False)][:journaled]


def test_each_of_many_results_goes_its_own_way(ledger: WholeLedger) -> None:
    filled(ledger, 3)
    outcomes = (DELIVERED, BUSY, REFUSED)
    claims = claim(ledger, 3, NOON + 3 * SECOND)
    finished = ledger.finish([made(one, outcome) for one, outcome in zip(claims, outcomes, strict=True)], NOON)
    assert sorted(one.next.state for one in finished.moved) == ["dead", "delivered", "pending"]
    assert states(ledger) == {"delivered": 1, "pending": 1, "dead": 1}


def test_what_was_delivered_or_refused_is_never_claimed_again(ledger: WholeLedger) -> None:
    filled(ledger, 2)
    first, second = claim(ledger, 2, NOON + SECOND)
    ledger.finish([made(first, DELIVERED), made(second, REFUSED)], NOON)
    assert is_nothing(ledger.claim(NOON + timedelta(days=30), 10, LEASE_SECONDS, POLICY))


def test_results_that_are_written_twice_change_nothing_and_say_the_same(ledger: WholeLedger) -> None:
    filled(ledger, 3)
    claims = claim(ledger, 3, NOON + 3 * SECOND)
    done = [made(one, outcome) for one, outcome in zip(claims, (DELIVERED, BUSY, REFUSED), strict=True)]
    first, second = ledger.finish(done, NOON), ledger.finish(done, NOON)
    assert sorted(one.sending.key for one in first.moved) == sorted(one.sending.key for one in second.moved)
    assert (list(second.late), second.turn) == ([], None)
    assert [len(lines(ledger, number)) for number in range(3)] == [1, 1, 1]


def test_what_finish_says_stays_though_its_caller_empties_the_list(ledger: WholeLedger) -> None:
    filled(ledger, 1)
    done = [made(one, DELIVERED) for one in claim(ledger)]
    finished = ledger.finish(done, NOON)
    done.clear()
    assert len(finished.moved) == 1


def test_what_is_given_back_unsent_counts_as_never_tried(ledger: WholeLedger) -> None:
    filled(ledger, 1)
    finish(ledger, claim(ledger), STOPPED)
    [again] = claim(ledger)
    assert (again.attempts, again.fence, again.maybe_sent) == (1, 2, False)


def test_what_was_not_taken_for_certain_binds_the_next_attempt_to_no_day(ledger: WholeLedger) -> None:
    filled(ledger, 1)
    finish(ledger, claim(ledger), BUSY)
    tomorrow = NOON + timedelta(days=1)
    [again] = claim(ledger, 1, tomorrow)
    assert again.first_attempt_at == tomorrow


# leases and fences


def test_a_lease_is_taken_back_when_it_is_over_and_not_before_and_once(ledger: WholeLedger) -> None:
    filled(ledger, 2)
    assert list(ledger.expire_leases(AFTER_LEASE, POLICY)) == []
    claim(ledger, 2, NOON + SECOND)
    assert list(ledger.expire_leases(NOON + timedelta(seconds=LEASE_SECONDS), POLICY)) == []
    over = AFTER_LEASE + SECOND
    expired = ledger.expire_leases(over, POLICY)
    assert {one.sending.key for one in expired} == {key(0), key(1)}
    assert {(one.outcome.result, one.sending.expired_leases) for one in expired} == {(Result.LEASE_EXPIRED, 1)}
    assert list(ledger.expire_leases(over, POLICY)) == []
    assert lines(ledger) == [(1, "lease_expired", "pending", False)]


def test_leases_that_are_over_and_copies_that_may_not_leave_are_done_with_in_turns_the_oldest_first(
    ledger: WholeLedger,
) -> None:
    filled(ledger, MOST_AT_ONCE + 1)
    begun = NOON + timedelta(minutes=30)
    taken = [one.key for one in (*claim(ledger, MOST_AT_ONCE, begun), *claim(ledger, 1, begun + SECOND))]
    over = begun + timedelta(hours=1)
    first, then = ([one.sending.key for one in ledger.expire_leases(over, POLICY)] for _ in range(2))
    assert (sorted(first), then) == (sorted(taken[:MOST_AT_ONCE]), taken[MOST_AT_ONCE:])
    tomorrow = NOON + timedelta(days=1)
    first, then = ([one.sending.key for one in ledger.claim(tomorrow, 0, 60, POLICY).held] for _ in range(2))
    assert (sorted(first), then) == (sorted(taken[:MOST_AT_ONCE]), taken[MOST_AT_ONCE:])


def test_a_lease_of_a_finished_conversion_is_nobodys(ledger: WholeLedger) -> None:
    filled(ledger, 1)
    finish(ledger, claim(ledger), DELIVERED)
    assert list(ledger.expire_leases(AFTER_LEASE, POLICY)) == []


def test_leases_that_end_again_and_again_quarantine_the_conversion(ledger: WholeLedger) -> None:
    filled(ledger, 1)
    now = NOON
    for _ in range(POLICY.max_expired_leases):
        assert len(claim(ledger, 1, now)) == 1
        now += timedelta(minutes=5)
        ledger.expire_leases(now, POLICY)
        now += SECOND
    assert states(ledger) == {"quarantined": 1}
    assert claim(ledger, 1, now) == []


@pytest.mark.parametrize("outcome", [BUSY, REFUSED, UNSURE, STOPPED])
def test_the_word_of_a_worker_whose_lease_was_taken_back_changes_nothing(ledger: WholeLedger, outcome: Outcome) -> None:
    filled(ledger, 1)
    [old] = claim(ledger)
    ledger.expire_leases(AFTER_LEASE, POLICY)
    [new] = claim(ledger, 1, AFTER_LEASE + SECOND)
    finished = finish(ledger, [old], outcome, AFTER_LEASE)
    left = outcome is not STOPPED
    assert (list(finished.moved), [one.sending.fence for one in finished.late]) == ([], [old.fence][:left])
    assert states(ledger) == {"sending": 1}
    assert lines(ledger)[1:] == [(1, outcome.result, "late", True)][:left]
    assert len(finish(ledger, [new], DELIVERED, AFTER_LEASE + SECOND).moved) == 1


RESTING = {
    "pending": POLICY,
    "ambiguous": replace(POLICY, resend=Resend.NEVER),
    "quarantined": replace(POLICY, max_expired_leases=1),
    "dead": replace(POLICY, horizon_seconds=1),
}


@pytest.mark.parametrize("state", RESTING)
def test_a_late_2xx_delivers_what_nobody_is_sending(ledger: WholeLedger, state: str) -> None:
    filled(ledger, 1)
    [old] = claim(ledger)
    later = AFTER_LEASE + timedelta(hours=2)
    [expired] = ledger.expire_leases(later, RESTING[state])
    assert (expired.next.state, states(ledger)) == (state, {state: 1})
    finished = finish(ledger, [old], DELIVERED, later)
    assert ([one.next for one in finished.moved], list(finished.late)) == ([Next(State.DELIVERED, "late_answer")], [])
    assert states(ledger) == {"delivered": 1}
    assert claim(ledger, 1, later + timedelta(days=1)) == []
    again = finish(ledger, [old], DELIVERED, later)
    assert (states(ledger), len(lines(ledger))) == ({"delivered": 1}, 2)
    assert len(again.moved) + len(again.late) == 1


@pytest.mark.parametrize("second", [BUSY, REFUSED, UNSURE, STOPPED, None], ids=str)
def test_a_late_2xx_that_comes_while_another_sends_holds_whatever_becomes_of_that(
    ledger: WholeLedger, second: Outcome | None
) -> None:
    filled(ledger, 1)
    [old] = claim(ledger)
    ledger.expire_leases(AFTER_LEASE, POLICY)
    [new] = claim(ledger, 1, AFTER_LEASE + SECOND)
    finished = finish(ledger, [old], DELIVERED, AFTER_LEASE + SECOND)
    assert (list(finished.moved), len(finished.late), states(ledger)) == ([], 1, {"sending": 1})
    later = AFTER_LEASE + timedelta(minutes=2)
    moved = finish(ledger, [new], second, later).moved if second else ledger.expire_leases(later, POLICY)
    assert [one.next.state for one in moved] == ["delivered"]
    assert states(ledger) == {"delivered": 1}


# A person's retry


def test_a_retry_moves_what_rests_and_says_how_many(ledger: WholeLedger) -> None:
    filled(ledger, 4)
    first, second, third = claim(ledger, 3, NOON + 2 * SECOND)
    ledger.finish([made(first, REFUSED), made(second, DELIVERED)], NOON)
    assert ledger.retry([], NOON) == 0
    assert ledger.retry([key(9)], NOON) == 0
    assert ledger.retry([first.key, second.key, third.key, key(3)], NOON) == 1
    assert states(ledger) == {"delivered": 1, "pending": 2, "sending": 1}
    assert ledger.retry([first.key], NOON) == 0


def test_who_asks_the_same_twice_sends_it_once_whatever_became_of_it_meanwhile(ledger: WholeLedger) -> None:
    filled(ledger, 2)
    for sending in claim(ledger, 2, AFTER_LEASE):
        ledger.finish([made(sending, REFUSED)], NOON)
    asked_at, later = NOON + timedelta(hours=2), NOON + timedelta(hours=3)
    assert ledger.retry([key(0)], later, asked_at=asked_at) == 1
    [sending] = claim(ledger, 2, later)
    ledger.finish([made(sending, REFUSED)], later)
    assert states(ledger) == {"dead": 2}
    assert ledger.retry([key(0), key(1)], later, asked_at=asked_at) == 1
    assert states(ledger) == {"dead": 1, "pending": 1}
    assert ledger.retry([key(0)], later, asked_at=later + SECOND) == 1


def test_what_a_person_sends_again_is_due_at_once_and_bound_by_nothing_that_came_before(ledger: WholeLedger) -> None:
    filled(ledger, 1)
    never = replace(POLICY, resend=Resend.NEVER)
    [sending] = claim(ledger)
    ledger.finish([attempt(sending, UNSURE, NOON, NOON, never)], NOON)
    assert states(ledger) == {"ambiguous": 1}
    tomorrow = NOON + timedelta(days=1)
    ledger.retry([sending.key], tomorrow)
    [again] = ledger.claim(tomorrow, 1, LEASE_SECONDS, never).taken
    assert (again.maybe_sent, again.expired_leases, again.horizon_from) == (False, 0, tomorrow)
    assert (again.fence, again.payload) == (sending.fence + 1, sending.payload)


def test_what_was_quarantined_is_sent_again_as_if_no_lease_had_ended(ledger: WholeLedger) -> None:
    filled(ledger, 1)
    claim(ledger)
    ledger.expire_leases(AFTER_LEASE, replace(POLICY, max_expired_leases=1))
    assert states(ledger) == {"quarantined": 1}
    assert ledger.retry([key(0)], AFTER_LEASE) == 1
    [again] = claim(ledger, 1, AFTER_LEASE)
    assert again.expired_leases == 0


# The breaker, and a destination that takes nothing


def test_the_breaker_stops_all_and_lets_a_single_probe_out(ledger: WholeLedger) -> None:
    filled(ledger, 6)
    now = NOON + timedelta(minutes=1)
    finish(ledger, claim(ledger, 3, now), BUSY, now)
    assert claim(ledger, 10, now + 9 * SECOND) == []
    later = now + 11 * SECOND
    [probe] = claim(ledger, 10, later)
    assert claim(ledger, 10, later) == []
    finish(ledger, [probe], DELIVERED, later)
    assert len(claim(ledger, 10, later)) == 5


def test_what_is_held_uses_up_no_probe(ledger: WholeLedger) -> None:
    filled(ledger, 4)
    finish(ledger, claim(ledger, 3, NOON + 2 * SECOND), UNSURE)
    claimed = ledger.claim(NOON + timedelta(days=1), 10, LEASE_SECONDS, POLICY)
    assert (len(claimed.held), len(claimed.taken)) == (3, 1)


def test_that_a_destination_takes_nothing_is_said_once_and_so_is_its_end(ledger: WholeLedger) -> None:
    filled(ledger, 4)
    claims = claim(ledger, 4, NOON + 3 * SECOND)
    assert [finish(ledger, [one], BLOCKED).turn for one in claims[:2]] == [(Turn.BEGAN, "http_403"), None]
    later = NOON + 20 * SECOND
    assert [finish(ledger, [one], DELIVERED, later).turn for one in claims[2:]] == [(Turn.OVER, "http_403"), None]
