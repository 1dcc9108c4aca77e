"""How deliveries go, out of what was read of them: pure sums, for any of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.pipeline.callback import CallKey
from offhook.pipeline.counting import Tally
from offhook.pipeline.deliveries import (
    Arrivals,
    DayOutcomes,
    Recent,
    Show,
    all_again,
    by_hour,
    days_to,
    delivered_on,
    filter_of,
    latency,
    outcomes_by_day,
    recent,
    resting_of,
)
from offhook.pipeline.delivery import State
from offhook.pipeline.job_kinds import RetryConversions
from offhook.pipeline.sending_again import RESTING, sort_out
from offhook.pipeline.story import ConversionFilter, ConversionLine, HourCount, Verdict

pytestmark = pytest.mark.unit
NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)


def line(number: int, state: str, *, maybe_sent: bool = False, took: float | None = None) -> ConversionLine:
    arrived = None if took is None else NOON + timedelta(seconds=took)
    key = CallKey("AC1", f"CA{number}")
    return ConversionLine(key, "call", "1", b"%d" % number, state, "why", NOON, None, 1, 1, maybe_sent, arrived)


LINES = st.lists(st.tuples(st.sampled_from(list(State)), st.booleans()), max_size=30).map(
    lambda found: [line(number, state, maybe_sent=maybe) for number, (state, maybe) in enumerate(found)]
)


@given(LINES, st.integers(1, 4))
def test_each_of_those_that_are_to_be_sent_again_is_in_one_of_four_places(
    lines: list[ConversionLine], every: int
) -> None:
    found = sort_out(lines, lambda payload: "email" if int(payload) % every == 0 else None)
    placed = [row.key for row in (*found.safe, *found.doubtful, *found.moving)] + list(found.lacking)
    assert sorted(placed) == sorted(row.key for row in lines)
    assert all(row.maybe_sent for row in found.doubtful)
    sent = found.sendable(with_doubtful=False)
    assert not any(row.maybe_sent or row.state not in RESTING or row.key in found.lacking for row in sent)
    assert {row.key for row in found.sendable(with_doubtful=True)} - {row.key for row in sent} == {
        row.key for row in found.doubtful
    }


def test_every_state_is_shown_somewhere_and_only_what_rests_is_sent_again() -> None:
    assert {state for show in Show for state in filter_of(show).states} == {state.value for state in State}
    for show in Show:
        wanted = resting_of(filter_of(show, "why", NOON, NOON))
        assert wanted is None or (
            set(wanted.states) <= set(RESTING) and wanted.reason == "why" and wanted.since == NOON
        )
    assert [show for show in Show if resting_of(filter_of(show)) is None] == [Show.WAY, Show.DONE]


def test_a_day_is_that_of_the_zone_and_each_call_stands_in_one_column() -> None:
    zone = ZoneInfo("America/New_York")
    days = days_to(NOON, 3, zone)
    assert [str(day) for day in days] == ["2026-03-10", "2026-03-11", "2026-03-12"]
    at = datetime(2026, 3, 12, 3, tzinfo=UTC)  # the evening of the eleventh there
    tallies = [Tally(at, "", verdict, "why", 2**place) for place, verdict in enumerate(Verdict)]
    counts = {verdict: 2**place for place, verdict in enumerate(Verdict)}
    needs = counts[Verdict.HELD] + counts[Verdict.REFUSED]
    assert outcomes_by_day(tallies, days, zone) == [
        DayOutcomes(days[0], 0, 0, 0),
        DayOutcomes(days[1], counts[Verdict.DELIVERED], counts[Verdict.ON_ITS_WAY], needs),
        DayOutcomes(days[2], 0, 0, 0),
    ]


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50))
def test_half_and_nineteen_of_twenty_are_times_that_were_seen(took: list[float]) -> None:
    found = latency(NOON.date(), [line(number, "delivered", took=each) for number, each in enumerate(took)])
    assert found is not None and found.looked_at == len(took)
    seen = [line(0, "delivered", took=each).delivered_at for each in took]
    times = sorted((at - NOON).total_seconds() for at in seen if at)
    assert found.half_seconds in times and found.most_seconds in times
    assert sum(each <= found.half_seconds for each in times) * 2 >= len(times)
    assert sum(each <= found.most_seconds for each in times) >= 0.95 * len(times)
    assert latency(NOON.date(), [line(1, "pending")]) is None


def test_the_deliveries_of_a_day_are_those_of_the_zones_day() -> None:
    found = delivered_on(NOON.date(), ZoneInfo("Asia/Kolkata"))
    since = datetime(2026, 3, 11, 18, 30, tzinfo=UTC)
    assert found == ConversionFilter((State.DELIVERED.value,), None, since, since + timedelta(days=1), None)


def test_all_are_sent_again_by_the_filter_and_what_may_have_arrived_by_name_alone() -> None:
    wanted = ConversionFilter(("dead",), "http_422", NOON, None)
    by_filter = RetryConversions(("dead",), "http_422", NOON, None, maybe_sent=False)
    by_name = RetryConversions(call_sids=("CA1", "CA2"), also_maybe_sent=True)
    doubtful = ConversionFilter(("dead",), maybe_sent=True)
    assert all_again(wanted, ()) == [by_filter]
    assert all_again(wanted, ["CA1", "CA2"]) == [by_filter, by_name]
    assert all_again(doubtful, ["CA1", "CA2"]) == [by_name]
    assert all_again(doubtful, ()) == []


def test_the_recent_are_whole_where_nothing_that_is_wanted_was_cut_off() -> None:
    newest = [replace(line(number, "delivered"), created_at=NOON - timedelta(days=number)) for number in range(4)]
    two_days = NOON - timedelta(days=1)
    assert recent(newest, two_days, 9) == Recent(newest[1::-1], is_whole=True)
    assert recent(newest, two_days, 3) == Recent(newest[1::-1], is_whole=True)
    assert recent(newest, two_days, 2) == Recent(newest[1::-1], is_whole=False)
    assert recent(newest, NOON - timedelta(days=9), 4) == Recent(newest[::-1], is_whole=True)
    assert recent([], NOON, 4) == Recent([], is_whole=True)


def test_a_day_has_its_24_hours_with_each_action_or_none_where_nothing_arrived() -> None:
    midnight = NOON.replace(hour=0)
    counts = [HourCount(NOON, "call", 3), HourCount(NOON, "a lead", 1), HourCount(midnight, "call", 2)]
    found = by_hour(counts, midnight)
    assert [one.hour for one in found] == [midnight + timedelta(hours=each) for each in range(24)]
    assert [found[0], found[12]] == [Arrivals(midnight, [0, 2]), Arrivals(NOON, [1, 3])]
    assert {tuple(one.counts) for one in found} == {(0, 2), (1, 3), (0, 0)}
    assert by_hour([], midnight) == []
