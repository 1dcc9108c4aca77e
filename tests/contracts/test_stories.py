"""What `Stories` promises: what people read is complete, in order, and as dataclasses; reading changes nothing."""

from __future__ import annotations

from dataclasses import is_dataclass

import pytest

from offhook.pipeline import story
from offhook.pipeline.customer import Customer
from offhook.pipeline.delivery import Outcome, Result
from offhook.pipeline.steps import attempt, leave_unfinished_batch, review_parked_batch
from offhook.pipeline.story import CallFilter, ConversionFilter, ConversionLine, CountedCall, NeedsPeople, WayOut
from tests.contracts.conftest import WholeLedger
from tests.contracts.day import MINUTE, POLICY, keep_day
from tests.fakes import steps
from tests.fakes.callbacks import CALLER, NOON, OTHER, OURS, key, raw, sid


def test_a_story_has_all_of_a_call_by_any_of_its_legs(ledger: WholeLedger) -> None:
    keep_day(ledger)
    for named in (1, 11):
        [story] = ledger.stories.of_call(sid(named))
        assert (story.call.key, story.call.state, story.call.legs, story.call.callbacks) == (key(1), "converted", 2, 2)
        assert (story.call.from_, story.call.to, story.call.customer_phone) == (CALLER, OURS, CALLER)
        assert (story.call.status, story.call.direction, story.call.duration_seconds) == ("completed", "inbound", 60)
        assert list(story.callbacks) == [raw(1), raw(11, parent=1)]
        assert [one.result for one in story.decisions] == ["converted"]
        assert story.conversion is not None and b"ann@example.com" in story.conversion.payload
        assert (story.conversion.state, story.conversion.reason, story.conversion.attempts) == ("dead", "http_400", 1)
        [tried] = story.attempts
        assert (tried.status_code, tried.answer, tried.next_state, tried.came_late) == (400, "no", "dead", False)
        assert (tried.started_at, tried.finished_at) == (NOON + 10 * MINUTE, NOON + 11 * MINUTE)
        assert list(story.replaced) == []


def test_there_is_no_story_of_what_is_not_known(ledger: WholeLedger) -> None:
    keep_day(ledger)
    assert list(ledger.stories.of_call(sid(9))) == []
    assert list(ledger.stories.calls_of("+14155550155", 10)) == []
    assert (ledger.stories.has_callbacks(sid(9)), ledger.stories.has_callbacks(sid(11))) == (False, True)


def test_the_latest_callback_is_the_one_that_was_kept_last_not_the_one_that_came_last(ledger: WholeLedger) -> None:
    assert ledger.stories.latest_callback_at() is None
    ledger.append([raw(1)])
    ledger.append([raw(2, at=NOON - MINUTE)])
    assert ledger.stories.latest_callback_at() == NOON - MINUTE


def test_what_arrived_last_may_be_what_was_made_first(ledger: WholeLedger) -> None:
    ledger.merge_customers([Customer(CALLER, "ann@example.com", None)])
    assert ledger.stories.latest_delivered_at() is None
    for number in (1, 2, 3):
        ledger.append([raw(number, at=NOON)])
        steps.fold(ledger)
        steps.decide(ledger, NOON + number * MINUTE)
    sending = {one.key: one for one in ledger.claim(NOON + 5 * MINUTE, 3, 60, POLICY).taken}
    results = ((2, Result.DELIVERED, 6), (1, Result.DELIVERED, 8), (3, Result.RETRY, 9))
    for number, result, minute in results:
        at = NOON + minute * MINUTE
        ledger.finish([attempt(sending[key(number)], Outcome(result, "http_200"), at, at, POLICY)], at)
    assert ledger.stories.latest_delivered_at() == NOON + 8 * MINUTE


def test_the_story_of_a_call_that_is_converted_by_its_leg_has_the_legs_decision_and_conversion(
    ledger: WholeLedger,
) -> None:
    """The leg stood as a call of its own, until its parent came."""
    ledger.merge_customers([Customer(CALLER, "ann@example.com", None)])
    ledger.append([raw(2)])
    steps.fold(ledger)
    assert steps.decide(ledger, NOON) == 1
    [claimed] = ledger.claim(NOON, 1, 60, POLICY).taken
    refused = Outcome(Result.REFUSED, "http_400", 400, "no")
    ledger.finish([attempt(claimed, refused, NOON, NOON, POLICY)], NOON)
    ledger.append([raw(2, "ringing", parent=1), raw(1)])
    steps.fold(ledger)
    for named in (1, 2):
        [story] = ledger.stories.of_call(sid(named))
        assert (story.call.key, story.call.state) == (key(1), "converted")
        assert [one.result for one in story.decisions] == ["converted"]
        sent = story.conversion
        assert sent is not None and (sent.key, sent.state) == (key(2), "dead")
        assert [one.status_code for one in story.attempts] == [400]
    [outcome] = ledger.stories.outcomes()
    assert (outcome.key, outcome.state, outcome.reasons, outcome.delivery) == (key(1), "converted", ("counts",), "dead")
    assert sent is not None and outcome.payload == sent.payload
    assert ledger.retry([sent.key], NOON) == 1


def test_conversions_are_listed_by_their_state_and_never_more_than_asked_for(ledger: WholeLedger) -> None:
    keep_day(ledger)
    assert {one.key for one in ledger.stories.conversions([], 10)} == {key(1), key(2)}
    assert [one.key for one in ledger.stories.conversions(["dead"], 10)] == [key(1)]
    assert {one.key for one in ledger.stories.conversions(["dead", "pending", "dead"], 10)} == {key(1), key(2)}
    assert len(ledger.stories.conversions([], 1)) == 1
    assert dict(ledger.stories.conversion_counts()) == {"dead": 1, "pending": 1}


def test_what_waits_for_people_is_what_rests_and_who_is_unknown(ledger: WholeLedger) -> None:
    assert ledger.stories.needs_people() == NeedsPeople()
    keep_day(ledger)
    assert ledger.stories.needs_people() == NeedsPeople(held=1, unknown=1)
    ledger.merge_customers([Customer(OTHER, "bo@example.com", None)])
    assert review_parked_batch(ledger, steps.JUDGE, NOON + 20 * MINUTE, 10) == 1
    assert ledger.retry([key(1)], NOON + 20 * MINUTE) == 1
    assert ledger.stories.needs_people() == NeedsPeople()


def test_conversions_are_given_page_by_page_the_newest_first_and_each_once(ledger: WholeLedger) -> None:
    ledger.merge_customers([Customer(CALLER, "ann@example.com", None)])
    for number in range(1, 8):  # several of one moment
        ledger.append([raw(number, at=NOON)])
        steps.fold(ledger)
        steps.decide(ledger, NOON + (number // 3) * MINUTE)
    sending = ledger.claim(NOON + 9 * MINUTE, 2, 60, POLICY).taken
    refused = Outcome(Result.REFUSED, "http_400", 400)
    ledger.finish([attempt(one, refused, NOON, NOON, POLICY) for one in sending], NOON)
    dead = {one.key for one in sending}

    def pages(wanted: ConversionFilter, limit: int) -> list[list[ConversionLine]]:
        page = ledger.stories.conversions_page(wanted, None, limit)
        found = [list(page.conversions)]
        while page.after is not None:
            page = ledger.stories.conversions_page(wanted, page.after, limit)
            found.append(list(page.conversions))
        return found

    every = [one for page in pages(ConversionFilter(), 2) for one in page]
    assert [one.key for one in every] == [key(number) for number in range(7, 0, -1)]
    assert list(map(len, pages(ConversionFilter(), 2))) == [2, 2, 2, 1] and len(pages(ConversionFilter(), 7)) == 1
    for wanted, keys in (
        (ConversionFilter(("dead",)), dead),
        (ConversionFilter(("dead", "pending"), reason="http_400"), dead),
        (ConversionFilter(since=NOON + MINUTE, until=NOON + 2 * MINUTE), {key(3), key(4), key(5)}),
        (ConversionFilter(("delivered",)), set()),
        (ConversionFilter(("dead", "pending"), maybe_sent=True), set()),
        (ConversionFilter(("dead",), maybe_sent=False), dead),
    ):
        assert {one.key for page in pages(wanted, 1) for one in page} == keys


def test_what_may_have_arrived_is_found_apart_from_what_cannot_have(ledger: WholeLedger) -> None:
    keep_day(ledger)
    at = NOON + 12 * MINUTE
    [second] = ledger.claim(at, 1, 60, POLICY).taken
    ledger.finish([attempt(second, Outcome(Result.MAYBE_SENT, "deadline"), at, at, POLICY)], at)
    found = {
        maybe: ledger.stories.conversions_page(ConversionFilter(maybe_sent=maybe), None, 9) for maybe in (True, False)
    }
    assert {maybe: [one.key for one in page.conversions] for maybe, page in found.items()} == {
        True: [second.key],
        False: [key(1) if second.key == key(2) else key(2)],
    }


def test_conversions_are_found_by_their_keys_with_the_attempt_that_came_last(ledger: WholeLedger) -> None:
    keep_day(ledger)
    assert {one.key for one in ledger.stories.conversions_of([key(1), key(2), key(9), key(3)])} == {key(1), key(2)}
    assert list(ledger.stories.conversions_of([])) == [] and dict(ledger.stories.latest_attempts([])) == {}
    [refused] = ledger.stories.conversions(["dead"], 1)
    at = NOON + 20 * MINUTE
    assert ledger.retry([refused.key], at) == 1
    for sending in ledger.claim(at, 9, 60, POLICY).taken:
        outcome = Outcome(Result.DELIVERED, "delivered", 200, "thanks")
        ledger.finish([attempt(sending, outcome, at, at, POLICY)], at)
    latest = ledger.stories.latest_attempts([refused.key, key(9)])
    [story] = ledger.stories.of_call(refused.key.call_sid)
    assert latest == {refused.key: story.attempts[-1]}
    assert latest[refused.key].answer == "thanks" and len(story.attempts) == 2


def test_whether_the_destination_takes_anything_is_said_with_the_reason(ledger: WholeLedger) -> None:
    assert ledger.stories.way_out() == WayOut()
    ledger.merge_customers([Customer(CALLER, "ann@example.com", None)])
    ledger.append([raw(number) for number in (1, 2, 3)])
    steps.fold(ledger)
    steps.decide(ledger, NOON)
    for sending in ledger.claim(NOON, 3, 60, POLICY).taken:
        outcome = Outcome(Result.BLOCKED, "http_401", 401)
        ledger.finish([attempt(sending, outcome, NOON, NOON, POLICY)], NOON)
    found = ledger.stories.way_out()
    assert (found.failures, found.blocked, found.blocked_since) == (3, "http_401", NOON)
    assert found.open_until is not None and found.open_until > NOON


@pytest.fixture
def counted_up_to_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """COUNTED_UP_TO is 2, in what was made of it at import, too."""
    from offhook.adapters.ledger import waiting

    whole, few = f"LIMIT {story.COUNTED_UP_TO + 1})", "LIMIT 3)"
    assert waiting.UNFINISHED_COUNT.count(whole) == 1
    fewer = waiting.UNFINISHED_COUNT.replace(whole, few)
    monkeypatch.setattr("offhook.adapters.ledger.stories.UNFINISHED_COUNT", fewer)
    monkeypatch.setattr(waiting, "COUNTED_UP_TO", 2)
    monkeypatch.setattr(story, "COUNTED_UP_TO", 2)


@pytest.mark.usefixtures("counted_up_to_two")
@pytest.mark.parametrize(("count", "counted"), [(1, 1), (2, 2), (3, 3), (4, 3)])
def test_nobody_counts_on_after_one_more_than_counted_up_to(ledger: WholeLedger, count: int, counted: int) -> None:
    ledger.merge_customers([Customer(CALLER, "ann@example.com", None)])
    ledger.append([raw(number) for number in range(count)])
    ledger.append([raw(100 + number, "ringing") for number in range(count)])
    steps.fold(ledger)
    assert steps.decide(ledger, NOON) == count
    assert len(leave_unfinished_batch(ledger, steps.JUDGE, NOON + MINUTE, 1.0, 10)) == count
    assert dict(ledger.stories.conversion_counts()) == {"pending": counted}
    assert ledger.stories.unfinished_count() == counted
    ledger.append([raw(200 + number, caller=OTHER) for number in range(count)])
    steps.fold(ledger)
    assert steps.decide(ledger, NOON) == count
    sending = ledger.claim(NOON, count, 60, POLICY).taken
    refused = Outcome(Result.REFUSED, "http_400", 400)
    ledger.finish([attempt(one, refused, NOON, NOON, POLICY) for one in sending], NOON)
    assert ledger.stories.needs_people() == NeedsPeople(counted, counted)
    assert len(ledger.stories.unfinished(10)) == count  # what is listed is bounded by what is asked for alone


def test_calls_of_a_number_are_listed_the_newest_first(ledger: WholeLedger) -> None:
    keep_day(ledger)
    assert [one.key for one in ledger.stories.calls_of(CALLER, 10)] == [key(4), key(2), key(1)]
    assert [one.key for one in ledger.stories.calls_of(CALLER, 2)] == [key(4), key(2)]


def every_page(ledger: WholeLedger, wanted: CallFilter, limit: int) -> list[CountedCall]:
    """All that is wanted, a page after the other."""
    found, after = list[CountedCall](), None
    while True:
        page = ledger.stories.calls(wanted, after, limit)
        assert len(page.calls) <= limit
        found += page.calls
        if (after := page.after) is None:
            return found


FOUND: list[tuple[CallFilter, list[int]]] = [
    (CallFilter(), [4, 3, 2, 1]),
    (CallFilter(since=NOON + MINUTE, until=NOON + 3 * MINUTE), [3, 2]),
    (CallFilter(number=OURS), [4, 3, 2, 1]),
    (CallFilter(number=CALLER), []),
    (CallFilter(outcome="refused"), [1]),
    (CallFilter(outcome="refused", number=OURS, state="converted", since=NOON, phones=(CALLER,)), [1]),
    (CallFilter(outcome="refused", since=NOON + MINUTE), []),
    (CallFilter(reason="caller_not_in_mapping"), [3]),
    (CallFilter(reason="caller_not_in_mapping", outcome="refused"), []),
    (CallFilter(state="open"), [4]),
    (CallFilter(state="converted"), [2, 1]),
    (CallFilter(phones=(CALLER,)), [4, 2, 1]),
    (CallFilter(phones=(CALLER, OTHER), until=NOON + 3 * MINUTE), [3, 2, 1]),
    (CallFilter(phones=("+14155550155",)), []),
    (CallFilter(least_seconds=0), [4, 3, 2, 1]),
    (CallFilter(least_seconds=60, most_seconds=60), [4, 3, 2, 1]),
    (CallFilter(least_seconds=61), []),
    (CallFilter(most_seconds=59), []),
    (CallFilter(most_seconds=60, state="parked"), [3]),
    (CallFilter(source="webhook"), [4, 3, 2, 1]),
    (CallFilter(source="webhook", outcome="refused"), [1]),
    (CallFilter(source="event-stream"), []),
]


@pytest.mark.parametrize("limit", [1, 2, 10])
def test_calls_are_given_page_by_page_the_newest_first(ledger: WholeLedger, limit: int) -> None:
    keep_day(ledger)
    given = {str(wanted): [one.call.key for one in every_page(ledger, wanted, limit)] for wanted, _ in FOUND}
    assert given == {str(wanted): list(map(key, numbers)) for wanted, numbers in FOUND}


def test_a_call_is_given_with_the_place_where_it_is_counted(ledger: WholeLedger) -> None:
    keep_day(ledger)
    [one] = ledger.stories.calls(CallFilter(outcome="refused"), None, 10).calls
    assert (one.number, one.outcome, one.reason) == (OURS, "refused", "http_400")
    assert one.call == ledger.stories.of_call(sid(1))[0].call


def test_no_page_looks_at_more_than_its_share_and_the_next_goes_on(
    ledger: WholeLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("offhook.adapters.ledger.stories.LOOKED_AT", 2)
    keep_day(ledger)
    assert [one.call.key for one in every_page(ledger, CallFilter(state="converted"), 10)] == [key(2), key(1)]


def test_a_call_is_found_by_the_order_id_of_its_conversion(ledger: WholeLedger) -> None:
    keep_day(ledger)
    [story] = ledger.stories.of_call(sid(1))
    assert story.conversion is not None
    assert list(ledger.stories.with_order_id(story.conversion.order_id, 10)) == [story.call]
    assert list(ledger.stories.with_order_id("nobody's", 10)) == []


def test_numbers_are_found_by_the_email_or_the_id_of_their_customer(ledger: WholeLedger) -> None:
    rows = [Customer(CALLER, "ann@example.com", "C1"), Customer(OTHER, "ann@example.com", None)]
    ledger.merge_customers([*rows, Customer("+14155550103", None, "Ann@Example.com")])
    assert list(ledger.stories.phones_of("Ann@Example.com", 10)) == [CALLER, OTHER, "+14155550103"]
    assert list(ledger.stories.phones_of("ann@example.com", 1)) == [CALLER]
    assert list(ledger.stories.phones_of("C1", 10)) == [CALLER]
    assert list(ledger.stories.phones_of("c1", 10)) == []


def test_numbers_are_found_by_the_email_or_the_id_of_each_of_the_several_who_have_one(ledger: WholeLedger) -> None:
    people = (("ann@example.com", "C1"), ("eve@example.com", None), (None, "C9"))
    nobody = Customer(CALLER, None, None, people=3, others=people)
    last = Customer(OTHER, None, "C9", others=people)
    ledger.merge_customers([nobody, last, Customer("+14155550103", "ann@example.com", None)])
    assert list(ledger.stories.phones_of("Ann@example.com", 10)) == [CALLER, OTHER, "+14155550103"]
    for name in ("C1", "eve@example.com", "C9"):
        assert list(ledger.stories.phones_of(name, 10)) == list(ledger.history.numbers_named(name)) == [CALLER, OTHER]
    assert list(ledger.stories.phones_of("eve@example.com", 1)) == [CALLER]
    ledger.merge_customers([Customer(CALLER, "eve@example.com", None), Customer(OTHER, None, "C9")])
    assert [list(ledger.stories.phones_of(name, 10)) for name in ("C1", "eve@example.com")] == [[], [CALLER]]


def test_outcomes_are_in_the_order_of_the_calls(ledger: WholeLedger) -> None:
    keep_day(ledger)
    found = [(one.key, one.state, one.reasons, one.delivery) for one in ledger.stories.outcomes()]
    assert found == [
        (key(1), "converted", ("counts",), "dead"),
        (key(2), "converted", ("counts",), "pending"),
        (key(3), "parked", ("caller_not_in_mapping",), None),
        (key(4), "open", (), None),
    ]


def test_callbacks_are_read_by_their_age_and_by_their_call(ledger: WholeLedger) -> None:
    keep_day(ledger)
    late = [one.call_sid for one in ledger.stories.every_callback(since=NOON + 2 * MINUTE)]
    assert late == [sid(3), sid(4)]
    assert [one.call_sid for one in ledger.stories.every_callback(call_sid=sid(1))] == [sid(1), sid(11)]
    assert list(ledger.stories.every_callback(since=NOON + MINUTE, call_sid=sid(1))) == []


def test_whatever_is_read_is_a_dataclass(ledger: WholeLedger) -> None:
    keep_day(ledger)
    stories = ledger.stories
    [story] = stories.of_call(sid(1))
    read = [*stories.conversions([], 10), *stories.calls_of(CALLER, 10), *stories.outcomes(), story]
    parts = [story.call, *story.callbacks, *story.decisions, *story.attempts, *story.decisions[0].reasons]
    assert all(map(is_dataclass, [*read, *parts]))
