"""Conversions as rows of the file that Rockerbox's Conversion QA asks for. Pure; the rows name persons in clear.

https://help.rockerbox.com, page "Conversion QA": order_id, order_timestamp (UTC), email, customer_id, revenue and
customer_type (new or returning), to be compared with what Rockerbox has.
"""

from __future__ import annotations

from datetime import UTC, datetime

from offhook.adapters.rockerbox.checks import read
from offhook.pipeline.story import ConversionLine

COLUMNS = ("order_id", "order_timestamp", "email", "customer_id", "revenue", "customer_type")
NEW, RETURNING = "new", "returning"


def occurred_at(line: ConversionLine) -> datetime | None:
    """The time of a conversion as it is sent, UTC; None where it has none that can be read."""
    return read(line.payload).occurred_at


def row(line: ConversionLine, *, is_returning: bool) -> tuple[str, ...]:
    """One conversion by COLUMNS; empty where it has no such field."""
    reading = read(line.payload)
    at = "" if reading.occurred_at is None else f"{reading.occurred_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    order, *who = (str(reading.fields.get(name) or "") for name in ("order_id", "email", "customer_id", "revenue"))
    return (order, at, *who, RETURNING if is_returning else NEW)
