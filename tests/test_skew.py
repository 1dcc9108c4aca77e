"""The skew of two clocks: slow answers are none, a wrong clock is logged once, and once that it is right again."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.pipeline.skew import DATE_RESOLUTION_SECONDS, Change, Skew, log_change, skew_seconds

pytestmark = pytest.mark.unit

NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)
SECONDS = st.floats(0, 20)


@given(
    ahead=st.floats(-100_000, 100_000),
    to_them=SECONDS,
    back=SECONDS,
    cut_off=st.booleans(),
    start=st.integers(0, 999_999),
)
def test_a_skew_is_never_found_greater_than_it_is_nor_with_the_wrong_sign(
    ahead: float, to_them: float, back: float, cut_off: bool, start: int
) -> None:
    asked_at = NOON + timedelta(microseconds=start)
    exact = asked_at + timedelta(seconds=to_them) - timedelta(seconds=ahead)
    theirs = exact.replace(microsecond=0) if cut_off else exact
    answered_at = asked_at + timedelta(seconds=to_them + back)
    found = skew_seconds(asked_at, answered_at, theirs, DATE_RESOLUTION_SECONDS if cut_off else 0.0)
    assert abs(found) <= abs(ahead) + 1e-5
    assert found * ahead >= 0
    assert abs(found - ahead) <= to_them + back + cut_off + 1e-5


def test_an_answer_after_fourteen_seconds_is_no_skew() -> None:
    for theirs in (NOON, NOON + timedelta(seconds=14)):
        assert skew_seconds(NOON, NOON + timedelta(seconds=14), theirs, DATE_RESOLUTION_SECONDS) == 0.0


@pytest.mark.parametrize("ahead", [65.0, -65.0, 3600.0])
def test_a_wrong_clock_is_logged_at_once_and_only_once_and_so_is_its_end(
    ahead: float, caplog: pytest.LogCaptureFixture
) -> None:
    skew = Skew(5.0)
    assert skew.seconds is None
    with caplog.at_level(logging.INFO):
        for seconds in (ahead, ahead, ahead, 0.1, 0.1, 0.1, 0.1):
            log_change(logging.getLogger("offhook.test"), skew.observe(seconds), skew, "destination")
    logged = [(record.levelname, record.getMessage(), vars(record)["ahead_seconds"]) for record in caplog.records]
    assert logged == [("WARNING", "clock_differs", ahead), ("INFO", "clock_agrees_again", 0.1)]
    assert [skew.seconds, skew.exceeded] == [0.1, False]


def test_a_single_odd_observation_among_others_changes_nothing() -> None:
    skew = Skew(5.0)
    assert [skew.observe(seconds) for seconds in (0.0, 0.0, 1_000_000.0, 0.0, 0.0)] == [None] * 5


def test_a_skew_that_trembles_around_the_limit_is_reported_once() -> None:
    skew = Skew(5.0, kept=1)
    assert [skew.observe(seconds) for seconds in (5.1, 4.9, 5.1, 2.6, 2.4)] == [
        Change.EXCEEDED,
        None,
        None,
        None,
        Change.OVER,
    ]
