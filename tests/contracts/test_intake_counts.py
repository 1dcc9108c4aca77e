"""What `IntakeCounts` promises."""

from __future__ import annotations

from datetime import timedelta

from offhook.pipeline.refusals import Run
from tests.contracts.conftest import WholeLedger
from tests.fakes.callbacks import ACCOUNT, NOON, raw

MINUTE = timedelta(minutes=1)
OURS = Run(ACCOUNT, 2, NOON, NOON + MINUTE)
STRANGERS = Run("", 3, NOON, NOON + MINUTE)


def test_what_is_added_adds_up(ledger: WholeLedger) -> None:
    assert (dict(ledger.intake_counts.sums().counts), list(ledger.intake_counts.sums().runs)) == ({}, [])
    ledger.intake_counts.add({"refused/signature/known": 2, "other/recording": 1}, [])
    ledger.intake_counts.add({"refused/signature/known": 3}, [])
    assert list(ledger.intake_counts.add({}, [])) == []
    assert dict(ledger.intake_counts.sums().counts) == {"refused/signature/known": 5, "other/recording": 1}


def test_parts_of_a_run_are_joined_in_whichever_order_they_come(ledger: WholeLedger) -> None:
    later = Run(ACCOUNT, 5, NOON + 2 * MINUTE, NOON + 3 * MINUTE)
    whole = Run(ACCOUNT, 7, NOON, NOON + 3 * MINUTE)
    assert list(ledger.intake_counts.add({}, [later])) == [later]
    assert list(ledger.intake_counts.add({}, [OURS, STRANGERS])) == [whole, STRANGERS]
    assert sorted(ledger.intake_counts.sums().runs, key=lambda run: run.account) == [STRANGERS, whole]


def test_a_run_is_over_with_a_callback_of_its_account_and_a_new_one_counts_from_its_own_beginning(
    ledger: WholeLedger,
) -> None:
    ledger.intake_counts.add({}, [OURS])
    ledger.append([raw(1, at=NOON + 2 * MINUTE)])
    assert list(ledger.intake_counts.sums().runs) == []
    fresh = Run(ACCOUNT, 1, NOON + 3 * MINUTE, NOON + 3 * MINUTE)
    assert list(ledger.intake_counts.add({}, [fresh])) == [fresh]
    assert list(ledger.intake_counts.sums().runs) == [fresh]


def test_what_is_added_after_its_end_is_a_run_of_none(ledger: WholeLedger) -> None:
    ledger.append([raw(1, at=NOON + 2 * MINUTE)])
    [run] = ledger.intake_counts.add({}, [OURS])
    assert (run.account, run.count) == (ACCOUNT, 0)
    assert list(ledger.intake_counts.sums().runs) == []


def test_strangers_are_over_with_anybodys_callback_and_an_account_with_its_own_alone(ledger: WholeLedger) -> None:
    ledger.intake_counts.add({}, [OURS, STRANGERS])
    ledger.append([raw(1, at=NOON + 2 * MINUTE, account="AC" + "f" * 32)])
    assert list(ledger.intake_counts.sums().runs) == [OURS]
