"""What `Sent` promises: every conversion of a period once, whose caller had called before, and what arrived by the hour."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from offhook.pipeline.customer import Customer
from offhook.pipeline.delivery import Outcome, Result, RetryPolicy
from offhook.pipeline.steps import attempt
from offhook.pipeline.story import HourCount
from tests.contracts.conftest import WholeLedger
from tests.fakes import steps
from tests.fakes.callbacks import CALLER, NOON, OTHER, key, raw

POLICY = RetryPolicy()
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
FAR = timedelta(days=400)
ANN = Customer(CALLER, "ann@example.com", None)


def converted(ledger: WholeLedger, *numbers: int, at: datetime = NOON, caller: str = CALLER) -> None:
    """Calls that came at this time and were decided at once."""
    ledger.merge_customers([Customer(caller, "ann@example.com", None)])
    ledger.append([raw(number, at=at, caller=caller) for number in numbers])
    steps.fold(ledger)
    assert steps.decide(ledger, at) == len(numbers)


def comes_to(ledger: WholeLedger, result: Result, at: datetime) -> None:
    """One attempt at all that is due."""
    for sending in ledger.claim(at, 100, 60, POLICY).taken:
        ledger.finish([attempt(sending, Outcome(result, "why", 200), at, at, POLICY)], at)


def made(ledger: WholeLedger, since: datetime, until: datetime) -> list[int]:
    """The numbers of the calls, in the order in which they are given."""
    return [int(line.key.call_sid[2:], 16) for page in ledger.sent.made(since, until) for line in page]


def test_what_was_made_in_a_period_is_given_once_the_oldest_first(ledger: WholeLedger) -> None:
    for number, hour in enumerate([2, 0, 1, 3]):
        converted(ledger, number, at=NOON + hour * HOUR)
    assert made(ledger, NOON - FAR, NOON + FAR) == [1, 2, 0, 3]
    assert made(ledger, NOON + HOUR, NOON + 3 * HOUR) == [2, 0], "`since` is in it, `until` is not"
    assert made(ledger, NOON + 4 * HOUR, NOON + FAR) == []


@pytest.mark.parametrize("per_page", [1, 2, 3])
def test_those_of_one_moment_are_each_given_once_however_the_pages_fall(
    ledger: WholeLedger, per_page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("offhook.adapters.ledger.sent._PAGE_ROWS", per_page)
    converted(ledger, 1, 2, 3, 4, 5)
    converted(ledger, 6, 7, at=NOON + MINUTE)
    converted(ledger, 8, at=NOON + 2 * MINUTE)
    found = made(ledger, NOON, NOON + FAR)
    assert sorted(found[:5]) == [1, 2, 3, 4, 5]
    assert sorted(found[5:7]) == [6, 7]
    assert found[7:] == [8]


def test_what_was_made_stands_as_it_stands_now(ledger: WholeLedger) -> None:
    converted(ledger, 1)
    comes_to(ledger, Result.DELIVERED, NOON + MINUTE)
    [[line]] = list(ledger.sent.made(NOON, NOON + FAR))
    assert (line.key, line.state, line.delivered_at, line.created_at) == (key(1), "delivered", NOON + MINUTE, NOON)
    assert b"ann@example.com" in line.payload


def test_a_call_that_was_not_converted_is_not_among_what_was_made(ledger: WholeLedger) -> None:
    ledger.append([raw(1)])
    steps.fold(ledger)
    steps.decide(ledger, NOON)
    assert made(ledger, NOON - FAR, NOON + FAR) == []


def test_a_caller_is_returning_after_a_first_converted_call_of_the_same_number(ledger: WholeLedger) -> None:
    converted(ledger, 2, at=NOON + HOUR)
    converted(ledger, 1)  # came first, and was decided last
    converted(ledger, 3, at=NOON + 2 * HOUR)
    converted(ledger, 4, at=NOON + 2 * HOUR, caller=OTHER)
    assert ledger.sent.returning([key(number) for number in (1, 2, 3, 4)]) == {key(2), key(3)}
    assert ledger.sent.returning([key(2)]) == {key(2)}
    assert ledger.sent.returning([]) == set()
    assert ledger.sent.returning([key(9)]) == set()


def test_a_call_that_was_not_converted_makes_nobody_returning(ledger: WholeLedger) -> None:
    ledger.merge_customers([ANN])
    ledger.append([raw(1, "busy")])
    steps.fold(ledger)
    steps.decide(ledger, NOON)
    converted(ledger, 2, at=NOON + HOUR)
    assert ledger.sent.returning([key(2)]) == set()


def test_a_conversion_of_a_leg_is_not_preceded_by_its_own_call(ledger: WholeLedger) -> None:
    """The leg stood as a call of its own, until its parent came."""
    converted(ledger, 2)
    ledger.append([raw(2, "ringing", parent=1, at=NOON + MINUTE), raw(1, at=NOON - MINUTE)])
    steps.fold(ledger)
    assert ledger.sent.returning([key(2)]) == set()
    converted(ledger, 3, at=NOON + HOUR)
    assert ledger.sent.returning([key(2), key(3)]) == {key(3)}


def test_what_arrived_is_counted_by_the_hour_of_its_arrival_and_by_its_action(ledger: WholeLedger) -> None:
    converted(ledger, 1, 2)
    comes_to(ledger, Result.DELIVERED, NOON + HOUR - timedelta(microseconds=1))
    converted(ledger, 3, at=NOON + 5 * MINUTE)
    comes_to(ledger, Result.DELIVERED, NOON + HOUR)
    converted(ledger, 4, at=NOON + 6 * MINUTE)
    comes_to(ledger, Result.REFUSED, NOON + HOUR)
    assert list(ledger.sent.delivered(NOON, NOON + 24 * HOUR)) == [
        HourCount(NOON, "phone_call", 2),
        HourCount(NOON + HOUR, "phone_call", 1),
    ]
    assert list(ledger.sent.delivered(NOON + HOUR, NOON + 2 * HOUR)) == [HourCount(NOON + HOUR, "phone_call", 1)]
    assert list(ledger.sent.delivered(NOON, NOON + MINUTE)) == []
