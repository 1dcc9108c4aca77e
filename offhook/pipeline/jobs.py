"""Long work that somebody asks for and a worker does: what it is, and where it stands. What may be asked for: job_kinds.py.

The states are the table JOB_MOVES; nothing else decides where a job goes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from offhook.pipeline.states import Moves


class JobState(StrEnum):
    """Where a job stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class JobEvent(StrEnum):
    """What moves a job."""

    CLAIM = "claim"
    GIVE_BACK = "give_back"  # its worker stops, or has lost the database
    LEASE_EXPIRED = "lease_expired"  # its worker was killed or stalled
    FINISH = "finish"
    FAIL = "fail"
    CANCEL = "cancel"


JOB_MOVES: Moves[JobState, JobEvent] = Moves(
    {
        (JobState.WAITING, JobEvent.CLAIM): (JobState.RUNNING,),
        (JobState.WAITING, JobEvent.CANCEL): (JobState.CANCELLED,),
        (JobState.RUNNING, JobEvent.FINISH): (JobState.DONE,),
        (JobState.RUNNING, JobEvent.FAIL): (JobState.FAILED,),
        (JobState.RUNNING, JobEvent.CANCEL): (JobState.CANCELLED,),
        (JobState.RUNNING, JobEvent.GIVE_BACK): (JobState.WAITING,),
        (JobState.RUNNING, JobEvent.LEASE_EXPIRED): (JobState.WAITING, JobState.FAILED, JobState.CANCELLED),
    },
    begin=(JobState.WAITING,),
)
OVER = JOB_MOVES.ends()
"""Nothing leads from here."""


def after_lease(attempts: int, most_attempts: int, is_cancelled: bool) -> JobState:
    """Where a job goes whose worker's lease ended. Raises IllegalMove where the table has no such move."""
    to = JobState.FAILED if attempts >= most_attempts else JobState.WAITING
    return JOB_MOVES.check(JobState.RUNNING, JobEvent.LEASE_EXPIRED, JobState.CANCELLED if is_cancelled else to)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is: `done` of `of_how_many` (None where nobody knows) in units that `sentence` names."""

    done: int = 0
    of_how_many: int | None = None
    sentence: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """A job as people read it. `arguments` and `result` are what JSON holds; `result` is None until it is done, and where its
    kind has none. `attempts` is how often it was taken up, `asked_by` who wanted it. `sentence` of its progress says
    at the end what came of it, or why it failed.
    """

    id: int
    kind: str
    state: JobState
    asked_by: str
    asked_at: datetime
    arguments: Mapping[str, Any]
    progress: Progress = field(default_factory=Progress)
    attempts: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None
    cancel_asked_at: datetime | None = None
    result: Mapping[str, Any] | None = None

    @property
    def is_over(self) -> bool:
        return self.state in OVER


class FileRole(StrEnum):
    """What a job's file is to it."""

    UPLOAD = "upload"
    RESULT = "result"


@dataclass(frozen=True, slots=True)
class JobFile:
    """A file that is kept in the ledger, as web and worker may be on different machines. `job_id` is None until a job has it.

    `size` is in bytes, once it `is_whole`; `name` is what to call it where it is downloaded.
    """

    id: int
    job_id: int | None
    role: FileRole
    name: str
    media_type: str
    size: int
    made_at: datetime
    is_whole: bool
