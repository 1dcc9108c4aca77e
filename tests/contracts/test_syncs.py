"""What `Syncs` promises: a source is one worker's at a time, and its version is remembered."""

from __future__ import annotations

from datetime import timedelta

from tests.contracts.conftest import WholeLedger
from tests.fakes.callbacks import NOON

HOUR = timedelta(hours=1)


def test_a_source_is_claimed_once_until_it_is_due_again(ledger: WholeLedger) -> None:
    assert ledger.syncs.claim("crm", NOON, NOON + HOUR)
    assert not ledger.syncs.claim("crm", NOON, NOON + HOUR)
    assert ledger.syncs.claim("other", NOON, NOON + HOUR)
    assert not ledger.syncs.claim("crm", NOON + HOUR / 2, NOON + 2 * HOUR)
    assert ledger.syncs.claim("crm", NOON + HOUR, NOON + 2 * HOUR)


def test_the_version_that_was_taken_last_is_remembered_by_whoever_claims(ledger: WholeLedger) -> None:
    assert ledger.syncs.version("crm") is None
    ledger.syncs.claim("crm", NOON, NOON + HOUR)
    assert ledger.syncs.version("crm") is None
    ledger.syncs.taken("crm", 'W/"1"', NOON + HOUR)
    assert not ledger.syncs.claim("crm", NOON, NOON + HOUR)
    assert ledger.syncs.claim("crm", NOON + HOUR, NOON + 2 * HOUR)
    assert (ledger.syncs.version("crm"), ledger.syncs.version("other")) == ('W/"1"', None)
    ledger.syncs.taken("crm", None, NOON)
    assert ledger.syncs.version("crm") is None
