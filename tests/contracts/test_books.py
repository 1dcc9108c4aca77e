"""What `Bookkeeping` and `Books` promise: values in, effects at once, all of it or none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta

import pytest

from offhook.pipeline.call import fold
from offhook.pipeline.callback import CallKey
from offhook.pipeline.conversion import Skip
from offhook.pipeline.customer import Customer
from offhook.pipeline.ports.books import Books, Decided, Families, Folded, Stored
from offhook.pipeline.ports.customers import Brought, Source
from offhook.pipeline.ports.look_ups import LookedUp, LookUpState
from offhook.pipeline.ports.unavailable import LedgerUnavailable
from offhook.pipeline.steps import decide_anew
from tests.contracts.conftest import WholeLedger
from tests.fakes import steps
from tests.fakes.callbacks import ACCOUNT, CALLER, NOON, OTHER, key, raw, read, sid

SECOND = timedelta(seconds=1)
ANN = Customer(CALLER, "ann@example.com", None)
HOUR = timedelta(hours=1)
OLD_SPELLING, SPELLING = "+5215512345678", "+525512345678"


@contextmanager
def turn(ledger: WholeLedger) -> Iterator[Books]:
    with ledger.books() as books:
        assert books is not None
        yield books


def folded(families: Families, settle_at: datetime | None = NOON, phone: str | None = CALLER) -> list[Folded]:
    """The calls of these families, final or not."""
    calls = [fold(of, [read(one) for one in raws]) for of, raws in families.calls.items()]
    return [Folded(call, settle_at if call.final_at else None, phone) for call in calls]


def take_in(books: Books, fresh: Sequence[Stored], settle_at: datetime | None = NOON) -> Families:
    families = books.families(fresh)
    books.save(families, folded(families, settle_at))
    return families


def names(stored: Sequence[Stored]) -> list[str]:
    return [one.raw.call_sid for one in stored]


def state_of(ledger: WholeLedger, number: int) -> str:
    [story] = ledger.stories.of_call(sid(number))
    return story.call.state


def decided(ledger: WholeLedger, keys: Sequence[CallKey], now: datetime = NOON) -> Sequence[Decided]:
    with turn(ledger) as books:
        return decide_anew(books, keys, steps.JUDGE, now)


# The turn


def test_one_has_the_turn_and_nobody_else_until_it_ends(ledger: WholeLedger) -> None:
    for _ in range(2):
        with ledger.books() as ours:
            assert ours is not None
            with ledger.books() as other:
                assert other is None


def test_a_turn_that_ends_with_an_error_ends(ledger: WholeLedger) -> None:
    with pytest.raises(ZeroDivisionError), turn(ledger):
        raise ZeroDivisionError
    with ledger.books() as books:
        assert books is not None


# unfolded, families, save


def test_what_waits_is_given_in_the_order_of_its_numbers_the_oldest_or_the_newest(ledger: WholeLedger) -> None:
    for number in (4, 1, 3, 2):
        ledger.append([raw(number)])
    with turn(ledger) as books:
        every = books.unfolded(10)
        assert names(every) == [sid(number) for number in (4, 1, 3, 2)]
        assert [one.seq for one in every] == sorted(one.seq for one in every)
        assert names(books.unfolded(2)) == [sid(4), sid(1)]
        assert names(books.unfolded(2, newest=True)) == [sid(3), sid(2)]
        assert list(books.unfolded(0)) == []


def test_nothing_waits_in_an_empty_ledger_and_nothing_comes_of_nothing(ledger: WholeLedger) -> None:
    with turn(ledger) as books:
        assert (list(books.unfolded(10)), list(books.due(NOON, 10)), list(books.open_since(NOON, 10))) == ([], [], [])
        families = books.families([])
        assert not any((families.calls, families.seqs, families.links, families.absorbed, families.converted))
        books.save(families, [])
        books.record([])
        books.leave_unfinished({}, NOON, "v1")
        settled = books.settled([])
        assert (dict(settled.calls), list(settled.unlinked)) == ({}, [])
        assert dict(books.customers([])[0]) == {}
        assert (list(books.parked("", 10).to_decide), books.parked("", 10).after) == ([], None)


def test_what_was_saved_is_there_at_once(ledger: WholeLedger) -> None:
    ledger.append([raw(1), raw(2, "ringing")])
    with turn(ledger) as books:
        take_in(books, books.unfolded(10))
        assert list(books.unfolded(10)) == []
        assert list(books.due(NOON, 10)) == [key(1)]
    assert (state_of(ledger, 1), state_of(ledger, 2)) == ("settling", "open")


def test_save_takes_in_what_it_is_given_and_not_what_was_read_last(ledger: WholeLedger) -> None:
    ledger.append([raw(1)])
    ledger.append([raw(2)])
    with turn(ledger) as books:
        first, second = books.unfolded(10)
        families = books.families([first])
        books.families([second])
        books.save(families, folded(families))
        assert names(books.unfolded(10)) == [sid(2)]
    assert ledger.stories.of_call(sid(2)) == []


def test_what_was_read_in_an_earlier_turn_can_be_saved_in_a_later_one(ledger: WholeLedger) -> None:
    ledger.append([raw(1)])
    with turn(ledger) as books:
        families = books.families(books.unfolded(10))
    with turn(ledger) as books:
        books.save(families, folded(families))
    assert state_of(ledger, 1) == "settling"


def test_what_was_taken_in_already_is_refused_and_nothing_is_changed(ledger: WholeLedger) -> None:
    ledger.append([raw(1), raw(2)])
    with turn(ledger) as books:
        both, [one, *_] = books.families(books.unfolded(10)), books.unfolded(10)
        take_in(books, [one])
    with pytest.raises(LedgerUnavailable), turn(ledger) as books:
        books.save(both, folded(both))
    with turn(ledger) as books:
        assert len(books.unfolded(10)) == 1


def test_with_each_callback_all_others_of_its_call_are_taken_in(ledger: WholeLedger) -> None:
    ledger.append([raw(1, "ringing")])
    ledger.append([raw(2)])
    ledger.append([raw(1)])
    with turn(ledger) as books:
        families = books.families(books.unfolded(1))
        assert {of: len(raws) for of, raws in families.calls.items()} == {key(1): 2}
        assert len(families.seqs) == 2


def test_a_leg_is_of_the_family_of_its_parent_whichever_came_first(ledger: WholeLedger) -> None:
    ledger.append([raw(3, parent=2)])
    with turn(ledger) as books:
        take_in(books, books.unfolded(10))
    ledger.append([raw(2, parent=1)])
    ledger.append([raw(1)])
    with turn(ledger) as books:
        families = take_in(books, books.unfolded(10))
        assert {of: len(raws) for of, raws in families.calls.items()} == {key(1): 3}
    [story] = ledger.stories.of_call(sid(3))
    assert (story.call.key, story.call.legs, len(story.callbacks)) == (key(1), 3, 3)
    assert ledger.stories.conversion_counts() == {}


def test_a_call_that_turns_out_to_be_a_leg_is_none_any_more(ledger: WholeLedger) -> None:
    ledger.append([raw(2)])
    with turn(ledger) as books:
        take_in(books, books.unfolded(10))
        assert list(books.due(NOON, 10)) == [key(2)]
    ledger.append([raw(2, "ringing", parent=1)])
    with turn(ledger) as books:
        families = take_in(books, books.unfolded(10))
        assert (set(families.absorbed), set(families.converted)) == ({key(2)}, set())
        assert list(books.due(NOON, 10)) == []
    assert [one.key for one in ledger.stories.outcomes()] == [key(1)]


def test_a_call_whose_leg_was_converted_is_converted_and_not_decided_again(ledger: WholeLedger) -> None:
    ledger.merge_customers([ANN])
    ledger.append([raw(2)])
    steps.fold(ledger)
    assert steps.decide(ledger, NOON) == 1
    ledger.append([raw(2, "ringing", parent=1), raw(1)])
    with turn(ledger) as books:
        assert set(take_in(books, books.unfolded(10)).converted) == {key(1)}
        assert list(books.due(NOON + HOUR, 10)) == []
    assert state_of(ledger, 1) == "converted"
    assert dict(ledger.stories.conversion_counts()) == {"pending": 1}


def test_a_decided_call_keeps_its_state_whatever_comes_later(ledger: WholeLedger) -> None:
    ledger.merge_customers([ANN])
    ledger.append([raw(1)])
    steps.fold(ledger)
    steps.decide(ledger, NOON)
    ledger.append([raw(1, "ringing"), raw(2, parent=1)])
    steps.fold(ledger)
    [story] = ledger.stories.of_call(sid(1))
    assert (story.call.state, story.call.callbacks, story.call.legs) == ("converted", 3, 2)
    assert steps.decide(ledger, NOON + HOUR) == 0


def test_a_number_that_is_known_stays_when_a_later_callback_has_none(ledger: WholeLedger) -> None:
    for status, phone in (("ringing", CALLER), ("completed", None)):
        ledger.append([raw(1, status)])
        with turn(ledger) as books:
            families = books.families(books.unfolded(10))
            books.save(families, folded(families, phone=phone))
    assert [one.key for one in ledger.stories.calls_of(CALLER, 10)] == [key(1)]


# due, settled


def test_calls_are_due_when_they_are_settled_the_oldest_or_the_newest_first(ledger: WholeLedger) -> None:
    for number in (1, 2, 3):
        ledger.append([raw(number)])
    with turn(ledger) as books:
        for one in books.unfolded(10):
            take_in(books, [one], NOON + one.seq * SECOND)
        assert list(books.due(NOON + HOUR, 10)) == [key(1), key(2), key(3)]
        assert list(books.due(NOON + HOUR, 2)) == [key(1), key(2)]
        assert list(books.due(NOON + HOUR, 2, newest=True)) == [key(3), key(2)]
        assert list(books.due(NOON, 10)) == []


def test_all_that_is_known_of_a_call_is_given_with_legs_that_wait_to_be_linked(ledger: WholeLedger) -> None:
    ledger.append([raw(1), raw(2, parent=1)])
    steps.fold(ledger)
    ledger.append([raw(1, "ringing")])
    ledger.append([raw(3, parent=2)])
    with turn(ledger) as books:
        settled = books.settled([key(1), key(9)])
        assert {of: len(raws) for of, raws in settled.calls.items()} == {key(1): 3}
        assert names(settled.unlinked) == [sid(3)]


# record


@pytest.mark.parametrize("known", [True, False])
def test_a_decision_moves_its_call_and_is_journaled_with_its_conversion(ledger: WholeLedger, known: bool) -> None:
    if known:
        ledger.merge_customers([ANN])
    ledger.append([raw(1)])
    steps.fold(ledger)
    made = decided(ledger, [key(1)])
    with turn(ledger) as books:
        books.record(made)
    [story] = ledger.stories.of_call(sid(1))
    state = "converted" if known else "parked"
    assert (story.call.state, story.call.decided_at, [one.result for one in story.decisions]) == (state, NOON, [state])
    assert story.decisions[0].reasons == made[0].decision.reasons
    assert (story.conversion is not None) is known
    if story.conversion:
        assert (story.conversion.payload, story.conversion.due_at) == (made[0].payload, made[0].due_at)


def test_a_call_is_decided_once_and_a_second_decision_changes_nothing(ledger: WholeLedger) -> None:
    ledger.merge_customers([ANN])
    ledger.append([raw(1), raw(2)])
    steps.fold(ledger)
    first, both = decided(ledger, [key(1)]), decided(ledger, [key(1), key(2)])
    with turn(ledger) as books:
        books.record(first)
    with suppress(Exception), turn(ledger) as books:  # whatever it raises: nothing of it may stay
        books.record(both)
    assert (state_of(ledger, 1), state_of(ledger, 2)) == ("converted", "settling")
    assert dict(ledger.stories.conversion_counts()) == {"pending": 1}
    assert len(ledger.stories.of_call(sid(1))[0].decisions) == 1


def test_a_decision_without_a_conversion_is_taken_once_too(ledger: WholeLedger) -> None:
    ledger.append([raw(1, "busy"), raw(2, "busy")])
    steps.fold(ledger)
    first, both = decided(ledger, [key(1)]), decided(ledger, [key(1), key(2)])
    with turn(ledger) as books:
        books.record(first)
    with suppress(Exception), turn(ledger) as books:
        books.record(both)
    assert [len(ledger.stories.of_call(sid(number))[0].decisions) for number in (1, 2)] == [1, 0]
    assert state_of(ledger, 2) == "settling"


def test_a_skipped_call_has_no_conversion(ledger: WholeLedger) -> None:
    ledger.append([raw(1, "busy")])
    steps.fold(ledger)
    [one] = decided(ledger, [key(1)])
    assert isinstance(one.decision, Skip)
    with turn(ledger) as books:
        books.record([one])
    assert (state_of(ledger, 1), dict(ledger.stories.conversion_counts())) == ("skipped", {})


# customers, parked


def test_customers_come_with_the_version_of_the_mapping(ledger: WholeLedger) -> None:
    with turn(ledger) as books:
        before = books.customers([CALLER])
    ledger.merge_customers([ANN])
    with turn(ledger) as books:
        found, version = books.customers([CALLER, OTHER])
    assert (dict(before[0]), dict(found)) == ({}, {CALLER: ANN})
    assert before[1] < version == ledger.mapping_version()


def test_parked_calls_are_walked_through_page_by_page_and_those_to_decide_are_named(ledger: WholeLedger) -> None:
    callers = [f"+1415555020{number}" for number in range(5)]
    for number in (3, 0, 4, 2, 1):
        ledger.append([raw(number, caller=callers[number])])
    steps.fold(ledger)
    assert steps.decide(ledger, NOON) == 5
    ledger.merge_customers([Customer(callers[1], "b@example.com", None), Customer(callers[4], "e@example.com", None)])
    with turn(ledger) as books:
        assert set(books.parked("", 10).to_decide) == {key(1), key(4)}
        assert list(books.parked(callers[1], 10).to_decide) == [key(4)]
        assert list(books.parked(callers[4], 10).to_decide) == []
    found, pages = set[CallKey](), 0
    after: str | None = ""
    with turn(ledger) as books:
        while after is not None:
            page = books.parked(after, 2)
            assert len(page.to_decide) <= 2
            books.record(decide_anew(books, list(page.to_decide), steps.JUDGE, NOON))
            found, after, pages = found | set(page.to_decide), page.after, pages + 1
            assert pages < 10, "the walk has no end"
    assert found == {key(1), key(4)}
    assert [state_of(ledger, number) for number in range(5)] == ["parked", "converted", "parked", "parked", "converted"]


def test_that_several_people_have_a_number_is_decided_once(ledger: WholeLedger) -> None:
    ledger.append([raw(1)])
    steps.fold(ledger)
    steps.decide(ledger, NOON)
    ledger.merge_customers([Customer(CALLER, None, None, people=2)])
    with turn(ledger) as books:
        assert list(books.parked("", 10).to_decide) == [key(1)]
        books.record(decide_anew(books, [key(1)], steps.JUDGE, NOON))
        assert list(books.parked("", 10).to_decide) == []


def test_parked_calls_are_found_by_when_they_were_heard_of_the_oldest_first(ledger: WholeLedger) -> None:
    for number, hours in ((1, 2), (2, 0), (3, 1)):
        ledger.append([raw(number, at=NOON + hours * HOUR)])
    ledger.append([raw(4, "ringing"), raw(5, "busy")])
    steps.fold(ledger)
    assert steps.decide(ledger, NOON + 3 * HOUR) == 4
    with turn(ledger) as books:
        assert list(books.parked_since(NOON + 2 * HOUR, 10)) == [key(2), key(3), key(1)]
        assert list(books.parked_since(NOON + 2 * HOUR, 2)) == [key(2), key(3)]
        assert list(books.parked_since(NOON + 2 * HOUR - SECOND, 10)) == [key(2), key(3)]
        assert list(books.parked_since(NOON - SECOND, 10)) == []


# Callers that must be looked up first


def to_look_up(ledger: WholeLedger, *numbers: int, now: datetime = NOON) -> dict[CallKey, str]:
    with turn(ledger) as books:
        return dict(books.unresolved([key(number) for number in numbers], now))


def test_a_caller_whom_nobody_has_is_to_be_looked_up_and_no_other_is(ledger: WholeLedger) -> None:
    ledger.append([raw(1), raw(2, caller="anonymous"), raw(3, caller=OTHER)])
    steps.fold(ledger)
    ledger.merge_customers([Customer(OTHER, "bo@example.com", None)])
    assert to_look_up(ledger) == {}
    assert to_look_up(ledger, 1, 2, 3) == {key(1): CALLER}
    assert to_look_up(ledger, 2, 3) == {}


def test_what_a_source_said_of_a_caller_is_asked_for_again_when_it_is_too_old(ledger: WholeLedger) -> None:
    ledger.append([raw(1)])
    steps.fold(ledger)
    ledger.merge_customers([ANN], Brought(Source.LOOKUP, "crm", fresh_until=NOON + HOUR))
    assert to_look_up(ledger, 1, now=NOON + HOUR - SECOND) == {}
    assert to_look_up(ledger, 1, now=NOON + HOUR) == {key(1): CALLER}


def test_that_nobody_has_a_caller_is_asked_for_again_when_it_is_too_old(ledger: WholeLedger) -> None:
    ledger.append([raw(1)])
    steps.fold(ledger)
    with turn(ledger) as books:
        books.let_wait({key(1): CALLER}, NOON, NOON + HOUR)
    [wanted] = ledger.claim_look_ups(NOON, 10, 30)
    assert to_look_up(ledger, 1) == {key(1): CALLER}
    ledger.finish_look_ups([LookedUp(wanted, LookUpState.UNKNOWN, NOON + HOUR, source="crm")])
    assert to_look_up(ledger, 1, now=NOON + HOUR - SECOND) == {}
    assert to_look_up(ledger, 1, now=NOON + HOUR) == {key(1): CALLER}


@pytest.mark.parametrize("had", [OLD_SPELLING, SPELLING])
def test_a_caller_of_two_spellings_is_looked_up_by_the_one_that_we_keep(ledger: WholeLedger, had: str) -> None:
    """A version before may have kept the other one."""
    for number, spelled in ((1, OLD_SPELLING), (2, SPELLING)):
        ledger.append([raw(number, caller=spelled)])
        with turn(ledger) as books:
            families = books.families(books.unfolded(10))
            books.save(families, folded(families, phone=spelled))
    assert to_look_up(ledger, 1, 2) == {key(1): SPELLING, key(2): SPELLING}
    ledger.merge_customers([Customer(had, "ann@example.com", None)])
    assert to_look_up(ledger, 1, 2) == {}


# Calls without an end


def test_open_calls_are_found_by_their_age_and_called_unfinished_once(ledger: WholeLedger) -> None:
    for number in (3, 1, 2):
        ledger.append([raw(number, "ringing", at=NOON + number * SECOND)])
    ledger.append([raw(4)])
    steps.fold(ledger)
    with turn(ledger) as books:
        assert [one.key for one in books.open_since(NOON + HOUR, 10)] == [key(1), key(2), key(3)]
        assert [one.key for one in books.open_since(NOON + HOUR, 2)] == [key(1), key(2)]
        [oldest] = books.open_since(NOON + SECOND, 10)
        assert (oldest.status, oldest.legs, oldest.first_received_at) == ("ringing", 1, NOON + SECOND)
        books.leave_unfinished({key(1): "no end came"}, NOON + HOUR, "v1")
        assert [one.key for one in books.open_since(NOON + HOUR, 10)] == [key(2), key(3)]
    with suppress(Exception), turn(ledger) as books:
        books.leave_unfinished({key(1): "still none", key(2): "no end came"}, NOON + HOUR, "v1")
    [listed] = ledger.stories.unfinished(10)
    assert (listed.key, listed.state, ledger.stories.unfinished_count()) == (key(1), "unfinished", 1)
    [decision] = ledger.stories.of_call(sid(1))[0].decisions
    assert (decision.result, decision.reasons[0].sentence) == ("unfinished", "no end came")


def test_an_unfinished_call_goes_on_when_its_end_comes_after_all(ledger: WholeLedger) -> None:
    ledger.merge_customers([ANN])
    ledger.append([raw(1, "ringing")])
    steps.fold(ledger)
    with turn(ledger) as books:
        books.leave_unfinished({key(1): "no end came"}, NOON, "v1")
    ledger.append([raw(1)])
    steps.fold(ledger)
    assert steps.decide(ledger, NOON + HOUR) == 1
    assert (state_of(ledger, 1), ledger.stories.unfinished_count()) == ("converted", 0)


def test_two_accounts_never_share_a_call(ledger: WholeLedger) -> None:
    other = "AC" + "f" * 32
    ledger.append([raw(1), raw(1, account=other), raw(2, parent=1, account=other)])
    steps.fold(ledger)
    stories = {story.call.key: story.call.legs for story in ledger.stories.of_call(sid(1))}
    assert stories == {CallKey(ACCOUNT, sid(1)): 1, CallKey(other, sid(1)): 2}
