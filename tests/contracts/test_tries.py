"""What `Tries` promises."""

from __future__ import annotations

from datetime import timedelta

from tests.contracts.conftest import WholeLedger
from tests.fakes.callbacks import NOON

HOUR = timedelta(hours=1)


def test_tries_are_counted_by_what_and_by_window(ledger: WholeLedger) -> None:
    assert [ledger.tries.count("a", NOON, NOON) for _ in range(3)] == [1, 2, 3]
    assert ledger.tries.count("b", NOON, NOON) == 1
    assert ledger.tries.count("a", NOON + HOUR, NOON) == 1
    assert ledger.tries.count("a", NOON, NOON) == 4


def test_what_is_forgotten_or_over_begins_anew(ledger: WholeLedger) -> None:
    ledger.tries.count("a", NOON, NOON)
    ledger.tries.count("b", NOON, NOON)
    ledger.tries.forget("a", NOON)
    assert [ledger.tries.count(one, NOON, NOON) for one in "ab"] == [1, 2]
    ledger.tries.count("c", NOON + HOUR, NOON + HOUR)
    assert ledger.tries.count("b", NOON, NOON) == 1
