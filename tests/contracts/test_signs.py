"""What `SignsOfLife` promises."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from offhook.pipeline.ports.signs import Seen, Sign
from tests.contracts.conftest import WholeLedger
from tests.fakes.callbacks import NOON

MINUTE = timedelta(minutes=1)
FIRST = Sign("w1", "host", 7, "0.1.0", "rules 1", NOON)
SECOND = replace(FIRST, worker_id="w2", pid=8, started_at=NOON - MINUTE)


def test_workers_are_seen_with_their_latest_sign_the_first_started_first(ledger: WholeLedger) -> None:
    assert list(ledger.workers.seen_since(NOON)) == []
    ledger.workers.leave_sign(FIRST, NOON)
    ledger.workers.leave_sign(SECOND, NOON)
    changed = replace(FIRST, rules_version="rules 2")
    ledger.workers.leave_sign(changed, NOON + MINUTE)
    assert list(ledger.workers.seen_since(NOON)) == [Seen(SECOND, NOON), Seen(changed, NOON + MINUTE)]
    assert list(ledger.workers.seen_since(NOON + MINUTE)) == [Seen(changed, NOON + MINUTE)]


def test_a_worker_that_has_ended_is_not_seen_and_ends_once(ledger: WholeLedger) -> None:
    ledger.workers.leave_sign(FIRST, NOON)
    ledger.workers.leave_sign(SECOND, NOON)
    for _ in range(2):
        ledger.workers.take_back_sign("w1")
    assert [one.sign for one in ledger.workers.seen_since(NOON)] == [SECOND]


def test_those_that_vanished_are_forgotten_by_their_last_sign(ledger: WholeLedger) -> None:
    ledger.workers.leave_sign(FIRST, NOON)
    ledger.workers.leave_sign(SECOND, NOON + MINUTE)
    ledger.workers.forget_signs(NOON)
    assert len(ledger.workers.seen_since(NOON)) == 2
    ledger.workers.forget_signs(NOON + MINUTE)
    assert [one.sign for one in ledger.workers.seen_since(NOON)] == [SECOND]


def test_a_hundred_are_shown_those_that_were_seen_last(ledger: WholeLedger) -> None:
    for number in range(102):
        seen_at = NOON + timedelta(seconds=number)
        ledger.workers.leave_sign(replace(FIRST, worker_id=f"w{number}", started_at=seen_at), seen_at)
    shown = [one.sign.worker_id for one in ledger.workers.seen_since(NOON)]
    assert shown == [f"w{number}" for number in range(2, 102)]
