"""Only what can have been counted by nobody is decided anew, whatever the caller of the ledger believes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from offhook.adapters.ledger.store import SqlLedger
from offhook.adapters.rockerbox.payload import encode
from offhook.adapters.twilio.reading import read
from offhook.pipeline.callback import CallKey
from offhook.pipeline.conversion import Conversion
from offhook.pipeline.customer import Customer
from offhook.pipeline.delivery import NOT_TAKEN, Outcome, Resend, Result, RetryPolicy, State, nothing_can_have_counted
from offhook.pipeline.ends import Numbering
from offhook.pipeline.rules import Rules
from offhook.pipeline.steps import Judge, attempt, decide_anew, decide_batch, fold_batch
from offhook.settings import given
from tests.support import ledger as by_hand
from tests.support.arriving import read_request

ACCOUNT, CALLER = "AC00000000000000000000000000000001", "+14155550100"
KEY = CallKey(ACCOUNT, "CA" + "1" * 32)
NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)
POLICY = RetryPolicy(base_seconds=0.001, cap_seconds=0.001, resend=Resend.ALWAYS)
REFUSED = Outcome(Result.REFUSED, "http_400", 400)


class Destination:
    def encode(self, conversion: Conversion) -> bytes:
        return encode(conversion)

    def send(self, payload: bytes) -> Outcome:
        raise AssertionError("nothing is sent here")


JUDGE = Judge(Rules(), Numbering("US"), Destination().encode, read, settle_seconds=0)


@pytest.fixture
def ledger(database_url: str) -> Iterator[SqlLedger]:
    opened = SqlLedger(given({"DATABASE_URL": database_url}).database_url)
    opened.merge_customers([Customer(CALLER, "old@example.test", None)])
    params = {"CallSid": KEY.call_sid, "AccountSid": ACCOUNT, "From": CALLER, "To": "+14155550199"}
    body = urlencode(params | {"CallStatus": "completed", "Direction": "inbound", "CallDuration": "9"}).encode()
    found = read_request("POST", "/twilio/status", "application/x-www-form-urlencoded", {}, body, NOON, ACCOUNT)
    assert isinstance(found, tuple)
    opened.append(found)
    assert fold_batch(opened, JUDGE, 10) == decide_batch(opened, JUDGE, NOON, 10) == 1
    yield opened
    opened.close()


def comes_to(ledger: SqlLedger, *outcomes: Outcome) -> None:
    for number, outcome in enumerate(outcomes):
        now = NOON + timedelta(seconds=number)
        [sending] = ledger.claim(now, 1, 60, POLICY).taken
        ledger.finish([attempt(sending, outcome, now, now, POLICY)], now)


def rebuilt(ledger: SqlLedger, fence: int) -> int:
    ledger.merge_customers([Customer(CALLER, "new@example.test", None)])
    decided = decide_anew(ledger.rebuilding.known_calls(), [KEY], JUDGE, NOON)
    return ledger.rebuilding.rebuild(decided, {KEY: fence}, NOON)


def conversion(ledger: SqlLedger) -> tuple[str, bool]:
    """Where it stands, and whether the new bytes would be sent."""
    [story] = ledger.stories.of_call(KEY.call_sid)
    assert story.conversion is not None
    return story.conversion.state, b"new@" in story.conversion.payload


def test_what_was_refused_is_replaced_once_and_what_it_was_is_kept(ledger: SqlLedger, database_url: str) -> None:
    comes_to(ledger, Outcome(Result.RETRY, "http_503", 503), REFUSED)
    assert rebuilt(ledger, 2) == 1
    assert conversion(ledger) == ("pending", True)
    [kept] = by_hand.query(database_url, "SELECT payload, attempts FROM replaced")
    assert (b"old@" in bytes(kept["payload"]), kept["attempts"]) == (True, 2)
    assert by_hand.count(database_url, "decisions") == 2
    assert rebuilt(ledger, 2) == 0  # it is on its way


def test_a_conversion_that_was_claimed_since_it_was_looked_at_stays(ledger: SqlLedger) -> None:
    comes_to(ledger, REFUSED)
    assert (rebuilt(ledger, 7), conversion(ledger)) == (0, ("dead", False))


def test_one_attempt_in_doubt_is_enough_however_long_ago(ledger: SqlLedger) -> None:
    """A person has sent it again since, so that the conversion itself knows of no doubt any more."""
    comes_to(ledger, Outcome(Result.MAYBE_SENT, "read_timeout"), REFUSED)
    ledger.retry([KEY], NOON)
    comes_to(ledger, REFUSED)
    [story] = ledger.stories.of_call(KEY.call_sid)
    assert story.conversion is not None and (story.conversion.state, story.conversion.maybe_sent) == ("dead", False)
    assert ledger.rebuilding.may_be_rebuilt([story.conversion]) == set()
    assert (rebuilt(ledger, story.conversion.fence), conversion(ledger)) == (0, ("dead", False))


def test_nothing_that_never_got_a_4xx_is_rebuilt() -> None:
    unsent = [(Result.RETRY, None), (Result.RETRY, 503)]
    assert not nothing_can_have_counted(State.DEAD, False, unsent)
    assert nothing_can_have_counted(State.DEAD, False, [*unsent, (Result.BLOCKED, 403)])
    assert not nothing_can_have_counted(State.DEAD, False, [])


def test_what_was_held_before_anything_was_sent_is_rebuilt() -> None:
    assert nothing_can_have_counted(State.AMBIGUOUS, False, [])
    assert nothing_can_have_counted(State.AMBIGUOUS, False, [(Result.RETRY, 503)])
    assert not nothing_can_have_counted(State.AMBIGUOUS, True, [])
    assert not nothing_can_have_counted(State.AMBIGUOUS, False, [(Result.MAYBE_SENT, None)])


TRIED = st.lists(st.tuples(st.sampled_from(Result), st.sampled_from([None, 200, 400, 422, 429, 500, 504])), max_size=4)


@for_all(st.sampled_from(State), st.booleans(), TRIED)
def test_any_doubt_at_all_forbids_it(state: State, maybe_sent: bool, tried: list[tuple[Result, int | None]]) -> None:
    allowed = nothing_can_have_counted(state, maybe_sent, tried)
    rests = state in (State.DEAD, State.AMBIGUOUS)
    in_doubt = not rests or maybe_sent or any(result not in NOT_TAKEN for result, _ in tried)
    assert not (allowed and in_doubt)
    if state is State.DEAD:
        assert allowed <= (bool(tried) and str(tried[-1][1]).startswith("4"))
