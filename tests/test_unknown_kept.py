"""The rows of numbers whose calls wait are what a count over these calls would give, whatever was written to the calls, and how."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from offhook.adapters.ledger.people.unknown import count_callers_anew
from offhook.adapters.ledger.schema import micros
from offhook.adapters.ledger.store import SqlLedger
from offhook.pipeline.ports.unknown import CallersMark, UnknownCaller
from offhook.settings import given
from tests.fakes.callbacks import ACCOUNT, NOON, sid
from tests.support.ledger import change, connect_sqlite, query
from tests.support.migrations import upgrade_to
from tests.support.waiting import wait_until

PHONES = [f"+1415555010{number}" for number in range(3)]
STATES = ["parked", "parked", "settling", "skipped", "converted", "merged"]
SECOND = timedelta(seconds=1)
COLUMNS = (
    "account_sid, call_sid, state, customer_phone, first_received_at, status, direction, from_number, to_number, "
    "callbacks, legs"
)


def counted(url: str) -> list[UnknownCaller]:
    """As it was asked for before there were rows of it, number by number."""
    found = query(
        url,
        "SELECT customer_phone AS phone, count(*) AS calls, min(first_received_at) AS oldest, max(first_received_at) AS latest "
        "FROM calls WHERE state = 'parked' AND customer_phone > '' GROUP BY customer_phone ORDER BY customer_phone",
    )
    return [UnknownCaller(one["phone"], one["calls"], at(one["oldest"]), at(one["latest"])) for one in found]


def at(microseconds: int) -> datetime:
    return NOON + timedelta(microseconds=microseconds - micros(NOON))


def agrees(ledger: SqlLedger, url: str, mark: CallersMark | None = None, limit: int = 99) -> None:
    """Each list with a count, from its beginning, or from behind a mark that may name nobody."""
    every, seen = counted(url), ledger.unknown
    latest = sorted(every, key=lambda one: one.latest_at, reverse=True)
    most = sorted(latest, key=lambda one: -one.calls)
    if mark is not None:
        every = [one for one in every if one.phone > mark.phone]
        latest = [one for one in latest if _by_time(mark) < _by_time(one)]
        most = [one for one in most if _by_calls(mark) < _by_calls(one)]
    assert list(seen.callers(mark.phone if mark else "", limit)) == every[:limit]
    assert list(seen.latest(limit, mark)) == latest[:limit]
    assert list(seen.most_frequent(limit, mark)) == most[:limit]


def _by_time(one: UnknownCaller | CallersMark) -> tuple[float, str]:
    return -one.latest_at.timestamp(), one.phone


def _by_calls(one: UnknownCaller | CallersMark) -> tuple[int, float, str]:
    return -one.calls, *_by_time(one)


@pytest.fixture
def ledger(database_url: str) -> Iterator[SqlLedger]:
    with opened(database_url) as made:
        yield made


@contextmanager
def opened(url: str) -> Iterator[SqlLedger]:
    with closing(SqlLedger(given({"DATABASE_URL": url}).database_url)) as made:
        yield made


def row(number: int, state: str, phone: str | None, second: int) -> str:
    called = "NULL" if phone is None else f"'{phone}'"
    moment = micros(NOON + second * SECOND)
    return f"('{ACCOUNT}', '{sid(number)}', '{state}', {called}, {moment}, 'completed', 'inbound', '', '', 1, 1)"


def inserted(*rows: str) -> str:
    return f"INSERT INTO calls ({COLUMNS}) VALUES {', '.join(rows)}"


def is_of(numbers: list[int]) -> str:
    return f"calls.call_sid IN ({', '.join(repr(sid(number)) for number in numbers)})"


class History:
    """Statements by lot, each over some of twelve calls, as a version of Offhook may write them and as a person may."""

    def __init__(self, seed: int) -> None:
        self._lot = random.Random(seed)
        self._kinds = (self._written, self._written, self._moved, self._moved, self._restated, self._removed)

    def statement(self) -> str:
        numbers = sorted(self._lot.sample(range(12), self._lot.randint(1, 6)))
        return self._lot.choice(self._kinds)(numbers)

    def mark(self) -> CallersMark:
        return CallersMark(self._lot.randint(0, 4), NOON + self._lot.randint(0, 4) * SECOND, self._lot.choice(PHONES))

    def _rows(self, numbers: list[int]) -> list[str]:
        phones = [*PHONES, *PHONES, None, ""]
        some = ((one, self._lot.choice(STATES), self._lot.choice(phones)) for one in numbers)
        return [row(*one, self._lot.randint(0, 4)) for one in some]

    def _written(self, numbers: list[int]) -> str:
        names = ("state", "customer_phone", "first_received_at")
        taken = ", ".join(f"{name} = excluded.{name}" for name in names)
        return f"{inserted(*self._rows(numbers))} ON CONFLICT (account_sid, call_sid) DO UPDATE SET {taken}"

    def _moved(self, numbers: list[int]) -> str:
        source = " UNION ALL ".join(
            f"SELECT '{sid(one)}' AS sid, '{self._lot.choice(STATES)}' AS state" for one in numbers
        )
        return f"UPDATE calls SET state = v.state FROM ({source}) AS v WHERE calls.call_sid = v.sid"

    def _restated(self, numbers: list[int]) -> str:
        later = f"first_received_at = first_received_at + {self._lot.randint(-2, 2) * 1_000_000}"
        phone = f"customer_phone = '{self._lot.choice(PHONES)}'"
        return f"UPDATE calls SET {self._lot.choice([later, phone, 'legs = legs + 1'])} WHERE {is_of(numbers)}"

    def _removed(self, numbers: list[int]) -> str:
        return f"DELETE FROM calls WHERE {is_of(numbers[:2])}"


@pytest.mark.parametrize("seed", range(2))
def test_the_rows_are_what_a_count_gives_after_each_statement_and_after_a_rollback(
    ledger: SqlLedger, database_url: str, seed: int
) -> None:
    history = History(seed)
    for step in range(20):
        statements = [history.statement() for _ in range(2)]
        transaction(database_url, statements, "ROLLBACK" if step % 5 == 4 else "COMMIT")
        agrees(ledger, database_url)
        agrees(ledger, database_url, history.mark(), limit=2)


def transaction(url: str, statements: list[str], end: str) -> None:
    run = ["BEGIN", *statements, end]
    if not url.startswith("sqlite"):
        with psycopg.connect(url, autocommit=True) as connection:
            for one in run:
                connection.execute(one.encode())
        return
    with closing(connect_sqlite(url)) as connection:
        for one in run:
            connection.execute(one)


def test_all_calls_of_a_number_cease_to_wait_in_one_statement(ledger: SqlLedger, database_url: str) -> None:
    change(database_url, inserted(*(row(number, "parked", PHONES[number % 2], number) for number in range(8))))
    change(database_url, f"UPDATE calls SET state = 'skipped' WHERE {is_of([0, 2, 4, 6, 7])}")
    agrees(ledger, database_url)
    of_one = UnknownCaller(PHONES[1], 3, NOON + SECOND, NOON + 5 * SECOND)
    assert list(ledger.unknown.callers("", 9)) == [of_one]


def test_what_waits_already_is_taken_in_by_the_migration_that_brings_the_rows(empty_database_url: str) -> None:
    upgrade_to(empty_database_url, "0026")
    of_before = [row(number, STATES[number % 3], [*PHONES, None][number % 4], number) for number in range(12)]
    change(empty_database_url, inserted(*of_before))
    with opened(empty_database_url) as ledger:
        ledger.migrations.upgrade()
        assert len(ledger.unknown.callers("", 9)) == 3
        agrees(ledger, empty_database_url)
        change(empty_database_url, f"UPDATE calls SET state = 'skipped' WHERE {is_of([0, 1, 2])}")
        agrees(ledger, empty_database_url)


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE unknown_callers SET calls = calls + 3, oldest_at = 0",
        "DELETE FROM unknown_callers",
        "UPDATE unknown_callers SET phone = phone || '9'",
    ],
)
def test_wrong_rows_are_made_right_however_few_at_once(ledger: SqlLedger, database_url: str, harm: str) -> None:
    change(
        database_url, inserted(*(row(number, STATES[number % 3], PHONES[number % 3], number) for number in range(9)))
    )
    change(database_url, harm)
    ledger.tallies.count_anew()
    agrees(ledger, database_url)
    change(database_url, harm)
    after: str | None = ""
    while after is not None:
        with ledger.database.write() as connection:
            after = count_callers_anew(connection, after, 1)
    agrees(ledger, database_url)


# Two who write at once, neither of whom has the books' turn


@pytest.fixture
def three_of_each(database_url: str) -> str:
    """Calls 0 to 5, by turns of two callers, a second apart."""
    if database_url.startswith("sqlite"):
        pytest.skip("there is one writer at a time")
    change(database_url, inserted(*(row(number, "parked", PHONES[number % 2], number) for number in range(6))))
    return database_url


def leave(connection: Any, number: int) -> None:
    connection.execute(f"UPDATE calls SET state = 'skipped' WHERE {is_of([number])}".encode())


def is_somebody_kept_waiting(url: str) -> bool:
    waiting = "wait_event_type = 'Lock' AND datname = current_database()"
    return bool(query(url, f"SELECT 1 FROM pg_stat_activity WHERE {waiting}"))


def beside(url: str, first: list[int], other: list[int]) -> None:
    """Take the first call out, begin to take the others out beside that, and go on once these have to wait."""
    with psycopg.connect(url) as ours, psycopg.connect(url) as theirs, ThreadPoolExecutor(1) as pool:
        leave(ours, first[0])

        def takes_out() -> None:
            for number in other:
                leave(theirs, number)
            theirs.commit()

        done = pool.submit(takes_out)
        wait_until(lambda: is_somebody_kept_waiting(url))
        for number in first[1:]:
            leave(ours, number)
        ours.commit()
        done.result()


def test_whoever_waits_for_another_sees_which_calls_that_has_left(ledger: SqlLedger, three_of_each: str) -> None:
    """The call before the last goes first: what is left once both have gone is the oldest."""
    beside(three_of_each, [2], [0])
    agrees(ledger, three_of_each)
    assert ledger.unknown.callers("", 1) == [UnknownCaller(PHONES[0], 1, NOON + 4 * SECOND, NOON + 4 * SECOND)]


def test_two_who_write_of_the_same_callers_in_opposite_order_do_not_wait_for_each_other(
    ledger: SqlLedger, three_of_each: str
) -> None:
    beside(three_of_each, [0, 1], [3, 2])
    agrees(ledger, three_of_each)
    assert [one.calls for one in ledger.unknown.callers("", 9)] == [1, 1]
