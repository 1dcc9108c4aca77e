"""Makes the ledgers beside it with the code of the version that they are of; nothing of it runs in a test.

    git worktree add /tmp/earlier 2f0a0a8
    PYTHONPATH=/tmp/earlier python tests/data/earlier/make.py sqlite:////tmp/ledger.db
    PYTHONPATH=/tmp/earlier python tests/data/earlier/make.py postgresql://...        # then pg_dump --no-owner

One call in each state that a call or a conversion can rest in.
"""

import sys
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from adapters.ledger.store import SqlLedger
from adapters.rockerbox.payload import encode
from adapters.twilio.reading import read, read_request
from pipeline.conversion import Customer, Numbering
from pipeline.delivery import Outcome, Resend, Result, RetryPolicy
from pipeline.rules import Rules
from pipeline.steps import Judge, attempt, decide_batch, fold_batch, leave_unfinished_batch
from settings import given

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
ACCOUNT, ANN, SHARED, NOBODY = "AC00000000000000000000000000000001", "+14155550142", "+14155550143", "+14155550144"
POLICY = RetryPolicy(resend=Resend.NEVER)
OUTCOMES = {
    1: Outcome(Result.DELIVERED, "http_200", 200),
    2: Outcome(Result.REFUSED, "http_400", 400),
    3: Outcome(Result.MAYBE_SENT, "read_timeout"),
    5: Outcome(Result.RETRY, "http_503", 503),  # 4 is claimed, and nobody comes back
}


class Destination:
    encode = staticmethod(encode)


JUDGE = Judge(Rules(), Numbering("US"), Destination(), read, settle_seconds=0)


def sid(number: int) -> str:
    return f"CA{number:032x}"


def receive(ledger: SqlLedger, number: int, caller: str, status: str, at: datetime, **more: str) -> None:
    fields = {"CallSid": sid(number), "AccountSid": ACCOUNT, "From": caller, "To": "+14155550100", "CallStatus": status}
    body = urlencode(fields | {"Direction": "inbound", "CallDuration": "63"} | more).encode()
    form = "application/x-www-form-urlencoded"
    ledger.append(read_request("POST", "/twilio/status", form, {}, body, at, ACCOUNT))


def keep_books(ledger: SqlLedger, judge: Judge, now: datetime) -> None:
    while fold_batch(ledger, judge, 10) + decide_batch(ledger, judge, now, 10):
        pass


def main(url: str) -> None:
    ledger = SqlLedger(given({"DATABASE_URL": url}).database_url)
    ledger.migrations.upgrade()
    ledger.merge_customers([Customer(ANN, "ann@example.com", "1"), Customer(SHARED, None, None, people=2)])
    for number in range(1, 6):
        receive(ledger, number, ANN, "completed", NOON + timedelta(seconds=number))
        keep_books(ledger, JUDGE, NOON + timedelta(seconds=number))
        now = NOON + timedelta(minutes=number)
        for sending in ledger.claim(now, 1, 60, POLICY, newest=True).taken:
            if number in OUTCOMES:
                ledger.finish([attempt(sending, OUTCOMES[number], now, now, POLICY)], now)
    receive(ledger, 6, NOBODY, "completed", NOON)
    receive(ledger, 7, SHARED, "completed", NOON)
    receive(ledger, 8, ANN, "busy", NOON)
    receive(ledger, 9, ANN, "ringing", NOON - timedelta(hours=30))  # unfinished
    receive(ledger, 10, ANN, "ringing", NOON)  # open
    keep_books(ledger, JUDGE, NOON + timedelta(minutes=10))
    leave_unfinished_batch(ledger, JUDGE, NOON, 24 * 3600, 10)
    receive(ledger, 11, ANN, "completed", NOON + timedelta(minutes=10))  # settling
    fold_batch(ledger, Judge(Rules(), Numbering("US"), Destination(), read, settle_seconds=3600), 10)
    receive(ledger, 12, ANN, "completed", NOON + timedelta(minutes=11))  # nobody has looked at it
    ledger.close()


main(sys.argv[1])
