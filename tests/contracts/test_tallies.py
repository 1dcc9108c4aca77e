"""What `Tallies` promises: the sums are those of the calls, by hour, number, verdict and reason, whatever moves them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import accumulate, pairwise

from offhook.adapters.rules_file.reading import parse
from offhook.pipeline.callback import CallKey
from offhook.pipeline.conversion import Convert
from offhook.pipeline.counting import RuleTally, Tally
from offhook.pipeline.customer import Customer
from offhook.pipeline.delivery import Outcome, Result, RetryPolicy, Sending
from offhook.pipeline.ports.tallies import Sums, SumsByRule
from offhook.pipeline.steps import (
    Judge,
    apply_rules,
    attempt,
    decide_anew,
    decide_batch,
    leave_unfinished_batch,
    review_parked_batch,
)
from tests.contracts.conftest import WholeLedger
from tests.contracts.day import MINUTE, POLICY, keep_day
from tests.fakes import steps
from tests.fakes.callbacks import CALLER, NOON, OTHER, OURS, key, raw

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


def test_sums_of_longer_spans_are_those_of_their_hours(ledger: WholeLedger) -> None:
    keep_day(ledger)
    ledger.append([raw(5, "ringing", at=NOON + HOUR), raw(6, "ringing", at=NOON + 2 * HOUR)])
    steps.fold(ledger)
    bounds = [NOON - MINUTE, NOON + 2 * HOUR, NOON + 3 * HOUR, NOON + 4 * HOUR]
    found = ledger.tallies.summed(bounds)
    assert list(found.places) == [
        Tally(bounds[0], OURS, "not_finished", "not_ended", 3),
        Tally(bounds[0], OURS, "on_its_way", "new", 1),
        Tally(bounds[0], OURS, "refused", "http_400", 1),
        Tally(bounds[0], OURS, "unknown_caller", "caller_not_in_mapping", 1),
    ]
    assert list(found.spans) == [
        Tally(bounds[0], "", "not_finished", "", 2),
        Tally(bounds[0], "", "on_its_way", "", 1),
        Tally(bounds[0], "", "refused", "", 1),
        Tally(bounds[0], "", "unknown_caller", "", 1),
        Tally(bounds[1], "", "not_finished", "", 1),
    ]
    assert ledger.tallies.summed(bounds, OURS) == found
    assert list(ledger.tallies.summed(bounds, "+14155550109").spans) == []
    assert [ledger.tallies.summed(few) for few in ([], [NOON])] == [Sums(), Sums()]


def test_days_of_any_zone_have_the_calls_of_their_hours(ledger: WholeLedger) -> None:
    """Whole days are summed elsewhere than hours: a day of a zone has some of both, before its midnight or behind it."""
    for number in range(60):
        at = NOON + number * 7 * HOUR
        ledger.append([raw(number, "ringing", at=at, to=OURS if number % 3 else "+14155550109")])
    steps.fold(ledger)
    midnight = NOON.replace(hour=0)
    for begins in (-12, -8, -5, 0, 6, 9, 12, 400):
        for hours in ([24] * 9, [23, 24, 25, 24], [5, 1, 12, 13, 30, 60], [1], [800]):
            bounds = list(accumulate(hours, lambda at, length: at + length * HOUR, initial=midnight + begins * HOUR))
            for wanted in (None, OURS):
                found = ledger.tallies.summed(bounds, wanted)
                every = ledger.tallies.between(bounds[0], bounds[-1])
                assert sum(one.calls for one in found.places) == sum(one.calls for one in every)
                assert {one.number for one in found.places} == {one.number for one in every}
                of_it = [one for one in every if wanted in (None, one.number)]
                spans = [
                    (since, sum(one.calls for one in of_it if since <= one.hour < until))
                    for since, until in pairwise(bounds)
                ]
                assert [(one.hour, one.calls) for one in found.spans] == [span for span in spans if span[1]]


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


def outcomes(ledger: WholeLedger) -> set[tuple[str, str]]:
    return {(outcome, reason) for outcome, reason, _ in sums(ledger)}


def rests(ledger: WholeLedger, outcome: Outcome, policy: RetryPolicy = POLICY) -> Sending:
    """One call of a known caller, whose first attempt came to this."""
    ledger.merge_customers([Customer(CALLER, "ann@example.com", None)])
    ledger.append([raw(1)])
    steps.fold(ledger)
    steps.decide(ledger, NOON)
    [sending] = ledger.claim(NOON, 1, 60, policy).taken
    ledger.finish([attempt(sending, outcome, NOON, NOON, policy)], NOON)
    return sending


REFUSED, LOST = Outcome(Result.REFUSED, "http_400", 400), Outcome(Result.MAYBE_SENT, "reset")
TAKEN = Outcome(Result.DELIVERED, "delivered", 200)


def test_what_a_person_sends_again_is_on_its_way(ledger: WholeLedger) -> None:
    rests(ledger, REFUSED)
    assert outcomes(ledger) == {("refused", "http_400")}
    assert ledger.retry([key(1)], NOON) == 1
    assert outcomes(ledger) == {("on_its_way", "asked_by_a_person")}


def test_what_is_decided_anew_is_on_its_way(ledger: WholeLedger) -> None:
    sending = rests(ledger, REFUSED)
    decided = decide_anew(ledger.rebuilding.known_calls(), [key(1)], steps.JUDGE, NOON)
    assert ledger.rebuilding.rebuild(decided, {key(1): sending.fence}, NOON) == 1
    assert outcomes(ledger) == {("on_its_way", "rebuilt")}


def test_what_may_have_arrived_on_another_day_is_held(ledger: WholeLedger) -> None:
    rests(ledger, LOST)
    assert outcomes(ledger) == {("on_its_way", "reset")}
    assert len(ledger.claim(NOON + 24 * HOUR, 1, 60, POLICY).held) == 1
    assert outcomes(ledger) == {("held", "day_turned")}


def test_a_worker_that_vanished_and_its_late_answer_are_counted(ledger: WholeLedger) -> None:
    rests(ledger, Outcome(Result.RETRY, "http_503", 503))
    [sending] = ledger.claim(NOON + HOUR, 1, 60, POLICY).taken
    policy = replace(POLICY, max_expired_leases=1)
    ledger.expire_leases(NOON + HOUR + 2 * MINUTE, policy)
    assert outcomes(ledger) == {("held", "leases_expired")}
    ledger.finish([attempt(sending, TAKEN, NOON + HOUR, NOON + HOUR, policy)], NOON + HOUR)
    assert outcomes(ledger) == {("delivered", "late_answer")}


def test_a_call_that_nobody_finishes_and_its_end_are_counted(ledger: WholeLedger) -> None:
    ledger.append([raw(1, "ringing")])
    steps.fold(ledger)
    leave_unfinished_batch(ledger, steps.JUDGE, NOON + HOUR, 60.0, 10)
    assert outcomes(ledger) == {("not_finished", "unfinished")}
    ledger.append([raw(1)])
    steps.fold(ledger)
    assert outcomes(ledger) == {("not_finished", "settling")}


def test_a_parked_call_whose_caller_becomes_known_is_counted_anew(ledger: WholeLedger) -> None:
    ledger.append([raw(1)])
    steps.fold(ledger)
    steps.decide(ledger, NOON)
    assert outcomes(ledger) == {("unknown_caller", "caller_not_in_mapping")}
    ledger.merge_customers([Customer(CALLER, "ann@example.com", None)])
    assert review_parked_batch(ledger, steps.JUDGE, NOON, 10) == 1
    assert outcomes(ledger) == {("on_its_way", "new")}


def test_a_call_that_is_converted_by_its_leg_is_counted_once_with_what_becomes_of_that(ledger: WholeLedger) -> None:
    ledger.merge_customers([Customer(CALLER, "ann@example.com", None)])
    ledger.append([raw(2)])
    steps.fold(ledger)
    steps.decide(ledger, NOON)
    ledger.append([raw(2, "ringing", parent=1), raw(1)])
    steps.fold(ledger)
    assert sums(ledger) == {("on_its_way", "new", 1)}
    [sending] = ledger.claim(NOON, 1, 60, POLICY).taken
    ledger.finish([attempt(sending, TAKEN, NOON, NOON, POLICY)], NOON)
    assert sums(ledger) == {("delivered", "delivered", 1)}


def test_an_earlier_callback_moves_a_call_to_an_earlier_hour(ledger: WholeLedger) -> None:
    ledger.append([raw(1, at=NOON + HOUR)])
    steps.fold(ledger)
    ledger.append([raw(2, parent=1, at=NOON)])
    steps.fold(ledger)
    [one] = ledger.tallies.between(NOON - HOUR, NOON + 2 * HOUR)
    assert (one.hour, one.calls) == (NOON, 1)


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


# By the rule that decided each


def named(name: str, more: str = "") -> Judge:
    """By whom every call of `statuses` counts by the rule of this name; what is busy is the last rule's."""
    text = f'{more}\n[[rule]]\nname = "{name}"\nwhen.statuses = ["completed"]\nconvert.action = "phone_call"\n'
    return replace(steps.JUDGE, rules=parse(text))


SPRING, SUMMER, NONE_COUNTS = (
    named("Spring"),
    named("Summer"),
    replace(steps.JUDGE, rules=parse("min_duration_seconds = 3600")),
)


def by_rule(ledger: WholeLedger) -> set[tuple[str | None, str, str, int]]:
    """The same of whole days with hours around them, and of the hours alone."""
    far, near = (ledger.tallies.by_rule(NOON - reach * HOUR, NOON + reach * HOUR) for reach in (24 * 40, 6))
    assert far.rules == near.rules
    assert [replace(one, hour=NOON) for one in far.places] == [replace(one, hour=NOON) for one in near.places]
    return {(one.rule, one.state, one.reason, one.calls) for one in far.rules}


def decided_by(ledger: WholeLedger, judge: Judge, *numbers: int) -> None:
    ledger.merge_customers([Customer(CALLER, "ann@example.com", None)])
    ledger.append([raw(number) for number in numbers])
    steps.fold(ledger)
    assert decide_batch(ledger, judge, NOON, 100) == len(numbers)


def test_each_call_is_counted_once_by_the_rule_that_decided_it(ledger: WholeLedger) -> None:
    assert ledger.tallies.by_rule(NOON - HOUR, NOON + HOUR) == SumsByRule([], [])
    decided_by(ledger, SPRING, 1, 2)
    ledger.append([raw(3, "busy"), raw(4, caller=OTHER), raw(5, "ringing"), raw(6, parent=1)])
    steps.fold(ledger)
    assert decide_batch(ledger, SPRING, NOON, 100) == 2
    found = ledger.tallies.by_rule(NOON, NOON + HOUR)
    assert list(found.rules) == [
        RuleTally("", "skipped", "status", 1),
        RuleTally("Spring", "converted", "", 2),
        RuleTally("Spring", "parked", "caller_not_in_mapping", 1),
    ]
    assert list(found.places) == [
        Tally(NOON, "", "does_not_count", "status", 1),
        Tally(NOON, "", "not_finished", "not_ended", 1),
        Tally(NOON, "", "on_its_way", "new", 2),
        Tally(NOON, "", "unknown_caller", "caller_not_in_mapping", 1),
    ]


def test_what_becomes_of_a_conversion_moves_no_call_from_its_rule(ledger: WholeLedger) -> None:
    decided_by(ledger, SPRING, 1)
    for outcome in (Outcome(Result.RETRY, "http_503", 503), REFUSED):
        [sending] = ledger.claim(NOON + HOUR, 1, 60, POLICY).taken
        ledger.finish([attempt(sending, outcome, NOON, NOON, POLICY)], NOON)
        assert by_rule(ledger) == {("Spring", "converted", "", 1)}
    assert sums(ledger) == {("refused", "http_400", 1)}


def test_a_call_moves_to_the_rule_of_its_newest_decision_in_the_hour_of_its_first_callback(ledger: WholeLedger) -> None:
    decided_by(ledger, NONE_COUNTS, 1, 2)
    assert by_rule(ledger) == {("", "skipped", "too_short", 2)}
    assert apply_rules(ledger, SPRING, [key(1)], NOON + 3 * HOUR) == 1
    assert by_rule(ledger) == {("", "skipped", "too_short", 1), ("Spring", "converted", "", 1)}
    assert [one.calls for one in ledger.tallies.by_rule(NOON, NOON + HOUR).rules] == [1, 1]


def test_a_parked_call_whose_caller_becomes_known_counts_by_the_rule_of_then(ledger: WholeLedger) -> None:
    ledger.append([raw(1)])
    steps.fold(ledger)
    decide_batch(ledger, SPRING, NOON, 10)
    assert by_rule(ledger) == {("Spring", "parked", "caller_not_in_mapping", 1)}
    ledger.merge_customers([Customer(CALLER, "ann@example.com", None)])
    assert review_parked_batch(ledger, SUMMER, NOON, 10) == 1
    assert by_rule(ledger) == {("Summer", "converted", "", 1)}


def test_figures_stand_under_the_name_that_a_rule_had_when_it_decided(ledger: WholeLedger) -> None:
    decided_by(ledger, SPRING, 1, 2)
    decided_by(ledger, SUMMER, 3)
    assert by_rule(ledger) == {("Spring", "converted", "", 2), ("Summer", "converted", "", 1)}


def test_what_a_person_has_decided_anew_is_counted_by_the_rule_of_now(ledger: WholeLedger) -> None:
    decided_by(ledger, SPRING, 1)
    refuse(ledger)
    decided_anew(ledger, key(1), SUMMER)
    assert by_rule(ledger) == {("Summer", "converted", "", 1)}


def test_a_call_that_is_converted_by_its_leg_is_counted_by_the_rule_of_that(ledger: WholeLedger) -> None:
    decided_by(ledger, SPRING, 2)
    ledger.append([raw(1, "busy")])
    steps.fold(ledger)
    assert decide_batch(ledger, SPRING, NOON, 10) == 1
    assert by_rule(ledger) == {("Spring", "converted", "", 1), ("", "skipped", "status", 1)}
    ledger.append([raw(2, "ringing", parent=1)])
    steps.fold(ledger)
    assert by_rule(ledger) == {("Spring", "converted", "", 1)}
    refuse(ledger)
    assert (by_rule(ledger), outcomes(ledger)) == ({("Spring", "converted", "", 1)}, {("refused", "http_400")})


def refuse(ledger: WholeLedger) -> None:
    [sending] = ledger.claim(NOON, 1, 60, POLICY).taken
    ledger.finish([attempt(sending, REFUSED, NOON, NOON, POLICY)], NOON)


def decided_anew(ledger: WholeLedger, call: CallKey, judge: Judge) -> None:
    found = decide_anew(ledger.rebuilding.known_calls(), [call], judge, NOON + HOUR)
    assert [isinstance(one.decision, Convert) for one in found] == [True]
    [story] = ledger.stories.of_call(call.call_sid)
    assert story.conversion is not None
    assert ledger.rebuilding.rebuild(found, {call: story.conversion.fence}, NOON) == 1


def test_a_call_that_turns_out_to_be_a_leg_is_counted_by_no_rule_any_more(ledger: WholeLedger) -> None:
    decided_by(ledger, NONE_COUNTS, 1, 2)
    ledger.append([raw(2, "ringing", parent=1)])
    steps.fold(ledger)
    assert by_rule(ledger) == {("", "skipped", "too_short", 1)}


def test_an_earlier_callback_moves_a_call_to_an_earlier_hour_by_rule_as_well(ledger: WholeLedger) -> None:
    decided_by(ledger, SPRING, 1)
    ledger.append([raw(2, parent=1, at=NOON - HOUR)])
    steps.fold(ledger)
    assert ledger.tallies.by_rule(NOON, NOON + HOUR).rules == []
    assert by_rule(ledger) == {("Spring", "converted", "", 1)}


def test_sums_by_rule_of_any_time_are_those_of_its_hours(ledger: WholeLedger) -> None:
    for number in range(24):
        ledger.append([raw(number, "completed" if number % 3 else "busy", at=NOON + number * 5 * HOUR)])
    steps.fold(ledger)
    assert decide_batch(ledger, SPRING, NOON + 200 * HOUR, 100) == 24
    midnight = NOON.replace(hour=0)
    for since, until in ((0, 240), (12, 24), (11, 37), (13, 96), (36, 36), (24, 72), (12, 13)):
        found = ledger.tallies.by_rule(midnight + since * HOUR, midnight + until * HOUR)
        called = [number for number in range(24) if since <= 12 + number * 5 < until]
        rules = {one.rule: one.calls for one in found.rules}
        busy = sum(number % 3 == 0 for number in called)
        assert rules == {name: calls for name, calls in (("", busy), ("Spring", len(called) - busy)) if calls}
        assert sum(one.calls for one in found.places) == len(called)
