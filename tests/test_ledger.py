"""The ledger's contract, the same on SQLite and on Postgres: kept once, claimed once, and an old fence changes nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from adapters.ledger.schema import metadata
from adapters.ledger.store import SqlLedger
from adapters.rockerbox.payload import encode
from adapters.twilio.reading import read, read_request
from pipeline.call import RawCallback
from pipeline.conversion import Conversion, Customer
from pipeline.delivery import BreakerPolicy, Outcome, Result, RetryPolicy
from pipeline.ports import LedgerUnavailable
from pipeline.rules import Rules
from pipeline.steps import Judge, attempt, decide_batch, fold_batch
from settings import load

ACCOUNT = "AC00000000000000000000000000000001"
CALLER = "+14155550100"
NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)
POLICY = RetryPolicy(base_seconds=0.001)


class Destination:
    def encode(self, conversion: Conversion) -> bytes:
        return encode(conversion)

    def send(self, payload: bytes) -> Outcome:
        raise AssertionError("nothing is sent here")


JUDGE = Judge(Rules(), "US", Destination(), read, settle_seconds=0)


@pytest.fixture
def ledger(database_url: str) -> Iterator[SqlLedger]:
    url = load(_env_file=None, DATABASE_URL=database_url).database_url
    opened = SqlLedger(url, breaker_policy=BreakerPolicy(threshold=3, base_seconds=10))
    opened.merge_customers([Customer(CALLER, "a@example.test", None)])
    yield opened
    opened.close()


def final(number: int) -> RawCallback:
    params = {"CallSid": f"CA{number:032x}", "AccountSid": ACCOUNT, "From": CALLER, "To": "+14155550199"}
    body = urlencode(params | {"CallStatus": "completed", "Direction": "inbound"}).encode()
    found = read_request("POST", "/twilio/status", "application/x-www-form-urlencoded", {}, body, NOON, ACCOUNT)
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
    assert list(ledger.inspection.every_callback()) == [raw]


def test_many_requests_at_once_are_each_kept_once(ledger: SqlLedger) -> None:
    with ThreadPoolExecutor(32) as pool:
        list(pool.map(lambda number: ledger.append([final(number % 150)]), range(600)))
    kept = [raw.call_sid for raw in ledger.inspection.every_callback()]
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
    told = ledger.finish([attempt(old, refused, later, later, POLICY)], later)
    assert (told.moved, [one.outcome for one in told.late]) == ([], [refused])
    assert ledger.inspection.conversion_counts() == {"sending": 1}
    delivered = Outcome(Result.DELIVERED, "delivered", 200)
    assert len(ledger.finish([attempt(new, delivered, later, later, POLICY)], later).moved) == 1
    assert ledger.inspection.conversion_counts() == {"delivered": 1}


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
    url = load(_env_file=None, DATABASE_URL=empty_database_url).database_url
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
