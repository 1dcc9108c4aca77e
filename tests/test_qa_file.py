"""The rows of the file for Conversion QA, and the month that they are of."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from offhook.adapters.rockerbox.payload import encode
from offhook.adapters.rockerbox.qa import COLUMNS, month_of, occurred_at, row
from offhook.pipeline.callback import CallKey
from offhook.pipeline.conversion import Conversion
from offhook.pipeline.story import ConversionLine

pytestmark = pytest.mark.unit

KEY, NOON = CallKey("AC1", "CA1"), datetime(2026, 10, 3, 12, 30, 5, tzinfo=UTC)


def line(payload: bytes) -> ConversionLine:
    return ConversionLine(KEY, "phone_call", "CA1", payload, "delivered", "", NOON, None, 1, 1, False, NOON)


def test_a_row_has_what_was_sent_in_clear_and_who_the_caller_is() -> None:
    sent = encode(Conversion(KEY, "ann@example.com", "C1", "phone_call", NOON, "CA1", Decimal("27.5")))
    assert dict(zip(COLUMNS, row(line(sent), is_returning=True), strict=True)) == {
        "order_id": "CA1",
        "order_timestamp": "2026-10-03T12:30:05Z",
        "email": "ann@example.com",
        "customer_id": "C1",
        "revenue": "27.50",
        "customer_type": "returning",
    }
    assert occurred_at(line(sent)) == NOON


def test_what_was_not_sent_is_empty_and_so_is_what_cannot_be_read() -> None:
    sent = encode(Conversion(KEY, None, "C1", "phone_call", NOON, "CA1", None))
    assert row(line(sent), is_returning=False) == ("CA1", "2026-10-03T12:30:05Z", "", "C1", "", "new")
    assert row(line(b"?"), is_returning=False) == ("", "", "", "", "", "new")
    assert occurred_at(line(b"?")) is None


@pytest.mark.parametrize(
    ("month", "zone", "since", "until"),
    [
        ((2026, 10), "UTC", "2026-10-01T00:00:00+00:00", "2026-11-01T00:00:00+00:00"),
        ((2026, 12), "UTC", "2026-12-01T00:00:00+00:00", "2027-01-01T00:00:00+00:00"),
        ((2026, 2), "UTC", "2026-02-01T00:00:00+00:00", "2026-03-01T00:00:00+00:00"),
        # The clocks change within this month: https://www.timeanddate.com/time/change/usa/new-york
        ((2026, 3), "America/New_York", "2026-03-01T05:00:00+00:00", "2026-04-01T04:00:00+00:00"),
    ],
)
def test_a_month_begins_and_ends_where_its_days_turn(month: tuple[int, int], zone: str, since: str, until: str) -> None:
    found = month_of(datetime(*month, 1), ZoneInfo(zone))  # noqa: DTZ001
    assert [one.isoformat() for one in found] == [since, until]
