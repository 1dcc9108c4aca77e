"""A call of which Twilio never says the end is called unfinished once, with the remedy, and goes on when the end comes after all."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest
from sqlalchemy import event

from offhook.adapters.ledger.store import SqlLedger
from offhook.adapters.rockerbox.payload import encode
from offhook.adapters.twilio.reading import read
from offhook.pipeline.bookkeeper import Bookkeeper, BooksPace
from offhook.pipeline.callback import RawCallback
from offhook.pipeline.conversion import Conversion
from offhook.pipeline.customer import Customer
from offhook.pipeline.delivery import Outcome, Result
from offhook.pipeline.ends import Numbering
from offhook.pipeline.lookout import Lookout
from offhook.pipeline.rules import Rules
from offhook.pipeline.steps import Judge
from offhook.settings import given
from tests.support import ledger as by_hand
from tests.support.arriving import read_request

ACCOUNT = "AC00000000000000000000000000000001"
NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)
HOURS = timedelta(hours=1)
ROOT, CHILD = f"CA{9:032x}", f"CA{10:032x}"
LEG = {"From": "+14155550142", "To": "+14155550177", "Direction": "outbound-dial", "CallStatus": "completed"}
CALL = {"From": "+14155550142", "To": "+14155550100", "Direction": "inbound", "CallDuration": "100"}
ENDED = CALL | {"CallSid": ROOT, "CallStatus": "completed"}


class Destination:
    def encode(self, conversion: Conversion) -> bytes:
        return encode(conversion)

    def send(self, payload: bytes) -> Outcome:
        return Outcome(Result.DELIVERED, "delivered", 200)


JUDGE = Judge(Rules(), Numbering("US"), Destination().encode, read, settle_seconds=0)


def raw(params: Mapping[str, str], received_at: datetime = NOON) -> RawCallback:
    body = urlencode({"AccountSid": ACCOUNT, **params}).encode()
    found = read_request("POST", "/twilio/status", "", {}, body, received_at, ACCOUNT)
    assert isinstance(found, tuple)
    return found[0]


def child(received_at: datetime = NOON) -> RawCallback:
    return raw(LEG | {"CallSid": CHILD, "ParentCallSid": ROOT}, received_at)


class Day:
    """A ledger and its bookkeeper, whose clocks are set by hand."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.ledger = SqlLedger(given({"DATABASE_URL": url}).database_url)
        self.ledger.merge_customers([Customer("+14155550142", "ann@example.com", None)])
        self.now = NOON
        lookout = Lookout(self.ledger)
        pace = BooksPace(decide_batch=3)
        self.books = Bookkeeper(self.ledger, lookout, JUDGE, pace, lambda: self.now, steady=self._seconds)

    def _seconds(self) -> float:
        return (self.now - NOON).total_seconds()

    def keep(self, after: timedelta = timedelta()) -> None:
        self.now += after
        while self.books.keep_once():
            pass

    def states(self) -> dict[str, str]:
        return {row["call_sid"]: row["state"] for row in by_hand.query(self.url, "SELECT call_sid, state FROM calls")}


@pytest.fixture
def day(database_url: str) -> Iterator[Day]:
    made = Day(database_url)
    yield made
    made.ledger.close()


def warnings(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.getMessage() == "calls_unfinished"]


# What was received of a call, and what is said of it.
OPEN = {
    "only a child leg": (child(), "no callback of its own has arrived, legs: 1"),
    "no final status": (raw(CALL | {"CallSid": ROOT, "CallStatus": "in-progress"}), "its last is in-progress, legs: 1"),
    "a status that nobody knows": (
        raw(CALL | {"CallSid": ROOT, "CallStatus": "paused"}),
        "no callback of its own has arrived",
    ),
    "nothing but an answering machine": (
        raw({"CallSid": ROOT, "AnsweredBy": "human"}),
        "no callback of its own has arrived",
    ),
}


@pytest.mark.parametrize(("heard", "said"), OPEN.values(), ids=OPEN)
def test_a_call_without_its_end_is_called_unfinished_once_and_decided_when_the_end_comes(
    day: Day, heard: RawCallback, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    day.ledger.append([heard])
    day.keep()
    day.keep(23.9 * HOURS)
    assert (warnings(caplog), day.ledger.backlog(day.now).unfinished) == ([], 0)
    day.keep(0.2 * HOURS)
    day.keep(48 * HOURS)
    [line] = warnings(caplog)
    assert (line.levelname, line.count, line.call_sids) == ("WARNING", 1, [ROOT])  # type: ignore[attr-defined]
    assert "on the number itself" in line.what  # type: ignore[attr-defined]
    [listed] = day.ledger.stories.unfinished(50)
    assert (listed.key.call_sid, day.ledger.backlog(day.now).unfinished) == (ROOT, 1)
    [story] = day.ledger.stories.of_call(ROOT)
    [decision] = story.decisions
    [reason] = decision.reasons
    assert (decision.result, reason.word) == ("unfinished", "unfinished")
    assert f"within 24 h ({said}" in reason.sentence and "on the number itself" in reason.sentence
    assert day.states() == {ROOT: "open"}, "what an older version goes on with, it knows no state `unfinished`"

    day.ledger.append([raw(ENDED, day.now)])
    day.keep(timedelta(seconds=1))
    assert day.states() == {ROOT: "converted"}
    assert (day.ledger.stories.unfinished(50), day.ledger.backlog(day.now).unfinished) == ([], 0)
    assert [one.result for one in day.ledger.stories.of_call(ROOT)[0].decisions] == ["unfinished", "converted"]
    assert len(warnings(caplog)) == 1


def test_many_unfinished_calls_are_one_line_with_their_number_and_some_names(
    day: Day, caplog: pytest.LogCaptureFixture
) -> None:
    day.ledger.append([raw(CALL | {"CallSid": f"CA{n:032x}", "CallStatus": "ringing"}) for n in range(25)])
    day.keep()
    day.keep(25 * HOURS)
    [line] = warnings(caplog)
    assert (line.count, len(line.call_sids)) == (25, 10)  # type: ignore[attr-defined]
    assert day.ledger.stories.unfinished_count() == by_hand.count(day.url, "decisions") == 25


@pytest.mark.mostly("sqlite")
def test_nothing_is_unfinished_while_its_end_may_wait_to_be_folded(day: Day, caplog: pytest.LogCaptureFixture) -> None:
    """After a stop of days the ends lie among hundreds of callbacks that wait, more than a round takes."""
    day.ledger.append([child()])
    day.keep()
    day.now += 30 * HOURS
    day.ledger.append([raw(CALL | {"CallSid": f"CA{n:032x}", "CallStatus": "completed"}) for n in range(100, 900)])
    day.ledger.append([raw(ENDED)])
    day.keep()
    assert warnings(caplog) == []
    assert set(day.states().values()) == {"converted"}


def test_a_leg_that_was_called_unfinished_gives_way_to_the_call_that_it_hangs_from(day: Day) -> None:
    day.ledger.append([raw(LEG | {"CallSid": CHILD, "CallStatus": "ringing"})])
    day.keep()
    day.keep(25 * HOURS)
    assert day.ledger.stories.unfinished_count() == 1
    day.ledger.append([child(day.now), raw(ENDED, day.now)])
    day.keep(timedelta(seconds=1))
    assert day.states() == {CHILD: "merged", ROOT: "converted"}
    assert day.ledger.stories.unfinished_count() == 0


def test_an_idle_bookkeeper_asks_for_open_calls_once_a_minute_and_no_question_more(day: Day) -> None:
    day.keep()
    asked: list[str] = []
    event.listen(day.ledger.database.engine, "before_cursor_execute", lambda *arguments: asked.append(arguments[2]))
    for _ in range(240):
        day.keep(timedelta(seconds=0.5))
    assert len([statement for statement in asked if "min(first_received_at)" in statement]) == 2
    assert len(asked) <= 240 + 1, "it is part of the one question of a round; the first round looks at the mapping, too"
