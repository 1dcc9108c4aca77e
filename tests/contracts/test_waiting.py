"""What `Watched` promises: what waits, and until when."""

from __future__ import annotations

from datetime import timedelta

from offhook.pipeline.delivery import Outcome, Result
from offhook.pipeline.ports.waiting import Waiting
from offhook.pipeline.steps import attempt
from tests.contracts.conftest import WholeLedger
from tests.contracts.day import MINUTE, POLICY, keep_day
from tests.fakes.callbacks import NOON, raw

HOUR = timedelta(hours=1)


def test_nothing_waits_in_an_empty_ledger(ledger: WholeLedger) -> None:
    assert ledger.waiting(with_open=True) == Waiting()


def test_what_waits_is_said_with_its_time(ledger: WholeLedger) -> None:
    keep_day(ledger)
    ledger.append([raw(5, at=NOON + 4 * MINUTE)])
    waiting = ledger.waiting()
    assert waiting.oldest_callback is not None and waiting.oldest_received_at == NOON + 4 * MINUTE
    assert (waiting.settled_at, waiting.due_at) == (None, NOON + MINUTE)
    assert (waiting.leased_until, waiting.doubtful_since, waiting.open_since) == (None, None, None)
    assert waiting.mapping_version == ledger.mapping_version()
    assert ledger.waiting(with_open=True).open_since == NOON + 3 * MINUTE
    [sending] = ledger.claim(NOON + HOUR, 10, 60, POLICY).taken
    assert ledger.waiting().leased_until == NOON + HOUR + MINUTE
    unsure = Outcome(Result.MAYBE_SENT, "reset")
    ledger.finish([attempt(sending, unsure, NOON + HOUR, NOON + HOUR, POLICY)], NOON + HOUR)
    assert (ledger.waiting().leased_until, ledger.waiting().doubtful_since) == (None, NOON + HOUR)
