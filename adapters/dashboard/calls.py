"""`/calls`: the calls that the filters in the address ask for, the newest first, by key; as CSV, too; and how many are new."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from itertools import chain
from typing import Any

from flask import Blueprint, Response, render_template, request, url_for

from offhook.adapters.customers.spreadsheet import as_csv
from offhook.adapters.dashboard.filters import FIELDS, SPANS, Asked, as_key, asked_by, mark_of, state_words
from offhook.adapters.dashboard.parts import ROWS_OF_A_QUESTION, Parts, csv_named, judge_now, parts
from offhook.adapters.dashboard.times import zone
from offhook.adapters.dashboard.way import counted_hour
from offhook.adapters.dashboard.who import asked_by_itself, audit, needs
from offhook.adapters.dashboard.work import jobs_listed
from offhook.pipeline import reasons
from offhook.pipeline.callback import CallKey
from offhook.pipeline.counting import kind_of
from offhook.pipeline.customer import Customer
from offhook.pipeline.explanation import payload_shown
from offhook.pipeline.finding import Numbers, numbers_ever_of
from offhook.pipeline.masking import in_clear, mask_email
from offhook.pipeline.phone import mask, mask_numbers_in
from offhook.pipeline.story import LOOKED_AT, CallFilter, CountedCall, PageMark, Verdict
from offhook.pipeline.users import Role
from offhook.pipeline.words import SOURCES, STATES, outcome_in_words, reason_in_words, word_of

blueprint = Blueprint("calls", __name__)
_EVER = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Column:
    """A column that may be chosen. `kind` is a class of its cells; `text` what a file has of a row, times in the reader's zone.
    `unit` is said in a file alone."""

    name: str
    label: str
    text: Callable[[Row], object]
    kind: str = ""
    unit: str = ""

    @property
    def in_file(self) -> str:
        return f"{self.label}, {self.unit}" if self.unit else self.label


@dataclass(frozen=True, slots=True)
class Row:
    """A call of the list, the customer who has the caller's number now, and whether persons are shown whole. `hour` is
    Rockerbox's (UTC) in which the call counts, where that is asked for and something is sent of it."""

    one: CountedCall
    customer: Customer | None
    label: str
    is_clear: bool = False
    hour: datetime | None = None

    @property
    def outcome(self) -> str:
        return outcome_in_words(self.one.outcome, self.one.reason)

    @property
    def kind(self) -> str:
        return word_of(self.one.outcome).kind

    @property
    def state(self) -> str:
        return STATES.get(self.one.call.state, self.one.call.state)

    @property
    def who(self) -> str:
        """The customer's email, else the id, masked where they are not shown whole."""
        found = self.customer
        if found is None:
            return ""
        if found.people > 1:
            return f"{found.people} customers"
        text = found.email or found.customer_id or ""
        return text if self.is_clear else hidden(text)

    @property
    def phone(self) -> str:
        """Who called whom: the caller's number as it was looked up, else as Twilio wrote it."""
        text = self.one.call.customer_phone or self.one.call.from_
        return text if self.is_clear else mask(text)


def hidden(text: str) -> str:
    """A customer's name for a page: emails and numbers in it are hidden in part."""
    return mask_numbers_in(mask_email(text))


COLUMNS = (
    Column("when", "Began", lambda row: row.one.call.first_received_at),
    Column("number", "Tracked number", lambda row: row.label or row.one.number, "nb"),
    Column("caller", "Caller", lambda row: row.phone, "nb"),
    Column("customer", "Customer", lambda row: row.who),
    Column("length", "Length", lambda row: row.one.call.duration_seconds, "r", "seconds"),
    Column("outcome", "Outcome", lambda row: row.outcome),
    Column("reason", "Reason", lambda row: reason_in_words(row.one.reason) if row.one.reason else ""),
    Column("state", "Stands at", lambda row: row.state),
    Column("status", "Twilio says", lambda row: row.one.call.status),
    Column("direction", "Direction", lambda row: row.one.call.direction),
    Column("legs", "Legs", lambda row: row.one.call.legs, "r"),
    Column("decided", "Decided", lambda row: row.one.call.decided_at),
    Column("hour", "Rockerbox's hour, UTC", lambda row: f"{row.hour:%Y-%m-%d %H:%M}" if row.hour else "", "nb"),
    Column("id", "Call id", lambda row: row.one.call.key.call_sid, "nb"),
)
_BY_NAME = {one.name: one for one in COLUMNS}
_USUAL = ("when", "number", "caller", "customer", "length", "outcome")


@blueprint.get("/calls")
@needs(Role.VIEWER)
def shown() -> str:
    """`?after=` is the key of the page after, `?col=` (several) the columns; FIELDS of filters.py the filters."""
    known, asked = parts(), _asked()
    numbers = _numbers(asked)
    wanted = _wanted(asked, numbers)
    after = mark_of(request.args.get("after"))
    calls, end = _page(known, wanted, after, known.limits.page_rows)
    columns = _columns()
    more = _address(asked, columns)
    return render_template(
        "calls.html.jinja",
        rows=_rows(known, calls, labels_of(known), columns),
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
    more = _address(asked, _columns())
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
    return _file(is_clear=False)


@blueprint.post("/calls.csv")
@needs(Role.OPERATOR)
def file_in_clear() -> Response:
    """The same with numbers and emails whole, which the audit says."""
    audit("reveal calls", f"a file of calls; filters: {', '.join(sorted(_asked().given)) or 'none'}")
    return _file(is_clear=True)


def _file(*, is_clear: bool) -> Response:
    known, asked, columns = parts(), _asked(), _columns()
    wanted = _wanted(asked, _numbers(asked))
    return csv_named("calls.csv", _lines(known, wanted, columns, File(labels_of(known), zone(), is_clear)))


@dataclass(frozen=True, slots=True)
class File:
    """What a file's rows need of the request, which is over when they are written."""

    labels: Mapping[str, str]
    zone: tzinfo
    is_clear: bool


def _lines(known: Parts, wanted: CallFilter | None, columns: Sequence[Column], into: File) -> Iterator[str]:
    """The file, a question's worth at a time, so that memory stays small; the header comes with the first rows."""
    header = [["Call id", *(one.in_file for one in columns if one.name != "id")]]
    after: PageMark | None = None
    while wanted is not None:
        page = known.reads.stories.calls(wanted, after, ROWS_OF_A_QUESTION)
        rows = _rows(known, page.calls, into.labels, columns, is_clear=into.is_clear)
        yield as_csv(chain(header, ([row.one.call.key.call_sid, *_cells(row, columns, into.zone)] for row in rows)))
        header = []
        if (after := page.after) is None:
            return
    yield as_csv(header)


def _cells(row: Row, columns: Sequence[Column], here: tzinfo) -> list[object]:
    return [_local(one.text(row), here) for one in columns if one.name != "id"]


def _local(value: object, here: tzinfo) -> object:
    return value.astimezone(here).isoformat(timespec="seconds") if isinstance(value, datetime) else value


def _asked() -> Asked:
    return asked_by(request.args, parts().clock(), parts().region)


def _numbers(asked: Asked) -> Numbers | None:
    """Those that the customer who is asked for has or had; None where nobody is."""
    known, name = parts(), asked.customer
    if not name:
        return None
    reads, most = known.reads, known.limits.customer_numbers
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
    return _rows(parts(), calls, labels_of(parts()))


def _rows(
    known: Parts,
    calls: Sequence[CountedCall],
    labels: Mapping[str, str],
    columns: Sequence[Column] = (),
    *,
    is_clear: bool = False,
) -> list[Row]:
    phones = {one.call.customer_phone for one in calls if one.call.customer_phone}
    customers = known.reads.find_customers(phones) if phones else {}
    hours = _hours(known, calls) if _BY_NAME["hour"] in columns else {}
    return [
        Row(
            one,
            customers.get(one.call.customer_phone or ""),
            labels.get(one.number, ""),
            is_clear,
            hours.get(one.call.key),
        )
        for one in calls
    ]


def _hours(known: Parts, calls: Sequence[CountedCall]) -> dict[CallKey, datetime]:
    """Of each call of which something is sent, Rockerbox's hour in which it counts."""
    sent = known.reads.stories.conversions_of([one.call.key for one in calls])
    found = {one.key: counted_hour(payload_shown(one.payload, in_clear)) for one in sent}
    return {key: hour[0] for key, hour in found.items() if hour is not None}


def labels_of(known: Parts) -> Mapping[str, str]:
    """What the rules call your tracked numbers."""
    judge = judge_now(known)
    return {} if isinstance(judge, str) else {phone: one.label or "" for phone, one in judge.rules.numbers.items()}


def _columns() -> list[Column]:
    chosen = [_BY_NAME[name] for name in request.args.getlist("col") if name in _BY_NAME]
    return [one for one in COLUMNS if one in chosen] or [_BY_NAME[name] for name in _USUAL]


def _address(asked: Asked, columns: Sequence[Column]) -> dict[str, Any]:
    """The filters and columns, for a link that keeps them."""
    names = tuple(one.name for one in columns)
    return {**{name: asked.given[name] for name in FIELDS if name in asked.given}, **_chosen(names)}


def _chosen(names: tuple[str, ...]) -> dict[str, Any]:
    return {} if names == _USUAL else {"col": list(names)}


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
