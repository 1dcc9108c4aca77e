"""`/unknown`: who calls and is not in the customer list, by how often or how recently; a customer is added right there.

A number is named by the CallSid of its last call, in links as in forms, so that nobody reads it who may not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from flask import Blueprint, Response, abort, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from offhook.adapters.customers.spreadsheet import as_csv
from offhook.adapters.dashboard.call import customer_given
from offhook.adapters.dashboard.calls import labels_of
from offhook.adapters.dashboard.deciding import named
from offhook.adapters.dashboard.parts import ROWS_OF_A_QUESTION, Parts, csv_named, parts
from offhook.adapters.dashboard.who import audit, audit_taken, local_path, needs
from offhook.pipeline.counting import our_number
from offhook.pipeline.customer import Customer
from offhook.pipeline.masking import Masking, in_clear
from offhook.pipeline.phone import mask
from offhook.pipeline.ports.books import Asking, CallBefore
from offhook.pipeline.ports.unknown import CallersMark, UnknownCaller
from offhook.pipeline.unknown_listed import TO_FILL_IN, row_to_fill_in
from offhook.pipeline.users import Role
from offhook.pipeline.words import counted

blueprint = Blueprint("unknown", __name__)
_OFTEN, _LATEST = "often", "latest"
ORDERS: Mapping[str, str] = {_OFTEN: "Most calls first", _LATEST: "Latest call first"}
"""`order` -> what it is called."""
_MARK = re.compile(r"([0-9]{1,9})\.([0-9]{1,16})\.(CA[0-9a-f]{32})")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Row:
    """An unknown caller. `sid` is the CallSid of the last call, "" where that is gone meanwhile; `called` our number that it
    went to, or its label; `people` how many customers have the number: 1 where one was named a moment ago."""

    one: UnknownCaller
    sid: str
    called: str
    people: int


@blueprint.get("/unknown")
@needs(Role.VIEWER)
def shown() -> str:
    """`?order=` is one of ORDERS, `?after=` where the page begins."""
    known, order = parts(), request.args.get("order", "")
    order = order if order in ORDERS else _OFTEN
    ask = known.reads.unknown.latest if order == _LATEST else known.reads.unknown.most_frequent
    limit = known.limits.page_rows
    after = _mark(known, request.args.get("after", ""))
    found = ask(limit + 1, after)
    rows = _rows(known, found[:limit])
    behind = _key(rows[-1]) if len(found) > limit else None
    of_file = known.limits.unknown_file_rows
    return render_template(
        "unknown.html.jinja",
        rows=rows,
        order=order,
        orders=ORDERS,
        older=url_for("unknown.shown", order=order, after=behind) if behind else None,
        newest=url_for("unknown.shown", order=order) if after else None,
        most_of_file=of_file if known.reads.unknown.are_more_than(of_file) else None,
    )


def _rows(known: Parts, found: Sequence[UnknownCaller]) -> list[Row]:
    last = known.reads.known_calls.calls_before([Asking(one.phone, one.latest_at) for one in found], 1)
    customers = known.reads.find_customers([one.phone for one in found])
    labels = labels_of(known)
    return [_row(one, call, customers.get(one.phone), labels) for one, call in zip(found, last, strict=True)]


def _row(one: UnknownCaller, last: Sequence[CallBefore], customer: Customer | None, labels: Mapping[str, str]) -> Row:
    people = 0 if customer is None else customer.people
    if not last:
        return Row(one, "", "", people)
    call = last[0]
    ours = our_number(call.direction, call.from_, call.to)
    return Row(one, call.key.call_sid, labels.get(ours) or ours, people)


def _key(row: Row) -> str | None:
    """Where the next page begins, as it stands in an address; None where no call names the number."""
    at = (row.one.latest_at - _EPOCH) // _MICROSECOND
    return f"{row.one.calls}.{at}.{row.sid}" if row.sid else None


def _mark(known: Parts, key: str) -> CallersMark | None:
    """The same, read. None for one that we have not made: the list then begins at its top."""
    found = _MARK.fullmatch(key)
    phone = _phone_of(known, found[3]) if found else None
    return CallersMark(int(found[1]), _EPOCH + int(found[2]) * _MICROSECOND, phone) if found and phone else None


def _phone_of(known: Parts, call_sid: str) -> str | None:
    """The caller's number of a call, as it is looked up."""
    phones = (story.call.customer_phone for story in known.reads.stories.of_call(call_sid))
    return next((phone for phone in phones if phone), None)


@blueprint.post("/unknown/<call_sid>/customer")
@needs(Role.OPERATOR)
def add(call_sid: str) -> AnyResponse:
    """Say who has the number of this call."""
    phone = _phone_of(parts(), call_sid) or abort(404)
    given = customer_given(phone)
    if isinstance(given, str):
        flash(given, "bad")
    else:
        flash(named(given, call_sid))
    return redirect(local_path(request.form.get("back") or url_for("unknown.shown")), 303)


@blueprint.get("/unknown.csv")
@needs(Role.VIEWER)
def file() -> Response:
    """The list as CSV, numbers hidden in part."""
    audit_taken("unknown.csv")
    return _file(parts().reads.unknown.most_frequent(parts().limits.unknown_file_rows), mask)


@blueprint.post("/unknown.csv")
@needs(Role.OPERATOR)
def file_to_fill_in() -> Response:
    """The same with whole numbers, to be filled in and imported, as `flask unknown --csv` writes it."""
    found = parts().reads.unknown.most_frequent(parts().limits.unknown_file_rows)
    audit("reveal unknown callers", f"a file of {counted(len(found), 'number', 'numbers')}")
    return _file(found, in_clear)


def _file(found: Sequence[UnknownCaller], hide: Masking) -> Response:
    return csv_named("unknown.csv", _lines(found, hide))


def _lines(found: Sequence[UnknownCaller], hide: Masking) -> Iterator[str]:
    yield as_csv([TO_FILL_IN])
    for first in range(0, len(found), ROWS_OF_A_QUESTION):
        rows = [row_to_fill_in(one, hide) for one in found[first : first + ROWS_OF_A_QUESTION]]
        yield as_csv([[row[name] for name in TO_FILL_IN] for row in rows])
