"""Why a search finds no call: what is said then, or where it leads, is decided here."""

from __future__ import annotations

import pytest

from offhook.pipeline.customer import Customer
from offhook.pipeline.finding import Missing, why_none
from tests.fakes.callbacks import CALLER, OTHER, raw, sid
from tests.fakes.ledger import MemoryLedger

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        (sid(1), Missing.NOT_TAKEN_IN),
        (sid(2), Missing.NOT_REPORTED),
        (CALLER, Missing.A_CALL),
        ("ann@example.com", Missing.A_CALL),
        ("C-1", Missing.A_CALL),
        (OTHER, Missing.NO_NUMBER),
        ("bo@example.com", Missing.NO_EMAIL),
        ("C-2", Missing.NO_NAME),
    ],
)
def test_a_name_without_a_call_is_a_customer_or_it_is_known_what_is_missing(name: str, missing: Missing) -> None:
    ledger = MemoryLedger()
    ledger.merge_customers([Customer(CALLER, "ann@example.com", "C-1")])
    ledger.append([raw(1)])
    assert why_none(ledger.stories, ledger.find_customers, name, "US", 5) is missing
