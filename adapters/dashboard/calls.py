"""`/calls`: the calls that the filters in the address ask for, the newest first, by key; as CSV, too; and how many are new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, render_template, request, url_for

from offhook.adapters.customers.spreadsheet import as_csv
from offhook.adapters.dashboard.filters import FIELDS, SPANS, Asked, as_key, asked_by, mark_of, state_words
from offhook.adapters.dashboard.parts import ROWS_OF_A_QUESTION, Parts, csv_named, judge_now, parts
from offhook.adapters.dashboard.times import zone
from offhook.adapters.dashboard.who import asked_by_itself, audit, audit_taken, named_filters, needs
from offhook.adapters.dashboard.work import jobs_listed
from offhook.pipeline import reasons
from offhook.pipeline.calls_shown import (
    COLUMNS,
    USUAL,
    Column,
    File,
    Row,
    Sources,
    columns_named,
    labels_in,
    rows_of,
    table,
)
from offhook.pipeline.counting import kind_of
from offhook.pipeline.finding import Numbers, call_sid, numbers_ever_of
from offhook.pipeline.story import LOOKED_AT, CallFilter, CountedCall, PageMark, Verdict
from offhook.pipeline.users import Role
from offhook.pipeline.words import SOURCES, reason_in_words, word_of

blueprint = Blueprint("calls", __name__)
_EVER = datetime(2000, 1, 1, tzinfo=UTC)


@blueprint.get("/calls")
@needs(Role.VIEWER)
def shown() -> str:
    """`?after=` is the key of the page after, `?col=` (several) the columns; FIELDS of filters.py the filters."""
    known, asked = parts(), _asked()
    numbers = _numbers(asked)
    wanted = _wanted(asked, numbers)
    after = mark_of(request.args.get("after"))
    calls, end = _page(known, wanted, after, known.limits.page_rows)
    columns = columns_here()
    more = _address(asked, columns)
    return render_template(
        "calls.html.jinja",
        rows=rows_of(_sources(known), calls, columns),
        columns=columns,
        every_column=COLUMNS,
        asked=asked,
        spans=SPANS,
        outcomes=[(one.value, word_of(one).label) for one in Verdict],
        reason_words=_reason_words(known, asked.given.get("reason", "")),
        states=state_words(),
        sources=SOURCES,
        numbers=labels_of(known),
        older=url_for("calls.shown", after=as_key(end), **more) if end else None,
        newest=url_for("calls.shown", **more) if after else None,
        new=url_for("calls.new", than=as_key(_newest(calls, end)), **more) if wanted and not after else None,
        file=url_for("calls.file", **more),
        every=known.limits.live_seconds,
        is_whole=known.reads.tallies.is_whole(),
        files=jobs_listed(known, "exports"),
        ask_file=url_for("exports.ask", **more),
        is_more_numbers=numbers is not None and numbers.is_more,
        most_numbers=known.limits.customer_numbers,
    )


@blueprint.get("/calls/new")
@needs(Role.VIEWER)
@asked_by_itself
def new() -> str:
    """How many of the calls that are asked for came after `?than=`: a fragment that the list asks for now and then."""
    known, asked, than = parts(), _asked(), mark_of(request.args.get("than"))
    wanted, count, most = _wanted(asked, _numbers(asked)), 0, known.limits.short_rows
    if wanted is not None and than is not None:
        since = max(than.at, wanted.since or than.at)
        page = known.reads.stories.calls(replace(wanted, since=since), None, most + 2)
        count = sum(_mark(one) > than for one in page.calls)
    more = _address(asked, columns_here())
    again = url_for("calls.new", than=request.args.get("than", ""), **more)
    return render_template(
        "calls_new.html.jinja",
        count=min(count, most),
        is_more=count > most,
        anew=url_for("calls.shown", **more),
        new=again,
        every=known.limits.live_seconds,
    )


@blueprint.get("/calls.csv")
@needs(Role.VIEWER)
def file() -> Response:
    """All calls that the filters ask for, as CSV, with persons hidden."""
    audit_taken("calls.csv", _asked().given)
    return _file(is_clear=False)


@blueprint.post("/calls.csv")
@needs(Role.OPERATOR)
def file_in_clear() -> Response:
    """The same with numbers and emails whole, which the audit says."""
    audit("reveal calls", f"a file of calls; {named_filters(_asked().given)}")
    return _file(is_clear=True)


def _file(*, is_clear: bool) -> Response:
    known, asked = parts(), _asked()
    wanted = _wanted(asked, _numbers(asked))
    pages = table(_sources(known), wanted, File(columns_here(), zone(), is_clear), ROWS_OF_A_QUESTION)
    return csv_named("calls.csv", map(as_csv, pages))


def _asked() -> Asked:
    return asked_by(request.args, parts().clock(), parts().region)


def _numbers(asked: Asked) -> Numbers | None:
    """Those that the customer who is asked for has or had; None where nobody is. The id of a call is its caller, so that an
    address names nobody's number."""
    known, name = parts(), asked.customer
    if not name:
        return None
    reads, most = known.reads, known.limits.customer_numbers
    if sid := call_sid(name):
        phones = (story.call.customer_phone for story in reads.stories.of_call(sid))
        return Numbers([phone for phone in phones if phone])
    return numbers_ever_of(reads.history, reads.stories, name, known.region, most)


def _wanted(asked: Asked, numbers: Numbers | None) -> CallFilter | None:
    """The filter, with the numbers of the customer who is asked for; None where nobody is known by that name."""
    if numbers is None:
        return asked.wanted
    return replace(asked.wanted, phones=tuple(numbers.phones)) if numbers.phones else None


def wanted_here() -> CallFilter | None:
    """The calls that the address asks for; None where nobody is known by the name in it."""
    asked = _asked()
    return _wanted(asked, _numbers(asked))


def _page(
    known: Parts, wanted: CallFilter | None, after: PageMark | None, limit: int
) -> tuple[Sequence[CountedCall], PageMark | None]:
    """A page of calls, by several questions where few of those that are looked at are wanted; none where nobody is meant."""
    found: list[CountedCall] = []
    if wanted is None:
        return found, None
    for _ in range(max(1, known.limits.at_once // LOOKED_AT)):
        page = known.reads.stories.calls(wanted, after, limit - len(found))
        found += page.calls
        after = page.after
        if after is None or len(found) >= limit:
            break
    return found, after


def listed(calls: Sequence[CountedCall]) -> list[Row]:
    """Calls as rows, for other pages that list some."""
    return rows_of(_sources(parts()), calls)


def _sources(known: Parts) -> Sources:
    return Sources(known.reads.stories, known.reads.find_customers, labels_of(known))


def labels_of(known: Parts) -> Mapping[str, str]:
    """What the rules call your tracked numbers."""
    judge = judge_now(known)
    return {} if isinstance(judge, str) else labels_in(judge.rules)


def columns_here() -> Sequence[Column]:
    """Those that the address asks for."""
    return columns_named(request.args.getlist("col"))


def _address(asked: Asked, columns: Sequence[Column]) -> dict[str, Any]:
    """The filters and columns, for a link that keeps them."""
    names = tuple(one.name for one in columns)
    return {**{name: asked.given[name] for name in FIELDS if name in asked.given}, **_chosen(names)}


def _chosen(names: tuple[str, ...]) -> dict[str, Any]:
    return {} if names == USUAL else {"col": list(names)}


def _reason_words(known: Parts, chosen: str) -> list[tuple[str, str]]:
    """The reasons that may be asked for, by their words: those of the brand's own rules are among them."""
    judge = judge_now(known)
    own = [] if isinstance(judge, str) else [rule.skip for rule in judge.rules.blocks if rule.skip]
    words = {kind_of(word) for word in (*reasons.WHY_NOT, *own, *([chosen] if chosen else []))}
    return sorted(((word, reason_in_words(word)) for word in words), key=lambda one: one[1].lower())


def _mark(one: CountedCall) -> PageMark:
    return PageMark(one.call.first_received_at, one.call.key.call_sid, one.call.key.account_sid)


def _newest(calls: Sequence[CountedCall], end: PageMark | None) -> PageMark:
    """What is newer than this is new: than the first of the list, or than where it ended without a call."""
    return _mark(calls[0]) if calls else end or PageMark(_EVER, "", "")
