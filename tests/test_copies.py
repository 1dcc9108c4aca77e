"""Attempts are counted and journaled, whatever became of them; a second copy leaves on another day only where the policy allows it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from offhook.adapters.ledger.store import SqlLedger
from offhook.pipeline.customer import Customer
from offhook.pipeline.delivery import BreakerPolicy, Outcome, Resend, Result
from offhook.pipeline.steps import attempt, decide_batch, deliver_batch, fold_batch
from offhook.settings import given
from tests.support.ledger import count
from tests.test_ledger import ACCOUNT, BUSY, CALLER, DELIVERED, JUDGE, NOON, POLICY, Answering, fill, final


@pytest.fixture
def ledger(database_url: str) -> Iterator[SqlLedger]:
    opened = SqlLedger(given({"DATABASE_URL": database_url}).database_url, breaker_policy=BreakerPolicy(threshold=99))
    opened.merge_customers([Customer(CALLER, "a@example.test", None)])
    yield opened
    opened.close()


def test_each_attempt_is_counted_and_numbered_in_the_journal(ledger: SqlLedger) -> None:
    """Or the waits would not grow, and the story of a call would show one attempt again and again."""
    fill(ledger, 1)
    counted = []
    for minutes in (0, 10, 20):
        now = NOON + timedelta(minutes=minutes)
        [sending] = ledger.claim(now, 1, 60, POLICY).taken
        counted.append(sending.attempts)
        ledger.finish([attempt(sending, BUSY, now, now, POLICY)], now)
    [story] = ledger.stories.of_call(final(0).call_sid)
    assert story.conversion is not None
    assert (counted, story.conversion.attempts) == ([1, 2, 3], 3)
    assert [(one.number, one.result) for one in story.attempts] == [
        (1, "retry"),
        (2, "retry"),
        (3, "retry"),
    ]


def test_calls_of_two_accounts_with_one_call_sid_are_claimed_and_moved_each_for_itself(ledger: SqlLedger) -> None:
    other_account = "AC00000000000000000000000000000002"
    ledger.append([final(0), final(0, other_account)])
    fold_batch(ledger, JUDGE, 2)
    assert decide_batch(ledger, JUDGE, NOON, 2) == 2
    [one] = ledger.claim(NOON, 1, 60, POLICY).taken
    [other] = ledger.claim(NOON, 2, 60, POLICY).taken
    assert {one.key.account_sid, other.key.account_sid} == {ACCOUNT, other_account}
    ledger.finish([attempt(one, DELIVERED, NOON, NOON, POLICY)], NOON)
    assert ledger.stories.conversion_counts() == {"delivered": 1, "sending": 1}


def test_an_expired_lease_is_an_attempt_in_the_journal_and_counted_on_the_conversion(
    ledger: SqlLedger, database_url: str
) -> None:
    fill(ledger, 1)
    now = NOON
    for _ in range(3):
        assert len(ledger.claim(now, 1, 60, POLICY).taken) == 1
        now += timedelta(seconds=61)
        [expired] = ledger.expire_leases(now, POLICY)
        now += timedelta(seconds=10)
    [story] = ledger.stories.of_call(final(0).call_sid)
    assert story.conversion is not None
    assert (expired.next.state, story.conversion.state) == ("quarantined", "quarantined")
    assert count(database_url, "conversions", "expired_leases = 3") == 1
    assert [(one.number, one.result, one.reason, one.next_state) for one in story.attempts] == [
        (1, "lease_expired", "lease_expired", "pending"),
        (2, "lease_expired", "lease_expired", "pending"),
        (3, "lease_expired", "lease_expired", "quarantined"),
    ]


@pytest.mark.parametrize("expires", [False, True])
@pytest.mark.parametrize(("resend", "sent"), [(Resend.SAME_DAY, 1), (Resend.NEVER, 1), (Resend.ALWAYS, 2)])
def test_a_second_copy_leaves_on_another_day_only_where_the_policy_allows_it(
    ledger: SqlLedger, resend: Resend, sent: int, expires: bool
) -> None:
    """Its first one may have arrived; counted is what leaves for the destination, by every way that a worker goes."""
    policy = replace(POLICY, resend=resend)
    fill(ledger, 1)
    destination = Answering(Outcome(Result.MAYBE_SENT, "read_timeout"))
    evening = NOON + timedelta(hours=11, minutes=30)
    if expires:  # the worker was killed: nobody wrote down what became of what it sent
        [sending] = ledger.claim(evening, 1, 60, policy).taken
        destination.send(sending.payload)
    else:
        assert deliver_batch(ledger, destination, policy, 60, lambda: evening) == 1
    destination.outcome = DELIVERED
    for minutes in range(0, 90, 5):
        later = NOON + timedelta(hours=12, minutes=minutes)
        deliver_batch(ledger, destination, policy, 60, lambda: later)  # noqa: B023 (asked at once)
    assert destination.asked == sent
    assert ledger.stories.conversion_counts() == {"ambiguous" if sent == 1 else "delivered": 1}


def test_the_day_of_what_may_have_arrived_turns_in_the_account_s_zone(ledger: SqlLedger) -> None:
    """At midnight UTC it is eight in the evening in New York: nothing is held there before four in the morning."""
    policy = replace(POLICY, day_zone=ZoneInfo("America/New_York"))
    fill(ledger, 1)
    [claimed] = ledger.claim(NOON, 1, 60, policy).taken
    unsure = Outcome(Result.MAYBE_SENT, "http_502", 502, retry_after_seconds=48 * 3600)
    patient = replace(policy, retry_after_cap_seconds=48 * 3600)
    ledger.finish([attempt(claimed, unsure, NOON, NOON, patient)], NOON)
    assert not ledger.claim(NOON + timedelta(hours=13), 1, 60, policy).held
    turned = NOON + timedelta(hours=16)
    assert not ledger.claim(turned - timedelta(seconds=policy.margin_seconds + 1), 1, 60, policy).held
    assert len(ledger.claim(turned, 1, 60, policy).held) == 1
