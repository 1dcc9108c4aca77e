"""A worker's sign of life costs one statement now and then, and a ledger that is gone never stops the worker."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event

from offhook.adapters.ledger.store import SqlLedger
from offhook.pipeline.heart import Heart, HeartPace
from offhook.settings import given
from tests.support import ledger as by_hand

NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)


class Time:
    """The ledger's time and a steady clock that go together."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def steady(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds)


@pytest.fixture
def ledger(database_url: str) -> Iterator[SqlLedger]:
    opened = SqlLedger(given({"DATABASE_URL": database_url}).database_url)
    yield opened
    opened.close()


def a_heart(ledger: SqlLedger, time: Time) -> Heart:
    return Heart(ledger.workers, HeartPace(every_seconds=15, kept_seconds=60), time.now, "0.1.0", time.steady)


def test_a_sign_is_one_statement_as_often_as_is_set_and_at_once_when_the_rules_change(ledger: SqlLedger) -> None:
    time = Time()
    heart = a_heart(ledger, time)
    heart.beat("one")  # the first one looks for signs that are too old as well
    said: list[str] = []
    event.listen(ledger.database.engine, "before_cursor_execute", lambda *arguments: said.append(arguments[2]))
    for second in range(1, 31):
        time.seconds = second
        heart.beat("one")
    written = [one.split(" (")[0] for one in said if not one.startswith("SELECT (extract")]  # Postgres: the BEGIN
    assert written == ["INSERT INTO workers"] * 2
    defaults = given({})  # two statements a second at the most, the BEGIN and COMMIT of a sign among them
    assert 1 / defaults.idle_seconds + 3 / defaults.heartbeat_seconds <= 2
    heart.beat("two")
    [seen] = ledger.workers.seen_since(NOON)
    assert (seen.sign.rules_version, seen.sign.started_at, seen.seen_at) == ("two", NOON, time.now())


def test_a_worker_that_slept_so_long_that_its_sign_was_removed_leaves_a_whole_one(
    ledger: SqlLedger, database_url: str
) -> None:
    time = Time()
    heart = a_heart(ledger, time)
    heart.beat("one")
    time.seconds = 1000
    ledger.workers.forget_signs(time.now())
    heart.beat("one")
    assert len(ledger.workers.seen_since(time.now())) == 1
    heart.stop()
    assert by_hand.count(database_url, "workers") == 0


def test_a_ledger_that_cannot_be_written_is_a_warning_and_no_more(
    ledger: SqlLedger, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    by_hand.change(database_url, "DROP TABLE workers")
    heart = a_heart(ledger, Time())
    with caplog.at_level(logging.WARNING):
        heart.beat("one")
        heart.stop()
    assert [record.message for record in caplog.records] == ["no_sign_of_life"]
