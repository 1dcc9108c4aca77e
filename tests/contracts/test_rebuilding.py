"""What `Rebuilding` promises: other bytes only where nothing can have been counted, and what was there before is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from offhook.pipeline.customer import Customer
from offhook.pipeline.delivery import Outcome, Resend, Result, RetryPolicy
from offhook.pipeline.ports.books import Decided
from offhook.pipeline.rules import Rules
from offhook.pipeline.sending_again import compare, rebuild
from offhook.pipeline.steps import Judge, attempt, decide_anew
from offhook.pipeline.story import ConversionLine, Story
from tests.contracts.conftest import WholeLedger
from tests.fakes.callbacks import CALLER, NOON, key, raw, sid
from tests.fakes.steps import JUDGE, decide, fold

POLICY = RetryPolicy(base_seconds=0.001, cap_seconds=0.001, resend=Resend.ALWAYS)
REFUSED = Outcome(Result.REFUSED, "http_400", 400)
BUSY = Outcome(Result.RETRY, "http_503", 503)
UNSURE = Outcome(Result.MAYBE_SENT, "reset")
DELIVERED = Outcome(Result.DELIVERED, "delivered", 200)
SECOND = timedelta(seconds=1)
LATER = NOON + timedelta(hours=1)


def converted(ledger: WholeLedger, count: int = 1) -> None:
    """So many conversions of a caller of whom the mapping says `old` for now."""
    ledger.merge_customers([Customer(CALLER, "old@example.com", None)])
    ledger.append([raw(number) for number in range(count)])
    fold(ledger)
    assert decide(ledger, NOON) == count


def comes_to(ledger: WholeLedger, *outcomes: Outcome) -> None:
    """One attempt after the other at the conversion that is due first."""
    for number, outcome in enumerate(outcomes):
        now = NOON + number * SECOND
        [sending] = ledger.claim(now, 1, 60, POLICY).taken
        ledger.finish([attempt(sending, outcome, now, now, POLICY)], now)


def decided_today(ledger: WholeLedger, *numbers: int) -> Sequence[Decided]:
    """As of a mapping that says `new`."""
    ledger.merge_customers([Customer(CALLER, "new@example.com", None)])
    keys = [key(number) for number in numbers or (0,)]
    return decide_anew(ledger.rebuilding.known_calls(), keys, JUDGE, LATER)


def rebuilt(ledger: WholeLedger, fence: int) -> int:
    return ledger.rebuilding.rebuild(decided_today(ledger), {key(0): fence}, LATER)


def story(ledger: WholeLedger, number: int = 0) -> Story:
    [found] = ledger.stories.of_call(sid(number))
    return found


def line(ledger: WholeLedger, number: int = 0) -> ConversionLine:
    found = story(ledger, number).conversion
    assert found is not None
    return found


def stays_if_rebuilt(ledger: WholeLedger) -> bool:
    """Neither said to be free, nor changed where somebody believes so."""
    before = story(ledger)
    assert before.conversion is not None
    assert ledger.rebuilding.may_be_rebuilt([before.conversion]) == set()
    return rebuilt(ledger, before.conversion.fence) == 0 and story(ledger) == before


def test_what_was_refused_is_due_at_once_with_other_bytes_and_a_decision_of_its_own(ledger: WholeLedger) -> None:
    converted(ledger)
    comes_to(ledger, BUSY, REFUSED)
    was = line(ledger)
    assert ledger.rebuilding.may_be_rebuilt([was]) == {key(0)}
    assert rebuilt(ledger, was.fence) == 1
    now = line(ledger)
    assert (now.state, now.reason, now.due_at, now.fence) == ("pending", "rebuilt", LATER, was.fence)
    assert b"new@" in now.payload
    assert [one.decided_at for one in story(ledger).decisions] == [NOON, LATER]
    assert [(one.rule, one.who is not None) for one in story(ledger).decisions] == [("", True)] * 2
    [sending] = ledger.claim(LATER, 1, 60, POLICY).taken
    assert (sending.payload, sending.horizon_from, sending.first_attempt_at) == (now.payload, LATER, LATER)
    assert (sending.fence, sending.maybe_sent, sending.expired_leases) == (was.fence + 1, False, 0)


def test_what_it_was_before_is_kept(ledger: WholeLedger) -> None:
    converted(ledger)
    comes_to(ledger, BUSY, REFUSED)
    was = line(ledger)
    rebuilt(ledger, was.fence)
    [kept] = story(ledger).replaced
    assert (kept.action, kept.order_id, kept.payload) == (was.action, was.order_id, was.payload)
    assert (kept.attempts, kept.replaced_at) == (2, LATER)


def test_the_text_of_the_rules_by_which_it_is_rebuilt_is_kept(ledger: WholeLedger) -> None:
    """Before any worker has used them; where nothing is rebuilt no text is kept."""
    converted(ledger)
    comes_to(ledger, REFUSED)
    judge = replace(JUDGE, rules=Rules(min_duration_seconds=7, text="# new\n"))

    def rebuilt_by(judge: Judge) -> int:
        found = compare(ledger.rebuilding, [line(ledger)], judge, lambda _: None, LATER)
        return rebuild(ledger.rebuilding, ledger, found, LATER)

    assert rebuilt_by(judge) == 0
    assert ledger.kept_rules(judge.rules.version) is None
    ledger.merge_customers([Customer(CALLER, "new@example.com", None)])
    assert rebuilt_by(judge) == 1
    assert ledger.kept_rules(story(ledger).decisions[-1].rules_version) == "# new\n"


def test_what_is_on_its_way_again_is_not_rebuilt_twice(ledger: WholeLedger) -> None:
    converted(ledger)
    comes_to(ledger, REFUSED)
    assert [rebuilt(ledger, 1), rebuilt(ledger, 1)] == [1, 0]
    assert len(story(ledger).replaced) == 1


@pytest.mark.parametrize("fence", [0, 2])
def test_another_fence_than_it_has_leaves_it_as_it_is(ledger: WholeLedger, fence: int) -> None:
    converted(ledger)
    comes_to(ledger, REFUSED)
    before = story(ledger)
    assert (rebuilt(ledger, fence), story(ledger)) == (0, before)


@pytest.mark.parametrize("outcomes", [(), (BUSY,), (DELIVERED,), (UNSURE,), (UNSURE, REFUSED)])
def test_what_may_have_been_counted_or_may_yet_be_stays(ledger: WholeLedger, outcomes: tuple[Outcome, ...]) -> None:
    converted(ledger)
    comes_to(ledger, *outcomes)
    assert stays_if_rebuilt(ledger)


def test_an_attempt_in_doubt_forbids_it_even_if_a_person_sent_it_again_since(ledger: WholeLedger) -> None:
    converted(ledger)
    comes_to(ledger, UNSURE, REFUSED)
    ledger.retry([key(0)], NOON)
    comes_to(ledger, REFUSED)
    assert (line(ledger).state, line(ledger).maybe_sent) == ("dead", False)
    assert stays_if_rebuilt(ledger)


HELD = Outcome(Result.HELD, "key_lacks_customer_id")


@pytest.mark.parametrize("outcomes", [(HELD,), (BUSY, HELD)])
def test_what_was_held_before_anything_was_sent_that_counts_is_rebuilt(
    ledger: WholeLedger, outcomes: tuple[Outcome, ...]
) -> None:
    converted(ledger)
    comes_to(ledger, *outcomes)
    was = line(ledger)
    assert (was.state, was.reason, was.attempts) == ("ambiguous", "key_lacks_customer_id", len(outcomes) - 1)
    assert len(story(ledger).attempts) == len(outcomes) - 1, "what never left is no attempt"
    assert ledger.rebuilding.may_be_rebuilt([was]) == {key(0)}
    assert rebuilt(ledger, was.fence) == 1
    assert (line(ledger).state, line(ledger).reason) == ("pending", "rebuilt")


def test_what_may_have_arrived_before_it_was_held_stays(ledger: WholeLedger) -> None:
    converted(ledger)
    comes_to(ledger, UNSURE, HELD)
    assert line(ledger).maybe_sent
    assert stays_if_rebuilt(ledger)


def test_what_died_without_ever_being_refused_stays(ledger: WholeLedger) -> None:
    """Nobody said that these bytes were wrong."""
    converted(ledger)
    [sending] = ledger.claim(NOON, 1, 60, POLICY).taken
    ledger.finish([attempt(sending, BUSY, NOON, NOON, replace(POLICY, horizon_seconds=0.0))], NOON)
    assert line(ledger).state == "dead"
    assert stays_if_rebuilt(ledger)


def test_an_attempt_that_came_late_counts_whatever_was_read_before(ledger: WholeLedger) -> None:
    converted(ledger)
    [old] = ledger.claim(NOON, 1, 60, POLICY).taken
    after = NOON + timedelta(seconds=61)
    ledger.expire_leases(after, POLICY)
    [sending] = ledger.claim(after + SECOND, 1, 60, POLICY).taken
    ledger.finish([attempt(sending, REFUSED, after, after, POLICY)], after + SECOND)
    ledger.finish([attempt(old, UNSURE, NOON, after, POLICY)], after + SECOND)
    assert stays_if_rebuilt(ledger)


def test_each_is_judged_by_itself_and_the_number_is_of_those_that_changed(ledger: WholeLedger) -> None:
    converted(ledger, 60)  # more than one transaction takes
    for sending in ledger.claim(NOON, 60, 60, POLICY).taken:
        ledger.finish([attempt(sending, REFUSED, NOON, NOON, POLICY)], NOON)
    decided = decided_today(ledger, *range(60))
    fences = {one.call.key: 1 for one in decided} | {key(7): 9}
    assert ledger.rebuilding.rebuild(decided, fences, LATER) == 59
    assert dict(ledger.stories.conversion_counts()) == {"pending": 59, "dead": 1}
    assert b"old@" in line(ledger, 7).payload


def test_of_several_those_are_named_of_which_nothing_can_have_been_counted(ledger: WholeLedger) -> None:
    converted(ledger, 3)
    outcomes = iter([REFUSED, UNSURE, REFUSED])
    free = set()
    for sending, outcome in zip(ledger.claim(NOON, 3, 60, POLICY).taken, outcomes, strict=True):
        ledger.finish([attempt(sending, outcome, NOON, NOON, POLICY)], NOON)
        free |= {sending.key} if outcome is REFUSED else set()
    assert ledger.rebuilding.may_be_rebuilt(ledger.stories.conversions([], 10)) == free
    assert ledger.rebuilding.may_be_rebuilt([]) == set()


def test_a_call_without_a_conversion_gets_none(ledger: WholeLedger) -> None:
    ledger.append([raw(0)])
    fold(ledger)
    decide(ledger, NOON)
    assert rebuilt(ledger, 0) == 0
    assert story(ledger).conversion is None


def test_nothing_to_rebuild_changes_nothing(ledger: WholeLedger) -> None:
    assert ledger.rebuilding.rebuild([], {}, NOON) == 0


def test_what_is_known_is_read_anew_and_while_another_has_the_bookkeepers_turn(ledger: WholeLedger) -> None:
    converted(ledger)
    known = ledger.rebuilding.known_calls()
    assert known.customers([CALLER])[0][CALLER].email == "old@example.com"
    ledger.merge_customers([Customer(CALLER, "new@example.com", None)])
    with ledger.books():
        assert known.customers([CALLER])[0][CALLER].email == "new@example.com"
        assert set(known.settled([key(0)]).calls) == {key(0)}
