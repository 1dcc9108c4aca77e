"""`/rockerbox`: what arrived by UTC hour, to lay beside its Webhooks page; what preflight finds; and the file for its QA."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from flask import Blueprint, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from offhook.adapters.dashboard.parts import Parts, parts
from offhook.adapters.dashboard.who import audit, needs, user
from offhook.adapters.dashboard.work import asked_for, jobs_listed
from offhook.adapters.rockerbox.preflight import IN_WORDS, Preflight, Report
from offhook.pipeline.deliveries import by_hour, recent
from offhook.pipeline.job_kinds import PreflightConversions, QaFile, enqueue
from offhook.pipeline.users import Role

blueprint = Blueprint("rockerbox", __name__)
SPANS = (1, 7, 30, 90)
"""How many days of conversions may be checked."""
_USUAL_SPAN = 7
_MONTH = re.compile(r"20\d\d-(0[1-9]|1[0-2])")


@dataclass(frozen=True, slots=True)
class Checked:
    """What preflight finds in the conversions of some days; `is_whole` as `Recent` has it."""

    days: int
    report: Report
    is_whole: bool


@blueprint.get("/rockerbox")
@needs(Role.VIEWER)
def shown() -> str:
    """`?day=` is a UTC day, `?check=` how many days of conversions are checked, `?found=` a worker's check that is shown."""
    known, now = parts(), parts().clock()
    today = now.astimezone(UTC).date()
    day = _day(request.args.get("day", ""), today)
    since = datetime(day.year, day.month, day.day, tzinfo=UTC)
    counts = known.reads.sent.delivered(since, since + timedelta(days=1))
    checks = jobs_listed(known, "checks")
    return render_template(
        "rockerbox.html.jinja",
        day=day,
        before=day - timedelta(days=1),
        after=day + timedelta(days=1) if day < today else None,
        actions=sorted({one.action for one in counts}),
        hours=[[f"{one.hour:%H:%M}", *one.counts] for one in by_hour(counts, since)],
        delivered=sum(one.count for one in counts),
        checked=_checked(known, now),
        account=known.account,
        spans=SPANS,
        at_once=known.limits.at_once,
        in_words=IN_WORDS,
        checks=checks,
        found=asked_for(known, checks),
        qa_files=jobs_listed(known, "qa"),
        last_month=(today.replace(day=1) - timedelta(days=1)).strftime("%Y-%m"),
    )


def _day(text: str, today: date) -> date:
    """The day that is asked for; what cannot be read, or is yet to come, is today."""
    try:
        found = date.fromisoformat(text)
    except ValueError:
        return today
    return found if date(2000, 1, 2) <= found <= today else today


def _days(given: str) -> int:
    """How many days are checked; what is none of SPANS is the usual."""
    return int(given) if given in map(str, SPANS) else _USUAL_SPAN


def _checked(known: Parts, now: datetime) -> Checked:
    """The newest conversions of some days, in the order of their making, as preflight wants them."""
    days, most = _days(request.args.get("check", "")), known.limits.at_once
    found = recent(known.reads.stories.conversions([], most + 1), now - timedelta(days=days), most)
    look = Preflight(known.account, known.preflight_keys)
    for line in found.lines:
        look.look(line)
    return Checked(days, look.report(), found.is_whole)


# The file for Conversion QA names persons: whoever asks for it or takes it (work.py) may reveal, and the audit says so.


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
    return redirect(url_for("rockerbox.shown", _anchor="work-qa"), 303)


@blueprint.post("/rockerbox/checks")
@needs(Role.OPERATOR)
def ask_check() -> AnyResponse:
    """Have all conversions of some days checked, however many there are; a worker does it."""
    known, days = parts(), _days(request.form.get("check", ""))
    audit("conversions checked", f"{days} days")
    enqueue(known.ledger.jobs, PreflightConversions(known.clock() - timedelta(days=days)), user().email, known.clock())
    flash("A worker looks at all of them now. What it finds stands below.")
    return redirect(url_for("rockerbox.shown", _anchor="work-checks"), 303)
