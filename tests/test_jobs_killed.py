"""kill -9 of a worker in the middle of long work: another one goes on, nothing is done twice, and how far it was is known."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from offhook.pipeline.delivery import Result
from offhook.pipeline.job_kinds import ImportCustomers, RetryConversions
from offhook.pipeline.jobs import Job, JobState
from tests import sinks
from tests.support import ledger
from tests.support.office import ANN, Office
from tests.support.processes import WorkerProcess
from tests.support.waiting import wait_until
from tests.system.conftest import Offhook

QUICK = {"OFFHOOK_JOB_LEASE_SECONDS": "2", "OFFHOOK_JOB_ATTEMPTS": "10", "OFFHOOK_CUSTOMERS_BATCH_ROWS": "10"}


@pytest.fixture
def offhook(database_url: str, tmp_path: Path) -> Iterator[Offhook]:
    with sinks.Sink() as sink:
        yield Offhook(database_url, tmp_path, sink)


@pytest.fixture
def office(offhook: Offhook) -> Iterator[Office]:
    """Asks for jobs as a web process does, and reads how far they are."""
    made = Office(offhook.database_url, offhook.folder)
    yield made
    made.ledger.close()


def kill_under_way(worker: WorkerProcess, offhook: Offhook, office: Office, job_id: int) -> Job:
    """The job of an import as it was left, with some rows written."""

    def is_far() -> bool:
        job = office.job(job_id)
        return job.is_over or (job.progress.done > 0 and ledger.count(offhook.database_url, "customers") > 0)

    wait_until(is_far, shows=lambda: f"{office.job(job_id)} {worker.log[-2000:]}")
    worker.kill()
    return office.job(job_id)


@pytest.mark.mostly("postgres")
def test_an_import_whose_worker_is_killed_is_finished_by_another_and_is_one_import(
    offhook: Offhook, office: Office
) -> None:
    numbers = [
        f"+1{area}5550{last:03d}" for area in (212, 303, 312, 404, 415, 512, 602, 702, 713, 808) for last in range(1000)
    ]
    office.now = datetime.now(UTC) + timedelta(hours=1)
    office.receives("+12065550100")  # while callbacks come, however long the test takes, batches do not grow
    text = "phone,email\n" + "".join(f"{phone},p{phone[1:]}@example.com\n" for phone in numbers)
    job_id = office.asks(ImportCustomers(office.uploads(text)))
    with offhook.worker(**QUICK) as worker:
        left = kill_under_way(worker, offhook, office, job_id)
    assert left.state is JobState.RUNNING and left.attempts == 1
    assert 0 < left.progress.done < len(text) == left.progress.of_how_many
    assert 0 < ledger.count(offhook.database_url, "customers") < len(numbers)
    with offhook.worker(**QUICK) as worker:
        wait_until(lambda: office.job(job_id).is_over, shows=lambda: worker.log[-2000:])
    job = office.job(job_id)
    assert (job.state, job.attempts) == (JobState.DONE, 2)
    assert job.result is not None
    counts = tuple(job.result[name] for name in ("added", "changed", "unchanged", "rejected"))
    assert counts == (len(numbers), 0, 0, 0)
    assert ledger.count(offhook.database_url, "customers", "email LIKE 'p%'") == len(numbers)
    assert ledger.count(offhook.database_url, "customer_rows") == len(numbers)  # one of history for each
    [line] = office.ledger.history.imports(9)
    assert (line.id, line.added, line.changed) == (job.result["import"], len(numbers), 0)


def test_a_bulk_retry_whose_worker_is_killed_is_finished_by_another_and_sends_each_once(
    offhook: Offhook, office: Office
) -> None:
    """It is refused again, as far as the breaker lets it leave: what a second run sent once more would be seen here."""
    ledger.add_customer(offhook.database_url, ANN, "ann@example.com")
    calls = office.receives(ANN, 1500)
    office.comes_to(Result.REFUSED, 10_000)
    assert office.states() == {"dead": len(calls)}
    offhook.sink.behave(sinks.answer(400))
    job_id = office.asks(RetryConversions())
    asked_at = (office.job(job_id).asked_at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)

    def sent_again() -> int:
        return ledger.count(offhook.database_url, "conversions", f"horizon_from >= {asked_at}")

    with offhook.worker(**QUICK) as worker:
        wait_until(sent_again, shows=lambda: worker.log[-2000:])
        worker.kill()
    left, before = office.job(job_id), sent_again()
    assert left.state is JobState.RUNNING and 0 < before < len(calls)
    with offhook.worker(**QUICK) as worker:
        wait_until(lambda: office.job(job_id).is_over, shows=lambda: worker.log[-2000:])
    job = office.job(job_id)
    assert (job.state, job.attempts, sent_again()) == (JobState.DONE, 2, len(calls))
    assert job.result is not None
    assert (
        len(calls) - 100 <= job.result["sent_again"] <= len(calls)
    )  # all but what the killed one could not write down
    sent = Counter(json.loads(request.body)["order_id"] for request in offhook.sink.requests)
    twice = {sid for sid, count in sent.items() if count > 1}
    lost = ledger.query(offhook.database_url, "SELECT call_sid FROM attempts WHERE result = 'lease_expired'")
    assert twice <= {row["call_sid"] for row in lost}  # those that the killed worker was sending, and no other
