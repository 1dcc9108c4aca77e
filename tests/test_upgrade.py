"""A ledger of the version before goes on: whatever a call or a conversion rested in, it is there and leaves as it should."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from offhook.adapters.ledger.store import SqlLedger
from offhook.adapters.rockerbox.payload import encode
from offhook.adapters.twilio.reading import read
from offhook.pipeline.conversion import Conversion
from offhook.pipeline.customer import Customer
from offhook.pipeline.delivery import Outcome, Resend, Result, RetryPolicy
from offhook.pipeline.ends import Numbering
from offhook.pipeline.rules import Rules
from offhook.pipeline.steps import Judge, decide_batch, deliver_batch, fold_batch, review_parked_batch
from offhook.settings import given
from tests.support import ledger as by_hand

EARLIER = Path(__file__).parent / "data" / "earlier"  # made by make.py there
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
POLICY = RetryPolicy(resend=Resend.NEVER)
CALLS = {
    **dict.fromkeys(range(1, 6), "converted"),
    **dict.fromkeys((6, 7), "parked"),
    8: "skipped",
    **dict.fromkeys((9, 10), "open"),
    11: "settling",
}
CONVERSIONS = {1: "delivered", 2: "dead", 3: "ambiguous", 4: "sending", 5: "pending"}


class Rockerbox:
    """Takes whatever comes."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def encode(self, conversion: Conversion) -> bytes:
        return encode(conversion)

    def send(self, payload: bytes) -> Outcome:
        self.sent.append(payload)
        return Outcome(Result.DELIVERED, "http_200", 200)


@pytest.fixture
def ledger(empty_database_url: str) -> Iterator[SqlLedger]:
    if empty_database_url.startswith("sqlite"):
        Path(by_hand.sqlite_file(empty_database_url)).write_bytes(gzip.decompress((EARLIER / "sqlite.gz").read_bytes()))
    else:
        dump = gzip.decompress((EARLIER / "postgres.sql.gz").read_bytes()).decode()
        lines = [line for line in dump.split("\n") if not line.startswith("\\")]  # what psql alone understands
        with psycopg.connect(empty_database_url) as connection:
            connection.execute("\n".join(lines).encode())
    opened = SqlLedger(given({"DATABASE_URL": empty_database_url}).database_url)
    opened.migrations.upgrade()
    yield opened
    opened.close()


def states(url: str, table: str) -> dict[int, str]:
    rows = by_hand.query(url, f"SELECT call_sid, state FROM {table}")
    return {int(row["call_sid"][2:], 16): row["state"] for row in rows}


def test_everything_is_where_it_was(ledger: SqlLedger, empty_database_url: str) -> None:
    assert states(empty_database_url, "calls") == CALLS
    assert states(empty_database_url, "conversions") == CONVERSIONS
    assert by_hand.count(empty_database_url, "callbacks") == 12
    assert by_hand.count(empty_database_url, "callbacks", "folded = 0") == 1


def test_everything_goes_on(ledger: SqlLedger, empty_database_url: str) -> None:
    rockerbox, later = Rockerbox(), NOON + timedelta(hours=2)
    judge = Judge(Rules(), Numbering("US"), rockerbox.encode, read, settle_seconds=0)
    ledger.merge_customers(
        [Customer("+14155550143", "bo@example.com", None), Customer("+14155550144", "cy@x.yz", None)]
    )
    while fold_batch(ledger, judge, 10) + decide_batch(ledger, judge, later, 10):
        pass
    assert review_parked_batch(ledger, judge, later, 10) == 2
    while deliver_batch(ledger, rockerbox, POLICY, 60, lambda: later):
        pass
    assert states(empty_database_url, "calls") == {
        **CALLS,
        **dict.fromkeys((6, 7, 11, 12), "converted"),
    }
    assert states(empty_database_url, "conversions") == {
        **CONVERSIONS,
        4: "ambiguous",  # its worker never came back, and the policy sends nothing twice
        **dict.fromkeys((5, 6, 7, 11, 12), "delivered"),
    }
    assert len(rockerbox.sent) == 5
