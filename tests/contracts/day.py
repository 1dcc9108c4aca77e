"""A few calls of one day, as far as they have come: what the contracts of reading look at."""

from __future__ import annotations

from datetime import timedelta

from offhook.pipeline.customer import Customer
from offhook.pipeline.delivery import Outcome, Result, RetryPolicy
from offhook.pipeline.steps import attempt
from tests.contracts.conftest import WholeLedger
from tests.fakes import steps
from tests.fakes.callbacks import CALLER, NOON, OTHER, raw

POLICY = RetryPolicy()
MINUTE = timedelta(minutes=1)


def keep_day(ledger: WholeLedger) -> None:
    """Of the caller we know: 1 with its leg 11, and 2 a minute later, refused; 3 of somebody unknown; 4 still rings."""
    ledger.merge_customers([Customer(CALLER, "ann@example.com", None)])
    ledger.append([raw(1)])
    ledger.append([raw(11, parent=1)])
    ledger.append([raw(2, at=NOON + MINUTE)])
    ledger.append([raw(3, caller=OTHER, at=NOON + 2 * MINUTE)])
    ledger.append([raw(4, "ringing", at=NOON + 3 * MINUTE)])
    steps.fold(ledger)
    assert steps.decide(ledger, NOON + 10 * MINUTE) == 3
    [first] = ledger.claim(NOON + 10 * MINUTE, 1, 60, POLICY).taken
    refused = Outcome(Result.REFUSED, "http_400", 400, "no")
    ledger.finish([attempt(first, refused, NOON + 10 * MINUTE, NOON + 11 * MINUTE, POLICY)], NOON + 11 * MINUTE)
