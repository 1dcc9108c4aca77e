"""What `UnknownCallers` promises: whose calls wait, how many, and since when."""

from __future__ import annotations

from offhook.pipeline.conversion import Customer
from offhook.pipeline.ports.unknown import UnknownCaller
from tests.contracts.conftest import WholeLedger
from tests.contracts.day import MINUTE
from tests.fakes import steps
from tests.fakes.callbacks import CALLER, NOON, OTHER, raw

THIRD = "+14155550177"
HOUR = 60 * MINUTE


def keep_calls(ledger: WholeLedger) -> None:
    """Two of OTHER, two of THIRD, which called last, and one of the caller whom we know."""
    ledger.merge_customers([Customer(CALLER, "ann@example.com", None)])
    ledger.append([raw(1), raw(2, caller=OTHER), raw(3, caller=OTHER, at=NOON + MINUTE)])
    ledger.append([raw(4, caller=THIRD, at=NOON + 2 * MINUTE), raw(5, caller=THIRD, at=NOON + 3 * MINUTE)])
    steps.fold(ledger)
    assert steps.decide(ledger, NOON + HOUR) == 5


OF_OTHER = UnknownCaller(OTHER, 2, NOON, NOON + MINUTE)
OF_THIRD = UnknownCaller(THIRD, 2, NOON + 2 * MINUTE, NOON + 3 * MINUTE)


def test_whoever_is_not_known_is_listed_with_the_calls_that_wait(ledger: WholeLedger) -> None:
    assert list(ledger.unknown.callers("", 10)) == []
    keep_calls(ledger)
    every = sorted([OF_OTHER, OF_THIRD], key=lambda one: one.phone)
    assert list(ledger.unknown.callers("", 10)) == every
    assert list(ledger.unknown.callers("", 1)) == every[:1]
    assert list(ledger.unknown.callers(every[0].phone, 1)) == every[1:]


def test_whoever_called_most_often_comes_first_and_then_whoever_called_last(ledger: WholeLedger) -> None:
    keep_calls(ledger)
    assert list(ledger.unknown.most_frequent(10)) == [OF_THIRD, OF_OTHER]
    ledger.append([raw(6, caller=OTHER, at=NOON + 4 * MINUTE)])
    steps.fold(ledger)
    steps.decide(ledger, NOON + HOUR)
    assert list(ledger.unknown.most_frequent(1)) == [UnknownCaller(OTHER, 3, NOON, NOON + 4 * MINUTE)]
