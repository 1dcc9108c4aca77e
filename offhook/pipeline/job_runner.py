"""The worker's thread that does jobs, one after the other: takes one up, says how far it is, gives it back when the worker stops.

Knows threads and time; what a kind does it is given. A second thread beside, while a job runs, keeps its lease and writes its
progress, so that a job that is busy says so, too.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from offhook.pipeline.job_files import FileTooLarge, keep_file, pieces_of
from offhook.pipeline.job_kinds import WrongArguments, read_arguments
from offhook.pipeline.jobs import FileRole, JobEvent, Progress
from offhook.pipeline.ports.job_files import JobFiles
from offhook.pipeline.ports.jobs import Jobs, Taken, Word
from offhook.pipeline.ports.unavailable import LedgerUnavailable
from offhook.pipeline.ports.waiting import Waiting
from offhook.pipeline.repeated import EVERY_SECONDS, Repeated
from offhook.pipeline.trouble import Trouble

log = logging.getLogger("offhook.jobs")

_CLEAN_EVERY_SECONDS = 3600.0
_LOOK_SECONDS = 2.0  # at least so often a running job learns that it was cancelled
_ORPHAN_SECONDS = 86_400.0  # an upload that no job has, or a result whose worker was killed


@dataclass(frozen=True, slots=True)
class JobPace:
    """How jobs are done. Times are seconds; `kept_seconds` is how long a job that is over is kept with its files."""

    poll_seconds: float = 1.0
    lease_seconds: float = 60.0
    most_attempts: int = 3
    kept_seconds: float = 7 * 86_400.0
    most_result_bytes: int = 256 * 1024 * 1024
    progress_seconds: float = 0.5
    nice: int = 10
    log_repeat_seconds: float = EVERY_SECONDS


class JobRefused(Exception):
    """A job that cannot be done as it was asked for; the text says why, for whoever asked."""


class _Ends(Exception):
    """A job does not go on."""


class _Cancelled(_Ends):
    """Somebody asked for that."""


class _Stopped(_Ends):
    """The worker stops; another one goes on."""


class _Lost(_Ends):
    """It is another worker's."""


@dataclass(frozen=True, slots=True)
class Came:
    """What came of a job: one sentence, and what JSON holds of it."""

    sentence: str
    result: Mapping[str, Any] | None = None


class Running:
    """What a kind has at hand while its job runs. Each method may raise what ends the job; a kind lets that pass."""

    def __init__(self, taken: Taken, jobs: Jobs, files: JobFiles, pulse: _Pulse, most_result_bytes: int) -> None:
        self.job, self.checkpoint = taken.job, taken.checkpoint
        self._fence = taken.fence
        self._jobs = jobs
        self._files = files
        self._pulse = pulse
        self._most_result_bytes = most_result_bytes
        self.kept: list[int] = []

    def progress(self, done: int, of_how_many: int | None, sentence: str) -> None:
        """How far it is; costs nothing, as often as one likes."""
        self._pulse.says(Progress(done, of_how_many, sentence))
        self.look()

    def look(self) -> None:
        """Whether it goes on."""
        self._pulse.must_go_on()

    def save(self, checkpoint: Any) -> None:
        """From here the next attempt goes on, should this one be killed."""
        self.look()
        if not self._jobs.save(self.job.id, self._fence, checkpoint):
            raise _Lost
        self.checkpoint = checkpoint

    def upload(self, file_id: int) -> tuple[str, Iterable[bytes]]:
        """The name and the pieces of an upload. Raises JobRefused where it is gone."""
        found = self._files.file(file_id)
        if found is None or found.job_id != self.job.id:
            raise JobRefused("The file that was uploaded is not there any more: upload it again.")
        return found.name, pieces_of(self._files, file_id)

    def keep(self, name: str, chunks: Iterable[bytes], now: datetime, media_type: str = "text/csv") -> None:
        """A result to be downloaded, once the job is done. Raises JobRefused where it is too large."""
        try:
            self.kept.append(
                keep_file(self._files, FileRole.RESULT, name, chunks, self._most_result_bytes, now, media_type)
            )
        except FileTooLarge as error:
            raise JobRefused(f"{error} Ask for less at once.") from None


@dataclass(frozen=True, slots=True)
class Kind:
    """How a kind of job is run; `arguments` is the class of KINDS (pipeline/job_kinds.py)."""

    arguments: type[Any]
    run: Callable[[Any, Running], Came]


class _Pulse:
    """Keeps a running job's lease and writes how far it is, from a thread of its own; learns whether it goes on."""

    def __init__(
        self, jobs: Jobs, taken: Taken, pace: JobPace, clock: Callable[[], datetime], stopping: threading.Event
    ) -> None:
        self._jobs, self._taken, self._pace, self._clock, self._stopping = jobs, taken, pace, clock, stopping
        self._over = threading.Event()
        self._said = self.latest = taken.job.progress
        self._word = Word.CANCEL if taken.job.cancel_asked_at is not None else Word.GO_ON
        self._beat_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="job-pulse", daemon=True)

    def __enter__(self) -> _Pulse:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def says(self, progress: Progress) -> None:
        self.latest = progress

    def must_go_on(self) -> None:
        if self._word is Word.LOST:
            raise _Lost
        if self._word is Word.CANCEL:
            raise _Cancelled
        if self._stopping.is_set():
            raise _Stopped

    def _run(self) -> None:
        while not self._over.wait(self._pace.progress_seconds):
            silent = time.monotonic() - self._beat_at
            if self.latest != self._said or silent >= min(_LOOK_SECONDS, self._pace.lease_seconds / 3):
                self._beat()

    def _beat(self) -> None:
        said, until = self.latest, self._clock() + timedelta(seconds=self._pace.lease_seconds)
        self._beat_at = time.monotonic()
        try:
            self._word = self._jobs.go_on(self._taken.job.id, self._taken.fence, said, until)
        except LedgerUnavailable as error:  # the lease says in the end whose it is
            log.warning("job_not_heard", extra={"job": self._taken.job.id, "error": str(error)})
        except Exception:
            log.exception("job_not_heard", extra={"job": self._taken.job.id})
        else:
            self._said = said


@dataclass(slots=True)
class _End:
    """What is to be written of a job that does not go on."""

    event: JobEvent
    progress: Progress
    result: Mapping[str, Any] | None = None
    files: list[int] = field(default_factory=list)


class JobRunner:
    """Does jobs of these kinds, and now and then removes what is old. `clock` is the ledger's time; `prune_audit` says how many
    lines went."""

    def __init__(
        self,
        jobs: Jobs,
        files: JobFiles,
        kinds: Mapping[str, Kind],
        pace: JobPace,
        clock: Callable[[], datetime],
        steady: Callable[[], float] = time.monotonic,
        prune_audit: Callable[[datetime], int] = lambda _now: 0,
    ) -> None:
        self._jobs, self._files, self._kinds, self._pace, self._clock = jobs, files, kinds, pace, clock
        self._steady, self._prune_audit = steady, prune_audit
        self._trouble = Trouble(Repeated(log, "jobs_failed", pace.log_repeat_seconds))
        self._cleaned_at = float("-inf")

    def run(self, stopping: threading.Event, look: Callable[[], Waiting]) -> None:
        """Until `stopping`, in a thread that gives way to all others. `look` says whether a job waits."""
        if self._pace.nice and sys.platform == "linux":  # where a thread has a priority of its own
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self._pace.nice)
        while not stopping.is_set():
            if not self._tried(stopping, look):
                stopping.wait(self._pace.poll_seconds)

    def _tried(self, stopping: threading.Event, look: Callable[[], Waiting]) -> bool:
        """Whether there was something to do."""
        with self._trouble.watching():
            if self._steady() - self._cleaned_at >= _CLEAN_EVERY_SECONDS:
                self._clean()
            job_at = look().job_at
            return job_at is not None and job_at <= self._clock() and self.once(stopping)
        return False

    def _clean(self) -> None:
        now = self._clock()
        over, orphans = now - timedelta(seconds=self._pace.kept_seconds), now - timedelta(seconds=_ORPHAN_SECONDS)
        removed = 0
        while some := self._jobs.forget(over, orphans):
            removed += some
        self._cleaned_at = self._steady()
        if removed:
            log.info("jobs_removed", extra={"rows": removed})
        if pruned := self._prune_audit(now):
            log.info("audit_pruned", extra={"rows": pruned})

    def once(self, stopping: threading.Event | None = None) -> bool:
        """Take up a job and do it. False where none waits."""
        claimed = self._jobs.claim(self._clock(), self._pace.lease_seconds, self._pace.most_attempts)
        for job in claimed.given_up:
            log.error("job_given_up", extra={"job": job.id, "kind": job.kind, "what": job.progress.sentence})
        if claimed.taken is None:
            return bool(claimed.given_up)
        self._do(claimed.taken, stopping or threading.Event())
        return True

    def _do(self, taken: Taken, stopping: threading.Event) -> None:
        job, began = taken.job, self._steady()
        log.info("job_started", extra={"job": job.id, "kind": job.kind, "attempt": job.attempts})
        with _Pulse(self._jobs, taken, self._pace, self._clock, stopping) as pulse:
            running = Running(taken, self._jobs, self._files, pulse, self._pace.most_result_bytes)
            end = self._ended(running, pulse)
        if end is None:
            log.warning("job_lost", extra={"job": job.id, "kind": job.kind})
            return
        is_ours = self._jobs.finish(
            job.id, taken.fence, end.event, end.progress, self._clock(), result=end.result, files=end.files
        )
        fields = {
            "job": job.id,
            "kind": job.kind,
            "seconds": round(self._steady() - began, 1),
            "came_to": end.event.value,
        }
        level = logging.WARNING if end.event is JobEvent.FAIL or not is_ours else logging.INFO
        log.log(
            level, "job_ended", extra={**fields, "what": end.progress.sentence if is_ours else "it is another worker's"}
        )

    def _ended(self, running: Running, pulse: _Pulse) -> _End | None:
        """What became of it; None where it is another worker's now."""
        try:
            came = self._run_kind(running)
        except _Lost:
            return None
        except _Cancelled:
            return self._end(JobEvent.CANCEL, pulse, "Cancelled. What was done until then stays done.")
        except _Stopped:
            return self._end(JobEvent.GIVE_BACK, pulse, pulse.latest.sentence)
        except LedgerUnavailable:  # once the lease is over somebody takes it up again; that counts as an attempt
            raise
        except JobRefused as error:
            return self._end(JobEvent.FAIL, pulse, str(error))
        except Exception as error:
            log.exception("job_failed", extra={"job": running.job.id, "kind": running.job.kind})
            return self._end(
                JobEvent.FAIL, pulse, f"It failed unexpectedly ({type(error).__name__}); the log has more."
            )
        done = pulse.latest.of_how_many
        progress = Progress(pulse.latest.done if done is None else done, done, came.sentence)
        return _End(JobEvent.FINISH, progress, came.result, running.kept)

    def _end(self, event: JobEvent, pulse: _Pulse, sentence: str) -> _End:
        return _End(event, Progress(pulse.latest.done, pulse.latest.of_how_many, sentence))

    def _run_kind(self, running: Running) -> Came:
        running.look()
        kind = self._kinds.get(running.job.kind)
        if kind is None:
            raise JobRefused(
                f'This version of Offhook knows no job "{running.job.kind}": update the worker, and ask again.'
            )
        try:
            arguments = read_arguments(kind.arguments, running.job.arguments)
        except WrongArguments as error:
            raise JobRefused(f"The job cannot be done: {error}") from None
        return kind.run(arguments, running)
