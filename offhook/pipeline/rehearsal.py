"""The moves of a worker in one thread and without waiting, for tests: time is a clock that jumps to where something is due.

The same steps, the same ledger and the same destination as in earnest; only nobody sleeps.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from offhook.pipeline.delivery import RetryPolicy
from offhook.pipeline.ports.destination import Destination
from offhook.pipeline.ports.ledger import Ledger
from offhook.pipeline.steps import Judge, deliver_batch, fold_batch
from offhook.pipeline.worker import Pace, Worker

MAX_JUMPS = 100_000
_AT_LEAST = timedelta(seconds=1)


class StillMoving(Exception):
    """There is no end to it: after MAX_JUMPS something is still due."""


class JumpingClock:
    """Stands still until `jump_to` is called, and never goes back."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def jump_to(self, moment: datetime) -> None:
        self.now = max(self.now, moment)


def run_to_end(
    ledger: Ledger,
    destination: Destination,
    judge: Judge,
    policy: RetryPolicy,
    pace: Pace,
    clock: JumpingClock,
) -> None:
    """Fold, decide and deliver until nothing is left to do, retries of 72 hours included. Raises StillMoving."""
    worker = Worker(ledger, destination, judge, policy, pace, clock)
    for _ in range(MAX_JUMPS):
        while fold_batch(ledger, judge, pace.fold_batch):
            pass
        while worker.keep_books_once() + deliver_batch(ledger, destination, policy, pace.lease_seconds, clock):
            pass
        moment = ledger.waiting().next_moment
        if moment is None:
            return
        clock.jump_to(max(moment, clock.now + _AT_LEAST))
    raise StillMoving(f"after {MAX_JUMPS} jumps, at {clock.now}, something is still due")
