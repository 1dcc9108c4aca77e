"""The thread that keeps the books: folds, decides, reviews what is parked or open, and sleeps while there is nothing to do.

While much waits, the newest and the oldest take turns, so that a call that comes in now is not behind all the others and
none waits for ever. What it computes is computed in the same interpreter as the deliveries, so while some are under way
it rests as long as it worked.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from offhook.pipeline.look_up import LookUpPolicy
from offhook.pipeline.lookout import Lookout, Unkept, log_unkept, must_decide, must_fold
from offhook.pipeline.ports.books import Bookkeeping
from offhook.pipeline.ports.ledger import News
from offhook.pipeline.ports.waiting import Waiting
from offhook.pipeline.repeated import Repeated
from offhook.pipeline.rules import Rules
from offhook.pipeline.seldom import in_time
from offhook.pipeline.steps import (
    Judge,
    ParkedReview,
    decide_batch,
    fold_batch,
    give_up_batch,
    leave_unfinished_batch,
    release_batch,
    review_parked_batch,
)
from offhook.pipeline.trouble import Trouble
from offhook.pipeline.unfinished import UnfinishedLook

log = logging.getLogger("offhook.worker")

_GATHER_SECONDS = 0.1
_SLICE_SECONDS = 0.2  # how late a stop may be noticed
_SLOWER = 1.5  # each idle look comes so much later than the one before, up to the longest pause


@dataclass(frozen=True, slots=True)
class BooksPace:
    """How much at once, how often it looks. Times are seconds."""

    fold_batch: int = 200
    decide_batch: int = 200
    poll_seconds: float = 0.2
    idle_seconds: float = 0.6
    trouble_wait_seconds: float = 1.0
    not_kept_seconds: float = 60.0
    unfinished_seconds: float = 86400.0
    unknown_seconds: float = 14 * 86400.0


class Bookkeeper:
    """Keeps the books in rounds. `decided` is called after a round that decided something, `trouble` sees what each came to,
    `is_busy` says whether deliveries are under way, `clock` is the ledger's time and `steady` counts seconds. With
    `look_ups` a call waits until its caller was looked up, which others do (looking_up.py).
    """

    def __init__(
        self,
        ledger: Bookkeeping,
        lookout: Lookout,
        judge: Judge,
        pace: BooksPace,
        clock: Callable[[], datetime],
        *,
        decided: Callable[[], None] = lambda: None,
        trouble: Trouble | None = None,
        is_busy: Callable[[], bool] = lambda: False,
        steady: Callable[[], float] = time.monotonic,
        changed_rules: Callable[[], Rules | None] = lambda: None,
        look_ups: LookUpPolicy | None = None,
    ) -> None:
        self._ledger = ledger
        self._lookout = lookout
        self._judge = judge
        self._pace = pace
        self._clock = clock
        self._decided = decided
        self._trouble = trouble or Trouble(Repeated(log, "books_failed"))
        self._is_busy = is_busy
        self._steady = steady
        self._changed_rules = changed_rules
        self._look_ups = look_ups
        self._unkept = Unkept(pace.not_kept_seconds)
        self._unfinished = UnfinishedLook(pace.unfinished_seconds)
        self._unknown = in_time(pace.unknown_seconds)
        self._newest_first = False
        self._kept_rules = ""
        self._review: ParkedReview | None = None
        self._review_version = -1
        self._seen_mapping: int | None = None
        self._pause = pace.poll_seconds

    def run(self, stopping: threading.Event, news: News) -> None:
        """Until `stopping`."""
        while not stopping.is_set():
            news.clear()
            began = time.thread_time()
            worked = self._tried(stopping)
            if worked:
                self._pause = self._pace.poll_seconds
                stopping.wait(self._rest(worked, time.thread_time() - began))
            else:
                self._sleep(stopping, news)

    def _rest(self, worked: int, took_seconds: float) -> float:
        """After a round that did something. A small one is followed by another only when more may have gathered: each has
        its price, however little it does, and intake pays for it.
        """
        gather = min(_GATHER_SECONDS, self._pace.poll_seconds) if worked < self._pace.fold_batch else 0.0
        return max(gather, took_seconds if self._is_busy() else 0.0)

    def _tried(self, stopping: threading.Event) -> int:
        """A round, whatever comes of it."""
        with self._trouble.watching(lambda: stopping.wait(self._pace.trouble_wait_seconds), doing="books"):
            return self.keep_once()
        return 0

    def _sleep(self, stopping: threading.Event, news: News) -> None:
        """Longer each time that there is nothing to do, until there is news or something is due."""
        longest = max(self._pace.poll_seconds, self._pace.idle_seconds)
        until = self._steady() + self._pause
        self._pause = min(longest, self._pause * _SLOWER)
        while not stopping.is_set() and (left := until - self._steady()) > 0:
            if news.wait(min(left, _SLICE_SECONDS)):
                return

    def keep_once(self) -> int:
        """One round of folding, deciding and reviewing. Returns how much was done; 0 when there is nothing to do."""
        if (rules := self._changed_rules()) is not None:
            self._judge = replace(self._judge, rules=rules)
        self._keep_rules()
        seldom = self._unfinished.is_due(self._steady()) or self._unknown.is_due(self._steady())
        waiting = self._lookout.look(with_open=seldom)
        self._log_when_unkept(waiting.oldest_callback)
        now, newest = self._clock(), self._newest_first
        self._newest_first = not newest
        folded = self._fold(newest) if must_fold(waiting) else 0
        released = self._release(waiting, now)
        decided = self._decide(now, newest, folded) if folded or released or must_decide(waiting, now) else 0
        decided += self._review_parked(waiting.to_review, now)
        decided += self._give_up(waiting, now) if seldom else 0
        if decided:
            self._decided()
        return folded + released + decided + self._leave_unfinished(waiting, now)

    def _keep_rules(self) -> None:
        """A decision is traced to the text of its rules years later, so that is kept before the first one."""
        if self._kept_rules != self._judge.rules.version:
            self._ledger.keep_rules(self._judge.rules, self._clock())
            self._kept_rules = self._judge.rules.version

    @property
    def rules_version(self) -> str:
        """That of the rules by which it decides now."""
        return self._judge.rules.version

    def _log_when_unkept(self, oldest: int | None) -> None:
        log_unkept(log, self._unkept.observe(oldest, self._steady()))

    def _fold(self, newest: bool) -> int:
        return fold_batch(self._ledger, self._judge, self._pace.fold_batch, newest=newest)

    def _decide(self, now: datetime, newest: bool, folded: int) -> int:
        """As many as may have been folded, so that what is settled never piles up."""
        decided = 0
        for _ in range(1 + folded // self._pace.decide_batch):
            limit = self._pace.decide_batch
            batch = decide_batch(self._ledger, self._judge, now, limit, newest=newest, look_ups=self._look_ups)
            decided += batch
            if batch == 0:
                break
        return decided

    def _release(self, waiting: Waiting, now: datetime) -> int:
        """Calls whose callers were looked up; and all that wait, where nobody looks up any more."""
        is_over = self._look_ups is None and waiting.look_up_at is not None
        if not (is_over or waiting.has_answers):
            return 0
        return release_batch(self._ledger, self._judge, now, self._pace.decide_batch, every=self._look_ups is None)

    def _review_parked(self, version: int, now: datetime) -> int:
        """Parked calls are looked at when the mapping has changed since we looked last (and once after a start)."""
        if self._review is None:
            if version == self._seen_mapping:
                return 0
            self._review, self._review_version = ParkedReview(), version
        before, walk = self._review.after, self._review
        reviewed = review_parked_batch(self._ledger, self._judge, now, self._pace.decide_batch, walk)
        if walk.after is None and reviewed == 0:
            self._seen_mapping, self._review = self._review_version, None
            return 0
        return max(reviewed, int(walk.after != before))

    def _give_up(self, waiting: Waiting, now: datetime) -> int:
        """Once in a while those calls are skipped whose caller is unknown for too long."""
        if not self._unknown.is_due(self._steady()):
            return 0
        found, seconds = 0, self._pace.unknown_seconds
        if waiting.parked_since is not None and waiting.parked_since <= now - timedelta(seconds=seconds):
            found = give_up_batch(self._ledger, self._judge, now, seconds, self._pace.decide_batch)
        if not found:
            self._unknown.is_done(self._steady())
        return found

    def _leave_unfinished(self, waiting: Waiting, now: datetime) -> int:
        """Once in a while the open calls are looked at whose end is overdue."""
        before = now - timedelta(seconds=self._pace.unfinished_seconds)
        if not self._unfinished.is_due(self._steady()):  # then nobody has asked for them either
            return 0
        if waiting.oldest_received_at is not None and waiting.oldest_received_at <= before:
            return 0  # their ends may be among what waits to be folded
        found = 0
        if waiting.open_since is not None and waiting.open_since <= before:
            limit = self._pace.decide_batch
            left = leave_unfinished_batch(self._ledger, self._judge, now, self._pace.unfinished_seconds, limit)
            self._unfinished.found(left)
            found = len(left)
        if found < self._pace.decide_batch:
            self._unfinished.is_over(self._steady(), log)
        return found
