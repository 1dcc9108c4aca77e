"""A caller whom nobody knows waits with the call's own time, is released when the number is learned, and not for ever."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from offhook.adapters.ledger.store import SqlLedger
from offhook.adapters.rockerbox.payload import encode
from offhook.pipeline.bookkeeper import Bookkeeper, BooksPace
from offhook.pipeline.customer import Customer
from offhook.pipeline.lookout import Lookout
from offhook.pipeline.rules import Rules
from offhook.pipeline.steps import apply_rules
from offhook.pipeline.story import DecisionLine
from offhook.settings import given
from tests.fakes import steps
from tests.fakes.callbacks import CALLER, NOON, OTHER, key, raw, sid
from tests.support import ledger as by_hand

JUDGE = replace(steps.JUDGE, encode=encode)
ANN = Customer(CALLER, "ann@example.com", None)
SEVERAL = Customer(CALLER, None, None, people=2)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


class Days:
    """A ledger and its bookkeeper, whose clock is set by hand."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.ledger = SqlLedger(given({"DATABASE_URL": url}).database_url)
        self.now = NOON
        self.judge = JUDGE
        self._books = self._bookkeeper()

    def _bookkeeper(self) -> Bookkeeper:
        pace, lookout = BooksPace(decide_batch=3), Lookout(self.ledger)
        return Bookkeeper(self.ledger, lookout, self.judge, pace, lambda: self.now, steady=self._seconds)

    def _seconds(self) -> float:
        return (self.now - NOON).total_seconds()

    def begin_anew(self) -> None:
        self._books = self._bookkeeper()

    def keep(self, after: timedelta = timedelta()) -> None:
        self.now += after
        while self._books.keep_once():
            pass

    def decisions(self, number: int = 1) -> Sequence[DecisionLine]:
        [story] = self.ledger.stories.of_call(sid(number))
        return story.decisions

    def words(self, number: int = 1) -> list[list[str]]:
        return [[reason.word for reason in one.reasons] for one in self.decisions(number)]

    def states(self) -> list[str]:
        rows = by_hand.query(self.url, "SELECT state FROM calls ORDER BY call_sid")
        return [row["state"] for row in rows]


@pytest.fixture
def days(database_url: str) -> Iterator[Days]:
    made = Days(database_url)
    yield made
    made.ledger.close()


def test_a_call_waits_for_its_caller_for_so_many_days_and_is_then_skipped(days: Days) -> None:
    days.ledger.append([raw(1)])
    days.keep()
    days.keep(13.9 * DAY)
    assert days.states() == ["parked"]
    days.keep(0.2 * DAY)
    assert days.states() == ["skipped"]
    [reason] = days.decisions()[-1].reasons
    assert reason.word == "unknown_too_long" and f"{CALLER} in the 14 days" in reason.sentence
    days.ledger.merge_customers([ANN])
    days.keep(HOUR)
    assert days.states() == ["skipped"]


def test_a_number_of_several_people_is_not_waited_for_either(days: Days) -> None:
    days.ledger.merge_customers([SEVERAL])
    days.ledger.append([raw(1)])
    days.keep()
    days.keep(15 * DAY)
    [reason] = days.decisions()[-1].reasons
    assert reason.word == "unknown_too_long" and "one of the several" in reason.sentence


def test_a_call_whose_caller_became_known_meanwhile_is_sent_however_old_it_is(days: Days) -> None:
    """The worker stood still for weeks: what is too old and what was learned is looked at in the same round."""
    days.ledger.append([raw(1), raw(2, caller=OTHER)])
    days.keep()
    days.ledger.merge_customers([ANN])
    days.now += 20 * DAY
    days.begin_anew()
    days.keep()
    assert days.states() == ["converted", "skipped"]


def test_all_that_are_too_old_are_skipped_however_many_and_no_other(days: Days) -> None:
    old = [raw(number, caller=f"+1415555{2000 + number}") for number in range(1, 11)]
    days.ledger.append([*old, raw(11, caller=OTHER, at=NOON + DAY)])
    days.keep(DAY + HOUR)
    days.keep(13 * DAY)
    assert days.states() == ["skipped"] * 10 + ["parked"]


def test_who_is_waited_for_is_looked_at_seldom(days: Days) -> None:
    days.ledger.append([raw(1)])
    days.keep()
    days.now += 15 * DAY
    days.keep()
    days.ledger.append([raw(2, at=NOON)])
    days.keep()
    assert days.states() == ["skipped", "parked"]
    days.keep(timedelta(seconds=61))
    assert days.states() == ["skipped", "skipped"]


# Released


def payload(days: Days, number: int = 1) -> dict[str, object]:
    [story] = days.ledger.stories.of_call(sid(number))
    assert story.conversion is not None
    return dict(json.loads(story.conversion.payload))


def test_a_number_that_is_learned_releases_its_calls_with_their_own_time(days: Days) -> None:
    days.ledger.append([raw(1), raw(2, at=NOON + HOUR), raw(3, caller=OTHER)])
    days.keep(2 * HOUR)
    days.ledger.merge_customers([ANN])
    days.keep()
    assert days.states() == ["converted", "converted", "parked"]
    times = [payload(days, number)["timestamp"] for number in (1, 2)]
    assert times == [str(int(at.timestamp())) for at in (NOON, NOON + HOUR)]


@pytest.mark.parametrize(
    ("zone", "called_at", "known_at", "is_late"),
    [
        ("UTC", "23:00", "23:59", False),
        ("UTC", "23:00", "24:01", True),
        ("America/New_York", "23:00", "24:01", False),
        ("America/New_York", "03:00", "05:00", True),
    ],
)
def test_a_release_on_another_day_of_rockerboxs_is_marked_late(
    days: Days, zone: str, called_at: str, known_at: str, is_late: bool
) -> None:
    days.judge = replace(JUDGE, day_zone=ZoneInfo(zone))
    days.begin_anew()
    days.now = at(called_at)
    days.ledger.append([raw(1, at=days.now)])
    days.keep()
    days.now = at(known_at)
    days.ledger.merge_customers([ANN])
    days.keep()
    assert days.words() == [["caller_not_in_mapping"], ["counts", "late"] if is_late else ["counts"]]
    if is_late:
        [_, late] = days.decisions()[-1].reasons
        assert "another day of Rockerbox's" in late.sentence and "2026-01-1" in late.sentence


def test_what_a_person_has_decided_anew_is_late_where_it_waited_and_not_where_a_rule_had_skipped_it(days: Days) -> None:
    """As a page does once somebody has said who has the number, and `flask rules apply`, before the worker looks."""
    days.ledger.merge_customers([Customer(OTHER, "bo@example.com", None)])
    days.ledger.append([raw(1), raw(2, caller=OTHER)])
    days.judge = replace(JUDGE, rules=Rules(min_duration_seconds=3600))
    days.begin_anew()
    days.keep()
    assert apply_rules(days.ledger, JUDGE, [key(1)], days.now) == 1
    assert days.states() == ["parked", "skipped"]
    days.ledger.merge_customers([ANN])
    assert apply_rules(days.ledger, JUDGE, [key(1), key(2)], days.now + DAY) == 2
    assert days.words(1) == [["too_short"], ["caller_not_in_mapping"], ["counts", "late"]]
    assert days.words(2) == [["too_short"], ["counts"]]


def at(time: str) -> datetime:
    hours, minutes = map(int, time.split(":"))
    return datetime(2026, 1, 15, tzinfo=UTC) + timedelta(hours=hours, minutes=minutes)


def test_what_was_never_waited_for_is_not_late(days: Days) -> None:
    """The worker stood still over midnight, and the caller was known all the time."""
    days.ledger.merge_customers([ANN])
    days.ledger.append([raw(1)])
    days.keep(DAY)
    assert days.words() == [["counts"]]


def test_the_oldest_that_waits_is_said_with_what_waits(days: Days) -> None:
    days.ledger.append([raw(1), raw(2, at=NOON + HOUR)])
    assert days.ledger.waiting(with_open=True).parked_since is None
    days.keep(2 * HOUR)
    assert days.ledger.waiting(with_open=True).parked_since == NOON
    assert days.ledger.waiting().parked_since is None
    with days.ledger.books() as books:
        assert books is not None
        assert list(books.parked_since(NOON, 10)) == [key(1)]
        assert list(books.parked_since(NOON + HOUR, 1)) == [key(1)]
