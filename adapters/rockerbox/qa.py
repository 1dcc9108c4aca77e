"""Conversions as rows of the file that Rockerbox's Conversion QA asks for, and which are in it. The rows name persons in clear.

https://help.rockerbox.com, page "Conversion QA": order_id, order_timestamp (UTC), email, customer_id, revenue and
customer_type (new or returning), to be compared with what Rockerbox has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta, tzinfo

from offhook.adapters.rockerbox.checks import read
from offhook.pipeline.delivery import State
from offhook.pipeline.ports.sent import Sent
from offhook.pipeline.story import ConversionLine
from offhook.pipeline.words import counted

COLUMNS = ("order_id", "order_timestamp", "email", "customer_id", "revenue", "customer_type")
NEW, RETURNING = "new", "returning"
_SKEW = timedelta(days=1)  # how far before its call a conversion may have been made, by clocks that differ


def occurred_at(line: ConversionLine) -> datetime | None:
    """The time of a conversion as it is sent, UTC; None where it has none that can be read."""
    return read(line.payload).occurred_at


def row(line: ConversionLine, *, is_returning: bool) -> tuple[str, ...]:
    """One conversion by COLUMNS; empty where it has no such field."""
    reading = read(line.payload)
    at = "" if reading.occurred_at is None else f"{reading.occurred_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    order, *who = (str(reading.fields.get(name) or "") for name in ("order_id", "email", "customer_id", "revenue"))
    return (order, at, *who, RETURNING if is_returning else NEW)


def month_of(begins: datetime, zone: tzinfo) -> tuple[datetime, datetime]:
    """(since, until) of the month that begins so in the zone, in UTC."""
    ends = (begins + timedelta(days=31)).replace(day=1)
    return begins.replace(tzinfo=zone).astimezone(UTC), ends.replace(tzinfo=zone).astimezone(UTC)


def made_for(
    sent: Sent, since: datetime, until: datetime, now: datetime, late: timedelta
) -> Iterator[Sequence[ConversionLine]]:
    """Pages of those whose call was in this time. What became known of its caller late was made up to `late` later."""
    for page in sent.made(since - _SKEW, min(until + late, now + _SKEW)):
        if wanted := [line for line in page if _is_between(since, line, until)]:
            yield wanted


def _is_between(since: datetime, line: ConversionLine, until: datetime) -> bool:
    at = occurred_at(line)
    return at is not None and since <= at < until


class Written:
    """Counts what goes into the file."""

    def __init__(self) -> None:
        self.count = 0
        self.undelivered = 0

    def rows(self, sent: Sent, pages: Iterable[Sequence[ConversionLine]]) -> Iterator[tuple[str, ...]]:
        """What is to be written of these pages, below COLUMNS."""
        for page in pages:
            returning = sent.returning([line.key for line in page])
            for line in page:
                self.count += 1
                self.undelivered += line.state != State.DELIVERED
                yield row(line, is_returning=line.key in returning)

    @property
    def undelivered_in_words(self) -> str:
        """A sentence that goes on, or ""."""
        were = counted(self.undelivered, "of them was", "of them were")
        return f" {were} not delivered (`flask conversions list`)." if self.undelivered else ""
