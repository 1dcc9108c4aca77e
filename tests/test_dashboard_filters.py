"""The filters of the calls as they stand in an address, whatever stands there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.adapters.dashboard.filters import FIELDS, SPANS, as_key, mark_of, read_filters
from offhook.pipeline.story import CallFilter, PageMark

pytestmark = pytest.mark.unit

NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)
NEW_YORK = ZoneInfo("America/New_York")
TEXTS = st.text(max_size=40) | st.sampled_from(["1:30", "90", "2026-03-08T02:30", "0001-01-01", "9999-12-31", *SPANS])

SHOWN = st.characters(exclude_categories=["C", "Z"])


@given(st.dictionaries(st.sampled_from(FIELDS), TEXTS))
def test_whatever_stands_there_is_read_or_said_to_be_wrong_and_never_an_error(given_: dict[str, str]) -> None:
    found = read_filters(given_, NOON, "US", NEW_YORK)
    assert set(found.given) == {name for name, text in given_.items() if text.strip()}
    for at in (found.wanted.since, found.wanted.until):
        assert at is None or at.utcoffset() == timedelta(0)


@given(
    st.integers(0, 7_000_000_000_000_000).map(lambda micros: NOON + timedelta(microseconds=micros - 2 * 10**15)),
    st.text(SHOWN, max_size=34),
    st.text(SHOWN, max_size=34),
)
def test_a_key_is_read_as_it_was_written(at: datetime, call_sid: str, account_sid: str) -> None:
    mark = PageMark(at, call_sid, account_sid)
    key = as_key(mark)
    assert key is not None
    assert mark_of(key) == (mark if len(key) <= 200 else None)


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda some: some.hex()))
def test_a_key_of_somebody_elses_begins_with_the_newest(key: str) -> None:
    assert mark_of(key) is None or as_key(mark_of(key)) is not None


@pytest.mark.parametrize(
    ("given_", "wanted"),
    [
        ({}, CallFilter()),
        ({"span": "all"}, CallFilter()),
        ({"span": "today"}, CallFilter(since=datetime(2026, 3, 12, 4, tzinfo=UTC))),  # midnight in summer time
        ({"span": "7"}, CallFilter(since=datetime(2026, 3, 6, 5, tzinfo=UTC))),  # midnight in winter time
        ({"span": "all", "since": "2026-03-01T10:30"}, CallFilter(since=datetime(2026, 3, 1, 15, 30, tzinfo=UTC))),
        ({"span": "7", "since": "2026-03-01T10:30"}, CallFilter(since=datetime(2026, 3, 6, 5, tzinfo=UTC))),
        ({"span": "7", "since": "2026-03-08"}, CallFilter(since=datetime(2026, 3, 8, 5, tzinfo=UTC))),
        (
            {"span": "today", "until": "2026-03-01T10:30Z"},
            CallFilter(datetime(2026, 3, 12, 4, tzinfo=UTC), datetime(2026, 3, 1, 10, 30, tzinfo=UTC)),
        ),
        ({"until": "2026-03-01T10:30Z"}, CallFilter(until=datetime(2026, 3, 1, 10, 30, tzinfo=UTC))),
        ({"number": "(415) 555-0199"}, CallFilter(number="+14155550199")),
        ({"least": "1:30", "most": "600"}, CallFilter(least_seconds=90, most_seconds=600)),
        ({"state": "waits", "outcome": "unknown_caller"}, CallFilter(state="parked", outcome="unknown_caller")),
        ({"source": "event-stream", "reason": "too_short"}, CallFilter(source="event-stream", reason="too_short")),
    ],
    ids=str,
)
def test_each_filter_asks_for_what_it_says(given_: dict[str, str], wanted: CallFilter) -> None:
    found = read_filters(given_, NOON, "US", NEW_YORK)
    assert (found.wanted, found.wrong) == (wanted, ())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("since", "soon"),
        ("until", "12.3.2026"),
        ("number", "abc"),
        ("least", "-1"),
        ("most", "1e3"),
        ("state", "parked"),
    ],
)
def test_what_cannot_be_read_narrows_nothing_and_is_said(name: str, text: str) -> None:
    found = read_filters({name: text}, NOON, "US", NEW_YORK)
    assert found.wanted == CallFilter()
    assert len(found.wrong) == 1
    assert text in found.wrong[0]
