"""Long work that a page has asked for: its jobs as people read them, stopping one, and the files that it has left.

Each page of the dashboard that asks for jobs has its own lists of them (LISTS). A worker does them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from offhook.adapters.dashboard.parts import Parts, csv_named, parts, row_number
from offhook.adapters.dashboard.who import asked_by_itself, audit, local_path, needs, user
from offhook.pipeline.job_files import pieces_of
from offhook.pipeline.job_kinds import (
    KINDS,
    Arguments,
    BacktestRules,
    ExportCalls,
    ImportCustomers,
    PreflightConversions,
    QaFile,
    RetryConversions,
    UndoImport,
)
from offhook.pipeline.jobs import FileRole, Job, JobFile, JobState
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
_GIVEN_OUT: Mapping[type[Arguments], str] = {QaFile: "reveal qa file", ExportCalls: "reveal calls"}
"""Whose files are taken from a list, and what the audit says where persons are whole in them."""


@dataclass(frozen=True, slots=True)
class List:
    """The jobs of a page: the kinds, the list's heading, the sentence while there are none, and the page's endpoint. `result` is the
    argument by which that page shows what came of one."""

    kinds: tuple[type[Arguments], ...]
    caption: str
    empty: str
    endpoint: str
    result: str = ""


LISTS: Mapping[str, List] = {
    "exports": List(
        (ExportCalls,),
        "Files of calls that were asked for",
        "No file was asked for yet. Filter the calls, and have the file written: it stands here for some days.",
        "calls.shown",
    ),
    "retries": List(
        (RetryConversions,),
        "Many sent again",
        "Nothing was sent again by a worker yet. Send all again that need you: how far it is then stands here.",
        "deliveries.shown",
    ),
    "imports": List(
        (ImportCustomers, UndoImport),
        "Files that were looked at or imported",
        "No file was looked at yet. Upload a list: what it would change then stands here for some days.",
        "customers.shown",
    ),
    "trials": List(
        (BacktestRules,),
        "Rules that were tried",
        "No other rules were tried yet. An admin uploads a file of rules above; what would change then stands here.",
        "rules.shown",
        "tried",
    ),
    "checks": List(
        (PreflightConversions,),
        "Checks by a worker",
        "A worker has checked nothing yet. Have it check more than this page looks at: what it finds then stands here.",
        "rockerbox.shown",
        "found",
    ),
    "qa": List(
        (QaFile,),
        "Files for Conversion QA that were asked for",
        "No file was asked for yet. Choose a month and have it written: it stands here for some days.",
        "rockerbox.shown",
    ),
}
"""Every list of jobs by its name; each kind is in one of them."""


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
    def address(self) -> str | None:
        """Where what came of it is shown; None where this row says all."""
        kind = KINDS.get(self.job.kind)
        if kind in (ImportCustomers, UndoImport):
            return url_for("uploads.job", job_id=self.job.id)
        of = next((one for one in LISTS.values() if kind in one.kinds and one.result), None)
        shown = of is not None and self.job.result is not None
        asked: dict[str, Any] = {} if of is None else {of.result: self.job.id}
        return url_for(of.endpoint, _anchor="result", **asked) if of and shown else None

    @property
    def names_persons(self) -> bool:
        """Whether persons are whole in its files."""
        return KINDS.get(self.job.kind) is not ExportCalls or bool(self.job.arguments.get("reveal"))

    @property
    def to_take(self) -> Sequence[JobFile]:
        """The files that whoever looks may download here."""
        may = KINDS.get(self.job.kind) in _GIVEN_OUT and user().role.may(taken_by(self))
        return [one for one in self.files if may and one.role is FileRole.RESULT and one.is_whole]

    @property
    def may_be_stopped(self) -> bool:
        """Whether it goes on, nobody has asked it to stop, and whoever looks may."""
        return not self.job.is_over and self.job.cancel_asked_at is None and user().role.may(stopped_by(self.job))

    @property
    def of_what(self) -> str:
        """What was asked for, in a few words, where a list has jobs that differ by that."""
        given = self.job.arguments
        if KINDS.get(self.job.kind) is QaFile:
            return str(given.get("month", ""))
        return "numbers whole" if KINDS.get(self.job.kind) is ExportCalls and given.get("reveal") else ""

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


@dataclass(frozen=True, slots=True)
class Listed:
    """A list as a page shows it. `back` is the page's address, for what is done from it; `older` and `newest` the same with
    other jobs of this list, None where there are none.
    """

    name: str
    of: List
    jobs: Sequence[Work]
    back: str
    older: str | None = None
    newest: str | None = None

    @property
    def goes_on(self) -> bool:
        return any(not one.job.is_over for one in self.jobs)

    @property
    def latest(self) -> Work | None:
        """The newest of these of which something is to be shown."""
        return next((one for one in self.jobs if one.job.result is not None), None)


def in_words(sentence: str) -> str:
    """A job's sentence as a page has it."""
    plain = re.sub(r" \((`flask [^)]*|(OFFHOOK|ROCKERBOX|TWILIO)_\w+)\)", "", sentence)
    return re.sub(r"--(columns|encoding|yes-retire)\b", lambda found: f'"{_OPTIONS[found[1]]}"', plain)


def jobs_listed(known: Parts, name: str, back: str | None = None) -> Listed:
    """The newest jobs of this list, a few of them, or those that come after the one that the page's address names; with their
    files."""
    of = LISTS[name]
    names, most = [kind for kind, asked in KINDS.items() if asked in of.kinds], known.limits.short_rows
    here = back or (request.full_path.rstrip("?") if request.method == "GET" else url_for(of.endpoint))
    before = row_number(dict(parse_qsl(urlsplit(here).query)).get(_before(name), ""))
    found = known.reads.jobs.latest(most + 1, before, names)
    works = [Work(job, known.reads.job_files.of_job(job.id)) for job in found[:most]]
    older = list_address(here, name, found[most - 1].id) if len(found) > most else None
    return Listed(name, of, works, here, older, None if before is None else list_address(here, name))


def _before(name: str) -> str:
    return f"{name}-before"


def list_address(page: str, name: str, before: int | None = None) -> str:
    """A page's address where this list begins after the job `before`; None: with its newest."""
    parsed, key = urlsplit(page), _before(name)
    kept = [(one, value) for one, value in parse_qsl(parsed.query, keep_blank_values=True) if one != key]
    query = urlencode([*kept, *([] if before is None else [(key, before)])])
    return urlunsplit(("", "", parsed.path, query, f"work-{name}"))


def asked_for(known: Parts, list_: Listed) -> Work | None:
    """The job whose result the address names, else the newest of the list that has one."""
    number = row_number(request.args.get(list_.of.result, ""))
    found = None if number is None else known.reads.jobs.job(number)
    is_one = found is not None and KINDS.get(found.kind) in list_.of.kinds and found.result is not None
    return Work(found) if found is not None and is_one else list_.latest


def stopped_by(job: Job) -> Role:
    """Who may stop it: whoever might have asked for it."""
    return Role.ADMIN if KINDS.get(job.kind) in _BY_ADMINS else Role.OPERATOR


def taken_by(work: Work) -> Role:
    """Who may take its files: whoever may see persons whole, where they are."""
    return Role.OPERATOR if work.names_persons else Role.VIEWER


@blueprint.get("/jobs/of/<name>")
@needs(Role.VIEWER)
@asked_by_itself
def of_list(name: str) -> str:
    """A list alone: a fragment that its page asks for while something goes on. `?back=` is the page's address."""
    if name not in LISTS:
        abort(404)
    back = local_path(request.args.get("back") or url_for(LISTS[name].endpoint))
    return render_template("work_alone.html.jinja", list=jobs_listed(parts(), name, back))


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


@blueprint.post("/jobs/files/<file_id>")
@needs(Role.VIEWER)
def take(file_id: str) -> AnyResponse:
    """A file that a job has left, whole."""
    known, number = parts(), row_number(file_id)
    found = (None if number is None else known.reads.job_files.file(number)) or abort(404)
    job = (None if found.job_id is None else known.reads.jobs.job(found.job_id)) or abort(404)
    work, says = Work(job, [found]), _GIVEN_OUT.get(KINDS.get(job.kind, UndoImport))
    if says is None or found.role is not FileRole.RESULT or not found.is_whole:
        abort(404)
    if not user().role.may(taken_by(work)):
        abort(403)
    audit(says if work.names_persons else "file taken", found.name)
    return csv_named(found.name, pieces_of(known.reads.job_files, found.id), found.size)
