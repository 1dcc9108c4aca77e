"""What `LookUps` promises, and what `Books` promises of calls that wait for a look-up."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta

import pytest

from offhook.pipeline.customer import Customer
from offhook.pipeline.look_up import LookUpPolicy
from offhook.pipeline.ports.customers import Brought, Source
from offhook.pipeline.ports.look_ups import LookedUp, LookUpState, Wanted
from offhook.pipeline.steps import decide_batch, fold_batch, release_batch
from tests.contracts.conftest import WholeLedger
from tests.fakes import steps
from tests.fakes.callbacks import CALLER, NOON, OTHER, key, raw, sid

SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
POLICY = LookUpPolicy(again_seconds=60)
OLD_SPELLING, SPELLING = "+5215512345678", "+525512345678"


def call(ledger: WholeLedger, number: int, caller: str = CALLER) -> None:
    """A call that has ended and is folded."""
    ledger.append([raw(number, caller=caller)])
    fold_batch(ledger, steps.JUDGE, 100)


def decide(ledger: WholeLedger, now_seconds: float = 0) -> int:
    return decide_batch(ledger, steps.JUDGE, NOON + now_seconds * SECOND, 100, look_ups=POLICY)


def release(ledger: WholeLedger, now_seconds: float = 0, *, every: bool = False) -> int:
    return release_batch(ledger, steps.JUDGE, NOON + now_seconds * SECOND, 100, every=every)


def state(ledger: WholeLedger, number: int) -> str:
    [story] = ledger.stories.of_call(sid(number))
    return story.call.state


def claim(ledger: WholeLedger, now_seconds: float = 0, limit: int = 10) -> list[Wanted]:
    return sorted(ledger.claim_look_ups(NOON + now_seconds * SECOND, limit, 30), key=lambda one: one.phone)


def finish(ledger: WholeLedger, wanted: Wanted, state: LookUpState, due_seconds: float, attempts: int = 0) -> None:
    reason = "http_500" if attempts else ""
    ledger.finish_look_ups([LookedUp(wanted, state, NOON + due_seconds * SECOND, attempts, "crm", reason)])


def several_have_it(ledger: WholeLedger, wanted: Wanted, until_seconds: float) -> None:
    """The source names two customers of the number."""
    until = NOON + until_seconds * SECOND
    brought = Brought(Source.LOOKUP, "crm", fresh_until=until, is_released=True)
    ledger.merge_customers([Customer(wanted.phone, None, None, people=2)], brought)
    ledger.finish_look_ups([LookedUp(wanted, LookUpState.UNKNOWN, until, 0, "crm", has_several=True)])


def nobody_knows_them(ledger: WholeLedger) -> None:
    """The callers of all calls were looked up, and nobody knows them for 100 seconds: their calls are parked."""
    decide(ledger)
    for wanted in claim(ledger):
        finish(ledger, wanted, LookUpState.UNKNOWN, 100)
    release(ledger, 1)
    decide(ledger, 1)


def phones(wanted: Collection[Wanted]) -> list[str]:
    return [one.phone for one in wanted]


def known(ledger: WholeLedger, phone: str, for_seconds: float | None = None, *, is_released: bool = False) -> None:
    until = None if for_seconds is None else NOON + for_seconds * SECOND
    brought = Brought(Source.LOOKUP, "crm", fresh_until=until, is_released=is_released)
    ledger.merge_customers([Customer(phone, "ann@example.com", None)], brought)


def test_a_call_whose_caller_nobody_has_waits_and_its_number_is_to_be_looked_up(ledger: WholeLedger) -> None:
    call(ledger, 1)
    assert decide(ledger) == 1
    assert (state(ledger, 1), decide(ledger)) == ("settling", 0)
    assert ledger.waiting().look_up_at == NOON
    [line] = ledger.look_ups(10)
    assert (line.phone, line.waits_since, line.due_at, line.attempts) == (CALLER, NOON, NOON, 0)


def test_a_call_whose_caller_is_known_does_not_wait(ledger: WholeLedger) -> None:
    known(ledger, CALLER)
    call(ledger, 1)
    assert (decide(ledger), state(ledger, 1)) == (1, "converted")
    assert ledger.waiting().look_up_at is None


def test_what_is_known_for_a_while_is_looked_up_after_it(ledger: WholeLedger) -> None:
    known(ledger, CALLER, for_seconds=10)
    assert set(ledger.fresh_numbers([CALLER, OTHER], NOON + 9 * SECOND)) == {CALLER}
    assert set(ledger.fresh_numbers([CALLER, OTHER], NOON + 10 * SECOND)) == set()
    call(ledger, 1)
    assert (decide(ledger, 10), state(ledger, 1)) == (1, "settling")


def test_a_number_of_several_people_is_not_looked_up(ledger: WholeLedger) -> None:
    ledger.merge_customers([Customer(CALLER, None, None, people=2)])
    call(ledger, 1)
    assert (decide(ledger), state(ledger, 1)) == (1, "parked")


def test_that_several_people_have_a_number_is_looked_up_after_its_lifetime(ledger: WholeLedger) -> None:
    brought = Brought(Source.LOOKUP, "crm", fresh_until=NOON + 10 * SECOND)
    ledger.merge_customers([Customer(CALLER, None, None, people=2)], brought)
    assert set(ledger.fresh_numbers([CALLER], NOON + 9 * SECOND)) == {CALLER}
    assert set(ledger.fresh_numbers([CALLER], NOON + 10 * SECOND)) == set()
    call(ledger, 1)
    assert (decide(ledger, 10), state(ledger, 1)) == (1, "settling")


def test_a_number_of_several_people_is_asked_for_again_while_a_call_is_parked_for_it(ledger: WholeLedger) -> None:
    for number, caller in ((1, CALLER), (2, OTHER)):
        call(ledger, number, caller)
    decide(ledger)
    for wanted in claim(ledger):
        several_have_it(ledger, wanted, 100)
    assert (release(ledger, 1), decide(ledger, 1), state(ledger, 1)) == (2, 2, "parked")
    known(ledger, OTHER)
    steps_of_review(ledger)
    assert (claim(ledger, 99), ledger.waiting().look_up_at) == ([], NOON + 100 * SECOND)
    [wanted] = claim(ledger, 100)
    known(ledger, CALLER, for_seconds=1000, is_released=True)
    finish(ledger, wanted, LookUpState.KNOWN, 1000)
    assert (wanted.phone, release(ledger, 101), state(ledger, 1)) == (CALLER, 1, "converted")


def test_a_caller_without_a_number_is_not_looked_up(ledger: WholeLedger) -> None:
    for number, caller in enumerate(("anonymous", "client:ann", "+99912345678901234"), 1):
        call(ledger, number, caller)
    assert (decide(ledger), ledger.look_ups(10)) == (3, [])


def test_a_line_is_asked_for_once_however_it_is_spelled(ledger: WholeLedger) -> None:
    for number, caller in enumerate((OLD_SPELLING, SPELLING), 1):
        call(ledger, number, caller)
    assert decide(ledger) == 2
    assert phones(claim(ledger)) == [SPELLING]
    for spelled in (OLD_SPELLING, SPELLING):
        line = ledger.look_up_of(spelled)
        assert line is not None and line.phone == SPELLING
    assert ledger.look_up_of(CALLER) is None


def test_only_one_asks_for_a_number_until_its_claim_is_over(ledger: WholeLedger) -> None:
    call(ledger, 1)
    call(ledger, 2, OTHER)
    decide(ledger)
    assert phones(claim(ledger, limit=1)) + phones(claim(ledger)) == [CALLER, OTHER]
    assert claim(ledger, 29) == []
    again = claim(ledger, 30)
    assert (phones(again), [one.fence for one in again]) == ([CALLER, OTHER], [2, 2])


def test_a_claim_that_was_lost_writes_nothing(ledger: WholeLedger) -> None:
    call(ledger, 1)
    decide(ledger)
    [lost] = claim(ledger)
    [held] = claim(ledger, 30)
    finish(ledger, lost, LookUpState.UNKNOWN, 1000)
    assert not ledger.waiting().has_answers
    finish(ledger, held, LookUpState.UNKNOWN, 1000)
    assert ledger.waiting().has_answers


def test_a_source_that_failed_is_asked_again_when_it_is_due_and_the_call_waits(ledger: WholeLedger) -> None:
    call(ledger, 1)
    decide(ledger)
    [wanted] = claim(ledger)
    finish(ledger, wanted, LookUpState.WANTED, 50, attempts=1)
    assert (release(ledger), claim(ledger, 49)) == (0, [])
    [line] = ledger.look_ups(10)
    assert (line.attempts, line.source, line.reason, line.waits_since) == (1, "crm", "http_500", NOON)
    assert decide(ledger, 61) == 1  # it is looked at again, and waits on
    assert state(ledger, 1) == "settling"
    assert [(one.phone, one.attempts) for one in claim(ledger, 61)] == [(CALLER, 1)]


def test_once_somebody_has_the_number_its_calls_are_due(ledger: WholeLedger) -> None:
    call(ledger, 1)
    decide(ledger)
    [wanted] = claim(ledger)
    known(ledger, CALLER, for_seconds=1000)
    finish(ledger, wanted, LookUpState.KNOWN, 1000)
    assert ledger.waiting().has_answers
    assert (release(ledger, 1), ledger.waiting().has_answers) == (1, False)
    assert (decide(ledger, 1), state(ledger, 1)) == (1, "converted")
    assert (ledger.waiting().look_up_at, ledger.look_ups(10)) == (None, [])


def test_an_unknown_number_is_unknown_for_its_lifetime_and_its_call_is_parked(ledger: WholeLedger) -> None:
    call(ledger, 1)
    decide(ledger)
    [wanted] = claim(ledger)
    finish(ledger, wanted, LookUpState.UNKNOWN, 100)
    assert release(ledger, 1) == 1
    assert (decide(ledger, 1), state(ledger, 1), ledger.look_up_of(CALLER)) == (1, "parked", None)
    call(ledger, 2)
    assert (decide(ledger, 99), state(ledger, 2)) == (1, "parked")
    call(ledger, 3)
    assert (decide(ledger, 100), state(ledger, 3)) == (1, "settling")


def test_an_unknown_number_is_asked_for_again_while_a_call_is_parked_for_it_and_else_forgotten(
    ledger: WholeLedger,
) -> None:
    for number, caller in ((1, CALLER), (2, OTHER)):
        call(ledger, number, caller)
    nobody_knows_them(ledger)
    known(ledger, OTHER)
    steps_of_review(ledger)
    assert (state(ledger, 1), state(ledger, 2)) == ("parked", "converted")
    assert claim(ledger, 99) == []
    assert phones(claim(ledger, 100)) == [CALLER]
    [line] = ledger.look_ups(10)
    assert (line.phone, line.waits_since) == (CALLER, None)


def test_an_unknown_number_is_not_forgotten_while_a_call_of_it_is_to_be_decided(ledger: WholeLedger) -> None:
    """By a decision that is under way it is parked, as the number is unknown; and then nobody would ask for it again."""
    call(ledger, 1)
    decide(ledger)
    [wanted] = claim(ledger)
    finish(ledger, wanted, LookUpState.UNKNOWN, 100)
    assert state(ledger, 1) == "settling"
    assert phones(claim(ledger, 100)) == [CALLER]


def test_the_parked_calls_of_a_number_that_was_looked_up_are_decided_and_no_others_are_looked_at(
    ledger: WholeLedger,
) -> None:
    for number, caller in ((1, CALLER), (2, OTHER), (3, CALLER)):
        call(ledger, number, caller)
    nobody_knows_them(ledger)
    version, to_review = ledger.mapping_version(), ledger.waiting().to_review
    for wanted in claim(ledger, 100):
        if wanted.phone == CALLER:
            known(ledger, CALLER, for_seconds=1000, is_released=True)
            finish(ledger, wanted, LookUpState.KNOWN, 1000)
    assert (ledger.mapping_version(), ledger.waiting().to_review) == (version + 1, to_review)
    assert [state(ledger, number) for number in (1, 2, 3)] == ["parked"] * 3
    assert release(ledger, 101) == 2
    assert [state(ledger, number) for number in (1, 2, 3)] == ["converted", "parked", "converted"]
    assert (release(ledger, 101), release(ledger, 101)) == (1, 0)
    known(ledger, OTHER)
    assert ledger.waiting().to_review == to_review + 1


def test_what_is_answered_after_one_has_looked_is_not_released_unseen(ledger: WholeLedger) -> None:
    for number, caller in ((1, CALLER), (2, OTHER)):
        call(ledger, number, caller)
    nobody_knows_them(ledger)
    first, second = claim(ledger, 100)
    for wanted in (first, second):
        known(ledger, wanted.phone, is_released=True)
    finish(ledger, first, LookUpState.KNOWN, 1000)
    with ledger.books() as books:
        assert books is not None
        answered = books.answered(10)
    finish(ledger, second, LookUpState.KNOWN, 1000)
    with ledger.books() as books:
        assert books is not None
        books.release(answered.numbers, NOON + 101 * SECOND, NOON)
    assert (list(answered.numbers), len(answered.parked)) == ([first.phone], 1)
    assert ledger.waiting().has_answers
    assert (release(ledger, 102), release(ledger, 102), release(ledger, 102)) == (1, 1, 0)
    assert sorted(state(ledger, number) for number in (1, 2)) == ["converted", "parked"]


def test_a_number_of_several_people_that_was_looked_up_is_said_once_and_released(ledger: WholeLedger) -> None:
    call(ledger, 1)
    decide(ledger)
    [wanted] = claim(ledger)
    finish(ledger, wanted, LookUpState.UNKNOWN, 100)
    release(ledger, 1)
    decide(ledger, 1)
    for now in (100, 200):  # and the second time the source says the same
        [wanted] = claim(ledger, now)
        several_have_it(ledger, wanted, now + 100)
        assert ledger.waiting().has_answers
        while release(ledger, now + 1):
            pass
        [story] = ledger.stories.of_call(sid(1))
        words = [one.reasons[0].word for one in story.decisions]
        assert (story.call.state, words) == ("parked", ["caller_not_in_mapping", "several_customers"])


def test_a_call_that_is_skipped_whoever_calls_is_not_looked_up(ledger: WholeLedger) -> None:
    call(ledger, 1)
    ledger.append([raw(2, caller=OTHER, status="busy")])
    fold_batch(ledger, steps.JUDGE, 100)
    assert decide(ledger) == 2
    assert (state(ledger, 1), state(ledger, 2)) == ("settling", "skipped")
    assert phones(claim(ledger)) == [CALLER]


def steps_of_review(ledger: WholeLedger) -> None:
    from offhook.pipeline.steps import ParkedReview, review_parked_batch

    walk = ParkedReview()
    while walk.after is not None:
        review_parked_batch(ledger, steps.JUDGE, NOON + 2 * SECOND, 100, walk)


def test_a_call_that_waits_for_its_legs_is_not_released(ledger: WholeLedger) -> None:
    call(ledger, 1)
    decide(ledger)
    [wanted] = claim(ledger)
    known(ledger, CALLER)
    finish(ledger, wanted, LookUpState.KNOWN, 1000)
    with ledger.books() as books:
        assert books is not None
        numbers = books.answered(10).numbers
        books.release(numbers, NOON + SECOND, NOON - SECOND)  # it has not been over for long enough
    assert list(numbers) == [CALLER]
    assert (decide(ledger, 1), state(ledger, 1)) == (0, "settling")
    assert (decide(ledger, 61), state(ledger, 1)) == (1, "converted")  # and is looked at again


def test_where_nobody_looks_up_any_more_all_that_waits_is_due(ledger: WholeLedger) -> None:
    for number, caller in ((1, CALLER), (2, OTHER)):
        call(ledger, number, caller)
    decide(ledger)
    [*_, wanted] = claim(ledger)
    finish(ledger, wanted, LookUpState.UNKNOWN, 1000)
    assert release(ledger, 1, every=True) == 2
    assert ledger.waiting().look_up_at is None
    assert decide_batch(ledger, steps.JUDGE, NOON + SECOND, 10) == 2
    assert (state(ledger, 1), state(ledger, 2)) == ("parked", "parked")


def test_without_a_source_nothing_waits(ledger: WholeLedger) -> None:
    call(ledger, 1)
    assert decide_batch(ledger, steps.JUDGE, NOON, 10) == 1
    assert (state(ledger, 1), ledger.look_ups(10)) == ("parked", [])


def words(ledger: WholeLedger, number: int) -> list[list[str]]:
    [story] = ledger.stories.of_call(sid(number))
    return [[reason.word for reason in one.reasons] for one in story.decisions]


@pytest.mark.parametrize(("after_hours", "is_late"), [(11, False), (13, True)])
def test_a_call_whose_look_up_was_answered_on_another_day_is_late(
    ledger: WholeLedger, after_hours: int, is_late: bool
) -> None:
    """Its source was dead over midnight; the calls whose callers were known all the time were decided late, too."""
    known(ledger, OTHER)
    call(ledger, 1)
    call(ledger, 2, OTHER)
    with ledger.books() as books:
        assert books is not None
        books.let_wait({key(1): CALLER}, NOON, NOON + 60 * SECOND)
    [wanted] = claim(ledger)
    known(ledger, CALLER)
    finish(ledger, wanted, LookUpState.KNOWN, 1000)
    then = timedelta(hours=after_hours).total_seconds()
    release(ledger, then)
    assert decide(ledger, then) == 2
    assert words(ledger, 1) == [["counts", "late"] if is_late else ["counts"]]
    assert words(ledger, 2) == [["counts"]]


def test_those_that_wait_for_their_caller_are_known_from_all_others(ledger: WholeLedger) -> None:
    """One of each: parked, put off until it was looked up, the same and due again, just ended, skipped, converted."""
    unknown = [f"+1415555{number:04d}" for number in range(1, 4)]
    call(ledger, 1, unknown[0])
    decide_batch(ledger, steps.JUDGE, NOON, 100)
    known(ledger, OTHER)
    call(ledger, 5, OTHER)
    ledger.append([raw(6, caller=OTHER, status="busy")])
    fold_batch(ledger, steps.JUDGE, 100)
    decide(ledger)
    for number in (2, 3):
        call(ledger, number, unknown[number - 1])
    decide(ledger)
    call(ledger, 4)
    for wanted in claim(ledger):
        if wanted.phone == unknown[2]:
            finish(ledger, wanted, LookUpState.UNKNOWN, 100)
    release(ledger, 1)
    stand = ["parked", "settling", "settling", "settling", "converted", "skipped"]
    assert [state(ledger, number) for number in range(1, 7)] == stand
    with ledger.books() as books:
        assert books is not None
        assert set(books.waited([key(number) for number in range(1, 7)])) == {key(1), key(2), key(3)}
        assert set(books.waited([])) == set()


def test_a_call_that_waits_for_its_caller_waited_too_when_a_leg_came_meanwhile(ledger: WholeLedger) -> None:
    """With the leg it is due at another time; when it is due says nothing of why."""
    call(ledger, 1)
    decide(ledger)
    ledger.append([raw(2, parent=1, caller=CALLER)])
    fold_batch(ledger, steps.JUDGE, 100)
    with ledger.books() as books:
        assert books is not None
        assert set(books.waited([key(1)])) == {key(1)}


def test_a_call_whose_end_had_more_time_to_settle_did_not_wait_for_its_caller(ledger: WholeLedger) -> None:
    """Whoever makes OFFHOOK_SETTLE_SECONDS shorter has calls that are due later than their callbacks say now."""
    known(ledger, CALLER)
    ledger.append([raw(1, caller=CALLER)])
    fold_batch(ledger, replace(steps.JUDGE, settle_seconds=16 * HOUR.total_seconds()), 100)
    assert decide(ledger, 16 * HOUR.total_seconds()) == 1
    assert words(ledger, 1) == [["counts"]]
