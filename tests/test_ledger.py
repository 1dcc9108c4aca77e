"""The ledger's contract, the same on SQLite and on Postgres: kept once, claimed once, and an old fence changes nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import event

from offhook.adapters.ledger.schema import metadata
from offhook.adapters.ledger.store import SqlLedger
from offhook.adapters.rockerbox.payload import encode
from offhook.adapters.twilio.reading import read
from offhook.pipeline.callback import RawCallback
from offhook.pipeline.conversion import Conversion
from offhook.pipeline.customer import Customer
from offhook.pipeline.delivery import BreakerPolicy, Outcome, Resend, Result, RetryPolicy, Turn
from offhook.pipeline.ends import Numbering
from offhook.pipeline.ports.unavailable import LedgerUnavailable
from offhook.pipeline.rules import Rules
from offhook.pipeline.steps import Judge, attempt, decide_batch, deliver, fold_batch
from offhook.settings import given
from tests.support import ledger as by_hand
from tests.support.arriving import read_request
from tests.support.waiting import wait_until

ACCOUNT = "AC00000000000000000000000000000001"
CALLER = "+14155550100"
NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)
POLICY = RetryPolicy(base_seconds=0.001)
DELIVERED = Outcome(Result.DELIVERED, "delivered", 200)
BUSY = Outcome(Result.RETRY, "http_503", 503)


class Destination:
    def encode(self, conversion: Conversion) -> bytes:
        return encode(conversion)

    def send(self, payload: bytes) -> Outcome:
        raise AssertionError("nothing is sent here")


class Answering(Destination):
    """Gives one answer, and counts how often it was asked."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome, self.asked = outcome, 0

    def send(self, payload: bytes) -> Outcome:
        self.asked += 1
        return self.outcome


JUDGE = Judge(Rules(), Numbering("US"), Destination().encode, read, settle_seconds=0)


@pytest.fixture
def ledger(database_url: str) -> Iterator[SqlLedger]:
    url = given({"DATABASE_URL": database_url}).database_url
    opened = SqlLedger(url, breaker_policy=BreakerPolicy(threshold=3, base_seconds=10))
    opened.merge_customers([Customer(CALLER, "a@example.test", None)])
    yield opened
    opened.close()


def final(number: int, account: str = ACCOUNT) -> RawCallback:
    params = {"CallSid": f"CA{number:032x}", "AccountSid": account, "From": CALLER, "To": "+14155550199"}
    body = urlencode(params | {"CallStatus": "completed", "Direction": "inbound"}).encode()
    found = read_request("POST", "/twilio/status", "application/x-www-form-urlencoded", {}, body, NOON, account)
    assert isinstance(found, tuple)
    return found[0]


def fill(ledger: SqlLedger, count: int) -> None:
    """So many conversions in the outbox, by the way that every conversion goes."""
    ledger.append([final(number) for number in range(count)])
    fold_batch(ledger, JUDGE, count)
    assert decide_batch(ledger, JUDGE, NOON, count) == count


def test_the_migrations_make_the_tables_of_the_schema(ledger: SqlLedger) -> None:
    with ledger.database.read() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
    assert differences == []


def test_a_callback_comes_back_exactly_as_it_was_kept(ledger: SqlLedger) -> None:
    raw = final(1)
    ledger.append([raw])
    ledger.append([raw, raw])
    assert list(ledger.stories.every_callback()) == [raw]


def test_many_requests_at_once_are_each_kept_once(ledger: SqlLedger) -> None:
    with ThreadPoolExecutor(32) as pool:
        list(pool.map(lambda number: ledger.append([final(number % 150)]), range(600)))
    kept = [raw.call_sid for raw in ledger.stories.every_callback()]
    assert sorted(kept) == [f"CA{number:032x}" for number in range(150)]


def test_two_workers_never_claim_the_same_conversion(ledger: SqlLedger) -> None:
    fill(ledger, 60)
    with ThreadPoolExecutor(6) as pool:
        claims = list(pool.map(lambda _: ledger.claim(NOON, 7, 60, POLICY), range(20)))
    taken = [sending.key for claim in claims for sending in claim.taken]
    assert len(taken) == len(set(taken))
    assert len(taken) == 60


def test_the_word_of_a_worker_that_was_presumed_dead_changes_nothing(ledger: SqlLedger) -> None:
    fill(ledger, 1)
    [old] = ledger.claim(NOON, 1, 60, POLICY).taken
    later = NOON + timedelta(seconds=61)
    [expired] = ledger.expire_leases(later, POLICY)
    assert expired.next.due_at is not None
    [new] = ledger.claim(expired.next.due_at, 1, 60, POLICY).taken
    refused = Outcome(Result.REFUSED, "http_400", 400)
    finished = ledger.finish([attempt(old, refused, later, later, POLICY)], later)
    assert (finished.moved, [one.outcome for one in finished.late]) == ([], [refused])
    assert ledger.stories.conversion_counts() == {"sending": 1}
    delivered = Outcome(Result.DELIVERED, "delivered", 200)
    assert len(ledger.finish([attempt(new, delivered, later, later, POLICY)], later).moved) == 1
    assert ledger.stories.conversion_counts() == {"delivered": 1}


def test_of_results_that_are_written_together_each_is_journaled_though_one_has_lost_its_fence(
    ledger: SqlLedger, database_url: str
) -> None:
    fill(ledger, 2)
    [lost] = ledger.claim(NOON, 1, 60, POLICY).taken
    later = NOON + timedelta(seconds=61)
    [kept] = ledger.claim(later, 1, 60, POLICY).taken
    assert len(ledger.expire_leases(later, POLICY)) == 1
    finished = ledger.finish([attempt(one, BUSY, later, later, POLICY) for one in (lost, kept)], later)
    assert ([one.sending.key for one in finished.moved], [one.sending.key for one in finished.late]) == (
        [kept.key],
        [lost.key],
    )
    journaled = by_hand.query(database_url, "SELECT call_sid, result, next_state FROM attempts ORDER BY 1, 2")
    assert sorted((row["call_sid"], row["result"], row["next_state"]) for row in journaled) == sorted(
        [
            (lost.key.call_sid, "lease_expired", "pending"),
            (lost.key.call_sid, "retry", "late"),
            (kept.key.call_sid, "retry", "pending"),
        ]
    )


def test_what_may_have_arrived_as_the_day_began_may_leave_again_on_that_day(ledger: SqlLedger) -> None:
    fill(ledger, 1)
    midnight = NOON + timedelta(hours=12)
    [sending] = ledger.claim(midnight, 1, 60, POLICY).taken
    unsure = Outcome(Result.MAYBE_SENT, "read_timeout")
    ledger.finish([attempt(sending, unsure, midnight, midnight, POLICY)], midnight)
    again = ledger.claim(midnight + timedelta(hours=1), 1, 60, POLICY)
    assert (again.held, [one.key for one in again.taken]) == ([], [sending.key])


@pytest.mark.parametrize("rests", ["pending", "ambiguous", "quarantined", "dead"])
def test_a_late_2xx_delivers_what_nobody_is_sending(ledger: SqlLedger, rests: str) -> None:
    fill(ledger, 1)
    [old] = ledger.claim(NOON, 1, 60, POLICY).taken
    later = NOON + timedelta(seconds=61)
    resting = {
        "pending": POLICY,
        "ambiguous": replace(POLICY, resend=Resend.NEVER),
        "quarantined": replace(POLICY, max_expired_leases=1),
        "dead": replace(POLICY, horizon_seconds=1),
    }
    [expired] = ledger.expire_leases(later, resting[rests])
    assert expired.next.state == rests
    assert ledger.stories.conversion_counts() == {rests: 1}
    finished = ledger.finish([attempt(old, DELIVERED, NOON, later, POLICY)], later)
    assert [(one.next.state, one.next.reason) for one in finished.moved] == [("delivered", "late_answer")]
    assert ledger.stories.conversion_counts() == {"delivered": 1}
    assert not ledger.claim(later + timedelta(days=1), 1, 60, POLICY).taken
    [story] = ledger.stories.of_call(old.key.call_sid)
    assert [(row.result, row.next_state) for row in story.attempts] == [("lease_expired", rests), ("delivered", "late")]


@pytest.mark.parametrize("second", ["busy", "expired", "released"])
def test_a_late_2xx_that_comes_while_another_sends_holds_whatever_becomes_of_that(
    ledger: SqlLedger, second: str
) -> None:
    fill(ledger, 1)
    [old] = ledger.claim(NOON, 1, 60, POLICY).taken
    later = NOON + timedelta(seconds=61)
    ledger.expire_leases(later, POLICY)
    later += timedelta(seconds=1)
    [new] = ledger.claim(later, 1, 60, POLICY).taken
    finished = ledger.finish([attempt(old, DELIVERED, NOON, later, POLICY)], later)
    assert (finished.moved, len(finished.late)) == ([], 1)
    assert ledger.stories.conversion_counts() == {"sending": 1}
    later += timedelta(seconds=61)
    if second == "expired":
        moved = ledger.expire_leases(later, POLICY)
    else:
        outcome = BUSY if second == "busy" else Outcome(Result.RELEASED, "stopped")
        moved = ledger.finish([attempt(new, outcome, later, later, POLICY)], later).moved
    assert [one.next.state for one in moved] == ["delivered"]
    assert ledger.stories.conversion_counts() == {"delivered": 1}


def test_results_that_are_written_a_second_time_change_nothing_and_are_returned_the_same(ledger: SqlLedger) -> None:
    """As after a commit of which nobody knows whether it came through."""
    fill(ledger, 3)
    outcomes = (DELIVERED, BUSY, Outcome(Result.REFUSED, "http_400", 400))
    claims = ledger.claim(NOON, 3, 60, POLICY).taken
    done = [attempt(one, outcome, NOON, NOON, POLICY) for one, outcome in zip(claims, outcomes, strict=True)]
    first, second = ledger.finish(done, NOON), ledger.finish(done, NOON)
    assert sorted(one.next.state for one in second.moved) == ["dead", "delivered", "pending"]
    assert (len(first.moved), second.late) == (3, [])
    assert ledger.stories.conversion_counts() == {"delivered": 1, "pending": 1, "dead": 1}
    assert [len(ledger.stories.of_call(one.key.call_sid)[0].attempts) for one in claims] == [1, 1, 1]


def test_what_finish_returns_stays_though_its_caller_empties_the_list(ledger: SqlLedger) -> None:
    fill(ledger, 1)
    done = [attempt(one, DELIVERED, NOON, NOON, POLICY) for one in ledger.claim(NOON, 1, 60, POLICY).taken]
    finished = ledger.finish(done, NOON)
    done.clear()
    assert len(finished.moved) == 1


def test_what_may_have_arrived_on_another_day_is_held_and_said_once_due_or_not(ledger: SqlLedger) -> None:
    fill(ledger, 3)
    claims = ledger.claim(NOON, 2, 60, POLICY).taken
    unsure = Outcome(Result.MAYBE_SENT, "http_502", 502, retry_after_seconds=30 * 3600)
    patient = replace(POLICY, retry_after_cap_seconds=48 * 3600)
    ledger.finish([attempt(one, unsure, NOON, NOON, patient) for one in claims], NOON)
    evening = NOON + timedelta(hours=12) - timedelta(seconds=POLICY.margin_seconds)
    before = ledger.claim(evening - timedelta(seconds=1), 1, 60, POLICY)
    assert (len(before.taken), len(before.held)) == (1, 0)
    held = ledger.claim(evening, 10, 60, POLICY)
    assert {(one.sending.key, one.next.state, one.next.reason) for one in held.held} == {
        (one.key, "ambiguous", "day_turned") for one in claims
    }
    assert not held.taken
    assert not ledger.claim(evening, 10, 60, POLICY).held


def test_what_is_held_uses_up_no_probe_of_the_breaker(ledger: SqlLedger) -> None:
    fill(ledger, 4)
    claims = ledger.claim(NOON, 3, 60, POLICY).taken
    unsure = Outcome(Result.MAYBE_SENT, "deadline")
    ledger.finish([attempt(one, unsure, NOON, NOON, POLICY) for one in claims], NOON)
    morning = NOON + timedelta(days=1)
    claimed = ledger.claim(morning, 10, 60, POLICY)
    assert (len(claimed.held), len(claimed.taken)) == (3, 1)


@pytest.mark.parametrize("resend", list(Resend))
def test_what_a_person_sends_again_goes_out_whatever_the_day(ledger: SqlLedger, resend: Resend) -> None:
    policy = replace(POLICY, resend=resend)
    fill(ledger, 1)
    [claimed] = ledger.claim(NOON, 1, 60, policy).taken
    unsure = Outcome(Result.MAYBE_SENT, "deadline")
    ledger.finish([attempt(claimed, unsure, NOON, NOON, policy)], NOON)
    last_moment = NOON + timedelta(hours=36) - timedelta(seconds=1)
    ledger.claim(last_moment, 0, 60, policy)
    ledger.retry([claimed.key], last_moment)
    [again] = ledger.claim(last_moment, 1, 60, policy).taken
    destination = Answering(DELIVERED)
    ledger.finish([deliver(again, destination, policy, lambda: last_moment + timedelta(seconds=2))], last_moment)
    assert (destination.asked, ledger.stories.conversion_counts()) == (1, {"delivered": 1})


def test_what_was_not_taken_for_certain_binds_the_next_attempt_to_no_day(ledger: SqlLedger) -> None:
    fill(ledger, 1)
    [claimed] = ledger.claim(NOON, 1, 60, POLICY).taken
    ledger.finish([attempt(claimed, BUSY, NOON, NOON, POLICY)], NOON)
    morning = NOON + timedelta(days=1)
    [again] = ledger.claim(morning, 1, 60, POLICY).taken
    unsure = Answering(Outcome(Result.MAYBE_SENT, "deadline"))
    [moved] = ledger.finish([deliver(again, unsure, POLICY, lambda: morning)], morning).moved
    assert moved.next.state == "pending"


def test_a_destination_that_refuses_everything_is_said_once_though_many_workers_meet_it(
    ledger: SqlLedger, database_url: str
) -> None:
    fill(ledger, 6)
    refused = Outcome(Result.BLOCKED, "http_403", 403)
    another = SqlLedger(given({"DATABASE_URL": database_url}).database_url)
    claims = ledger.claim(NOON, 6, 60, POLICY).taken
    turns = [
        each.finish([attempt(one, refused, NOON, NOON, POLICY)], NOON).turn
        for each, one in zip((ledger, another) * 2, claims[:4], strict=True)
    ]
    another.close()
    assert turns == [(Turn.BEGAN, "http_403"), None, None, None]
    assert ledger.stories.conversion_counts() == {"pending": 4, "sending": 2}
    assert not ledger.claim(NOON + timedelta(seconds=9), 10, 60, POLICY).taken, "the breaker is open"
    later = NOON + timedelta(seconds=20)
    turns = [ledger.finish([attempt(one, DELIVERED, later, later, POLICY)], later).turn for one in claims[4:]]
    assert turns == [(Turn.OVER, "http_403"), None]


def test_a_batch_of_results_is_as_many_statements_as_a_single_one(ledger: SqlLedger) -> None:
    fill(ledger, 41)
    statements: list[str] = []

    @event.listens_for(ledger.database.engine, "before_cursor_execute")
    def _seen(
        _connection: object, _cursor: object, statement: str, _parameters: object, _context: object, many: bool
    ) -> None:
        assert not many, statement
        if "wal_checkpoint" not in statement:  # it comes now and then, whatever was written
            statements.append(statement)

    asked = []
    for size in (1, 40):
        claims = ledger.claim(NOON, size, 60, POLICY).taken
        assert len(claims) == size
        statements.clear()
        ledger.finish([attempt(one, DELIVERED, NOON, NOON, POLICY) for one in claims], NOON)
        asked.append([statement[:40] for statement in statements])
    assert asked[0] == asked[1]


def test_what_is_given_back_unsent_counts_as_never_tried(ledger: SqlLedger) -> None:
    fill(ledger, 1)
    [claimed] = ledger.claim(NOON, 1, 60, POLICY).taken
    ledger.finish([attempt(claimed, Outcome(Result.RELEASED, "stopped"), NOON, NOON, POLICY)], NOON)
    [again] = ledger.claim(NOON, 1, 60, POLICY).taken
    assert (again.attempts, again.maybe_sent, again.first_attempt_at) == (1, False, NOON)


def test_the_breaker_stops_all_workers_and_lets_a_single_probe_out(ledger: SqlLedger) -> None:
    fill(ledger, 10)
    failed = Outcome(Result.RETRY, "http_503", 503)
    claims = ledger.claim(NOON, 3, 60, POLICY).taken
    ledger.finish([attempt(one, failed, NOON, NOON, POLICY) for one in claims], NOON)
    assert not ledger.claim(NOON + timedelta(seconds=9), 10, 60, POLICY).taken
    later = NOON + timedelta(seconds=11)
    [probe] = ledger.claim(later, 10, 60, POLICY).taken
    assert not ledger.claim(later, 10, 60, POLICY).taken
    ledger.finish([attempt(probe, Outcome(Result.DELIVERED, "delivered", 200), later, later, POLICY)], later)
    assert len(ledger.claim(later, 10, 60, POLICY).taken) == 9


def test_a_second_merge_of_the_same_customers_changes_nothing(ledger: SqlLedger) -> None:
    rows = [Customer(f"+1415555{number:04d}", f"{number}@example.test", "ü'\"") for number in range(500)]
    assert tuple(ledger.merge_customers(rows)) == (499, 1, 0)  # CALLER stands there already, with another email
    version = ledger.mapping_version()
    assert tuple(ledger.merge_customers(rows)) == (0, 0, 500)
    assert ledger.mapping_version() == version
    assert dict(ledger.find_customers([rows[7].phone, "+10000000000"])) == {rows[7].phone: rows[7]}


def test_upgrading_twice_at_once_leaves_one_set_of_tables(empty_database_url: str) -> None:
    url = given({"DATABASE_URL": empty_database_url}).database_url
    ledgers = [SqlLedger(url), SqlLedger(url)]
    threads = [threading.Thread(target=one.migrations.upgrade) for one in ledgers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.migrations.state() for one in ledgers] == ["current"] * 2
    for one in ledgers:
        one.close()


def test_a_database_that_is_not_there_is_unavailable_and_no_crash() -> None:
    ledger = SqlLedger("postgresql+psycopg://nobody@127.0.0.1:9/none")
    with pytest.raises(LedgerUnavailable):
        ledger.append([final(1)])


def test_a_ledger_that_is_closed_leaves_no_thread_behind(database_url: str) -> None:
    before = set(threading.enumerate())
    opened = SqlLedger(given({"DATABASE_URL": database_url}).database_url)
    opened.append([final(1)])
    assert set(threading.enumerate()) - before, "one of its own writes"
    opened.close()
    wait_until(lambda: not set(threading.enumerate()) - before)
