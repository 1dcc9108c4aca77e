"""Jobs as rows: claims with a lease and a fence, progress, and what came of them. Where one goes JOB_MOVES says alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, Update, delete, exists, insert, select, text, update

from offhook.adapters.ledger.engine import Database
from offhook.adapters.ledger.job_files import JobFilesTable
from offhook.adapters.ledger.legal import may_move
from offhook.adapters.ledger.schema import job_files, jobs
from offhook.pipeline.jobs import JOB_MOVES, FileRole, Job, JobEvent, JobState, Progress, after_lease
from offhook.pipeline.ports.jobs import ClaimedJob, Taken, Word

_LOOKED_AT = 20  # of those that are due, for one claim
_FORGOTTEN_AT_ONCE = 50
_VANISHED = "It was begun {} times, and each time its worker ended or lost the database before it was done. Ask again."
_CANCELLED = "Cancelled before it began."
_CANCELLED_LATE = "Cancelled. What was done until then stays done."


class JobsTable:
    """`Jobs` of pipeline/ports/jobs.py."""

    def __init__(self, database: Database, files: JobFilesTable) -> None:
        self._database = database
        self._files = files

    def add(
        self, kind: str, arguments: Mapping[str, Any], asked_by: str, now: datetime, *, upload: int | None = None
    ) -> int | None:
        row = {
            "kind": kind,
            "arguments": json.dumps(arguments, ensure_ascii=False),
            "asked_by": asked_by,
            "asked_at": now,
            "state": JOB_MOVES.first(JobState.WAITING).value,
            "due_at": now,
            "fence": 0,
            "attempts": 0,
            "done": 0,
            "sentence": "",
        }
        with self._database.write() as connection:
            if upload is not None and not _is_free(connection, upload):
                return None
            job_id = int(connection.execute(insert(jobs).values(row).returning(jobs.c.id)).scalar_one())
            if upload is not None:
                connection.execute(update(job_files).where(job_files.c.id == upload).values(job_id=job_id))
            return job_id

    def job(self, job_id: int) -> Job | None:
        with self._database.read() as connection:
            row = connection.execute(select(jobs).where(jobs.c.id == job_id)).first()
        return None if row is None else _job(row)

    def latest(self, limit: int, before: int | None = None, kinds: Sequence[str] | None = None) -> Sequence[Job]:
        wanted = select(jobs).order_by(jobs.c.id.desc()).limit(limit)
        if before is not None:
            wanted = wanted.where(jobs.c.id < before)
        if kinds is not None:
            wanted = wanted.where(jobs.c.kind.in_(kinds))
        with self._database.read() as connection:
            return list(map(_job, connection.execute(wanted)))

    def claim(self, now: datetime, lease_seconds: float, most_attempts: int) -> ClaimedJob:
        due = (text("due_at IS NOT NULL"), jobs.c.due_at <= now)
        with self._database.read() as connection:
            if not connection.execute(select(exists().where(*due))).scalar_one():
                return ClaimedJob()
        some = select(jobs).where(*due).order_by(jobs.c.due_at).limit(_LOOKED_AT).with_for_update(skip_locked=True)
        given_up: list[Job] = []
        with self._database.write() as connection:
            for row in connection.execute(some).all():
                state = _after_its_lease(row, now, most_attempts)
                if state is JobState.WAITING:
                    return ClaimedJob(_taken(connection, row, now, lease_seconds), given_up)
                given_up.append(_given_up(connection, row, state, now))
        return ClaimedJob(None, given_up)

    def go_on(self, job_id: int, fence: int, progress: Progress, lease_until: datetime) -> Word:
        said = _ours(job_id, fence, JobEvent.FINISH).values(**_of(progress), due_at=lease_until)
        with self._database.write() as connection:
            row = connection.execute(said.returning(jobs.c.cancel_asked_at)).first()
        if row is None:
            return Word.LOST
        return Word.GO_ON if row.cancel_asked_at is None else Word.CANCEL

    def save(self, job_id: int, fence: int, checkpoint: Any) -> bool:
        kept = _ours(job_id, fence, JobEvent.FINISH).values(checkpoint=json.dumps(checkpoint))
        with self._database.write() as connection:
            return connection.execute(kept).rowcount > 0

    def finish(
        self,
        job_id: int,
        fence: int,
        event: JobEvent,
        progress: Progress,
        now: datetime,
        *,
        result: Mapping[str, Any] | None = None,
        files: Sequence[int] = (),
    ) -> bool:
        to = JOB_MOVES.usual(JobState.RUNNING, event)
        values: dict[str, Any] = {"state": to.value, **_of(progress), "due_at": None, "finished_at": now}
        if to is JobState.WAITING:
            values |= {"due_at": now, "finished_at": None, "attempts": jobs.c.attempts - 1}
        if result is not None:
            values["result"] = json.dumps(result, ensure_ascii=False)
        its_own = update(job_files).where(job_files.c.id.in_(list(files)), job_files.c.job_id.is_(None))
        with self._database.write() as connection:
            if not connection.execute(_ours(job_id, fence, event).values(**values)).rowcount:
                return False
            if files:
                connection.execute(its_own.values(job_id=job_id))
            return True

    def ask_cancel(self, job_id: int, now: datetime) -> Job | None:
        one = jobs.c.id == job_id
        waits, runs = JOB_MOVES.sources(JobEvent.CANCEL)
        over = {"state": JOB_MOVES.usual(waits, JobEvent.CANCEL).value, "due_at": None, "finished_at": now}
        at_once = update(jobs).where(one, jobs.c.state == waits.value)
        later = update(jobs).where(one, jobs.c.state == runs.value, jobs.c.cancel_asked_at.is_(None))
        with self._database.write() as connection:
            connection.execute(at_once.values(**over, cancel_asked_at=now, sentence=_CANCELLED))
            connection.execute(later.values(cancel_asked_at=now))
            row = connection.execute(select(jobs).where(one)).first()
        return None if row is None else _job(row)

    def forget(self, over_before: datetime, orphans_before: datetime) -> int:
        is_over = (text("finished_at IS NOT NULL"), jobs.c.finished_at < over_before)
        is_orphan = (text("job_id IS NULL"), job_files.c.made_at < orphans_before)
        with self._database.read() as connection:
            old = connection.execute(select(jobs.c.id).where(*is_over).limit(_FORGOTTEN_AT_ONCE)).scalars().all()
            theirs = connection.execute(select(job_files.c.id).where(job_files.c.job_id.in_(old))).scalars().all()
            nobodys = select(job_files.c.id).where(*is_orphan).limit(_FORGOTTEN_AT_ONCE)
            files = [*theirs, *connection.execute(nobodys).scalars()]
        for file_id in files:
            self._files.remove(file_id)
        if old:
            with self._database.write() as connection:
                connection.execute(delete(jobs).where(jobs.c.id.in_(old), *is_over))
        return len(old) + len(files)


def _is_free(connection: Connection, upload: int) -> bool:
    """An upload that is whole and no job's; nobody else takes it until we are done."""
    wanted = (job_files.c.id == upload, job_files.c.job_id.is_(None), job_files.c.is_whole == 1)
    asked = select(job_files.c.id).where(*wanted, job_files.c.role == FileRole.UPLOAD.value)
    return connection.execute(asked.with_for_update()).first() is not None


def _ours(job_id: int, fence: int, event: JobEvent) -> Update:
    """Where it is still this claim's, and the event may happen."""
    running = jobs.c.state == JobState.RUNNING.value
    return update(jobs).where(jobs.c.id == job_id, jobs.c.fence == fence, running, text(may_move(JOB_MOVES, event)))


def _of(progress: Progress) -> dict[str, Any]:
    return {"done": progress.done, "of_how_many": progress.of_how_many, "sentence": progress.sentence}


def _after_its_lease(row: Row[Any], now: datetime, most_attempts: int) -> JobState:
    """Where one that is due stands: it waits, or is over as its workers vanished."""
    if row.state != JobState.RUNNING:
        return JobState(row.state)
    assert row.due_at <= now
    return after_lease(row.attempts, most_attempts, row.cancel_asked_at is not None)


def _taken(connection: Connection, row: Row[Any], now: datetime, lease_seconds: float) -> Taken:
    values = {
        "state": JOB_MOVES.usual(JobState.WAITING, JobEvent.CLAIM).value,
        "due_at": now + timedelta(seconds=lease_seconds),
        "fence": row.fence + 1,
        "attempts": row.attempts + 1,
        "started_at": row.started_at or now,
    }
    taken = update(jobs).where(jobs.c.id == row.id).values(**values).returning(*jobs.c)
    ours = connection.execute(taken).one()
    return Taken(_job(ours), ours.fence, None if ours.checkpoint is None else json.loads(ours.checkpoint))


def _given_up(connection: Connection, row: Row[Any], state: JobState, now: datetime) -> Job:
    sentence = _VANISHED.format(row.attempts) if state is JobState.FAILED else _CANCELLED_LATE
    values = {"state": state.value, "due_at": None, "finished_at": now, "sentence": sentence}
    over = update(jobs).where(jobs.c.id == row.id).values(**values).returning(*jobs.c)
    return _job(connection.execute(over).one())


def _job(row: Row[Any]) -> Job:
    return Job(
        id=row.id,
        kind=row.kind,
        state=JobState(row.state),
        asked_by=row.asked_by,
        asked_at=row.asked_at,
        arguments=json.loads(row.arguments),
        progress=Progress(row.done, row.of_how_many, row.sentence),
        attempts=row.attempts,
        started_at=row.started_at,
        finished_at=row.finished_at,
        cancel_asked_at=row.cancel_asked_at,
        result=None if row.result is None else json.loads(row.result),
    )
