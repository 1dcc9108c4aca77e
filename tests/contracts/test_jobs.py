"""What `Jobs` promises, of their files as well."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offhook.pipeline.job_files import PIECE_BYTES, keep_file
from offhook.pipeline.job_kinds import ImportCustomers, UndoImport, WrongArguments, enqueue
from offhook.pipeline.jobs import JOB_MOVES, OVER, FileRole, Job, JobEvent, JobState, Progress
from offhook.pipeline.ports.jobs import Taken, Word
from offhook.pipeline.states import IllegalMove
from tests.contracts.conftest import WholeLedger
from tests.contracts.files import kept
from tests.fakes.callbacks import NOON

MINUTE = timedelta(minutes=1)
ANN = "ann@example.com"
LEASE, MOST = 60.0, 3


def asked(ledger: WholeLedger, number: int = 7, at: datetime = NOON) -> int:
    return enqueue(ledger.jobs, UndoImport(number), ANN, at)


def claimed(ledger: WholeLedger, at: datetime = NOON) -> Taken:
    taken = ledger.jobs.claim(at, LEASE, MOST).taken
    assert taken is not None
    return taken


def state(ledger: WholeLedger, job_id: int) -> JobState:
    job = ledger.jobs.job(job_id)
    assert job is not None
    return job.state


def test_a_job_is_kept_as_it_was_asked_for_and_not_without_the_upload_that_it_needs(ledger: WholeLedger) -> None:
    job_id = ledger.jobs.add("undo_import", {"import_id": 7}, ANN, NOON)
    assert job_id is not None
    assert ledger.jobs.job(job_id) == Job(job_id, "undo_import", JobState.WAITING, ANN, NOON, {"import_id": 7})
    assert ledger.jobs.add("import_customers", {"upload": 99}, ANN, NOON, upload=99) is None
    assert [one.id for one in ledger.jobs.latest(10)] == [job_id]


def test_a_job_waits_is_taken_up_by_one_and_is_done(ledger: WholeLedger) -> None:
    job_id = asked(ledger)
    assert ledger.waiting().job_at == NOON
    taken = claimed(ledger)
    assert (taken.job.id, taken.job.kind, taken.job.arguments, taken.job.asked_by) == (
        job_id,
        "undo_import",
        {"import_id": 7},
        ANN,
    )
    assert (taken.job.attempts, taken.job.started_at, taken.checkpoint) == (1, NOON, None)
    assert ledger.jobs.claim(NOON, LEASE, MOST).taken is None
    assert ledger.waiting().job_at == NOON + MINUTE
    assert ledger.jobs.go_on(job_id, taken.fence, Progress(3, 9, "numbers"), NOON + 2 * MINUTE) is Word.GO_ON
    found = ledger.jobs.job(job_id)
    assert found is not None and found.progress == Progress(3, 9, "numbers")
    assert ledger.waiting().job_at == NOON + 2 * MINUTE
    result = {"restored": 9}
    assert ledger.jobs.finish(
        job_id, taken.fence, JobEvent.FINISH, Progress(9, 9, "It is back."), NOON + MINUTE, result=result
    )
    done = ledger.jobs.job(job_id)
    assert done is not None and (done.state, done.result, done.finished_at) == (JobState.DONE, result, NOON + MINUTE)
    assert done.is_over and ledger.waiting().job_at is None
    assert ledger.jobs.job(job_id + 1) is None


def test_the_first_asked_for_is_the_first_taken_up_and_lists_begin_with_the_newest(ledger: WholeLedger) -> None:
    first, second, third = (asked(ledger, n, NOON + n * MINUTE) for n in (1, 2, 3))
    assert [claimed(ledger, NOON + 9 * MINUTE).job.id for _ in range(3)] == [first, second, third]
    assert [one.id for one in ledger.jobs.latest(2)] == [third, second]
    assert [one.id for one in ledger.jobs.latest(2, second)] == [first]
    kind = ledger.jobs.latest(1)[0].kind
    assert [one.id for one in ledger.jobs.latest(2, kinds=["another", kind])] == [third, second]
    assert [one.id for one in ledger.jobs.latest(2, second, [kind])] == [first]
    assert not ledger.jobs.latest(2, kinds=["another"]) and not ledger.jobs.latest(2, kinds=[])


def test_a_job_whose_worker_vanished_is_taken_up_again_from_its_checkpoint_and_the_old_one_changes_nothing(
    ledger: WholeLedger,
) -> None:
    job_id = asked(ledger)
    old = claimed(ledger)
    assert ledger.jobs.save(job_id, old.fence, {"after": [1, "CA1"]})
    ledger.jobs.go_on(job_id, old.fence, Progress(5, None, "half"), NOON + MINUTE)
    assert ledger.jobs.claim(NOON + MINUTE - timedelta(seconds=1), LEASE, MOST).taken is None
    new = claimed(ledger, NOON + 2 * MINUTE)
    assert (new.checkpoint, new.job.attempts, new.job.progress) == (
        {"after": [1, "CA1"]},
        2,
        Progress(5, None, "half"),
    )
    assert ledger.jobs.go_on(job_id, old.fence, Progress(99), NOON + 9 * MINUTE) is Word.LOST
    assert not ledger.jobs.save(job_id, old.fence, "wrong")
    assert not ledger.jobs.finish(job_id, old.fence, JobEvent.FINISH, Progress(99), NOON)
    found = ledger.jobs.job(job_id)
    assert found is not None and (found.state, found.progress.done) == (JobState.RUNNING, 5)


def test_a_job_whose_workers_vanish_again_and_again_is_given_up(ledger: WholeLedger) -> None:
    job_id = asked(ledger)
    for attempt in range(MOST):
        assert claimed(ledger, NOON + 2 * attempt * MINUTE).job.attempts == attempt + 1
    came = ledger.jobs.claim(NOON + 20 * MINUTE, LEASE, MOST)
    assert came.taken is None
    [given_up] = came.given_up
    assert (given_up.id, given_up.state) == (job_id, JobState.FAILED)
    assert "begun 3 times" in given_up.progress.sentence
    assert not ledger.jobs.claim(NOON + 40 * MINUTE, LEASE, MOST).given_up


def test_what_a_stopping_worker_gives_back_is_no_attempt_and_may_be_taken_up_at_once(ledger: WholeLedger) -> None:
    job_id = asked(ledger)
    for _ in range(MOST + 2):
        taken = claimed(ledger)
        assert taken.job.attempts == 1
        assert ledger.jobs.finish(job_id, taken.fence, JobEvent.GIVE_BACK, Progress(1), NOON)
    assert state(ledger, job_id) is JobState.WAITING


def test_one_that_waits_is_cancelled_at_once_and_one_that_runs_learns_of_it(ledger: WholeLedger) -> None:
    running, waiting = asked(ledger, 1), asked(ledger, 2, NOON + MINUTE)
    taken = claimed(ledger, NOON + MINUTE)
    for job_id in (running, waiting):
        ledger.jobs.ask_cancel(job_id, NOON + MINUTE)
    assert (state(ledger, running), state(ledger, waiting)) == (JobState.RUNNING, JobState.CANCELLED)
    assert ledger.jobs.go_on(running, taken.fence, Progress(1), NOON + 2 * MINUTE) is Word.CANCEL
    assert ledger.jobs.finish(running, taken.fence, JobEvent.CANCEL, Progress(1, None, "Cancelled."), NOON)
    found = ledger.jobs.ask_cancel(running, NOON + 5 * MINUTE)
    assert found is not None
    assert (found.state, found.cancel_asked_at) == (JobState.CANCELLED, NOON + MINUTE)
    assert ledger.jobs.ask_cancel(99, NOON) is None
    assert ledger.jobs.claim(NOON + 30 * MINUTE, LEASE, MOST).taken is None


def test_one_that_was_cancelled_and_whose_worker_vanished_is_not_begun_again(ledger: WholeLedger) -> None:
    job_id = asked(ledger)
    claimed(ledger)
    ledger.jobs.ask_cancel(job_id, NOON)
    came = ledger.jobs.claim(NOON + 5 * MINUTE, LEASE, MOST)
    assert came.taken is None and [one.state for one in came.given_up] == [JobState.CANCELLED]


def test_an_event_that_no_running_job_knows_is_refused(ledger: WholeLedger) -> None:
    job_id = asked(ledger)
    taken = claimed(ledger)
    with pytest.raises(IllegalMove):
        ledger.jobs.finish(job_id, taken.fence, JobEvent.CLAIM, Progress(), NOON)
    assert state(ledger, job_id) is JobState.RUNNING


EVENTS = st.lists(st.sampled_from(list(JobEvent)), max_size=12)


@settings(max_examples=25, deadline=None)
@given(events=EVENTS)
def test_whatever_happens_a_job_moves_as_the_table_says(ledger: WholeLedger, events: list[JobEvent]) -> None:
    now = NOON
    job_id, fence, seen = asked(ledger, at=now), 0, [JobState.WAITING]
    for event in events:
        before = state(ledger, job_id)
        is_legal = any(source is before and known is event for source, known in JOB_MOVES.rows)
        if event in (JobEvent.CLAIM, JobEvent.LEASE_EXPIRED):
            now += 5 * MINUTE if event is JobEvent.LEASE_EXPIRED else timedelta(0)
            taken = ledger.jobs.claim(now, LEASE, MOST).taken
            fence = taken.fence if taken else fence
            is_legal = is_legal or (event is JobEvent.LEASE_EXPIRED and before is JobState.WAITING)  # a claim as well
        elif event is JobEvent.CANCEL and before is not JobState.RUNNING:
            ledger.jobs.ask_cancel(job_id, now)
        else:
            assert ledger.jobs.finish(job_id, fence, event, Progress(), now) is is_legal
        after = state(ledger, job_id)
        assert after is before or is_legal, f"{event} led from {before} to {after}"
        seen.append(after)
    for before, after in pairwise(seen):
        if before in OVER:
            assert after is before
        elif after is not before:
            of_table = {to for (source, _), every in JOB_MOVES.rows.items() for to in every if source is before}
            assert after in of_table
    for _ in range(2):  # nothing of it stays for the next example
        ledger.jobs.ask_cancel(job_id, now)
        ledger.jobs.claim(now + 30 * MINUTE, LEASE, MOST)


# Their files


def test_an_upload_is_one_jobs_and_must_be_whole(ledger: WholeLedger) -> None:
    whole, half = kept(ledger, b"phone\n"), ledger.job_files.begin(FileRole.UPLOAD, "half.csv", "text/csv", NOON)
    enqueue(ledger.jobs, ImportCustomers(whole), ANN, NOON)
    for upload in (whole, half, 999):
        with pytest.raises(WrongArguments, match="upload the file again"):
            enqueue(ledger.jobs, ImportCustomers(upload), ANN, NOON)
    assert len(ledger.jobs.latest(10)) == 1


def test_a_result_is_its_jobs_only_when_that_is_done_by_who_holds_it(ledger: WholeLedger) -> None:
    job_id = asked(ledger)
    old, new = claimed(ledger), claimed(ledger, NOON + 5 * MINUTE)
    files = [keep_file(ledger.job_files, FileRole.RESULT, "calls.csv", [b"a"], 9, NOON) for _ in range(2)]
    assert not ledger.jobs.finish(job_id, old.fence, JobEvent.FINISH, Progress(), NOON, files=[files[0]])
    assert ledger.jobs.finish(job_id, new.fence, JobEvent.FINISH, Progress(), NOON, files=[files[1]])
    assert [one.id for one in ledger.job_files.of_job(job_id)] == [files[1]]


def test_what_is_old_is_removed_with_its_files_and_nothing_else_is(ledger: WholeLedger) -> None:
    uploads = [kept(ledger, b"x" * (PIECE_BYTES + 1)) for _ in range(3)]
    done, runs, orphan = uploads
    ended, running = (enqueue(ledger.jobs, ImportCustomers(upload), ANN, NOON) for upload in (done, runs))
    taken = claimed(ledger)
    assert ledger.jobs.finish(ended, taken.fence, JobEvent.FAIL, Progress(0, None, "no"), NOON)
    claimed(ledger)
    assert ledger.jobs.forget(NOON, NOON) == 0
    later = NOON + MINUTE
    removed = 0
    while some := ledger.jobs.forget(later, later):
        removed += some
    assert removed == 3
    assert (ledger.jobs.job(ended), ledger.job_files.file(done), ledger.job_files.piece(done, 0)) == (None, None, None)
    assert ledger.job_files.file(orphan) is None and ledger.job_files.piece(orphan, 1) is None
    assert state(ledger, running) is JobState.RUNNING and ledger.job_files.piece(runs, 1) == b"x"
