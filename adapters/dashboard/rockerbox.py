"""`/rockerbox`: what arrived by UTC hour, to lay beside its Webhooks page; what preflight finds; and the file for its QA."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from offhook.adapters.dashboard.parts import Parts, csv_named, parts, row_number
from offhook.adapters.dashboard.who import audit, needs, user
from offhook.adapters.dashboard.work import latest_of
from offhook.adapters.rockerbox.preflight import Preflight, Report
from offhook.pipeline.job_files import pieces_of
from offhook.pipeline.job_kinds import KINDS, QaFile, enqueue
from offhook.pipeline.jobs import FileRole, JobFile
from offhook.pipeline.story import HourCount
from offhook.pipeline.users import Role

blueprint = Blueprint("rockerbox", __name__)
SPANS = (1, 7, 30, 90)
"""How many days of conversions may be checked."""
_USUAL_SPAN = 7
_MONTH = re.compile(r"20\d\d-(0[1-9]|1[0-2])")


@dataclass(frozen=True, slots=True)
class Checked:
    """What preflight finds in the conversions of some days; `is_whole`: all of them were looked at, and not the newest alone."""

    days: int
    report: Report
    is_whole: bool


@blueprint.get("/rockerbox")
@needs(Role.VIEWER)
def shown() -> str:
    """`?day=` is a UTC day, `?check=` how many days of conversions are checked."""
    known, now = parts(), parts().clock()
    today = now.astimezone(UTC).date()
    day = _day(request.args.get("day", ""), today)
    since = datetime(day.year, day.month, day.day, tzinfo=UTC)
    counts = known.reads.sent.delivered(since, since + timedelta(days=1))
    return render_template(
        "rockerbox.html.jinja",
        day=day,
        before=day - timedelta(days=1),
        after=day + timedelta(days=1) if day < today else None,
        actions=sorted({one.action for one in counts}),
        hours=_hours(counts, since),
        delivered=sum(one.count for one in counts),
        checked=_checked(known, now),
        account=known.account,
        spans=SPANS,
        at_once=known.limits.at_once,
        jobs=latest_of(known, QaFile, with_files=True),
        last_month=(today.replace(day=1) - timedelta(days=1)).strftime("%Y-%m"),
    )


def _day(text: str, today: date) -> date:
    """The day that is asked for; what cannot be read, or is yet to come, is today."""
    try:
        found = date.fromisoformat(text)
    except ValueError:
        return today
    return found if date(2000, 1, 2) <= found <= today else today


def _hours(counts: Sequence[HourCount], since: datetime) -> list[list[object]]:
    """A row for each hour of the day: when it begins (UTC), and how many of each action; none where nothing arrived."""
    actions = sorted({one.action for one in counts})
    found = {(one.hour, one.action): one.count for one in counts}
    hours = [since + timedelta(hours=each) for each in range(24)]
    return (
        [[f"{hour:%H:%M}", *(found.get((hour, action), 0) for action in actions)] for hour in hours] if counts else []
    )


def _checked(known: Parts, now: datetime) -> Checked:
    """The newest conversions of some days, in the order of their making, as preflight wants them."""
    given = request.args.get("check", "")
    days = int(given) if given in map(str, SPANS) else _USUAL_SPAN
    newest = known.reads.stories.conversions([], known.limits.at_once + 1)
    wanted = [line for line in newest[: known.limits.at_once] if line.created_at >= now - timedelta(days=days)]
    look = Preflight(known.account, known.preflight_keys)
    for line in reversed(wanted):
        look.look(line)
    is_whole = len(newest) <= known.limits.at_once or len(wanted) < known.limits.at_once
    return Checked(days, look.report(), is_whole)


# The file for Conversion QA names persons: whoever asks for it or takes it may reveal, and the audit says so.


@blueprint.post("/rockerbox/qa")
@needs(Role.OPERATOR)
def ask_qa() -> AnyResponse:
    """Ask for a month's file; a worker makes it."""
    month = request.form.get("month", "").strip()
    if not _MONTH.fullmatch(month):
        flash("Write a month like 2026-10.", "bad")
        return redirect(url_for("rockerbox.shown"), 303)
    audit("qa file asked for", month)
    enqueue(parts().ledger.jobs, QaFile(month), user().email, parts().clock())
    flash("A worker writes the file now. It stands below as soon as it is done.")
    return redirect(url_for("rockerbox.shown") + "#work", 303)


@blueprint.post("/rockerbox/qa/<file_id>")
@needs(Role.OPERATOR)
def take_qa(file_id: str) -> AnyResponse:
    """The file, whole: emails and customer ids are in clear."""
    known = parts()
    number = row_number(file_id)
    found = (None if number is None else _qa_file(known, number)) or abort(404)
    audit("reveal qa file", found.name)
    return csv_named(found.name, pieces_of(known.reads.job_files, found.id), found.size)


def _qa_file(known: Parts, file_id: int) -> JobFile | None:
    """The file of this number, if it is one that such a job has left."""
    found = known.reads.job_files.file(file_id)
    if found is None or found.job_id is None or found.role is not FileRole.RESULT or not found.is_whole:
        return None
    job = known.reads.jobs.job(found.job_id)
    return found if job is not None and KINDS.get(job.kind) is QaFile else None
