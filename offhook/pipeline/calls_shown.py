"""Calls in a reader's words: the columns that may be chosen, of a page and of a file, whoever writes it. Reads page by page, and
changes nothing. What commands list, in the ledger's words, is calls_listed.py.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

from offhook.pipeline.callback import CallKey
from offhook.pipeline.customer import Customer
from offhook.pipeline.explanation import hour_of_arrival
from offhook.pipeline.masking import hidden
from offhook.pipeline.phone import mask
from offhook.pipeline.ports.stories import Stories
from offhook.pipeline.rules import Rules
from offhook.pipeline.story import CallFilter, CountedCall, PageMark
from offhook.pipeline.words import STATES, outcome_in_words, reason_in_words, word_of


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
    Rockerbox's (UTC) in which the conversion arrived, where that is asked for and it has arrived."""

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
USUAL = ("when", "number", "caller", "customer", "length", "outcome")
"""The names of those that stand there where none is chosen."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What rows are made of. `labels` is what the rules call your tracked numbers."""

    stories: Stories
    find_customers: Callable[[Collection[str]], Mapping[str, Customer]]
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class File:
    """How a file is written: its columns, whose time zone its times are in, and whether persons are whole in it."""

    columns: Sequence[Column]
    zone: tzinfo
    is_clear: bool = False


def columns_named(names: Collection[str]) -> Sequence[Column]:
    """Those of these names, in the order of COLUMNS; the usual ones where none of them is a column's."""
    return [one for one in COLUMNS if one.name in names] or [_BY_NAME[name] for name in USUAL]


def labels_in(rules: Rules) -> Mapping[str, str]:
    """What the rules call your tracked numbers."""
    return {phone: one.label or "" for phone, one in rules.numbers.items()}


def rows_of(
    known: Sources, calls: Sequence[CountedCall], columns: Sequence[Column] = (), *, is_clear: bool = False
) -> list[Row]:
    """Calls as rows, with what these columns need."""
    phones = {one.call.customer_phone for one in calls if one.call.customer_phone}
    customers = known.find_customers(phones) if phones else {}
    hours = _hours(known, calls) if _BY_NAME["hour"] in columns else {}
    return [
        Row(
            one,
            customers.get(one.call.customer_phone or ""),
            known.labels.get(one.number, ""),
            is_clear,
            hours.get(one.call.key),
        )
        for one in calls
    ]


def _hours(known: Sources, calls: Sequence[CountedCall]) -> dict[CallKey, datetime]:
    """Of each call that is in Rockerbox, the hour in which it arrived there."""
    sent = known.stories.conversions_of([one.call.key for one in calls])
    return {one.key: hour_of_arrival(one.delivered_at) for one in sent if one.delivered_at}


def table(
    known: Sources, wanted: CallFilter | None, into: File, page_rows: int
) -> Iterator[Iterable[Sequence[object]]]:
    """The rows of a file, a question's worth at a time, so that memory stays small; the header comes with the first ones. None is
    wanted where nobody is meant.
    """
    header: list[Sequence[object]] = [["Call id", *(one.in_file for one in into.columns if one.name != "id")]]
    after: PageMark | None = None
    while wanted is not None:
        page = known.stories.calls(wanted, after, page_rows)
        rows = rows_of(known, page.calls, into.columns, is_clear=into.is_clear)
        yield [*header, *(_cells(row, into) for row in rows)]
        header = []
        if (after := page.after) is None:
            return
    yield header


def _cells(row: Row, into: File) -> Sequence[object]:
    texts = (one.text(row) for one in into.columns if one.name != "id")
    return [row.one.call.key.call_sid, *(_local(text, into.zone) for text in texts)]


def _local(value: object, here: tzinfo) -> object:
    return value.astimezone(here).isoformat(timespec="seconds") if isinstance(value, datetime) else value
