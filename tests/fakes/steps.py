"""The steps over any ledger, with readers and bytes that need no vendor."""

from __future__ import annotations

from datetime import datetime

from offhook.pipeline.ends import Numbering
from offhook.pipeline.ports.books import Bookkeeping
from offhook.pipeline.rules import Rules
from offhook.pipeline.steps import Judge, decide_batch, fold_batch
from tests.fakes.callbacks import read
from tests.fakes.destination import encode

JUDGE = Judge(Rules(), Numbering("US"), encode, read, settle_seconds=0)


def fold(ledger: Bookkeeping) -> int:
    """Everything that waits. Returns how many callbacks."""
    folded = 0
    while batch := fold_batch(ledger, JUDGE, 100):
        folded += batch
    return folded


def decide(ledger: Bookkeeping, now: datetime) -> int:
    """Everything that is settled. Returns how many calls."""
    decided = 0
    while batch := decide_batch(ledger, JUDGE, now, 100):
        decided += batch
    return decided
