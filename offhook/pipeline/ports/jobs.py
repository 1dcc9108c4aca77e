"""Where jobs wait and what becomes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from offhook.pipeline.jobs import Job, JobEvent, Progress


@dataclass(frozen=True, slots=True)
class Taken:
    """A job that was claimed. `fence` is the number of this claim, `checkpoint` what an attempt before has saved, None
    without any."""

    job: Job
    fence: int
    checkpoint: Any = None


@dataclass(frozen=True, slots=True)
class ClaimedJob:
    """What a claim came to: a job that is ours, and those that were given up, as their workers vanished too often or somebody
    had cancelled them."""

    taken: Taken | None = None
    given_up: Sequence[Job] = ()


class Word(StrEnum):
    """What a running job learns when it says how far it is."""

    GO_ON = "go_on"
    CANCEL = "cancel"  # somebody asked for that
    LOST = "lost"  # it is another worker's now, or over: nothing of it may be written any more


class Jobs(Protocol):
    """Long work, asked for by people and done by workers. Each method raises LedgerUnavailable."""

    def add(
        self, kind: str, arguments: Mapping[str, Any], asked_by: str, now: datetime, *, upload: int | None = None
    ) -> int | None:
        """Keep a new job, which waits from now on; its number. None, and nothing is kept, where it needs an upload that is
        not there, not whole, or another job's."""

    def job(self, job_id: int) -> Job | None:
        """The one of this number."""

    def latest(self, limit: int, before: int | None = None, kinds: Sequence[str] | None = None) -> Sequence[Job]:
        """The newest first, those of lower numbers than `before`, of these kinds; None: of all."""

    def claim(self, now: datetime, lease_seconds: float, most_attempts: int) -> ClaimedJob:
        """The job that has waited for longest, ours until the lease ends; one whose worker's lease ended waits
        again, or is over where it was taken up `most_attempts` times."""

    def go_on(self, job_id: int, fence: int, progress: Progress, lease_until: datetime) -> Word:
        """Say how far it is, and keep it until then. Nothing changes where it is not ours any more."""

    def save(self, job_id: int, fence: int, checkpoint: Any) -> bool:
        """Keep from where the next attempt goes on (what JSON holds). False, and nothing changes, where it is not ours."""

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
        """It is over, or waits again (GIVE_BACK, which is no attempt). The files become its own. False, and nothing changes,
        where it is not ours. Raises IllegalMove for an event that no running job knows."""

    def ask_cancel(self, job_id: int, now: datetime) -> Job | None:
        """One that waits is cancelled, one that runs is asked to stop, one that is over stays as it is. None where there is
        none of this number."""

    def forget(self, over_before: datetime, orphans_before: datetime) -> int:
        """Remove jobs that were over before then, with their files, and files made before then that no job has, some at
        once. Returns how many rows are gone that are jobs or files; 0 when nothing is left to be removed."""
