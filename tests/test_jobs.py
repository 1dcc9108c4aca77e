"""Long work done by a worker: each kind comes to what its command says; what breaks off goes on, and nothing is done twice."""

from __future__ import annotations

import csv
import io
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result as Ran

from offhook.adapters.jobs.kinds import kinds
from offhook.adapters.ledger.reading import Reading
from offhook.from_settings import job_pace, patience
from offhook.pipeline.delivery import Result, RetryPolicy
from offhook.pipeline.job_files import pieces_of
from offhook.pipeline.job_kinds import (
    KINDS,
    BacktestRules,
    ExportCalls,
    ImportCustomers,
    PreflightConversions,
    QaFile,
    RetryConversions,
    UndoImport,
    WrongArguments,
    as_mapping,
    enqueue,
    read_arguments,
)
from offhook.pipeline.job_runner import Came, JobPace, JobRunner, Kind, Running
from offhook.pipeline.jobs import Job, JobEvent, JobState, Progress
from offhook.pipeline.ports.unavailable import LedgerUnavailable
from offhook.pipeline.worker import Pace, Worker
from offhook.service import build, create_app, job_parts
from offhook.settings import given
from tests.fakes.callbacks import NOON
from tests.fakes.ledger import MemoryLedger
from tests.support.office import ANN, BO, HOUR, OURS, WHO, Office
from tests.support.waiting import HANGS_AFTER_SECONDS, wait_until

LIST = f"phone,email,tier\n{ANN},ann@example.com,=gold\n{BO},bo@example.com,\nnobody,x@example.com,\n"


@pytest.fixture
def office(database_url: str, tmp_path: Path) -> Iterator[Office]:
    made = Office(database_url, tmp_path)
    yield made
    made.ledger.close()


@pytest.fixture
def console(office: Office, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """The commands, on the office's database."""
    for name, value in office.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(office.folder)
    app = create_app()

    def run(*words: str) -> Ran:
        return app.test_cli_runner().invoke(args=list(words))

    return run


only_sqlite = pytest.mark.mostly("sqlite")

# What each kind comes to


@only_sqlite
def test_a_dry_run_says_what_the_command_says_and_changes_nothing(office: Office, console: Callable[..., Ran]) -> None:
    office.receives(ANN)
    (office.folder / "crm.csv").write_text(LIST)
    said = json.loads(console("customers", "import", "crm.csv", "--dry-run", "--json").stdout)
    result = office.done(ImportCustomers(office.uploads(LIST), dry_run=True))
    assert result.pop("import") is None
    assert result == said
    assert (result["added"], result["rejected"], result["releases"]) == (2, 1, 1)
    for_people = console("customers", "import", "crm.csv", "--dry-run").stdout
    assert "It would release 1 waiting call, the oldest of" in for_people
    assert ANN not in json.dumps(result) and "ann@" not in json.dumps(result)
    assert not office.ledger.find_customers([ANN, BO])


def test_an_import_is_made_named_in_history_and_taken_back(office: Office) -> None:
    job = office.does(ImportCustomers(office.uploads(LIST)))
    assert job.state is JobState.DONE and job.result is not None
    assert (job.result["added"], job.result["rejected"]) == (2, 1)
    sentence = "Imported: 2 added, 0 changed, 0 unchanged, 0 removed. Rows that cannot be used: 1 (rejected.csv)."
    assert job.progress.sentence == sentence
    assert job.progress.done == job.progress.of_how_many == len(LIST)
    assert "nobody" in office.result_of(job)
    [line] = office.ledger.history.imports(9)
    assert (line.id, line.name, line.added) == (job.result["import"], "crm.csv", 2)
    office.done(ImportCustomers(office.uploads(f"phone,email\n{BO},other@example.com\n")))
    job = office.does(UndoImport(line.id))
    assert job.result == {"import": line.id, "restored": 0, "retired": 1, "changed_since": 1}
    assert job.progress.sentence == (
        "It is taken back: 0 numbers are what they were, 1 is nobody's; 1 has changed since and stays as it is."
    )
    assert set(office.ledger.find_customers([ANN, BO])) == {BO}
    undone = office.ledger.history.import_(line.id)
    assert undone is not None and undone.undone_at is not None


@only_sqlite
def test_an_import_that_would_retire_too_many_is_refused_and_may_be_wished(office: Office) -> None:
    office.done(ImportCustomers(office.uploads(LIST)))
    one = f"phone,email\n{ANN},ann@example.com\n"
    job = office.does(ImportCustomers(office.uploads(one), replace=True))
    assert job.state is JobState.FAILED
    assert "1 of 2 numbers is not in the file and would be retired" in job.progress.sentence
    assert office.done(ImportCustomers(office.uploads(one), replace=True, yes_retire=True))["removed"] == 1
    assert set(office.ledger.find_customers([ANN, BO])) == {ANN}


@only_sqlite
def test_the_calls_that_the_command_lists_are_exported_with_persons_hidden_and_without_formulas(
    office: Office, console: Callable[..., Ran]
) -> None:
    office.receives(ANN, 3)
    office.receives(BO, 2)
    job = office.does(ExportCalls(outcome="unknown_caller"))
    found = office.result_of(job)
    assert job.progress.sentence == "5 calls, numbers and emails hidden in part."
    listed = csv.DictReader(io.StringIO(console("calls", "list", "--csv", "--limit", "100").stdout))
    assert [one["Call id"] for one in csv.DictReader(io.StringIO(found))] == [one["call_sid"] for one in listed]
    assert ANN not in found and BO not in found
    revealed = office.result_of(office.does(ExportCalls(phones=(ANN,), reveal=True)))
    rows = list(csv.DictReader(io.StringIO(revealed)))
    assert [row["Caller"] for row in rows] == [f"'{ANN}"] * 3  # text, and no formula
    assert [row["Began"][-6:] for row in rows] == ["+00:00"] * 3  # of jobs that an older version was asked for
    assert office.done(ExportCalls(since=office.now))["calls"] == 1
    for narrowed, options, calls in (
        (ExportCalls(least_seconds=1, source="webhook"), ["--least-seconds", "1", "--source", "webhook"], 5),
        (ExportCalls(most_seconds=0), ["--most-seconds", "0"], 0),
        (ExportCalls(source="event-stream"), ["--source", "event-stream"], 0),
    ):
        assert office.done(narrowed)["calls"] == calls
        assert len(json.loads(console("calls", "list", "--json", *options).stdout)) == calls


@only_sqlite
def test_a_backtest_says_what_the_command_says_and_refuses_rules_that_cannot_be_used(
    office: Office, console: Callable[..., Ran]
) -> None:
    office.ledger.merge_customers([])
    office.done(ImportCustomers(office.uploads(LIST)))
    office.receives(ANN, 3)
    rules = "min_duration_seconds = 600\n"
    (office.folder / "new.toml").write_text(rules)
    said = json.loads(console("rules", "backtest", "--file", "new.toml", "--since", "1d", "--json").stdout)
    result = office.done(BacktestRules(office.now - 24 * HOUR, rules))
    assert result.pop("rules_version") and said.pop("rules_version")
    assert result == said and result["calls"] == 3 and result["unchanged"] == 0
    assert office.done(BacktestRules(office.now - 24 * HOUR))["unchanged"] == 3
    job = office.does(BacktestRules(office.now, "min_duration_secs = 1"))
    assert job.state is JobState.FAILED and "min_duration_secs" in job.progress.sentence


def test_what_rests_is_sent_again_but_for_what_may_have_arrived_unless_that_is_wished(office: Office) -> None:
    office.done(ImportCustomers(office.uploads(LIST)))
    sids = office.receives(ANN, 3)
    office.comes_to(Result.REFUSED)
    office.receives(BO, 2)
    office.comes_to(Result.REFUSED)
    assert office.states() == {"dead": 5}
    result = office.done(RetryConversions(call_sids=(sids[0], "CAnothing")))
    assert (result["sent_again"], office.states()) == (1, {"dead": 4, "pending": 1})
    result = office.done(RetryConversions(states=("dead",), until=office.now + HOUR))
    assert (result["sent_again"], office.states()) == (4, {"pending": 5})
    job = office.does(RetryConversions(states=("delivered",)))
    assert job.state is JobState.FAILED and "delivered is no state" in job.progress.sentence


@only_sqlite
def test_the_file_for_qa_and_the_preflight_are_the_commands(office: Office, console: Callable[..., Ran]) -> None:
    office.done(ImportCustomers(office.uploads(LIST)))
    office.receives(ANN, 2)
    month = f"{office.now:%Y-%m}"
    job = office.does(QaFile(month))
    assert job.state is JobState.DONE
    written = console("rockerbox", "qa", "--month", month, "--output", "qa.csv")
    assert written.exit_code == 0
    assert office.result_of(job).splitlines() == (office.folder / "qa.csv").read_text().splitlines()
    assert job.result == {"conversions": 2, "undelivered": 2}
    assert office.does(QaFile("October")).progress.sentence == "A month is written like 2026-10."
    result = office.done(PreflightConversions(office.now - 24 * HOUR))
    said = json.loads(console("rockerbox", "preflight", "--since", "1d", "--json").stdout)
    for moment in ("since", "until"):
        assert result.pop(moment) and said.pop(moment)
    assert result == said and result["conversions"] == 2
    assert office.does(PreflightConversions(office.now, key="email,email")).state is JobState.FAILED


@pytest.mark.unit
def test_every_kind_that_can_be_asked_for_is_run_and_its_arguments_come_through_json() -> None:
    service = build(given({"DATABASE_URL": "sqlite:///none.db"}))
    every = kinds(job_parts(service.settings, service.ledger, service.judge))
    assert {name: kind.arguments for name, kind in every.items()} == dict(KINDS)
    for asked in (
        ImportCustomers(3, columns=("Phone", "", "Id"), replace=True),
        UndoImport(7),
        ExportCalls(NOON, number=OURS, phones=(ANN, BO), reveal=True, columns=("when", "id"), zone="Asia/Tokyo"),
        BacktestRules(NOON, "a = 1"),
        RetryConversions(("dead",), since=NOON, call_sids=("CA1",)),
        RetryConversions(maybe_sent=False),
        QaFile("2026-10"),
        PreflightConversions(NOON),
    ):
        assert read_arguments(type(asked), json.loads(json.dumps(as_mapping(asked)))) == asked
    for wrong in ({}, {"import_id": "7"}, {"import_id": True}, {"import_id": 7, "more": 1}):
        with pytest.raises(WrongArguments):
            read_arguments(UndoImport, wrong)


@pytest.mark.unit
def test_a_job_that_a_ledger_has_kept_is_read_whatever_was_asked_of_it() -> None:
    """The names of fields as they stand in ledgers: those of the calls' filter and of the conversions' are among them."""
    of_both = {"reason": "http_400", "since": NOON.isoformat(), "until": (NOON + HOUR).isoformat()}
    of_calls = {
        "number": OURS,
        "outcome": "held",
        "state": "converted",
        "phones": [ANN],
        "source": "webhook",
        "reveal": True,
    }
    calls = read_arguments(ExportCalls, {**of_both, **of_calls, "least_seconds": 1, "most_seconds": 9})
    assert calls == ExportCalls(
        NOON, NOON + HOUR, OURS, "held", "http_400", "converted", (ANN,), 1, 9, "webhook", reveal=True
    )
    of_conversions = {"states": ["dead"], "call_sids": ["CA1"], "also_maybe_sent": True, "maybe_sent": False}
    conversions = read_arguments(RetryConversions, {**of_both, **of_conversions})
    assert conversions == RetryConversions(
        ("dead",), "http_400", NOON, NOON + HOUR, maybe_sent=False, call_sids=("CA1",), also_maybe_sent=True
    )


# The runner


class Desk:
    """A runner of one kind on a ledger in memory."""

    def __init__(self, run: Callable[[Any, Running], Came], **pace: Any) -> None:
        self.ledger = MemoryLedger()
        self.now = NOON
        known = {"undo_import": Kind(UndoImport, run)}
        self.pace = JobPace(**{"progress_seconds": 0.01, "nice": 0, "poll_seconds": 0.01, **pace})
        self.runner = JobRunner(self.ledger.jobs, self.ledger.job_files, known, self.pace, lambda: self.now)

    def asks(self) -> int:
        return enqueue(self.ledger.jobs, UndoImport(1), WHO, self.now)

    def job(self, job_id: int) -> Job:
        found = self.ledger.jobs.job(job_id)
        assert found is not None
        return found


@pytest.mark.unit
def test_a_job_of_a_kind_that_this_version_does_not_know_fails_with_a_sentence() -> None:
    desk = Desk(lambda _asked, _running: Came("done"))
    unknown = desk.ledger.jobs.add("paint_it_blue", {"shade": 1}, WHO, NOON)
    other = desk.ledger.jobs.add("undo_import", {"import_id": 1, "colour": "blue"}, WHO, NOON)
    assert desk.runner.once() and desk.runner.once() and not desk.runner.once()
    assert unknown and other
    assert (desk.job(unknown).state, desk.job(other).state) == (JobState.FAILED, JobState.FAILED)
    assert "knows no job" in desk.job(unknown).progress.sentence
    assert "colour is no argument of it" in desk.job(other).progress.sentence


@pytest.mark.unit
def test_a_running_job_that_is_cancelled_stops_and_says_so() -> None:
    begun = threading.Event()

    def endless(_asked: Any, running: Running) -> Came:
        count = 0
        while True:
            count += 1
            running.progress(count, None, "steps")
            begun.set()

    desk = Desk(endless)
    job_id = desk.asks()
    thread = threading.Thread(target=desk.runner.once)
    thread.start()
    assert begun.wait(HANGS_AFTER_SECONDS)
    wait_until(lambda: desk.job(job_id).progress.done)  # it is written while it runs
    desk.ledger.jobs.ask_cancel(job_id, NOON)
    thread.join()
    job = desk.job(job_id)
    assert (job.state, job.progress.sentence) == (JobState.CANCELLED, "Cancelled. What was done until then stays done.")
    assert job.progress.done > 0


@pytest.mark.unit
def test_a_worker_that_stops_gives_its_job_back_and_the_next_goes_on_from_the_checkpoint() -> None:
    stopping, seen = threading.Event(), list[int]()

    def counts(_asked: Any, running: Running) -> Came:
        for number in range(running.checkpoint or 0, 10):
            seen.append(number)
            if number == 4 and not stopping.is_set():
                running.save(number + 1)
                stopping.set()
            running.progress(number + 1, 10, "numbers")
        return Came("All ten.", {"ten": True})

    desk = Desk(counts)
    job_id = desk.asks()
    desk.runner.once(stopping)
    assert (desk.job(job_id).state, desk.job(job_id).attempts) == (JobState.WAITING, 0)
    assert desk.job(job_id).progress == Progress(5, 10, "numbers")
    desk.runner.once()
    job = desk.job(job_id)
    assert (job.state, job.progress, job.result) == (JobState.DONE, Progress(10, 10, "All ten."), {"ten": True})
    assert seen == list(range(10))


@only_sqlite
def test_a_worker_takes_up_what_waits_and_gives_it_back_when_it_is_stopped(office: Office) -> None:
    """With all of its threads, on a job that would never end by itself."""

    def endless(_asked: Any, running: Running) -> Came:
        for count in itertools.count(1):
            running.progress(count, None, "steps")
            time.sleep(0.001)
        raise AssertionError

    ledger, known = office.ledger, {"undo_import": Kind(UndoImport, endless)}
    pace = JobPace(poll_seconds=0.01, progress_seconds=0.05, nice=0)
    runner = JobRunner(ledger.jobs, ledger.job_files, known, pace, ledger.clock)
    judge, quick = office.service.judge(), Pace(poll_seconds=0.01, idle_seconds=0.02, threads=1)
    worker = Worker(ledger, office.service.destination, judge, RetryPolicy(), quick, ledger.clock, jobs=runner)
    worker.start()
    try:
        job_id = office.asks(UndoImport(1))
        wait_until(lambda: office.job(job_id).progress.done)
        assert office.job(job_id).state is JobState.RUNNING
    finally:
        assert worker.stop()
    job = office.job(job_id)
    assert (job.state, job.attempts) == (JobState.WAITING, 0) and job.progress.done


def test_no_two_workers_take_up_the_same_job(office: Office) -> None:
    asked = {office.asks(UndoImport(number)) for number in range(1, 41)}

    def takes(_worker: int) -> list[int]:
        found = []
        while (taken := office.ledger.jobs.claim(office.ledger.clock(), 3600, 3).taken) is not None:
            found.append(taken.job.id)
        return found

    with ThreadPoolExecutor(4) as workers:
        every = [job_id for found in workers.map(takes, range(4)) for job_id in found]
    rest = takes(0)  # whom another one was just looking at
    assert sorted([*every, *rest]) == sorted(asked)


def test_pages_read_how_far_a_job_is_on_connections_that_can_change_nothing(office: Office) -> None:
    job_id = office.asks(ImportCustomers(office.uploads(LIST)))
    settings = office.service.settings
    reads = Reading(settings.database_url, pool_size=1, patience=patience(settings), seconds=30)
    try:
        assert reads.jobs.job(job_id) == office.job(job_id) and list(reads.jobs.latest(5)) == [office.job(job_id)]
        [upload] = reads.job_files.of_job(job_id)
        assert b"".join(pieces_of(reads.job_files, upload.id)).decode() == LIST
        with pytest.raises(LedgerUnavailable):
            reads.jobs.ask_cancel(job_id, NOON)
    finally:
        reads.close()
    assert office.job(job_id).state is JobState.WAITING


@pytest.mark.unit
def test_who_lost_a_job_to_another_worker_stops_and_writes_nothing() -> None:
    def stalls(_asked: Any, running: Running) -> Came:
        if running.job.attempts == 1:
            desk.now += HOUR
            assert desk.ledger.jobs.claim(desk.now, 60, 3).taken is not None
            running.save("mine")
        raise AssertionError("it went on")

    desk = Desk(stalls, progress_seconds=60)
    job_id = desk.asks()
    desk.runner.once()
    job = desk.job(job_id)
    assert (job.state, job.attempts, job.progress.sentence) == (JobState.RUNNING, 2, "")


@pytest.mark.unit
def test_a_kind_that_fails_unexpectedly_fails_its_job_and_not_the_worker(caplog: pytest.LogCaptureFixture) -> None:
    def breaks(_asked: Any, _running: Running) -> Came:
        raise ZeroDivisionError

    desk = Desk(breaks)
    job_id = desk.asks()
    assert desk.runner.once()
    job = desk.job(job_id)
    assert job.state is JobState.FAILED
    assert job.progress.sentence == "It failed unexpectedly (ZeroDivisionError); the log has more."
    assert "job_failed" in caplog.text


@pytest.mark.unit
def test_a_result_that_is_too_large_fails_its_job_and_leaves_no_file() -> None:
    def writes(_asked: Any, running: Running) -> Came:
        running.keep("big.csv", [b"x" * 1000] * 9, NOON)
        return Came("done")

    desk = Desk(writes, most_result_bytes=5000)
    job_id = desk.asks()
    desk.runner.once()
    assert "big.csv is larger than the 5,000 bytes" in desk.job(job_id).progress.sentence
    assert desk.ledger.job_files.of_job(job_id) == [] and desk.ledger.job_files.file(1) is None


def test_a_bulk_retry_whose_worker_was_killed_between_its_page_and_its_checkpoint_sends_none_twice(
    office: Office,
) -> None:
    """What was sent again and refused again meanwhile rests as before, and is not sent a third time by the same wish."""
    office.done(ImportCustomers(office.uploads(LIST)))
    office.now = office.ledger.clock() - 4 * HOUR
    sids = office.receives(ANN, 3)
    office.comes_to(Result.REFUSED)
    job_id = office.asks(RetryConversions())
    assert office.ledger.jobs.claim(office.ledger.clock(), 0, 3).taken is not None  # its lease is over at once
    rows = office.ledger.stories.conversions(["dead"], 2)
    assert office.ledger.retry([row.key for row in rows], office.ledger.clock()) == 2  # it did so much, and was killed
    office.now = office.ledger.clock()
    office.comes_to(Result.REFUSED)
    assert office.states() == {"dead": 3} and len(sids) == 3
    assert office.runner.once()
    job = office.job(job_id)
    assert job.state is JobState.DONE and job.result is not None
    assert (job.result["looked_at"], job.result["sent_again"]) == (3, 1)
    assert office.states() == {"dead": 2, "pending": 1}


# The commands


@only_sqlite
def test_jobs_are_listed_shown_and_cancelled(office: Office, console: Callable[..., Ran]) -> None:
    done, waits = office.does(UndoImport(99)), office.asks(QaFile("2026-10"))
    found = json.loads(console("jobs", "list", "--json").stdout)
    assert [(one["id"], one["state"], one["asked_by"]) for one in found] == [
        (waits, "waiting", WHO),
        (done.id, "failed", WHO),
    ]
    assert found[1]["sentence"] == "There is no import 99."
    shown = json.loads(console("jobs", "show", str(waits), "--json").stdout)
    assert (shown["arguments"], shown["files"], shown["result"]) == ({"month": "2026-10"}, [], None)
    assert "is cancelled" in console("jobs", "cancel", str(waits)).stdout
    again = console("jobs", "cancel", str(done.id))
    assert (again.exit_code, "is over: failed" in again.stderr) == (1, True)
    assert console("jobs", "show", "777").exit_code == console("jobs", "cancel", "777").exit_code == 2
    assert office.job(waits).state is JobState.CANCELLED


@pytest.mark.unit
def test_how_jobs_are_done_follows_the_settings() -> None:
    pace = job_pace(given({"OFFHOOK_JOB_DAYS": "2", "OFFHOOK_JOB_ATTEMPTS": "5", "OFFHOOK_JOB_LEASE_SECONDS": "9"}))
    assert (pace.kept_seconds, pace.most_attempts, pace.lease_seconds) == (172_800, 5, 9)
    assert pace.progress_seconds >= 0.5  # written at most twice a second


def test_what_is_over_for_its_days_is_removed_by_the_workers_thread(office: Office) -> None:
    upload = office.uploads(LIST)
    old = office.ledger.clock() - timedelta(days=9)
    job_id = enqueue(office.ledger.jobs, ImportCustomers(upload), WHO, old)
    taken = office.ledger.jobs.claim(old, 60, 3).taken
    assert taken is not None
    office.ledger.jobs.finish(job_id, taken.fence, JobEvent.FAIL, Progress(), old)
    kept = office.does(UndoImport(99))
    stopping = threading.Event()
    thread = threading.Thread(target=office.runner.run, args=(stopping, office.ledger.waiting))
    thread.start()
    try:
        wait_until(lambda: office.ledger.jobs.job(job_id) is None)
    finally:
        stopping.set()
        thread.join()
    assert office.ledger.job_files.file(upload) is None
    assert office.job(kept.id).id == kept.id
