"""What `Tallies` promises: the sums are those of the calls, by hour, number, verdict and reason, whatever moves them."""

from __future__ import annotations

from datetime import timedelta

from offhook.pipeline.counting import Tally
from offhook.pipeline.delivery import Outcome, Result
from offhook.pipeline.steps import attempt
from tests.contracts.conftest import WholeLedger
from tests.contracts.day import MINUTE, POLICY, keep_day
from tests.fakes import steps
from tests.fakes.callbacks import NOON, OURS, raw

HOUR = timedelta(hours=1)


def sums(ledger: WholeLedger) -> set[tuple[str, str, int]]:
    return {(one.outcome, one.reason, one.calls) for one in ledger.tallies.between(NOON - HOUR, NOON + HOUR)}


def test_calls_are_counted_by_what_became_of_them(ledger: WholeLedger) -> None:
    keep_day(ledger)
    assert list(ledger.tallies.between(NOON, NOON + HOUR)) == [
        Tally(NOON, OURS, "not_finished", "not_ended", 1),
        Tally(NOON, OURS, "on_its_way", "new", 1),
        Tally(NOON, OURS, "refused", "http_400", 1),
        Tally(NOON, OURS, "unknown_caller", "caller_not_in_mapping", 1),
    ]


def test_only_hours_that_begin_within_the_time_are_given(ledger: WholeLedger) -> None:
    keep_day(ledger)
    ledger.append([raw(5, "ringing", at=NOON + HOUR)])
    steps.fold(ledger)
    assert [one.calls for one in ledger.tallies.between(NOON + MINUTE, NOON + HOUR)] == []
    assert [one.hour for one in ledger.tallies.between(NOON + MINUTE, NOON + HOUR + MINUTE)] == [NOON + HOUR]


def test_a_delivery_moves_a_call_from_the_one_sum_to_the_other(ledger: WholeLedger) -> None:
    keep_day(ledger)
    [sending] = ledger.claim(NOON + HOUR, 5, 60, POLICY).taken
    assert ("on_its_way", "new", 1) in sums(ledger)
    busy = Outcome(Result.RETRY, "http_503", 503)
    ledger.finish([attempt(sending, busy, NOON + HOUR, NOON + HOUR, POLICY)], NOON + HOUR)
    assert ("on_its_way", "http_503", 1) in sums(ledger)
    assert not [one for one in sums(ledger) if one[1] == "new"]
    [sending] = ledger.claim(NOON + 2 * HOUR, 5, 60, POLICY).taken
    taken = Outcome(Result.DELIVERED, "delivered", 200)
    ledger.finish([attempt(sending, taken, NOON + HOUR, NOON + HOUR, POLICY)], NOON + HOUR)
    assert ("delivered", "delivered", 1) in sums(ledger)


def test_a_call_that_turns_out_to_be_a_leg_is_counted_no_more(ledger: WholeLedger) -> None:
    ledger.append([raw(1), raw(2)])
    steps.fold(ledger)
    steps.decide(ledger, NOON)
    assert sums(ledger) == {("unknown_caller", "caller_not_in_mapping", 2)}
    ledger.append([raw(2, "ringing", parent=1)])
    steps.fold(ledger)
    assert sums(ledger) == {("unknown_caller", "caller_not_in_mapping", 1)}


def test_a_new_ledger_is_whole_and_nothing_is_found_when_it_is_counted_anew(ledger: WholeLedger) -> None:
    keep_day(ledger)
    assert ledger.tallies.is_whole()
    before = list(ledger.tallies.between(NOON, NOON + HOUR))
    done = ledger.tallies.count_anew()
    assert (done.moved, done.hours) == (0, 0)
    assert list(ledger.tallies.between(NOON, NOON + HOUR)) == before
