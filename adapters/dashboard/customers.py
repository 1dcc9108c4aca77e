"""`/customers`: who has which number, now and before, with their calls; numbers of several customers. What is typed is looked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from flask import Blueprint, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from offhook.adapters.dashboard.call import customer_given
from offhook.adapters.dashboard.calls import listed
from offhook.adapters.dashboard.deciding import named
from offhook.adapters.dashboard.parts import Parts, parts, row_number
from offhook.adapters.dashboard.who import local_path, needs
from offhook.adapters.dashboard.work import jobs_listed
from offhook.pipeline.calls_shown import Row
from offhook.pipeline.customer import Customer
from offhook.pipeline.finding import Numbers, numbers_ever_of, typed
from offhook.pipeline.masking import hidden
from offhook.pipeline.phone import caller, mask, spellings
from offhook.pipeline.ports.history import HistoryLine, ImportLine, SharedNumber
from offhook.pipeline.story import CallFilter
from offhook.pipeline.users import Role
from offhook.pipeline.words import BROUGHT_BY

blueprint = Blueprint("customers", __name__)
_LONGEST = 320  # characters of what is looked for
_People = Sequence[tuple[str | None, str | None]]


@dataclass(frozen=True, slots=True)
class Said:
    """A line of history, and what the imports that brought and ended it are called."""

    line: HistoryLine
    brought: ImportLine | None
    ended: ImportLine | None


@dataclass(frozen=True, slots=True)
class Card:
    """A number: who has it now, what was ever said of it (the newest first), and its calls (the newest first).

    `row` is the row of history that stands for the number where it is not to be seen; None where nothing was ever said.
    `people` are those who are kept by name of several who are said to have it, email and customer id of each.
    """

    phone: str
    customer: Customer | None
    row: int | None
    said: Sequence[Said]
    calls: Sequence[Row]
    is_more_said: bool
    is_more_calls: bool
    people: _People


@blueprint.get("/customers")
@needs(Role.VIEWER)
def shown() -> str:
    """`?q=` is a number in any spelling, an email or a customer id."""
    known, asked = parts(), typed(request.args.get("q", "")[:_LONGEST])
    most, reads = known.limits.short_rows, known.reads
    of_one = known.limits.customer_numbers
    found = numbers_ever_of(reads.history, reads.stories, asked, known.region, of_one) if asked else Numbers([])
    imports = () if asked else reads.history.imports(most + 1)
    return render_template(
        "customers.html.jinja",
        q=asked,
        cards=_cards(known, found.phones[:most]),
        is_more=found.is_more or len(found.phones) > most,
        imports=imports[:most],
        is_more_imports=len(imports) > most,
        jobs=None if asked else jobs_listed(known, "imports"),
        sources=BROUGHT_BY,
        hidden=hidden,
    )


def _cards(known: Parts, phones: Sequence[str]) -> list[Card]:
    if not phones:
        return []
    customers = known.reads.find_customers(phones)
    lines: dict[str, list[HistoryLine]] = {}
    for phone, group in groupby(known.reads.history.of_numbers(phones), key=lambda one: one.customer.phone):
        lines.setdefault(spellings(phone)[0], []).extend(group)
    shared = {one.phone: one.named for one in known.reads.history.shared_among(phones)}
    return [
        _card(known, phone, customers.get(phone), lines.get(spellings(phone)[0], []), shared.get(phone, ()))
        for phone in phones
    ]


def _card(known: Parts, phone: str, customer: Customer | None, lines: Sequence[HistoryLine], people: _People) -> Card:
    most = known.limits.short_rows
    newest = sorted(lines, key=lambda one: (one.from_at, one.customer.row or 0), reverse=True)[:most]
    imports = _imports_of(known, newest)
    calls = known.reads.stories.calls(CallFilter(phones=(phone,)), None, most + 1).calls
    return Card(
        phone,
        customer,
        _row_of(newest, customer),
        [Said(one, imports.get(one.brought_by or 0), imports.get(one.ended_by or 0)) for one in newest],
        listed(calls[:most]),
        len(lines) > len(newest),
        len(calls) > most,
        people,
    )


def _row_of(newest: Sequence[HistoryLine], customer: Customer | None) -> int | None:
    """The row of history that stands for a number."""
    if newest:
        return newest[0].customer.row
    return None if customer is None else customer.row


def _imports_of(known: Parts, lines: Iterable[HistoryLine]) -> Mapping[int, ImportLine]:
    wanted = {id_ for one in lines for id_ in (one.brought_by, one.ended_by) if id_}
    found = (known.reads.history.import_(id_) for id_ in sorted(wanted))
    return {one.id: one for one in found if one is not None}


@blueprint.post("/customers")
@needs(Role.OPERATOR)
def add() -> AnyResponse:
    """Say who has a number: `phone` as it is typed, or `row` of the history that names it."""
    phone = _phone_given()
    given = (
        customer_given(phone)
        if phone
        else "That is no phone number. Write it with its country code, as +1 415 555 0100."
    )
    if isinstance(given, str):
        flash(given, "bad")
    else:
        flash(named(given, mask(given.phone)))
    return redirect(local_path(request.form.get("back") or url_for("customers.shown")), 303)


def _phone_given() -> str | None:
    row = request.form.get("row")
    if row:
        return _phone_of_row(row)
    return caller(request.form.get("phone", "").strip()[:_LONGEST], parts().region).number


def _phone_of_row(text: str) -> str | None:
    """The number that a row of history is about."""
    number = row_number(text)
    line = None if number is None else parts().reads.history.line(number)
    return None if line is None else line.customer.phone


@dataclass(frozen=True, slots=True)
class Conflict:
    """A number of several customers. `credited` is whose it counts as, None for nobody; `row` as in a Card."""

    shared: SharedNumber
    people: int
    credited: Customer | None
    row: int | None


@blueprint.get("/customers/conflicts")
@needs(Role.VIEWER)
def conflicts() -> str:
    """Numbers that several customers have. `?after=` is the row of the number behind which the page begins."""
    known, limit = parts(), parts().limits.page_rows
    after = _phone_of_row(request.args.get("after", ""))
    found = known.reads.history.shared_numbers(after or "", limit + 1)
    rows = _conflicts(known, found[:limit])
    behind = rows[-1].row if len(found) > limit else None
    return render_template(
        "conflicts.html.jinja",
        rows=rows,
        hidden=hidden,
        older=url_for("customers.conflicts", after=behind) if behind else None,
        newest=url_for("customers.conflicts") if after else None,
    )


def _conflicts(known: Parts, found: Sequence[SharedNumber]) -> list[Conflict]:
    customers = known.reads.find_customers([one.phone for one in found])
    return [_conflict(one, customers.get(one.phone)) for one in found]


def _conflict(one: SharedNumber, customer: Customer | None) -> Conflict:
    people = max(customer.people if customer else 0, len(one.named))
    credited = customer if customer is not None and customer.people == 1 else None
    return Conflict(one, people, credited, _row_of((), customer))
