"""The books are kept by one worker at a time, outside of the write lock, the newest and the oldest in turn; idle is idle."""

from __future__ import annotations

import fcntl
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlencode

import psycopg
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from sqlalchemy import event

from offhook.adapters.ledger.store import SqlLedger
from offhook.adapters.rockerbox.payload import encode
from offhook.adapters.twilio.reading import read
from offhook.pipeline.bookkeeper import Bookkeeper, BooksPace
from offhook.pipeline.callback import Callback, RawCallback
from offhook.pipeline.conversion import Conversion
from offhook.pipeline.customer import Customer
from offhook.pipeline.delivery import Outcome, Result, RetryPolicy
from offhook.pipeline.ends import Numbering
from offhook.pipeline.lookout import Lookout, Unkept, must_dispatch
from offhook.pipeline.ports.unavailable import LedgerUnavailable
from offhook.pipeline.ports.waiting import Waiting
from offhook.pipeline.rules import Rules
from offhook.pipeline.steps import Judge, decide_batch, fold_batch
from offhook.pipeline.worker import Pace, Worker
from offhook.settings import given
from tests.support import ledger as by_hand
from tests.support.arriving import read_request
from tests.support.filled import fill
from tests.support.waiting import HANGS_AFTER_SECONDS, wait_until

ACCOUNT = "AC00000000000000000000000000000001"
CALLER = "+14155550100"
NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)


class Destination:
    def encode(self, conversion: Conversion) -> bytes:
        return encode(conversion)

    def send(self, payload: bytes) -> Outcome:
        return Outcome(Result.DELIVERED, "delivered", 200)


JUDGE = Judge(Rules(), Numbering("US"), Destination().encode, read, settle_seconds=0)


@pytest.fixture
def url(database_url: str) -> str:
    return given({"DATABASE_URL": database_url}).database_url


@pytest.fixture
def ledger(url: str) -> Iterator[SqlLedger]:
    opened = SqlLedger(url)
    opened.merge_customers([Customer(CALLER, "a@example.test", None)])
    yield opened
    opened.close()


def sid(number: int) -> str:
    return f"CA{number:032x}"


def final(number: int, parent: int | None = None, status: str = "completed") -> RawCallback:
    params = {"CallSid": sid(number), "AccountSid": ACCOUNT, "From": CALLER, "To": "+14155550199", "CallStatus": status}
    params |= (
        {"Direction": "inbound"} if parent is None else {"Direction": "outbound-dial", "ParentCallSid": sid(parent)}
    )
    body = urlencode(params).encode()
    found = read_request("POST", "/twilio/status", "application/x-www-form-urlencoded", {}, body, NOON, ACCOUNT)
    assert isinstance(found, tuple)
    return found[0]


def bookkeeper(ledger: SqlLedger, steady: list[float] | None = None, **pace: Any) -> Bookkeeper:
    now = steady or [0.0]
    return Bookkeeper(ledger, Lookout(ledger), JUDGE, replace(BooksPace(), **pace), lambda: NOON, steady=lambda: now[0])


def converted(ledger: SqlLedger) -> set[str]:
    return {row.key.call_sid for row in ledger.stories.conversions((), 10_000)}


# One bookkeeper, and nobody waits for what it reads and judges


def test_callbacks_are_stored_while_the_bookkeeper_reads_and_judges(ledger: SqlLedger) -> None:
    stored = iter(range(1000, 2000))

    def reading(raw: RawCallback, _: frozenset[str] | None = None, /) -> Callback:
        ledger.append([final(next(stored))])  # it would wait for ever if the write lock were held
        return read(raw)

    ledger.append([final(1), final(2)])
    judge = replace(JUDGE, read=reading)
    assert fold_batch(ledger, judge, 10) == 2
    assert decide_batch(ledger, judge, NOON, 10) == 2
    assert converted(ledger) == {sid(1), sid(2)}


def test_a_call_that_stands_where_a_newer_version_left_it_stays_there_and_stops_no_other(
    ledger: SqlLedger, database_url: str
) -> None:
    ledger.append([final(1), final(2)])
    assert fold_batch(ledger, JUDGE, 10) == 2
    by_hand.change(database_url, f"UPDATE calls SET state = 'of_tomorrow' WHERE call_sid = '{sid(1)}'")
    ledger.append([final(number, status="busy") for number in (1, 2, 3)])
    assert fold_batch(ledger, JUDGE, 10) == 3
    states = by_hand.query(database_url, "SELECT state FROM calls ORDER BY call_sid")
    assert [row["state"] for row in states] == ["of_tomorrow", "settling", "settling"]
    assert by_hand.count(database_url, "callbacks", "folded = 0") == 0


def test_what_a_second_bookkeeper_has_changed_meanwhile_is_not_written_over(ledger: SqlLedger, url: str) -> None:
    """Somebody deletes the lock file, or a version that knows no turn is at work: SQLite alone lets two in then."""
    if not ledger.database.is_sqlite:
        pytest.skip("a transaction's advisory lock cannot be deleted")
    other = SqlLedger(url)
    ledger.append([final(1), final(2)])
    with ledger.books() as books:
        assert books is not None
        fresh = books.unfolded(10)
        families = books.families(fresh)
        Path(f"{by_hand.sqlite_file(url)}.books").unlink()
        assert fold_batch(other, JUDGE, 10) == 2
        assert decide_batch(other, JUDGE, NOON, 10) == 2
        with pytest.raises(LedgerUnavailable, match="somebody else"):
            books.save(families, [])
    other.close()
    assert decide_batch(ledger, JUDGE, NOON, 10) == 0
    assert len(ledger.stories.conversions((), 10)) == 2


def test_only_one_worker_keeps_the_books_at_a_time(ledger: SqlLedger, url: str) -> None:
    other = SqlLedger(url)
    ledger.append([final(1)])
    with ledger.books() as ours, other.books() as theirs:
        assert (ours is not None, theirs) == (True, None)
    assert fold_batch(other, JUDGE, 10) == 1
    other.close()


@contextmanager
def somebody_keeps_the_books(url: str) -> Iterator[None]:
    """Another process that has the turn and does nothing with it."""
    if url.startswith("sqlite"):
        with Path(f"{by_hand.sqlite_file(url)}.books").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        return
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [0x0FF_4001])
        yield


def test_callbacks_that_wait_while_nobody_keeps_the_books_are_an_error_once_a_minute(
    ledger: SqlLedger, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    now = [0.0]
    books = bookkeeper(ledger, now)

    def errors() -> int:
        books.keep_once()
        return sum(record.message == "books_not_kept" and record.levelno == logging.ERROR for record in caplog.records)

    with somebody_keeps_the_books(url):
        assert errors() == 0
        now[0] = 1000.0
        ledger.append([final(1)])
        seen = [errors() for now[0] in (1000.0, 1059.0, 1060.0, 1061.0, 1119.0, 1120.0)]
        assert seen == [0, 0, 1, 1, 1, 2]
    assert fold_batch(ledger, JUDGE, 10) == 1
    now[0] = 2000.0
    assert errors() == 2


@for_all(st.lists(st.tuples(st.floats(0.1, 100), st.sampled_from([None, 1, 2])), max_size=30))
def test_it_is_said_at_most_once_a_minute_and_only_of_what_has_not_moved(looks: list[tuple[float, int | None]]) -> None:
    unkept, now, said, since, before = Unkept(60), 0.0, float("-inf"), 0.0, None
    for pause, oldest in looks:
        now += pause
        since = now if oldest != before else since
        before = oldest
        if (seconds := unkept.observe(oldest, now)) is not None:
            assert oldest is not None
            assert seconds == now - since >= 60
            assert now - said >= 60
            said = now


# A backlog


def test_a_call_that_comes_in_now_is_not_behind_the_backlog_and_the_oldest_are_not_either(ledger: SqlLedger) -> None:
    for some in ([final(0)], [final(number) for number in range(1, 1000)], [final(5000)]):
        ledger.append(some)
    books = bookkeeper(ledger, fold_batch=50, decide_batch=20)
    for _ in range(2):
        books.keep_once()
    done = converted(ledger)
    assert {sid(5000), sid(0)} <= done
    assert len(done) == 100  # deciding keeps pace with folding
    for _ in range(18):
        books.keep_once()
    assert len(converted(ledger)) >= 1000


def test_a_call_of_now_is_claimed_before_a_full_outbox_is_empty(ledger: SqlLedger) -> None:
    """However late those that waited are decided: their place is that of their end."""
    now = NOON + timedelta(hours=1)
    ledger.append([final(number) for number in range(20)])
    ledger.append([replace(final(5000), received_at=now)])
    for newest in (True, False):
        while fold_batch(ledger, JUDGE, 5, newest=newest):
            now += timedelta(seconds=1)
            assert decide_batch(ledger, JUDGE, now, 20, newest=newest)
    [newest_claimed] = ledger.claim(now, 1, 60, RetryPolicy(), newest=True).taken
    [oldest_claimed] = ledger.claim(now, 1, 60, RetryPolicy()).taken
    assert newest_claimed.key.call_sid == sid(5000) != oldest_claimed.key.call_sid


def test_a_call_of_now_waits_for_its_own_legs_and_not_for_those_of_others(ledger: SqlLedger) -> None:
    """Its leg came long before it, as it seems, and a thousand others wait: the leg is folded first, then it is decided."""
    ledger.append([final(1, parent=5000)])
    ledger.append([final(number) for number in range(1000, 2000)])
    ledger.append([final(5000)])
    assert fold_batch(ledger, JUDGE, 1, newest=True) == 1
    with ledger.books() as books:
        assert books is not None
        assert [one.raw.call_sid for one in books.settled(books.due(NOON, 10)).unlinked] == [sid(1)]
    assert [decide_batch(ledger, JUDGE, NOON, 10) for _ in range(3)] == [1, 1, 0]
    [story] = ledger.stories.of_call(sid(1))
    assert (story.call.key.call_sid, story.call.state, story.call.legs) == (sid(5000), "converted", 2)


def test_nobody_waits_for_a_call_whose_legs_wait_to_be_folded(ledger: SqlLedger) -> None:
    for one in (final(1, status="ringing"), final(1), final(2, parent=1), final(3, parent=2)):
        ledger.append([one])
    assert fold_batch(ledger, JUDGE, 1) == 2  # both callbacks of the call itself
    steps = [decide_batch(ledger, JUDGE, NOON, 10) for _ in range(4)]
    assert steps == [1, 1, 1, 0]  # a leg, the leg of the leg, the call
    [story] = ledger.stories.of_call(sid(3))
    assert (story.call.key.call_sid, story.call.legs) == (sid(1), 3)


def test_parked_calls_are_reviewed_a_page_at_a_time_and_each_of_them(ledger: SqlLedger) -> None:
    """One caller with more calls than fit a page, among others who stay unknown."""
    other = "+14155550111"
    ledger.append([final(number) for number in range(30)])
    with ledger.database.write() as connection:
        connection.exec_driver_sql("DELETE FROM customers")
    books = bookkeeper(ledger, fold_batch=100, decide_batch=7)
    while books.keep_once():
        pass
    assert converted(ledger) == set()
    ledger.merge_customers([Customer(other, "b@example.test", None)])
    while books.keep_once():
        pass
    assert converted(ledger) == set()
    ledger.merge_customers([Customer(CALLER, "a@example.test", None)])
    while books.keep_once():
        pass
    assert len(converted(ledger)) == 30


# Idle


def test_an_idle_worker_asks_one_question_for_all_of_its_threads(ledger: SqlLedger, url: str) -> None:
    """A statement a look, and by default two looks a second; what it looks for is in this one."""
    ledger.append([final(1)])
    statements: list[str] = []
    event.listen(ledger.database.engine, "before_cursor_execute", lambda *said: statements.append(said[2]))
    worker = Worker(ledger, Destination(), JUDGE, RetryPolicy(), Pace(poll_seconds=0.01, idle_seconds=0.02, threads=2))
    worker.start()
    try:
        wait_until(lambda: ledger.stories.conversion_counts() == {"delivered": 1})
        wait_until(lambda: _all_alike(statements[-15:]))
    finally:
        assert worker.stop()
    assert given({}).idle_seconds >= 0.5


def test_after_a_trouble_the_bookkeeper_lets_the_database_rest_before_it_asks_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """However soon the next look would be due: a database that is down is not asked twice in the same breath."""
    missing = SqlLedger(f"sqlite:///{tmp_path}/none.db")
    books = Bookkeeper(missing, Lookout(missing), JUDGE, BooksPace(trouble_wait_seconds=7), lambda: NOON)

    class Stopping(threading.Event):
        """Somebody stops it as soon as it waits."""

        waited: ClassVar[list[float | None]] = []

        def wait(self, timeout: float | None = None) -> bool:
            self.waited.append(timeout)
            self.set()
            return True

    stopping = Stopping()
    books.run(stopping, news=stopping)
    missing.close()
    assert [(one.levelname, one.getMessage()) for one in caplog.records] == [("WARNING", "books_failed")]
    assert stopping.waited[:1] == [7]


@pytest.mark.parametrize("error", [LedgerUnavailable("down"), RuntimeError("a fault of ours")])
def test_after_a_trouble_the_dispatcher_rests_as_well(
    ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    rested: list[float] = []
    has_rested = threading.Event()

    def rest(seconds: float) -> None:
        rested.append(seconds)
        has_rested.set()

    def waiting(*, with_open: bool = False) -> Waiting:
        raise error

    monkeypatch.setattr(ledger, "waiting", waiting)
    pace = Pace(trouble_wait_seconds=7, threads=1)
    worker = Worker(ledger, Destination(), JUDGE, RetryPolicy(), pace, rest=rest)
    worker.start()
    try:
        assert has_rested.wait(HANGS_AFTER_SECONDS)
    finally:
        assert worker.stop()
    assert set(rested) == {7}


def test_what_one_thread_has_asked_just_now_another_does_not_ask_again() -> None:
    now = [0.0]
    asked: list[float] = []

    class Ledger:
        def waiting(self, *, with_open: bool = False) -> Waiting:
            asked.append(now[0])
            return Waiting()

    lookout = Lookout(Ledger(), steady=lambda: now[0])
    lookout.look()
    for now[0] in (0.1, 0.5, 0.6, 0.9):
        lookout.look(at_most_old_seconds=0.5)
    lookout.look()
    assert asked == [0.0, 0.6, 0.9]


def _all_alike(statements: list[str]) -> bool:
    """Nothing but the question, again and again."""
    asked = [one for one in statements if "mapping_version" in one]
    return len(asked) >= 15 and len(asked) == len(statements)


def test_a_callback_that_this_very_process_stores_wakes_its_worker(ledger: SqlLedger) -> None:
    """Web and worker in one process, and the worker would look again in an hour only."""
    pace = Pace(poll_seconds=3600, idle_seconds=3600, threads=1)
    worker = Worker(ledger, Destination(), JUDGE, RetryPolicy(), pace)
    looks: list[str] = []
    event.listen(ledger.database.engine, "before_cursor_execute", lambda *said: looks.append(said[2]))
    worker.start()
    try:
        wait_until(lambda: any("mapping_version" in one for one in looks))
        ledger.append([final(1)])
        wait_until(lambda: len(converted(ledger)) == 1)
    finally:
        worker.stop()


@pytest.mark.parametrize(
    ("waiting", "must"),
    [
        (Waiting(), False),
        (Waiting(due_at=NOON), True),
        (Waiting(due_at=NOON + timedelta(seconds=1)), False),
        (Waiting(due_at=NOON, door_opens_at=NOON + timedelta(seconds=1)), False),
        (Waiting(due_at=NOON, door_opens_at=NOON), True),
        (Waiting(due_at=NOON + timedelta(hours=1), doubtful_since=NOON - timedelta(hours=11)), False),
        (Waiting(due_at=NOON + timedelta(hours=1), doubtful_since=NOON - timedelta(hours=13)), True),
    ],
)
def test_the_dispatcher_acts_when_something_may_leave_or_must_not_any_more(waiting: Waiting, must: bool) -> None:
    assert must_dispatch(waiting, NOON, RetryPolicy()) is must


# Postgres without statistics


def test_a_worker_lets_postgres_look_at_tables_that_it_knows_nothing_of(ledger: SqlLedger, url: str) -> None:
    if ledger.database.is_sqlite:
        ledger.gather_statistics()
        return
    plain = url.replace("+psycopg", "")
    known = "SELECT DISTINCT tablename FROM pg_stats WHERE schemaname = 'public'"
    fill(plain, 100)
    assert by_hand.query(plain, known) == []
    ledger.gather_statistics()
    assert {row["tablename"] for row in by_hand.query(plain, known)} >= {"callbacks", "legs", "calls", "conversions"}


# The mapping


def test_an_import_that_is_killed_leaves_whole_batches_and_the_next_one_ends_it(url: str) -> None:
    ledger = SqlLedger(url, mapping_batch_rows=100)
    just_now = datetime.now(UTC) + timedelta(hours=1)  # however long the test takes
    ledger.append([replace(final(1), received_at=just_now)])  # while callbacks come, batches do not grow
    rows = [Customer(f"+1415555{number:04d}", f"{number}@example.test", None) for number in range(450)]
    versions: list[int] = []

    def dies(*said: object) -> None:
        if "INSERT INTO customers" in str(said[2]) and len(versions) == 2:
            raise KeyboardInterrupt
        if "INSERT INTO customers" in str(said[2]):
            versions.append(1)

    event.listen(ledger.database.engine, "before_cursor_execute", dies)
    with pytest.raises(KeyboardInterrupt):
        ledger.merge_customers(rows)
    event.remove(ledger.database.engine, "before_cursor_execute", dies)
    assert (by_hand.count(url.replace("+psycopg", ""), "customers"), ledger.mapping_version()) == (200, 2)
    assert tuple(ledger.merge_customers(rows)) == (250, 0, 200)
    assert ledger.mapping_version() == 5
    ledger.close()
