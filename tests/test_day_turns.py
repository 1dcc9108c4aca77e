"""A day turns at Rockerbox while conversions are on their way: as its rules count, three calls stay three conversions.

The real worker with its threads, ledger and client, and the sandbox, which counts by the day of arrival; only the time of day
is ours.
"""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from offhook.adapters.ledger.store import SqlLedger
from offhook.adapters.rockerbox.client import Rockerbox
from offhook.adapters.rockerbox.sandbox import Day, Sandbox
from offhook.adapters.twilio.reading import read
from offhook.pipeline.customer import Customer
from offhook.pipeline.delivery import RetryPolicy
from offhook.pipeline.ends import Numbering
from offhook.pipeline.rules import Rules
from offhook.pipeline.steps import Judge
from offhook.pipeline.worker import Pace, Worker
from offhook.settings import given
from tests.support.waiting import wait_until
from tests.test_ledger import CALLER, final

MIDNIGHT = datetime(2026, 3, 13, tzinfo=UTC)
DEADLINE_SECONDS = 5.0  # in which all is claimed that waits for it
POLICY = RetryPolicy(base_seconds=0.001, cap_seconds=0.001, margin_seconds=DEADLINE_SECONDS)


class Clock:
    """Goes on from where it was set."""

    def __init__(self) -> None:
        self.set(MIDNIGHT - timedelta(hours=1))

    def set(self, now: datetime) -> None:
        self._set, self._at = now, time.monotonic()

    def __call__(self) -> datetime:
        return self._set + timedelta(seconds=time.monotonic() - self._at)


@pytest.fixture
def ledger(database_url: str) -> Iterator[SqlLedger]:
    opened = SqlLedger(given({"DATABASE_URL": database_url}).database_url)
    yield opened
    opened.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sandbox(clock: Clock) -> Iterator[Sandbox]:
    with Sandbox(day=Day.ARRIVAL, clock=clock) as running:
        yield running


@pytest.fixture
def start(ledger: SqlLedger, sandbox: Sandbox, clock: Clock) -> Iterator[Callable[..., Worker]]:
    """Starts a worker with one sending thread, for three calls that have ended."""
    ledger.merge_customers([Customer(CALLER, "a@example.test", None)])
    ledger.append([final(number) for number in range(3)])
    destination = Rockerbox(
        f"{sandbox.url}/webhook/data",
        "id",
        connect_timeout_seconds=DEADLINE_SECONDS,
        total_deadline_seconds=DEADLINE_SECONDS,
    )
    judge = Judge(Rules(), Numbering("US"), destination.encode, read, settle_seconds=0)
    pace = Pace(poll_seconds=0.01, threads=2, deadline_seconds=DEADLINE_SECONDS, lease_seconds=600)
    workers: list[Worker] = []

    def start(policy: RetryPolicy = POLICY) -> Worker:
        workers.append(Worker(ledger, destination, judge, policy, pace, clock))
        workers[-1].start()
        return workers[-1]

    yield start
    for worker in workers:
        assert worker.stop()
    destination.close()


def counted(sandbox: Sandbox) -> Counter[str]:
    """How often Rockerbox counts each call."""
    return Counter(json.loads(event.raw)["order_id"] for event in sandbox.events() if event.verdict == "counted")


def errors(caplog: pytest.LogCaptureFixture, event: str) -> list[str]:
    return [
        vars(record)["call_sid"] for record in caplog.records if (record.levelname, record.message) == ("ERROR", event)
    ]


@pytest.mark.parametrize("answer", ["408", "502", "504", "520", "524", "527", "reset"])
def test_what_a_gateway_says_after_it_forwarded_a_call_makes_no_second_one_of_it_on_the_next_day(
    start: Callable[..., Worker],
    ledger: SqlLedger,
    sandbox: Sandbox,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    answer: str,
) -> None:
    sandbox.play(f"{answer} kept p=1")
    start(replace(POLICY, base_seconds=1e9, cap_seconds=1e9))  # no second attempt on this day
    sandbox.wait_for(3)
    wait_until(lambda: ledger.stories.conversion_counts() == {"pending": 3})
    clock.set(MIDNIGHT + timedelta(minutes=5))
    with caplog.at_level(logging.INFO):
        wait_until(lambda: ledger.stories.conversion_counts() == {"ambiguous": 3})
        wait_until(lambda: len(errors(caplog, "conversion_ambiguous")) == 3)
    assert set(counted(sandbox).values()) == {1}
    assert len(errors(caplog, "conversion_ambiguous")) == 3


@pytest.mark.mostly("postgres")
def test_a_day_that_turns_between_claim_and_sending_makes_no_call_count_twice(
    start: Callable[..., Worker],
    ledger: SqlLedger,
    sandbox: Sandbox,
    clock: Clock,
) -> None:
    """Two threads are kept busy by two calls while the third, which has arrived unknown to us, waits in our queue."""
    sandbox.play("3x reset kept; 2x timeout kept")
    clock.set(MIDNIGHT - timedelta(seconds=100))
    start()
    sandbox.wait_for(5)  # three arrived, nobody knows, and two of them are under way again

    def claimed_again() -> bool:
        return [(row.state, row.fence) for row in ledger.stories.conversions([], 10)] == [("sending", 2)] * 3

    wait_until(claimed_again)
    clock.set(MIDNIGHT + timedelta(seconds=10))  # before its turn comes
    wait_until(lambda: ledger.stories.conversion_counts() == {"ambiguous": 3})
    assert sorted(counted(sandbox).values()) == [1, 1, 1]
    assert {row.reason for row in ledger.stories.conversions([], 10)} == {"day_turned", "deadline"}


def test_in_the_last_moments_of_a_day_nothing_leaves_that_could_arrive_after_it(
    start: Callable[..., Worker],
    ledger: SqlLedger,
    sandbox: Sandbox,
    clock: Clock,
) -> None:
    sandbox.play("reset kept p=1")
    clock.set(MIDNIGHT - timedelta(seconds=DEADLINE_SECONDS) + timedelta(milliseconds=1))
    start()
    wait_until(lambda: ledger.stories.conversion_counts() == {"ambiguous": 3})
    assert [event.verdict for event in sandbox.events()] == ["counted"] * 3


@pytest.mark.mostly("postgres")
def test_the_day_of_the_first_attempt_is_the_one_on_which_it_left(
    start: Callable[..., Worker],
    ledger: SqlLedger,
    sandbox: Sandbox,
    clock: Clock,
) -> None:
    """Claimed before midnight, sent after it: a second copy of the same day is harmless."""
    sandbox.play("2x timeout kept; 3x reset kept")
    clock.set(MIDNIGHT - timedelta(seconds=100))
    start()
    sandbox.wait_for(2)  # both threads are busy, and the third conversion waits
    wait_until(lambda: ledger.stories.conversion_counts() == {"sending": 3})
    clock.set(MIDNIGHT + timedelta(seconds=10))
    wait_until(lambda: ledger.stories.conversion_counts() == {"delivered": 1, "ambiguous": 2})
    assert sorted(counted(sandbox).values()) == [1, 1, 1]
