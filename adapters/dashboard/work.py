"""Long work that a page has asked for: the latest jobs of a kind, as people read them. A worker does them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from offhook.adapters.dashboard.parts import Parts
from offhook.pipeline.job_kinds import KINDS, Arguments
from offhook.pipeline.jobs import Job, JobFile, JobState

_LABELS: Mapping[JobState, tuple[str, str]] = {
    JobState.WAITING: ("waits for a worker", "wait"),
    JobState.RUNNING: ("at work", "wait"),
    JobState.DONE: ("done", "ok"),
    JobState.FAILED: ("failed", "bad"),
    JobState.CANCELLED: ("stopped", "skip"),
}
_LOOKED_AT = 100  # the newest jobs of all kinds
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Work:
    """A job with the files that it has left."""

    job: Job
    files: Sequence[JobFile] = ()

    @property
    def label(self) -> str:
        return _LABELS[self.job.state][0]

    @property
    def kind(self) -> str:
        return _LABELS[self.job.state][1]

    @property
    def said(self) -> str:
        """How far it is, or what came of it."""
        progress = self.job.progress
        if self.job.is_over or not progress.done:
            return progress.sentence if self.job.is_over else ""
        of = f" of {progress.of_how_many:,}" if progress.of_how_many else ""
        return f"{progress.done:,}{of} {progress.sentence}".strip()

    @property
    def result(self) -> Mapping[str, Any]:
        return self.job.result or {}


def latest_of(known: Parts, kind: type[Arguments], *, with_files: bool = False) -> list[Work]:
    """The newest jobs of this kind, a few of them."""
    found = [job for job in known.reads.jobs.latest(_LOOKED_AT) if KINDS.get(job.kind) is kind][:_SHOWN]
    return [Work(job, known.reads.job_files.of_job(job.id) if with_files else ()) for job in found]
