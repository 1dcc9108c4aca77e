"""Long work that a page has asked for: the latest jobs of a kind, as people read them, and stopping one. A worker does them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, abort, flash, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from offhook.adapters.dashboard.parts import Parts, parts, row_number
from offhook.adapters.dashboard.who import audit, local_path, needs, user
from offhook.pipeline.job_kinds import KINDS, Arguments, BacktestRules, ImportCustomers, UndoImport
from offhook.pipeline.jobs import Job, JobFile, JobState
from offhook.pipeline.users import Role

blueprint = Blueprint("work", __name__)
_LABELS: Mapping[JobState, tuple[str, str]] = {
    JobState.WAITING: ("waits for a worker", "wait"),
    JobState.RUNNING: ("at work", "wait"),
    JobState.DONE: ("done", "ok"),
    JobState.FAILED: ("failed", "bad"),
    JobState.CANCELLED: ("stopped", "skip"),
}
# What the command's sentences call an option, and what the form of an upload calls it.
_OPTIONS = {"columns": "Columns", "encoding": "Encoding", "yes-retire": "Remove them however many they are"}
_BY_ADMINS = (BacktestRules,)
"""What an admin alone may ask for, and so stop; the others are an operator's."""


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
    def is_of_customers(self) -> bool:
        """Whether it has a page of its own."""
        return KINDS.get(self.job.kind) in (ImportCustomers, UndoImport)

    @property
    def may_be_stopped(self) -> bool:
        """Whether it goes on, nobody has asked it to stop, and whoever looks may."""
        return not self.job.is_over and self.job.cancel_asked_at is None and user().role.may(stopped_by(self.job))

    @property
    def said(self) -> str:
        """How far it is, or what came of it."""
        progress = self.job.progress
        if self.job.cancel_asked_at is not None and not self.job.is_over:
            return "it stops in a moment"
        if self.job.is_over or not progress.done:
            return in_words(progress.sentence) if self.job.is_over else ""
        of = f" of {progress.of_how_many:,}" if progress.of_how_many else ""
        return f"{progress.done:,}{of} {progress.sentence}".strip()

    @property
    def result(self) -> Mapping[str, Any]:
        return self.job.result or {}


def in_words(sentence: str) -> str:
    """A job's sentence as a page has it."""
    return re.sub(r"--(columns|encoding|yes-retire)\b", lambda found: f'"{_OPTIONS[found[1]]}"', sentence)


@dataclass(frozen=True, slots=True)
class Latest:
    """The newest jobs of some kinds; `is_more` where that are not all."""

    works: Sequence[Work]
    is_more: bool


def latest_of(known: Parts, *kinds: type[Arguments], with_files: bool = False) -> Latest:
    """The newest jobs of these kinds, a few of them."""
    names, most = [name for name, kind in KINDS.items() if kind in kinds], known.limits.short_rows
    found = known.reads.jobs.latest(most + 1, kinds=names)
    works = [Work(job, known.reads.job_files.of_job(job.id) if with_files else ()) for job in found[:most]]
    return Latest(works, len(found) > most)


def stopped_by(job: Job) -> Role:
    """Who may stop it: whoever might have asked for it."""
    return Role.ADMIN if KINDS.get(job.kind) in _BY_ADMINS else Role.OPERATOR


@blueprint.post("/jobs/<job_id>/stop")
@needs(Role.OPERATOR)
def stop(job_id: str) -> AnyResponse:
    """Have a job stopped that waits or runs, whichever page has asked for it."""
    number = row_number(job_id)
    found = (None if number is None else parts().reads.jobs.job(number)) or abort(404)
    if not user().role.may(stopped_by(found)):
        abort(403)
    if found.is_over:
        flash("It was over already.")
    else:
        audit("job stopped", f"job {found.id}")
        parts().ledger.jobs.ask_cancel(found.id, parts().ledger.clock())
        flash("It stops in a moment. What was done until then stays done.")
    return redirect(local_path(request.form.get("back") or url_for("overview.shown")), 303)
