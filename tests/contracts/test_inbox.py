"""What `Inbox` promises."""

from __future__ import annotations

from dataclasses import replace

from tests.contracts.conftest import WholeLedger
from tests.fakes.callbacks import raw, sid


def kept(ledger: WholeLedger) -> list[str]:
    return [one.call_sid for one in ledger.stories.every_callback()]


def test_a_callback_comes_back_exactly_as_it_was_kept(ledger: WholeLedger) -> None:
    ledger.append([raw(1)])
    assert list(ledger.stories.every_callback()) == [raw(1)]


def test_what_is_kept_already_stays_as_it_is(ledger: WholeLedger) -> None:
    ledger.append([raw(1)])
    ledger.append([replace(raw(1), body=b"something else"), raw(2)])
    assert list(ledger.stories.every_callback()) == [raw(1), raw(2)]


def test_the_same_callback_twice_in_one_batch_is_kept_once(ledger: WholeLedger) -> None:
    ledger.append([raw(1), raw(1), raw(2), raw(1)])
    assert sorted(kept(ledger)) == [sid(1), sid(2)]


def test_callbacks_stay_in_the_order_in_which_they_came(ledger: WholeLedger) -> None:
    for number in (5, 1, 4, 2, 3):
        ledger.append([raw(number)])
    ledger.append([raw(1)])
    assert kept(ledger) == [sid(number) for number in (5, 1, 4, 2, 3)]


def test_nothing_to_keep_changes_nothing(ledger: WholeLedger) -> None:
    ledger.append([])
    assert kept(ledger) == []
    assert ledger.waiting().oldest_callback is None


def test_the_same_call_of_another_account_is_another_one(ledger: WholeLedger) -> None:
    other = raw(1, account="AC" + "f" * 32)
    ledger.append([raw(1)])
    ledger.append([other])
    assert list(ledger.stories.every_callback()) == [raw(1), other]
