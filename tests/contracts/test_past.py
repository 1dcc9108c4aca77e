"""What a decision and a backtest are given of the past: the calls of a customer before, pages of what was decided, kept rules."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from offhook.pipeline.backtest import backtest, changing, outcome, outcome_of, weighed_since
from offhook.pipeline.call import CallEvent, CallState
from offhook.pipeline.callback import CallKey
from offhook.pipeline.conversion import Convert, state_of, why
from offhook.pipeline.customer import Customer
from offhook.pipeline.ports.books import Asking, CallBefore
from offhook.pipeline.ports.past import ListUsed, RulesUsed
from offhook.pipeline.ports.unavailable import LedgerUnavailable
from offhook.pipeline.rules import SETTINGS, Rules
from offhook.pipeline.rules.blocks import Rule
from offhook.pipeline.rules.conditions import only
from offhook.pipeline.rules.english import in_english
from offhook.pipeline.rules.kinds import NumberList
from offhook.pipeline.rules.trace import ConditionTrace
from offhook.pipeline.sent_otherwise import SentOtherwise
from offhook.pipeline.steps import apply_rules, decide_anew, decide_batch
from offhook.pipeline.version import VERSION
from tests.contracts.conftest import WholeLedger
from tests.fakes import steps
from tests.fakes.callbacks import CALLER, NOON, OTHER, OURS, key, raw, sid

MINUTE = timedelta(minutes=1)
ANN = Customer(CALLER, "ann@example.com", None)
NOBODY = replace(steps.JUDGE, rules=Rules(min_duration_seconds=61))  # a call of the tests lasts a minute
REPEATS = replace(steps.JUDGE, rules=Rules(repeat_within=600))


def minutes(count: float) -> datetime:
    return NOON + count * MINUTE


def known(ledger: WholeLedger, *asking: Asking, limit: int = 10) -> list[list[CallKey]]:
    with ledger.books() as books:
        assert books is not None
        found = books.calls_before(asking, limit)
    return [[one.key for one in each] for each in found]


def test_the_calls_of_each_customer_are_given_the_latest_first_up_to_a_time_and_a_number(ledger: WholeLedger) -> None:
    for number in range(1, 5):
        ledger.append([raw(number, at=minutes(number))])
    ledger.append([raw(9, caller=OTHER, at=minutes(2))])
    steps.fold(ledger)
    assert known(ledger, Asking(CALLER, minutes(3)), Asking(CALLER, minutes(4)), Asking(OTHER, minutes(9))) == [
        [key(3), key(2), key(1)],
        [key(4), key(3), key(2), key(1)],
        [key(9)],
    ]
    assert known(ledger, Asking(CALLER, minutes(4)), limit=2) == [[key(4), key(3)]]
    assert known(ledger, Asking("+14155550177", minutes(9))) == [[]]
    for_two = [Asking(CALLER, minutes(4), key(number)) for number in (4, 2)]
    assert known(ledger, *for_two, limit=2) == [[key(3), key(2)], [key(4), key(3)]]
    assert known(ledger) == []


def test_a_call_before_is_given_as_the_ledger_has_it(ledger: WholeLedger) -> None:
    ledger.append([raw(1, "busy")])
    steps.fold(ledger)
    with ledger.books() as books:
        assert books is not None
        [[found]] = books.calls_before([Asking(CALLER, NOON)], 10)
    expected = CallBefore(key(1), CallState.SETTLING, found.direction, CALLER, OURS, 60, NOON, NOON, answered=False)
    assert found == expected


def test_of_two_calls_that_are_decided_together_the_later_one_is_the_repeat(ledger: WholeLedger) -> None:
    ledger.merge_customers([ANN])
    ledger.append([raw(2, at=minutes(5)), raw(1)])
    steps.fold(ledger)
    assert decide_batch(ledger, REPEATS, minutes(6), 10) == 2
    [first], [second] = ledger.stories.of_call(sid(1)), ledger.stories.of_call(sid(2))
    assert first.conversion is not None and second.conversion is None
    assert [reason.word for reason in second.decisions[-1].reasons] == [f"repeat_of {sid(1)}"]


def test_a_call_that_was_decided_before_is_known_to_the_next(ledger: WholeLedger) -> None:
    ledger.append([raw(1)])
    steps.fold(ledger)
    assert decide_batch(ledger, REPEATS, minutes(1), 10) == 1  # it waits, since nobody knows its caller
    ledger.append([raw(2, at=minutes(5))])
    steps.fold(ledger)
    assert decide_batch(ledger, REPEATS, minutes(6), 10) == 1
    assert ledger.stories.of_call(sid(2))[0].call.state == "skipped"


def test_how_a_decision_came_about_is_kept_with_it(ledger: WholeLedger) -> None:
    ledger.append([raw(1)])
    steps.fold(ledger)
    steps.decide(ledger, NOON)
    [line] = ledger.stories.of_call(sid(1))[0].decisions
    assert line.who == why("called_us", number=CALLER)
    assert (line.rule, [rule.rule for rule in line.trace], line.trace[0].holds) == ("", [""], True)
    assert [one.key for one in line.trace[0].conditions][:3] == ["directions", "statuses", "min_duration_seconds"]


def test_how_each_of_many_rules_was_gone_through_is_kept(ledger: WholeLedger) -> None:
    long, short = only({"min_duration_seconds": 61}), only({"max_duration_seconds": 60, "answered_by_person": True})
    rules = Rules(blocks=(Rule("long", long, skip="long_ones"), Rule("short", short, skip="short_ones")))
    judge = replace(steps.JUDGE, rules=rules)
    for number in (1, 2):
        ledger.append([raw(number)])
        steps.fold(ledger)
        assert decide_batch(ledger, judge, NOON, 100) == 1
    for number in (1, 2):
        [line] = ledger.stories.of_call(sid(number))[0].decisions
        assert [(rule.rule, rule.holds) for rule in line.trace] == [("long", False), ("short", None), ("", True)]
        assert line.trace[0].conditions == (ConditionTrace("min_duration_seconds", "61", "60", False),)
        assert line.trace[1].conditions[1] == ConditionTrace("answered_by_person", "True", "nobody knows", None)


def test_the_text_of_rules_is_read_by_their_version(ledger: WholeLedger) -> None:
    rules = Rules(text="# as it was\n")
    assert ledger.past.text_of(rules.version) is None
    ledger.keep_rules(rules, NOON)
    assert ledger.past.text_of(rules.version) == "# as it was\n"


def test_what_held_by_rules_is_kept_with_their_text_where_that_says_nothing(ledger: WholeLedger) -> None:
    """A later release may have other defaults."""
    defaults, rules = Rules(), Rules(min_duration_seconds=30, text="min_duration_seconds = 30\n")
    ledger.keep_rules(defaults, NOON)
    ledger.keep_rules(rules, minutes(1))
    [of_none, of_file] = [ledger.past.held(one.version) for one in (defaults, rules)]
    assert of_none is not None and of_file is not None
    assert of_none.offhook == VERSION
    kept = {
        key: value
        for key, value in of_none.settings.items()
        if value is not None and value is not False and value != {}
    }
    assert kept == {
        "action": "phone_call",
        "directions": ["inbound"],
        "min_duration_seconds": 0,
        "order_id": "{call_sid}",
        "statuses": ["completed"],
    }
    assert of_none.settings.keys() == SETTINGS.keys()
    assert list(of_none.sentences) == in_english(defaults).splitlines()
    assert (of_file.settings["min_duration_seconds"], of_file.settings["action"]) == (30, "phone_call")
    assert ledger.past.text_of(defaults.version) == ""
    assert ledger.past.held("none") is None


def test_the_numbers_of_the_files_that_rules_name_are_kept_as_they_were(ledger: WholeLedger) -> None:
    blocked, guests = NumberList.of("blocked.txt", frozenset({OTHER, CALLER})), NumberList.of("g.txt", frozenset())
    asks = [only({"callers_in": one}) for one in (blocked, guests, blocked)]
    rules = Rules(blocks=tuple(Rule(str(place), one, skip="blocked") for place, one in enumerate(asks)), text="# 1")
    more = NumberList.of("blocked.txt", blocked.numbers | {OURS})
    later = Rules(callers_in=more)
    ledger.keep_rules(replace(rules, blocks=()), NOON)
    ledger.keep_rules(rules, NOON)
    ledger.keep_rules(later, minutes(1))
    ledger.keep_rules(rules, minutes(2))
    past = ledger.past
    assert list(past.lists_used(rules.version)) == [
        ListUsed("blocked.txt", blocked.digest, 2),
        ListUsed("g.txt", guests.digest, 0),
    ]
    assert list(past.lists_used(later.version)) == [ListUsed("blocked.txt", more.digest, 3)]
    assert list(past.lists_used(Rules().version)) == []
    assert list(past.listed(blocked.digest, 10)) == sorted([CALLER, OTHER])
    assert list(past.listed(more.digest, 1)) == sorted(more.numbers)[:1]
    assert list(past.listed(guests.digest, 10)) == list(past.listed("none", 10)) == []
    assert {one.text for one in past.rules_used(9)} == {"# 1", ""} and len(past.rules_used(9)) == 4


def decided_calls(ledger: WholeLedger, count: int) -> None:
    ledger.merge_customers([ANN])
    ledger.append([raw(number, at=minutes(number)) for number in range(1, count + 1)])
    steps.fold(ledger)
    assert decide_batch(ledger, NOBODY, minutes(60), 100) == count


def test_the_past_is_given_page_by_page_and_each_call_once(ledger: WholeLedger) -> None:
    decided_calls(ledger, 5)
    ledger.append([raw(8, "ringing", at=minutes(9))])
    steps.fold(ledger)
    first = ledger.past.calls_since(minutes(2), None, 3)
    rest = ledger.past.calls_since(minutes(2), first[-1], 3)
    assert [one.key for one in (*first, *rest)] == [key(number) for number in (2, 3, 4, 5)]
    assert (first[0].state, first[0].reason, first[0].ours) == (CallState.SKIPPED, "too_short", OURS)
    assert (first[0].rules_version, first[0].rule) == (NOBODY.rules.version, "")
    assert list(ledger.past.calls_since(minutes(2), rest[-1], 3)) == []
    assert (ledger.past.count_since(minutes(2), 100), ledger.past.count_since(minutes(2), 2)) == (5, 2)


def test_a_call_of_which_a_callback_waits_is_left_out_of_a_backtest(ledger: WholeLedger) -> None:
    decided_calls(ledger, 3)
    assert ledger.past.waiting(2) == set()
    ledger.append([raw(8, parent=2, at=minutes(30)), raw(9, at=minutes(31))])
    waiting = ledger.past.waiting(2)
    assert waiting is not None and {key(2), key(8), key(9)} <= set(waiting)
    assert ledger.past.waiting(1) is None
    found = backtest(weighed_since(ledger.past, ledger.rebuilding.known_calls(), steps.JUDGE, NOON))
    assert (found.calls, [change.samples for change in found.changed]) == (2, [(sid(1), sid(3))])


def test_the_callbacks_of_calls_come_with_those_of_their_legs(ledger: WholeLedger) -> None:
    appended = [raw(2, "ringing"), raw(1), raw(8, parent=2, at=minutes(1)), raw(2, at=minutes(2)), raw(3)]
    ledger.append(appended)
    steps.fold(ledger)
    found = ledger.past.callbacks_of([key(1), key(2), key(8), key(9)])
    names = {call: {one.dedupe_key for one in raws} for call, raws in found.items()}
    assert names == {key(1): {appended[1].dedupe_key}, key(2): {appended[each].dedupe_key for each in (0, 2, 3)}}
    [first], [leg] = found[key(1)], [one for one in found[key(2)] if one.key == key(8)]
    assert (leg.key, leg.parent_call_sid, leg.received_at, leg.body) == (key(8), sid(2), minutes(1), appended[2].body)
    assert (first.method, first.source, first.headers, first.content_type) == ("POST", "webhook", (), "")


def test_of_a_call_of_which_a_callback_waits_no_callbacks_are_given(ledger: WholeLedger) -> None:
    ledger.append([raw(1), raw(8, parent=1), raw(2)])
    steps.fold(ledger)
    ledger.append([raw(8, "busy", parent=1, at=minutes(1))])
    assert list(ledger.past.callbacks_of([key(1), key(2)])) == [key(2)]


def test_a_callback_without_a_body_is_given_with_its_query(ledger: WholeLedger) -> None:
    ledger.append([replace(raw(1), method="GET")])
    steps.fold(ledger)
    [[found]] = ledger.past.callbacks_of([key(1)]).values()
    assert (found.method, found.target) == ("GET", raw(1).target)


@pytest.mark.parametrize("asked", [Rules(), Rules(min_duration_seconds=61), Rules(min_talk_seconds=1, blocks=())])
def test_a_call_comes_to_the_same_by_what_the_ledger_keeps_of_it_and_by_its_callbacks(
    ledger: WholeLedger, asked: Rules
) -> None:
    decided_calls(ledger, 3)
    books, judge = ledger.rebuilding.known_calls(), replace(steps.JUDGE, rules=asked)
    weighed = {call.key: outcome_of(found) for call, found in weighed_since(ledger.past, books, judge, NOON, page=2)}
    anew = decide_anew(books, [key(number) for number in (1, 2, 3)], judge, minutes(60))
    assert weighed == {one.call.key: outcome(state_of(one.decision), one.decision.reasons[0].word) for one in anew}


def test_a_backtest_says_what_would_change_and_changes_nothing(ledger: WholeLedger) -> None:
    decided_calls(ledger, 4)
    books = ledger.rebuilding.known_calls()
    found = backtest(weighed_since(ledger.past, books, steps.JUDGE, minutes(2), page=2))
    assert (found.calls, found.unchanged) == (3, 0)
    [change] = found.changed
    assert (change.before, change.after, change.count) == ("skipped: too_short", "converted", 3)
    assert change.samples == (sid(2), sid(3), sid(4))
    assert backtest(weighed_since(ledger.past, books, NOBODY, minutes(0))).unchanged == 4
    assert {ledger.stories.of_call(sid(number))[0].call.state for number in range(1, 5)} == {"skipped"}


def test_a_past_call_has_the_rule_of_its_newest_decision(ledger: WholeLedger) -> None:
    decided_calls(ledger, 1)
    judge = replace(steps.JUDGE, rules=Rules(blocks=(Rule("Each one", only({})),)))
    assert apply_rules(ledger, judge, [key(1)], minutes(61)) == 1
    [found] = ledger.past.calls_since(NOON, None, 3)
    assert (found.state, found.rules_version, found.rule) == (CallState.CONVERTED, judge.rules.version, "Each one")
    books, twice = ledger.rebuilding.known_calls(), replace(judge, rules=replace(judge.rules, action="twice"))
    otherwise = SentOtherwise(twice.rules, {judge.rules.version: judge.rules}.get)
    [change] = backtest(weighed_since(ledger.past, books, twice, NOON), otherwise=otherwise).changed
    assert (change.before, change.after) == ('converted: action "phone_call"', 'converted: action "twice"')
    same = SentOtherwise(judge.rules, lambda _: None)
    assert backtest(weighed_since(ledger.past, books, judge, NOON), otherwise=same).unchanged == 1


def test_other_rules_decide_what_was_skipped_and_what_waits_and_leave_what_was_converted(ledger: WholeLedger) -> None:
    decided_calls(ledger, 2)
    books = ledger.rebuilding.known_calls()
    found = weighed_since(ledger.past, books, steps.JUDGE, NOON, states=[CallState.SKIPPED])
    assert apply_rules(ledger, steps.JUDGE, list(changing(found)), minutes(61)) == 2
    stories = [ledger.stories.of_call(sid(number))[0] for number in (1, 2)]
    assert [one.call.state for one in stories] == ["converted", "converted"]
    assert [len(one.decisions) for one in stories] == [2, 2]
    assert all(one.conversion for one in stories)
    with pytest.raises(LedgerUnavailable):
        apply_rules(ledger, NOBODY, [key(1)], minutes(62))
    assert ledger.stories.of_call(sid(1))[0].call.state == "converted"


def test_what_was_skipped_is_decided_anew_by_a_person_alone(ledger: WholeLedger) -> None:
    decided_calls(ledger, 1)
    with ledger.books() as books:
        assert books is not None
        [again] = decide_anew(books, [key(1)], steps.JUDGE, minutes(61))
        assert isinstance(again.decision, Convert)
        with pytest.raises(LedgerUnavailable):
            books.record([again])
        books.record([again], CallEvent.DECIDE_ANEW)
    assert ledger.stories.of_call(sid(1))[0].call.state == "converted"


def test_each_time_that_rules_held_is_given_the_newest_first(ledger: WholeLedger) -> None:
    assert list(ledger.past.rules_used(5)) == []
    decided_calls(ledger, 1)
    assert list(ledger.past.rules_used(5)) == []  # what rules ask, which decisions point at, is no file of rules
    old, new = Rules(text="# old"), Rules(min_duration_seconds=7, text="# new")
    for rules, at in ((old, NOON), (old, minutes(1)), (new, minutes(5)), (new, minutes(6)), (old, minutes(9))):
        ledger.keep_rules(rules, at)
    used = [
        RulesUsed(3, old.version, minutes(9), "# old"),
        RulesUsed(2, new.version, minutes(5), "# new"),
        RulesUsed(1, old.version, NOON, "# old"),
    ]
    assert list(ledger.past.rules_used(5)) == used
    assert list(ledger.past.rules_used(1)) == used[:1]
    assert list(ledger.past.rules_used(5, 3)) == used
    assert list(ledger.past.rules_used(5, 1)) == used[2:]
    assert [ledger.past.use_of(one) for one in (old.version, new.version, "none")] == [3, 2, None]
