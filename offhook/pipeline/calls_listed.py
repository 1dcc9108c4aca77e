"""Calls as rows of a list or of a file: one place that names the columns. Reads page by page, and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator

from offhook.pipeline.phone import mask
from offhook.pipeline.ports.stories import Stories
from offhook.pipeline.story import CallFilter, CountedCall, PageMark

COLUMNS = (
    "first_received_at", "call_sid", "outcome", "reason", "number", "customer", "status", "duration_seconds", "state",
    "account_sid",
)  # fmt: skip
ON_A_TERMINAL = COLUMNS[:-2]
"""Those that a person reads."""
PAGE = 500


def every(stories: Stories, wanted: CallFilter, page_rows: int = PAGE) -> Iterator[CountedCall]:
    """The calls that are wanted, the newest first, each page a short question."""
    after: PageMark | None = None
    while True:
        page = stories.calls(wanted, after, page_rows)
        yield from page.calls
        if (after := page.after) is None:
            return


def row(one: CountedCall, reveal: bool) -> dict[str, object]:
    """One call by COLUMNS; its caller's number masked unless `reveal`."""
    call, phone = one.call, one.call.customer_phone
    return {
        "first_received_at": call.first_received_at,
        "call_sid": call.key.call_sid,
        "outcome": one.outcome,
        "reason": one.reason,
        "number": one.number or None,
        "customer": phone if phone is None or reveal else mask(phone),
        "status": call.status,
        "duration_seconds": call.duration_seconds,
        "state": call.state,
        "account_sid": call.key.account_sid,
    }
