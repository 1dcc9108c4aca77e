"""Callers are looked up on demand: in the order of the sources, and a source that fails delays a call and decides nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import quote_plus

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from sqlalchemy import event

from offhook.adapters.ledger.schema import lookups
from offhook.adapters.ledger.store import SqlLedger
from offhook.adapters.ledger.waiting import IS_ASKED, IS_WANTED, TO_RELEASE
from offhook.pipeline.callback import RawCallback
from offhook.pipeline.customer import Customer
from offhook.pipeline.delivery import RetryPolicy
from offhook.pipeline.look_up import Answer, Asked, Found, Later, LookUpPolicy, NotThere, next_at
from offhook.pipeline.looking_up import LookingUp, LookUpPace, ask, comes_to, looked_up
from offhook.pipeline.phone import national
from offhook.pipeline.ports.caller_source import CallerSource
from offhook.pipeline.ports.customers import Brought, Source
from offhook.pipeline.ports.look_ups import LookUpState, Wanted
from offhook.pipeline.worker import Pace, Worker
from offhook.settings import given
from tests.fakes.caller_source import MemorySource
from tests.support.waiting import wait_until
from tests.test_bookkeeping import CALLER, JUDGE, Destination, final

NOW = datetime(2026, 3, 12, 12, tzinfo=UTC)
ANN = Found("ann@example.com", "C1", {"tier": "gold"})
QUICK = LookUpPolicy(base_seconds=0.01, cap_seconds=0.05, lease_seconds=30)


# In order


def test_sources_are_asked_in_their_order_until_one_knows() -> None:
    first, second, third = MemorySource(name="1"), MemorySource({CALLER: [ANN]}, name="2"), MemorySource(name="3")
    assert ask([first, second, third], CALLER) == Asked(CALLER, ANN, "2")
    assert (first.asked, second.asked, third.asked) == ([CALLER], [CALLER], [])


def test_one_that_cannot_say_ends_it_for_the_next_might_say_something_else() -> None:
    first, second = MemorySource(name="1"), MemorySource({CALLER: [ANN]}, name="2")
    first.trouble = Later("http_500")
    assert ask([first, second], CALLER) == Asked(CALLER, Later("http_500"), "1")
    assert second.asked == []


def test_a_source_that_raises_says_nothing_of_the_caller() -> None:
    class Broken(MemorySource):
        def find(self, phone: str, /) -> Answer:
            raise KeyError(phone)

    assert ask([Broken(name="1")], CALLER) == Asked(CALLER, Later("unexpected_KeyError"), "1")


answers = st.sampled_from([ANN, NotThere(), Later("deadline"), Found(None, None, people=2)])


@for_all(st.lists(answers, min_size=1, max_size=5))
def test_nobody_is_unknown_whom_not_every_source_knows_not(said: list[Answer]) -> None:
    came = comes_to(CALLER, [(str(place), one) for place, one in enumerate(said)]).answer
    assert isinstance(came, NotThere) is all(isinstance(one, NotThere) for one in said)
    expected = next((one for one in said if not isinstance(one, NotThere)), NotThere())
    assert came == expected


# When again


@for_all(st.integers(1, 10_000), st.floats(0, 1), st.none() | st.floats(0, 1e6))
def test_the_wait_grows_to_a_cap_and_honours_what_the_source_asks_for(
    attempts: int, draw: float, asked: float | None
) -> None:
    policy = LookUpPolicy(base_seconds=2, cap_seconds=300, wait_cap_seconds=3600)
    waits = (next_at(Later("x", wait_seconds=asked), attempts, NOW, policy, lambda: draw) - NOW).total_seconds()
    most = min(300, 2 * 2.0 ** min(attempts - 1, 20))
    assert waits == pytest.approx(max(draw * most, min(asked or 0, 3600)), abs=1e-5)


@pytest.mark.parametrize(
    ("answer", "state", "attempts", "seconds"),
    [
        (ANN, LookUpState.KNOWN, 0, 86400),
        (Found(None, None, people=2), LookUpState.UNKNOWN, 0, 86400),
        (NotThere(), LookUpState.UNKNOWN, 0, 600),
        (Later("dns"), LookUpState.WANTED, 4, None),
    ],
)
def test_each_answer_has_a_lifetime_of_its_own(
    answer: Answer, state: LookUpState, attempts: int, seconds: float | None
) -> None:
    done = looked_up(Wanted(CALLER, 7, 3), Asked(CALLER, answer, "crm"), NOW, LookUpPolicy(unknown_seconds=600))
    assert (done.state, done.attempts, done.source) == (state, attempts, "crm")
    assert done.reason == ("dns" if isinstance(answer, Later) else "")
    if seconds is not None:
        assert done.due_at == NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("e164", "digits"),
    [("+14155550100", "4155550100"), ("+442071838750", "02071838750"), ("+4930123456", "030123456"), ("+999", "999")],
)
def test_the_national_spelling_is_what_one_dials_there(e164: str, digits: str) -> None:
    assert national(e164) == digits


def test_each_index_of_some_look_ups_is_of_those_that_the_statements_ask_for() -> None:
    where = {str(one.name): str(one.dialect_options["sqlite"]["where"]) for one in lookups.indexes}
    assert where == {"ix_lookups_due": IS_ASKED, "ix_lookups_wanted": IS_WANTED, "ix_lookups_to_release": TO_RELEASE}


# A worker


@pytest.fixture
def ledger(database_url: str) -> Iterator[SqlLedger]:
    opened = SqlLedger(given({"DATABASE_URL": database_url}).database_url)
    yield opened
    opened.close()


@contextmanager
def working(
    ledger: SqlLedger, *sources: CallerSource, policy: LookUpPolicy = QUICK, at_once: int = 4
) -> Iterator[Worker]:
    pace = Pace(poll_seconds=0.01, idle_seconds=0.02, threads=2)
    looking_up = LookingUp(ledger, sources, policy, LookUpPace(at_once, 0.01), ledger.clock) if sources else None
    worker = Worker(ledger, Destination(), JUDGE, RetryPolicy(), pace, ledger.clock, looking_up=looking_up)
    worker.start()
    try:
        yield worker
    finally:
        assert worker.stop()


def states(ledger: SqlLedger) -> dict[str, int]:
    with ledger.database.read() as connection:
        rows = connection.exec_driver_sql("SELECT state, count(*) FROM calls GROUP BY state").all()
    return {row[0]: row[1] for row in rows}


def test_a_caller_whom_a_source_knows_is_credited(ledger: SqlLedger) -> None:
    crm = MemorySource({CALLER: [ANN]})
    with working(ledger, crm):
        ledger.append([final(1)])
        wait_until(lambda: ledger.stories.conversion_counts() == {"delivered": 1})
        ledger.append([final(2)])
        wait_until(lambda: ledger.stories.conversion_counts() == {"delivered": 2})
    assert crm.asked == [CALLER]  # and the second time he was known
    assert crm.is_closed
    [row] = ledger.find_customers([CALLER]).values()
    assert (row.email, row.customer_id, dict(row.attributes)) == ("ann@example.com", "C1", {"tier": "gold"})
    assert row.fresh_until is not None and row.fresh_until > ledger.clock() + timedelta(hours=23)
    [story] = ledger.stories.of_call(final(1).call_sid)
    assert story.conversion is not None and json.loads(story.conversion.payload)["email"] == "ann@example.com"


def test_a_caller_whom_nobody_knows_is_parked_and_not_asked_for_again_soon(ledger: SqlLedger) -> None:
    crm, shop = MemorySource(name="crm"), MemorySource(name="shop")
    with working(ledger, crm, shop):
        for number in (1, 2):
            ledger.append([final(number)])
            wait_until(lambda expected=number: states(ledger) == {"parked": expected})  # type: ignore[misc]
    assert (crm.asked, shop.asked) == ([CALLER], [CALLER])


def test_whom_a_source_comes_to_know_is_credited_when_unknown_is_over(ledger: SqlLedger) -> None:
    crm = MemorySource()
    with working(ledger, crm, policy=LookUpPolicy(unknown_seconds=0.2)):
        ledger.append([final(1)])
        wait_until(lambda: states(ledger) == {"parked": 1})
        crm.people[CALLER] = [ANN]
        wait_until(lambda: ledger.stories.conversion_counts() == {"delivered": 1})


def test_trouble_delays_a_call_and_never_parks_it(ledger: SqlLedger) -> None:
    crm = MemorySource({CALLER: [ANN]})
    crm.trouble = Later("deadline")
    with working(ledger, crm):
        ledger.append([final(1)])
        wait_until(lambda: len(crm.asked) >= 5)
        assert states(ledger) == {"settling": 1}
        [line] = ledger.look_ups(10)
        assert (line.phone, line.source, line.reason) == (CALLER, "crm", "deadline") and line.attempts >= 1
        backlog = ledger.backlog(ledger.clock() + timedelta(seconds=100))
        assert backlog.undecided_age_seconds >= 100 and backlog.unanswered_age_seconds >= 100
        assert backlog.callers_to_look_up == 1
        crm.trouble = None
        wait_until(lambda: ledger.stories.conversion_counts() == {"delivered": 1})
    [story] = ledger.stories.of_call(final(1).call_sid)
    assert [one.result for one in story.decisions] == ["converted"]
    assert ledger.backlog(ledger.clock()).callers_to_look_up == 0


def test_who_is_no_customer_any_more_is_taken_out_and_what_an_import_said_stays(ledger: SqlLedger) -> None:
    other = "+14155550111"
    past = Brought(Source.LOOKUP, "crm", fresh_until=NOW)
    ledger.merge_customers([Customer(CALLER, "old@example.com", None)], past)
    ledger.merge_customers([Customer(other, "imported@example.com", None)])
    crm = MemorySource()
    with working(ledger, crm):
        ledger.append([final(1)])
        wait_until(lambda: states(ledger) == {"parked": 1})
    assert set(ledger.find_customers([CALLER, other])) == {other}


def test_what_something_else_has_brought_while_a_source_was_asked_stays(ledger: SqlLedger) -> None:
    hangs, imported = threading.Event(), Customer(CALLER, "imported@example.com", None)

    class Slow(MemorySource):
        def find(self, phone: str, /) -> Answer:
            answer = super().find(phone)
            hangs.wait()
            return answer

    crm = Slow({CALLER: [ANN]})
    with working(ledger, crm):
        ledger.append([final(1)])
        wait_until(lambda: crm.asked)
        ledger.merge_customers([imported])
        hangs.set()
        wait_until(lambda: ledger.stories.conversion_counts() == {"delivered": 1})
    [row] = ledger.find_customers([CALLER]).values()
    assert (row.email, row.fresh_until) == ("imported@example.com", None)


def test_several_customers_of_a_source_are_nobody(ledger: SqlLedger) -> None:
    crm = MemorySource({CALLER: [ANN, Found("bo@example.com", None)]})
    with working(ledger, crm):
        ledger.append([final(1)])
        wait_until(lambda: states(ledger) == {"parked": 1})
    [story] = ledger.stories.of_call(final(1).call_sid)
    assert [reason.word for reason in story.decisions[-1].reasons] == ["several_customers"]


def test_the_one_of_several_whom_the_policy_credits_is_sent_at_once_and_all_are_kept_by_name(ledger: SqlLedger) -> None:
    people = (("ann@example.com", "C1"), ("bo@example.com", None))
    crm = MemorySource({CALLER: [replace(ANN, others=people)]})
    with working(ledger, crm):
        ledger.append([final(1)])
        wait_until(lambda: ledger.stories.conversion_counts() == {"delivered": 1})
    [row] = ledger.find_customers([CALLER]).values()
    assert (row.email, row.people, row.fresh_until is None) == ("ann@example.com", 1, False)
    assert [one.named for one in ledger.history.shared_among([CALLER])] == [people]
    assert list(ledger.stories.phones_of("bo@example.com", 5)) == [CALLER]


def test_once_the_duplicates_of_a_number_are_merged_its_call_is_credited(ledger: SqlLedger) -> None:
    crm = MemorySource({CALLER: [ANN, Found("bo@example.com", None)]})
    with working(ledger, crm, policy=LookUpPolicy(fresh_seconds=0.2)):
        ledger.append([final(1)])
        wait_until(lambda: states(ledger) == {"parked": 1})
        crm.people[CALLER] = [ANN]
        wait_until(lambda: ledger.stories.conversion_counts() == {"delivered": 1})


def test_while_one_source_hangs_other_callers_calls_are_decided(ledger: SqlLedger) -> None:
    """Asking is outside of any transaction, and nothing of the books waits for it."""
    hangs, other = threading.Event(), "+14155550111"

    class Hanging(MemorySource):
        def find(self, phone: str, /) -> Answer:
            if phone == CALLER:
                hangs.wait()
            return super().find(phone)

    crm = Hanging({CALLER: [ANN], other: [ANN]})
    with working(ledger, crm, at_once=2):
        ledger.append([final(1)])
        wait_until(lambda: states(ledger) == {"settling": 1})
        ledger.append([called(2, other), called(3, other)])
        wait_until(lambda: ledger.stories.conversion_counts() == {"delivered": 2})
        hangs.set()
        wait_until(lambda: ledger.stories.conversion_counts() == {"delivered": 3})


def called(number: int, caller: str) -> RawCallback:
    made = final(number)
    return replace(made, body=made.body.replace(quote_plus(CALLER).encode(), quote_plus(caller).encode()))


def test_of_several_workers_one_asks_for_a_number(ledger: SqlLedger, database_url: str) -> None:
    other = SqlLedger(given({"DATABASE_URL": database_url}).database_url)
    crm = MemorySource()
    with working(ledger, crm), working(other, crm):
        numbers = [f"+141555502{number:02d}" for number in range(40)]
        ledger.append([called(place, phone) for place, phone in enumerate(numbers)])
        wait_until(lambda: states(ledger) == {"parked": 40})
    other.close()
    assert sorted(crm.asked) == sorted(numbers)


def test_where_no_source_is_configured_any_more_what_waited_is_decided(ledger: SqlLedger) -> None:
    crm = MemorySource()
    crm.trouble = Later("deadline")
    with working(ledger, crm):
        ledger.append([final(1)])
        wait_until(lambda: crm.asked)
    assert states(ledger) == {"settling": 1}
    with working(ledger):
        wait_until(lambda: states(ledger) == {"parked": 1})
    assert ledger.backlog(ledger.clock()).callers_to_look_up == 0


def test_without_a_source_there_is_no_statement_more(ledger: SqlLedger) -> None:
    statements: list[str] = []
    event.listen(ledger.database.engine, "before_cursor_execute", lambda *said: statements.append(said[2]))
    with working(ledger):
        ledger.append([final(1)])
        wait_until(lambda: states(ledger) == {"parked": 1})
    of_look_ups = [one for one in statements if "lookups" in one and "mapping_version" not in one]
    assert of_look_ups == []
