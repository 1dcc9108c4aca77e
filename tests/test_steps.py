"""The moves over a ledger in memory: what each gathers, decides and applies. No database, no clock, no network."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from offhook.pipeline.conversion import Convert
from offhook.pipeline.customer import Customer
from offhook.pipeline.delivery import Resend, Result, RetryPolicy
from offhook.pipeline.rehearsal import JumpingClock, run_to_end
from offhook.pipeline.steps import (
    ParkedReview,
    decide_anew,
    decide_batch,
    deliver_batch,
    fold_batch,
    leave_unfinished_batch,
    review_parked_batch,
)
from offhook.pipeline.worker import Pace
from tests.fakes.callbacks import CALLER, NOON, OTHER, key, raw, sid
from tests.fakes.destination import MemoryDestination
from tests.fakes.ledger import MemoryLedger
from tests.fakes.steps import JUDGE, decide, fold

pytestmark = pytest.mark.unit

POLICY = RetryPolicy()
HOUR = timedelta(hours=1)
ANN = Customer(CALLER, "ann@example.com", None)


@pytest.fixture
def ledger() -> MemoryLedger:
    made = MemoryLedger()
    made.merge_customers([ANN])
    return made


def state_of(ledger: MemoryLedger, number: int) -> str:
    [story] = ledger.stories.of_call(sid(number))
    return story.call.state


def test_a_call_goes_all_the_way(ledger: MemoryLedger) -> None:
    ledger.append([raw(1, "ringing"), raw(1)])
    destination = MemoryDestination()
    assert fold_batch(ledger, JUDGE, 10) == 2
    assert decide_batch(ledger, JUDGE, NOON, 10) == 1
    assert deliver_batch(ledger, destination, POLICY, 60, lambda: NOON) == 1
    [story] = ledger.stories.of_call(sid(1))
    assert story.conversion is not None
    assert destination.received == [story.conversion.payload]
    assert story.conversion.state == "delivered"


def test_no_step_does_anything_while_another_has_the_turn(ledger: MemoryLedger) -> None:
    ledger.append([raw(1)])
    with ledger.books():
        assert fold_batch(ledger, JUDGE, 10) == 0
        assert decide_batch(ledger, JUDGE, NOON, 10) == 0
        assert review_parked_batch(ledger, JUDGE, NOON, 10) == 0
        assert leave_unfinished_batch(ledger, JUDGE, NOON, 60, 10) == ()
    assert fold_batch(ledger, JUDGE, 10) == 1


def test_a_final_call_waits_for_its_legs_for_as_long_as_it_settles(ledger: MemoryLedger) -> None:
    ledger.append([raw(1), raw(2, "ringing")])
    judge = replace(JUDGE, settle_seconds=20)
    fold_batch(ledger, judge, 10)
    assert decide_batch(ledger, judge, NOON + timedelta(seconds=19), 10) == 0
    assert decide_batch(ledger, judge, NOON + timedelta(seconds=20), 10) == 1
    assert (state_of(ledger, 1), state_of(ledger, 2)) == ("converted", "open")


def test_legs_that_are_here_are_folded_before_their_call_is_decided(ledger: MemoryLedger) -> None:
    ledger.append([raw(1)])
    fold(ledger)
    ledger.append([raw(2, parent=1)])
    assert decide_batch(ledger, JUDGE, NOON, 10) == 1, "a callback was taken in"
    assert state_of(ledger, 1) == "settling"
    assert decide_batch(ledger, JUDGE, NOON, 10) == 1
    [story] = ledger.stories.of_call(sid(1))
    assert (story.call.state, story.call.legs) == ("converted", 2)


def test_what_was_settled_before_a_stop_stands_where_it_would_have_stood(ledger: MemoryLedger) -> None:
    ledger.append([raw(1)])
    fold(ledger)
    decide(ledger, NOON + HOUR)
    [line] = ledger.stories.conversions([], 10)
    assert (line.created_at, line.due_at) == (NOON + HOUR, NOON)


def test_parked_calls_are_decided_when_their_caller_is_known_page_by_page(ledger: MemoryLedger) -> None:
    ledger.append([raw(number, caller=OTHER) for number in range(5)])
    fold(ledger)
    decide(ledger, NOON)
    ledger.merge_customers([Customer(OTHER, "bo@example.com", None)])
    walk, reviewed = ParkedReview(), 0
    for _ in range(10):
        reviewed += review_parked_batch(ledger, JUDGE, NOON, 2, walk)
    assert (reviewed, walk.after) == (5, None)
    assert dict(ledger.stories.conversion_counts()) == {"pending": 5}


def test_to_decide_anew_says_what_would_be_and_changes_nothing(ledger: MemoryLedger) -> None:
    ledger.append([raw(1)])
    fold(ledger)
    decide(ledger, NOON)
    ledger.merge_customers([Customer(CALLER, "eve@example.com", None)])
    with ledger.books() as books:
        assert books is not None
        [today] = decide_anew(books, [key(1)], JUDGE, NOON)
    assert isinstance(today.decision, Convert) and today.payload is not None and b"eve@" in today.payload
    [line] = ledger.stories.conversions([], 10)
    assert b"ann@" in line.payload
    ledger.append([raw(2, parent=1)])
    with ledger.books() as books:
        assert books is not None
        assert list(decide_anew(books, [key(1)], JUDGE, NOON)) == [], "a leg of it waits"


def test_a_call_without_an_end_is_called_unfinished_after_its_time(ledger: MemoryLedger) -> None:
    ledger.append([raw(1, "ringing")])
    fold(ledger)
    assert list(leave_unfinished_batch(ledger, JUDGE, NOON + HOUR - timedelta(seconds=1), 3600, 10)) == []
    assert [one.key for one in leave_unfinished_batch(ledger, JUDGE, NOON + HOUR, 3600, 10)] == [key(1)]
    assert list(leave_unfinished_batch(ledger, JUDGE, NOON + 2 * HOUR, 3600, 10)) == []
    assert state_of(ledger, 1) == "unfinished"


def test_what_may_have_arrived_is_not_sent_when_the_day_has_turned_since_the_claim(ledger: MemoryLedger) -> None:
    ledger.append([raw(1)])
    fold(ledger)
    decide(ledger, NOON)
    destination = MemoryDestination("takes and says nothing")
    deliver_batch(ledger, destination, POLICY, 60, lambda: NOON)
    late = NOON + timedelta(hours=11, minutes=59, seconds=30)
    times = iter([late, late, late + timedelta(minutes=1), late + timedelta(minutes=1)])
    assert deliver_batch(ledger, destination, POLICY, 600, lambda: next(times)) == 1
    assert len(destination.received) == 1
    assert dict(ledger.stories.conversion_counts()) == {"ambiguous": 1}


@pytest.mark.parametrize(
    ("does", "state", "result"),
    [
        ("takes", "delivered", Result.DELIVERED),
        ("refuses", "dead", Result.REFUSED),
        ("is busy", "dead", Result.RETRY),
        ("is not there", "dead", Result.RETRY),
        ("takes and says nothing", "ambiguous", Result.MAYBE_SENT),
    ],
)
def test_every_conversion_comes_to_an_end_within_its_horizon(
    ledger: MemoryLedger, does: str, state: str, result: Result
) -> None:
    ledger.append([raw(1)])
    clock, destination = JumpingClock(NOON), MemoryDestination(does)
    run_to_end(ledger, destination, JUDGE, replace(POLICY, resend=Resend.NEVER), Pace(), clock)
    [story] = ledger.stories.of_call(sid(1))
    assert story.conversion is not None and story.conversion.state == state
    assert {one.result for one in story.attempts} == {result}
    assert clock.now <= NOON + timedelta(hours=73)
    assert set(destination.received) <= {story.conversion.payload}, "every attempt sends the same bytes"
