"""How much an import writes at once: little while callbacks come, more and more while none do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from offhook.adapters.ledger.pace import Pace, is_calm
from offhook.adapters.ledger.store import SqlLedger
from offhook.pipeline.customer import Customer
from offhook.settings import given
from tests.fakes.callbacks import raw

CUSTOMERS = [Customer(f"+1415555{number:04}", None, f"C{number}") for number in range(100, 130)]


@pytest.fixture
def ledger(database_url: str) -> Iterator[SqlLedger]:
    made = SqlLedger(given({"DATABASE_URL": database_url}).database_url, mapping_batch_rows=3)
    yield made
    made.close()


def now_and(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def test_while_callbacks_come_an_import_writes_few_rows_at_once(ledger: SqlLedger) -> None:
    ledger.append([raw(1, at=now_and(3600))])  # however long the test takes, it has just come
    before = ledger.mapping_version()
    ledger.merge_customers(CUSTOMERS)
    assert ledger.mapping_version() - before == 10


@pytest.mark.parametrize(("seconds", "calm"), [(None, True), (-60, True), (3600, False)])
def test_it_is_calm_when_no_callback_has_come_for_a_while(ledger: SqlLedger, seconds: float | None, calm: bool) -> None:
    if seconds is not None:
        ledger.append([raw(1, at=now_and(seconds))])
    with ledger.database.read() as connection:
        assert is_calm(connection, now_and(0)) is calm


def test_in_a_calm_a_turn_grows_up_to_what_takes_half_a_second_and_nothing_is_waited_for() -> None:
    pace = Pace(500)
    pauses = [pace.pause(pace.rows, seconds, is_calm=True) for seconds in (0.02, 0.04, 0.08)]
    assert (pauses, pace.rows) == ([0.0, 0.0, 0.0], 4000)
    pace.pause(4000, 0.3, is_calm=True)
    assert pace.rows == 4000
    pace.pause(100, 0.01, is_calm=True)  # the last rows of a file say nothing of how long many take
    assert pace.rows == 4000
    pace.pause(4000, 0.6, is_calm=True)
    assert pace.rows == 2000


def test_a_turn_is_bounded_whatever_the_machine() -> None:
    pace = Pace(500)
    for _ in range(20):
        pace.pause(pace.rows, 0.001, is_calm=True)
    assert pace.rows == 20_000


def test_with_the_first_callback_the_turns_are_short_again_and_as_long_as_the_pauses() -> None:
    pace = Pace(500)
    pace.pause(500, 0.02, is_calm=True)
    assert pace.pause(1000, 0.03, is_calm=False) == 0.03
    assert pace.rows == 500
    assert pace.pause(1000, 2.0, is_calm=False) == 0.05


def test_a_turn_is_never_shorter_than_was_asked_for() -> None:
    pace = Pace(500)
    pace.pause(500, 3.0, is_calm=True)
    assert pace.rows == 500
