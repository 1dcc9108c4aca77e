"""Jobs and their files in memory: `Jobs` and `JobFiles` without a database."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from offhook.pipeline.jobs import JOB_MOVES, FileRole, Job, JobEvent, JobFile, JobState, Progress, after_lease
from offhook.pipeline.ports.jobs import ClaimedJob, Taken, Word
from tests.fakes.kept import Kept, KeptJob


class MemoryJobs:
    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def add(
        self, kind: str, arguments: Mapping[str, Any], asked_by: str, now: datetime, *, upload: int | None = None
    ) -> int | None:
        job_id = len(self._kept.jobs) + 1
        if upload is not None:
            found = self._kept.job_files.get(upload)
            if found is None or not found.is_whole or found.job_id is not None or found.role is not FileRole.UPLOAD:
                return None
            self._kept.job_files[upload] = replace(found, job_id=job_id)
        held = json.loads(json.dumps(arguments))
        self._kept.jobs[job_id] = KeptJob(Job(job_id, kind, JobState.WAITING, asked_by, now, held), now)
        return job_id

    def job(self, job_id: int) -> Job | None:
        found = self._kept.jobs.get(job_id)
        return None if found is None else found.job

    def latest(self, limit: int, before: int | None = None, kinds: Sequence[str] | None = None) -> Sequence[Job]:
        every = [one.job for one in self._kept.jobs.values() if before is None or one.job.id < before]
        wanted = [job for job in every if kinds is None or job.kind in kinds]
        return sorted(wanted, key=lambda job: -job.id)[:limit]

    def claim(self, now: datetime, lease_seconds: float, most_attempts: int) -> ClaimedJob:
        due = [(one.due_at, one) for one in self._kept.jobs.values() if one.due_at is not None and one.due_at <= now]
        given_up: list[Job] = []
        for _, one in sorted(due, key=lambda each: each[0]):
            state = one.job.state
            if state is JobState.RUNNING:
                state = after_lease(one.job.attempts, most_attempts, one.job.cancel_asked_at is not None)
            if state is JobState.WAITING:
                return ClaimedJob(_take(one, now, lease_seconds), given_up)
            why = f"begun {one.job.attempts} times" if state is JobState.FAILED else "Cancelled."
            progress = replace(one.job.progress, sentence=why)
            one.job, one.due_at = replace(one.job, state=state, finished_at=now, progress=progress), None
            given_up.append(one.job)
        return ClaimedJob(None, given_up)

    def _ours(self, job_id: int, fence: int) -> KeptJob | None:
        found = self._kept.jobs.get(job_id)
        return found if found and found.fence == fence and found.job.state is JobState.RUNNING else None

    def go_on(self, job_id: int, fence: int, progress: Progress, lease_until: datetime) -> Word:
        found = self._ours(job_id, fence)
        if found is None:
            return Word.LOST
        found.job, found.due_at = replace(found.job, progress=progress), lease_until
        return Word.GO_ON if found.job.cancel_asked_at is None else Word.CANCEL

    def save(self, job_id: int, fence: int, checkpoint: Any) -> bool:
        found = self._ours(job_id, fence)
        if found is not None:
            found.checkpoint = json.dumps(checkpoint)
        return found is not None

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
        found = self._ours(job_id, fence)
        if found is None:
            return False
        waits = to is JobState.WAITING
        found.due_at = now if waits else None
        found.job = replace(
            found.job,
            state=to,
            progress=progress,
            finished_at=None if waits else now,
            attempts=found.job.attempts - waits,
            result=found.job.result if result is None else json.loads(json.dumps(result)),
        )
        for file_id in files:
            self._kept.job_files[file_id] = replace(self._kept.job_files[file_id], job_id=job_id)
        return True

    def ask_cancel(self, job_id: int, now: datetime) -> Job | None:
        found = self._kept.jobs.get(job_id)
        if found is None:
            return None
        job = found.job
        if job.state is JobState.WAITING:
            progress = replace(job.progress, sentence="Cancelled before it began.")
            to = JOB_MOVES.usual(job.state, JobEvent.CANCEL)
            found.due_at = None
            found.job = replace(job, state=to, cancel_asked_at=now, finished_at=now, progress=progress)
        elif job.state is JobState.RUNNING:
            found.job = replace(job, cancel_asked_at=job.cancel_asked_at or now)
        return found.job

    def forget(self, over_before: datetime, orphans_before: datetime) -> int:
        old = {one.job.id for one in self._kept.jobs.values() if (at := one.job.finished_at) and at < over_before}
        files = [
            one.id
            for one in self._kept.job_files.values()
            if one.job_id in old or (one.job_id is None and one.made_at < orphans_before)
        ]
        for job_id in old:
            del self._kept.jobs[job_id]
        for file_id in files:
            MemoryJobFiles(self._kept).remove(file_id)
        return len(old) + len(files)


def _take(one: KeptJob, now: datetime, lease_seconds: float) -> Taken:
    state = JOB_MOVES.usual(JobState.WAITING, JobEvent.CLAIM)
    one.fence, one.due_at = one.fence + 1, now + timedelta(seconds=lease_seconds)
    one.job = replace(one.job, state=state, attempts=one.job.attempts + 1, started_at=one.job.started_at or now)
    return Taken(one.job, one.fence, None if one.checkpoint is None else json.loads(one.checkpoint))


class MemoryJobFiles:
    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def begin(self, role: FileRole, name: str, media_type: str, now: datetime) -> int:
        file_id = max(self._kept.job_files, default=0) + 1
        self._kept.job_files[file_id] = JobFile(file_id, None, role, name, media_type, 0, now, is_whole=False)
        return file_id

    def add_piece(self, file_id: int, place: int, content: bytes) -> None:
        self._kept.job_pieces.setdefault((file_id, place), content)

    def complete(self, file_id: int, size: int) -> None:
        if file_id in self._kept.job_files:
            self._kept.job_files[file_id] = replace(self._kept.job_files[file_id], size=size, is_whole=True)

    def remove(self, file_id: int) -> None:
        self._kept.job_files.pop(file_id, None)
        for place in [place for place in self._kept.job_pieces if place[0] == file_id]:
            del self._kept.job_pieces[place]

    def file(self, file_id: int) -> JobFile | None:
        return self._kept.job_files.get(file_id)

    def of_job(self, job_id: int) -> Sequence[JobFile]:
        return sorted((one for one in self._kept.job_files.values() if one.job_id == job_id), key=lambda one: one.id)

    def piece(self, file_id: int, place: int) -> bytes | None:
        return self._kept.job_pieces.get((file_id, place))
