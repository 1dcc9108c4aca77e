"""`/rules`: what counts, read back; what each rule came to; a trial of other rules; and the rules of before, with their text."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from flask import Blueprint, Response, abort, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from offhook.adapters.dashboard.parts import Parts, parts, row_number
from offhook.adapters.dashboard.times import zone
from offhook.adapters.dashboard.who import audit, needs, user
from offhook.adapters.dashboard.work import asked_for, jobs_listed
from offhook.adapters.rules_file.problems import Problem, RulesError
from offhook.pipeline.backtest import outcome_in_words
from offhook.pipeline.job_kinds import BacktestRules, enqueue
from offhook.pipeline.rule_figures import lacking, left_out, rule_figures
from offhook.pipeline.rules import Rules
from offhook.pipeline.rules.english import in_english
from offhook.pipeline.rules_held import RulesHeld, RulesHeldPage, held_once, rules_held
from offhook.pipeline.users import Role

blueprint = Blueprint("rules", __name__)
SPANS = (7, 30, 90, 365)
"""How many days of calls a trial of other rules may go over; those that the page sums up are among them."""


@blueprint.get("/rules")
@needs(Role.VIEWER)
def shown() -> str:
    """`?tried=` is the number of a job whose diff is shown; else it is that of the newest."""
    return _page()


def _page(problems: Sequence[Problem] = ()) -> str:
    """`problems` are those of an upload."""
    known, now = parts(), parts().clock()
    rules = _rules(known)
    begins = _begins(known, now)
    sums = known.reads.tallies.by_rule(begins, now + timedelta(hours=1))
    trials = jobs_listed(known, "trials")
    names = [rule.name for rule in rules.blocks] if isinstance(rules, Rules) else []
    since = _since()
    page = _held(known, rules, since)
    return render_template(
        "rules.html.jinja",
        sentences=in_english(rules).splitlines() if isinstance(rules, Rules) else [],
        wrong=[] if isinstance(rules, Rules) else rules.problems,
        figures=rule_figures(names, sums.rules),
        has_rules=bool(names),
        is_decided=bool(sums.rules) or lacking(sums) > 0,
        lacking=lacking(sums),
        is_whole=known.reads.tallies.is_whole(),
        days=known.limits.days,
        excluded=left_out(sums),
        begins=f"{begins.astimezone(zone()):%Y-%m-%dT%H:%M}",
        versions=page.held,
        older=url_for("rules.shown", since=page.older) if page.older else None,
        newest=url_for("rules.shown") if since else None,
        problems=problems,
        spans=_spans(known),
        jobs=trials,
        tried=asked_for(known, trials),
        in_words=outcome_in_words,
    )


def _rules(known: Parts) -> Rules | RulesError:
    """Those that hold; or what is wrong with them."""
    try:
        return known.rules(None)
    except RulesError as error:
        return error


def _begins(known: Parts, now: datetime) -> datetime:
    """Of the days that are summed up, by the hour."""
    return (now - timedelta(days=known.limits.days)).replace(minute=0, second=0, microsecond=0)


def _spans(known: Parts) -> list[int]:
    return sorted({*SPANS, known.limits.days})


def _held(known: Parts, rules: Rules | RulesError, since: int) -> RulesHeldPage:
    return rules_held(known.reads.past, known.limits.page_rows, since, _in_use(rules))


def _in_use(rules: Rules | RulesError) -> str | None:
    return rules.version if isinstance(rules, Rules) else None


def _since() -> int:
    return row_number(request.args.get("since", "")) or 0


@blueprint.get("/rules/<version>")
@needs(Role.VIEWER)
def of_then(version: str) -> str:
    """The text of rules that were used once, and of the files of numbers that they named the first ones."""
    known = parts()
    past, most = known.reads.past, known.limits.short_rows
    text = past.text_of(version) if version.isalnum() else None
    if text is None:
        abort(404, "No such rules were ever used.")
    found = held_once(past, version, row_number(request.args.get("use", "")), _in_use(_rules(known)))
    lists = [(one, past.listed(one.digest, most), _shows(found, one.file)) for one in past.lists_used(version)]
    return render_template("rules_of_then.html.jinja", found=found, text=text, lists=lists)


def _shows(found: RulesHeld | None, file: str) -> str:
    """The command that prints the numbers that a file held in this time: without the version, which no page has."""
    return shlex.join(["flask", "rules", "show", "--use", str(found.used.number), "--list", file]) if found else ""


@blueprint.post("/rules/backtest")
@needs(Role.ADMIN)
def try_out() -> AnyResponse:
    """Ask what other rules would have made of the calls of some days. Nothing is changed by it."""
    known = parts()
    text = _upload(known.limits.rules_bytes)
    if text is None:
        flash(f"Choose a file of rules: text in UTF-8 of at most {known.limits.rules_bytes:,} bytes.", "bad")
        return redirect(url_for("rules.shown"), 303)
    try:
        known.rules(text)
    except RulesError as error:
        return Response(_page(error.problems), status=422)
    days = _days(known)
    audit("rules tried out", f"{days} days")
    asked = BacktestRules(known.clock() - timedelta(days=days), text)
    enqueue(known.ledger.jobs, asked, user().email, known.clock())
    flash("A worker goes through the calls now. What would change stands below.")
    return redirect(url_for("rules.shown", _anchor="work-trials"), 303)


def _upload(most_bytes: int) -> str | None:
    file: Any = request.files.get("file")
    raw: bytes = file.stream.read(most_bytes + 1) if file else b""
    if not raw.strip() or len(raw) > most_bytes:
        return None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None


def _days(known: Parts) -> int:
    given = request.form.get("days", "")
    return int(given) if given in map(str, _spans(known)) else known.limits.days
