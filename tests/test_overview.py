"""The first page's figures add up, whatever the calls came to, in whatever zone; what a reader is shown has plain words."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.pipeline import reasons
from offhook.pipeline.callback import CallKey
from offhook.pipeline.counting import NOT_ENDED, SETTLING, Tally
from offhook.pipeline.health import FactLine, Health, HealthLine, Limits, fact_lines, last_list, length, lines
from offhook.pipeline.overview import (
    Needing,
    Period,
    Todo,
    Where,
    lately_bounds,
    overview,
    todo,
    unknown_calls,
)
from offhook.pipeline.ports.customers import Source
from offhook.pipeline.ports.history import ImportLine
from offhook.pipeline.story import ConversionLine, Verdict, WayOut
from offhook.pipeline.words import about_many, why_in_words

pytestmark = pytest.mark.mostly("sqlite")

ZONES = ["UTC", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca"]
NOW = datetime(2026, 11, 25, 16, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
NEVER_SHOWN = ("parked", "skipped", "dead", "ambiguous", "quarantined", "fold", "mapping", "settle", "hash", "`", "_")
SINGLE = {
    "counts",
    "called_us",
    "we_called",
    "reached_by_agent",
    "late",
    "decided_anew",
}  # said beside a reason, or of what counts

periods = st.builds(
    lambda first, days, zone: Period(first, first + timedelta(days=days), ZoneInfo(zone)),
    st.dates(date(2020, 1, 1), date(2030, 1, 1)),
    st.integers(0, 40),
    st.sampled_from(ZONES),
)


@st.composite
def counted(draw: st.DrawFn) -> tuple[Period, list[Tally]]:
    """A period, and tallies of the hours that begin within it."""
    period = draw(periods)
    hours = int((period.ends - period.begins) / HOUR)
    outcome = st.sampled_from([*Verdict, "of_a_newer_version"])
    tally = st.builds(
        lambda hour, number, what, word, calls: Tally(period.begins + hour * HOUR, number, what, word, calls),
        st.integers(0, hours - 1),
        st.sampled_from(["", "+14155550100", "+14155550101"]),
        outcome,
        st.sampled_from(["too_short", "status", "new"]),
        st.integers(1, 50),
    )
    return period, draw(st.lists(tally, max_size=20))


@given(counted())
def test_the_figures_add_up_however_calls_came_out(found: tuple[Period, list[Tally]]) -> None:
    period, tallies = found
    shown = overview(tallies, period)
    assert shown.calls == sum(one.calls for one in tallies)
    assert shown.calls == shown.counted + shown.not_counted
    assert shown.counted == shown.delivered + shown.on_the_way + shown.needs_you
    assert shown.not_counted == sum(one.calls for one in shown.why_not)
    assert shown.calls == sum(one.calls for one in shown.numbers)
    assert shown.counted == sum(one.counted for one in shown.numbers)
    assert shown.calls == sum(calls for bar in shown.bars for calls in bar.ways.values())


@given(periods)
def test_a_chart_has_a_bar_for_each_hour_or_day_of_the_readers_zone_and_no_other(period: Period) -> None:
    bars = [bar.at for bar in overview([], period).bars]
    assert len(set(bars)) == len(bars)
    assert {at.date() for at in bars} <= {period.first + timedelta(days=n) for n in range(period.days)}
    if not period.by_hour:
        assert len(bars) == period.days


def test_days_are_the_readers_and_begin_at_their_midnight() -> None:
    period = Period(date(2026, 11, 25), date(2026, 11, 25), ZoneInfo("America/New_York"))
    assert (period.begins, period.ends) == (
        datetime(2026, 11, 25, 5, tzinfo=UTC),
        datetime(2026, 11, 26, 5, tzinfo=UTC),
    )
    late = Tally(datetime(2026, 11, 26, 4, tzinfo=UTC), "", Verdict.DELIVERED, "delivered", 2)
    assert [bar.at.hour for bar in overview([late], period).bars if sum(bar.ways.values())] == [23]


def test_a_zone_whose_midnight_is_within_an_hour_counts_each_hour_on_one_day_alone() -> None:
    zone = ZoneInfo("Asia/Kolkata")
    first, second = (Period(date(2026, 11, day), date(2026, 11, day), zone) for day in (24, 25))
    assert first.ends == second.begins == datetime(2026, 11, 24, 19, tzinfo=UTC)


@pytest.mark.parametrize("word", [*(word.removesuffix(" *") for word in reasons.OF_DECISIONS), NOT_ENDED, SETTLING])
@pytest.mark.parametrize("verdict", Verdict)
def test_each_reason_has_words_for_a_reader_and_what_can_be_done(verdict: Verdict, word: str) -> None:
    label, to_do = why_in_words(verdict, word), about_many(verdict, word)
    assert label[:1].isupper()
    assert to_do.endswith(".")
    assert [bad for bad in NEVER_SHOWN if re.search(rf"\b{bad}", f"{label} {to_do}".lower())] == []


def test_a_word_that_is_not_known_is_said_as_it_is_and_by_its_verdict() -> None:
    assert why_in_words("does_not_count", "too_loud") == "Too loud"
    assert why_in_words("unknown_caller", "caller_not_in_mapping") == "Unknown caller"
    assert why_in_words("not_finished", "not_ended") == "Not over yet"
    assert why_in_words("of_a_newer_version", "") == "Not over yet"
    assert about_many("does_not_count", "too_loud").startswith("Change the rules")


_AGES = (
    "oldest_callback_not_folded_seconds",
    "oldest_call_not_decided_seconds",
    "oldest_caller_not_looked_up_seconds",
    "oldest_conversion_due_seconds",
)


def kinds(**changes: object) -> dict[str, tuple[str, str]]:
    known: dict[str, object] = {
        "is_ready": True,
        "facts": {"workers_alive": 1, "backlog_age_seconds": 0.0},
        "now": NOW,
        "called_at": NOW - timedelta(seconds=12),
        "delivered_at": NOW - timedelta(minutes=3),
        "list_brought_at": NOW - timedelta(days=1),
    }
    found: tuple[HealthLine, ...] = lines(Health(**(known | changes)), Limits())  # type: ignore[arg-type]
    return {line.name: (line.kind, line.said) for line in found}


def test_health_says_in_one_line_each_what_can_stop_conversions() -> None:
    assert kinds() == {
        "callbacks": ("ok", "last one 12 s ago"),
        "worker": ("ok", "nothing waits longer than 1 s"),
        "rockerbox": ("ok", "took the latest one 3 min ago"),
        "customers": ("ok", "imported 24 h ago"),
    }
    assert kinds(is_ready=False, facts={"what": "The disk is full."})["callbacks"] == ("bad", "The disk is full.")
    assert kinds(facts={"refused_warning": "..."})["callbacks"][0] == "bad"
    assert kinds(called_at=None)["callbacks"] == ("wait", "none has come yet")
    assert kinds(facts={"workers_alive": 0})["worker"][0] == "bad"
    assert kinds(delivered_at=None)["rockerbox"] == ("wait", "nothing was sent yet")
    assert kinds(list_brought_at=None)["customers"][0] == "wait"
    assert kinds(list_brought_at=NOW - timedelta(days=9))["customers"] == ("wait", "imported 9 days ago")


@pytest.mark.parametrize(
    ("oldest", "said"),
    [
        ("oldest_callback_not_folded_seconds", "a report of Twilio waits to be worked on"),
        ("oldest_call_not_decided_seconds", "a call waits for its decision"),
        ("oldest_caller_not_looked_up_seconds", "a call waits for its caller to be looked up"),
        ("oldest_conversion_due_seconds", "a call that counts waits to be sent"),
    ],
)
def test_a_worker_that_is_behind_is_said_with_what_has_waited_longest(oldest: str, said: str) -> None:
    ages = dict.fromkeys(_AGES, 61.0) | {"workers_alive": 1, "backlog_age_seconds": 300.0, oldest: 300.0}
    assert kinds(facts=ages)["worker"] == ("wait", f"behind by 5 min: {said}")
    assert kinds(facts=ages)["callbacks"][0] == "ok"


def test_what_is_done_about_a_fact_at_a_terminal_stands_apart_from_it() -> None:
    lost = reasons.OF_THE_BACKLOG["no_worker"]
    known = {"workers_alive": 0, "workers": f"{lost.sentences[0].format(seconds=60)}: {lost.advice}", "reasons": ["x"]}
    assert fact_lines(known) == [
        FactLine("Workers that run", "0"),
        FactLine(
            "Why nothing is worked on",
            "no worker has left a sign of life for 60 s",
            "Start `flask worker`, or set OFFHOOK_WORKER=inline.",
        ),
    ]
    assert fact_lines({"remedy": "Run `flask db upgrade`.", "none_of_ours": True}) == [
        FactLine("What can be done", "", "Run `flask db upgrade`."),
        FactLine("none of ours", "True"),
    ]


FORTY_FAILED = WayOut(failures=40, open_until=NOW - timedelta(seconds=1))


@pytest.mark.parametrize(
    ("way_out", "line"),
    [
        (WayOut(), ("ok", "took the latest one 3 min ago")),
        (WayOut(failures=1), ("wait", "the last attempt failed; it goes on by itself")),
        (FORTY_FAILED, ("wait", "the last 40 attempts failed; it goes on by itself")),
        (
            replace(FORTY_FAILED, open_until=NOW + timedelta(seconds=90)),
            ("bad", "takes nothing now; tried again in 90 s"),
        ),
    ],
)
def test_rockerbox_is_well_as_long_as_no_attempt_failed_since_it_took_one(
    way_out: WayOut, line: tuple[str, str]
) -> None:
    assert kinds(way_out=way_out)["rockerbox"] == line


@pytest.mark.parametrize("pause_ends", [None, NOW - timedelta(seconds=1), NOW + timedelta(hours=1)])
def test_rockerbox_that_takes_nothing_from_us_is_bad_whether_it_pauses_or_not(pause_ends: datetime | None) -> None:
    way_out = WayOut(40, pause_ends, "http_403", NOW - timedelta(hours=3))
    [line] = [one for one in lines(Health(True, {}, NOW, way_out=way_out), Limits()) if one.name == "rockerbox"]
    assert line == HealthLine(
        "rockerbox",
        "bad",
        "Rockerbox takes nothing from you",
        "Rockerbox answered 403. Look at the address and the key of Rockerbox in Set-up; nothing is lost meanwhile.",
        NOW - timedelta(hours=3),
    )


def brought(source: Source, days_ago: float, *, rows: int = 100) -> ImportLine:
    at = NOW - timedelta(days=days_ago)
    return ImportLine(1, source, "list.csv", at, at, rows, 0, 0, 0, None)


def test_a_customer_whom_somebody_adds_or_looks_up_makes_no_list_younger() -> None:
    old = brought(Source.IMPORT, 9)
    assert last_list([]) is None
    others = [
        brought(Source.DASHBOARD, 0, rows=1),
        brought(Source.LOOKUP, 1, rows=1),
        brought(Source.UNDO, 2),
    ]
    assert last_list([*others, old]) == NOW - timedelta(days=9)
    assert last_list([brought(Source.DASHBOARD, 3), old]) == NOW - timedelta(days=3)
    assert last_list([brought(Source.API, 1, rows=1), brought(Source.SYNC, 2)]) == NOW - timedelta(days=1)
    assert kinds(list_brought_at=None, looks_up=True)["customers"][0] == "ok"


def test_a_length_is_said_in_the_unit_that_a_person_takes() -> None:
    assert [length(seconds) for seconds in (0, 119, 120, 7199, 7200, 172_800)] == [
        "0 s",
        "119 s",
        "2 min",
        "120 min",
        "2 h",
        "2 days",
    ]


def refused(number: int, reason: str = "http_422", state: str = "dead", *, maybe_sent: bool = False) -> ConversionLine:
    key = CallKey("AC1", f"CA{number}")
    return ConversionLine(key, "a", "o", b"", state, reason, NOW, None, 1, 1, maybe_sent, None)


def test_what_was_refused_is_said_by_its_reason_with_the_way_to_just_these() -> None:
    newest = [
        refused(1),
        refused(2, "deadline", "ambiguous", maybe_sent=True),
        refused(3),
        refused(4, "leases_expired", "quarantined"),
        refused(5, "day_turned", "ambiguous", maybe_sent=True),
    ]
    found = todo(Needing([], held=5, newest=newest))
    assert [(one.what, one.why, one.where, one.asked) for one in found] == [
        (
            "2 calls",
            "are not in Rockerbox: Rockerbox answered 422.",
            Where.DELIVERIES,
            {"show": "refused", "reason": "http_422"},
        ),
        (
            "1 call",
            "may be in Rockerbox already: no answer in time.",
            Where.CALL,
            {"call_sid": "CA2", "account": "AC1"},
        ),
        (
            "1 call",
            "is not in Rockerbox: sending it was cut off too often.",
            Where.CALL,
            {"call_sid": "CA4", "account": "AC1"},
        ),
        (
            "1 call",
            "may be in Rockerbox already: a person has to look.",
            Where.CALL,
            {"call_sid": "CA5", "account": "AC1"},
        ),
    ]


def test_of_more_than_are_looked_at_all_are_said_first_and_the_reasons_of_the_newest() -> None:
    found = todo(Needing([], held=10_001, newest=[refused(1), refused(2), refused(3, "http_400")]))
    assert [(one.what, one.why, one.label) for one in found] == [
        (
            "10,000+ calls",
            "refused by Rockerbox, or nobody knows whether they arrived: a person has to look.",
            "See them",
        ),
        ("2 of the newest 3", "are not in Rockerbox: Rockerbox answered 422.", "See them"),
        ("1 of the newest 3", "is not in Rockerbox: Rockerbox answered 400.", "See the call"),
    ]


WELL = HealthLine("worker", "ok", "Worker", "nothing waits longer than 1 s")


def test_nothing_needs_anybody_where_all_is_well() -> None:
    assert todo(Needing([WELL])) == []


def test_what_needs_somebody_is_said_with_where_it_is_mended_and_what_stops_everything_first() -> None:
    since = NOW - timedelta(hours=3)
    health = [
        WELL,
        HealthLine("customers", "wait", "Customer list", "imported 9 days ago"),
        HealthLine("rockerbox", "bad", "Rockerbox takes nothing from you", "Rockerbox answered 403.", since),
        HealthLine("worker", "wait", "Worker", "behind by 5 min"),
    ]
    assert todo(Needing(health, held=1, newest=[refused(1)], unknown=2000, days=7, unfinished=3)) == [
        Todo("Rockerbox takes nothing from you", "Rockerbox answered 403.", Where.SETUP, "Set-up", since),
        Todo(
            "1 call",
            "is not in Rockerbox: Rockerbox answered 422.",
            Where.CALL,
            "See the call",
            asked={"call_sid": "CA1", "account": "AC1"},
        ),
        Todo("2,000 calls", "of unknown callers in 7 days wait for a customer.", Where.UNKNOWN, "Add them"),
        Todo(
            "The customer list",
            "was imported 9 days ago: callers who came since are unknown.",
            Where.CUSTOMERS,
            "Import a newer one",
        ),
        Todo(
            "3 calls",
            "ended without Twilio saying so: set the status callback on the number itself.",
            Where.CALLS,
            "See them",
            asked={"outcome": "not_finished", "reason": "unfinished"},
        ),
    ]


@pytest.mark.parametrize(("count", "said"), [(10_000, "10,000"), (10_001, "10,000+"), (20_002, "10,000+")])
def test_what_is_counted_no_further_is_said_to_be_that_many_or_more(count: int, said: str) -> None:
    found = todo(Needing([], held=count, unknown=count, unfinished=count))
    assert [one.what for one in found] == [f"{said} calls", f"{count:,} calls", f"{said} calls"]
    facts = ("conversions_held_for_a_person", "calls_unfinished", "callers_to_look_up")
    assert [one.said for one in fact_lines(dict.fromkeys(facts, count))] == [said] * 3


def test_a_customer_list_that_never_came_is_asked_for() -> None:
    none = HealthLine("customers", "wait", "Customer list", "none yet: every caller is unknown")
    said = "was never imported: callers are unknown until it is."
    assert todo(Needing([none])) == [Todo("The customer list", said, Where.CUSTOMERS, "Import it")]


def test_unknown_callers_of_late_are_those_of_whole_hours_up_to_now() -> None:
    begins, ends = lately_bounds(NOW, 7)
    assert (begins, ends > NOW) == (datetime(2026, 11, 18, 16, tzinfo=UTC), True)
    every = [Tally(NOW, "", verdict, "", 3) for verdict in (Verdict.UNKNOWN_CALLER, Verdict.DELIVERED, Verdict.HELD)]
    assert unknown_calls(every) == 3
