"""The loop that makes the moves, and stops cleanly. Knows threads and time; knows no database and no destination.

Four kinds of thread: one keeps the books (fold, decide, review what is parked), one dispatches (claims conversions,
writes results), many send, and one leaves signs of life; where callers are looked up, the threads of looking_up.py besides,
and one does the long work that people ask for (job_runner.py).
Whatever is claimed and not yet sent when the worker stops is given back.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from offhook.pipeline.bookkeeper import Bookkeeper, BooksPace
from offhook.pipeline.delivery import Outcome, Result, RetryPolicy, Sending
from offhook.pipeline.delivery_log import log_finished, log_moved
from offhook.pipeline.heart import Heart
from offhook.pipeline.job_runner import JobRunner
from offhook.pipeline.looking_up import LookingUp
from offhook.pipeline.lookout import Lookout, leases_are_over, must_dispatch
from offhook.pipeline.machine import machine_time
from offhook.pipeline.ports.destination import Destination
from offhook.pipeline.ports.ledger import Ledger
from offhook.pipeline.ports.outbox import Attempt
from offhook.pipeline.ports.waiting import Waiting
from offhook.pipeline.repeated import EVERY_SECONDS, Repeated
from offhook.pipeline.rules import Rules
from offhook.pipeline.skew import DATE_RESOLUTION_SECONDS, Skew, log_change, skew_seconds
from offhook.pipeline.steps import Judge, attempt, deliver
from offhook.pipeline.threads import gathered, started
from offhook.pipeline.trouble import Trouble

log = logging.getLogger("offhook.worker")

_RESULT_WAIT_SECONDS = 0.01  # lets more results come, so that they share a commit,
_BUSY_RESULT_WAIT_SECONDS = 0.02  # and more of them while every thread has work: intake waits for each of our commits
_CLAIMED_FOR_A_THREAD = 2  # one on its way and one to come: a free thread never waits for a commit
_STOP_LOOK_SECONDS = 0.2
_BEAT_LOOK_SECONDS = 0.5  # a sign of life is due less often, but for one that says that the rules are others
_GOODBYE_SECONDS = 1.0  # at least, to take the last sign back, however late it is


@dataclass(frozen=True, slots=True)
class Pace(BooksPace):
    """How fast and how much at once, for all threads of a worker. Times are seconds."""

    threads: int = 32
    lease_seconds: float = 60.0
    deadline_seconds: float = 15.0
    stop_seconds: float = 20.0
    clock_tolerance_seconds: float = 5.0
    log_repeat_seconds: float = EVERY_SECONDS


class Worker:
    """Folds, decides and delivers until it is stopped. Several may run on one ledger."""

    def __init__(
        self,
        ledger: Ledger,
        destination: Destination,
        judge: Judge,
        policy: RetryPolicy,
        pace: Pace,
        clock: Callable[[], datetime] = machine_time,
        own_clock: Callable[[], datetime] = machine_time,
        destination_skew: Skew | None = None,
        changed_rules: Callable[[], Rules | None] = lambda: None,
        heart: Heart | None = None,
        chores: Mapping[str, Callable[[threading.Event], None]] | None = None,
        looking_up: LookingUp | None = None,
        jobs: JobRunner | None = None,
        rest: Callable[[float], None] = time.sleep,
    ) -> None:
        """`clock` is the one that leases, due times and days go by; `own_clock`, this machine's, is only compared.

        `changed_rules` is asked before each round of the books. Without a `heart` nobody learns that this worker lives.
        `chores` run beside, each in a thread of its name, until the event that it is given is set; nobody waits for them.
        With `looking_up` a call waits until its caller was looked up. What `jobs` is doing at a stop it gives back.
        `rest` lets so many seconds pass where the ledger is in trouble.
        """
        self._ledger = ledger
        self._destination = destination
        self._policy = policy
        self._pace = pace
        self._clock = clock
        self._own_clock = own_clock
        self._destination_skew = destination_skew or Skew(pace.clock_tolerance_seconds)
        unavailable = Repeated(log, "ledger_unavailable", pace.log_repeat_seconds)  # books' and dispatch's
        self._books_trouble = Trouble(Repeated(log, "books_failed", pace.log_repeat_seconds), unavailable)
        self._dispatch_trouble = Trouble(Repeated(log, "dispatch_failed", pace.log_repeat_seconds), unavailable)
        self._heart = heart
        self._chores = chores or {}
        self._looking_up = looking_up
        self._jobs = jobs
        self._rests = rest
        self._job_thread: threading.Thread | None = None
        self._is_over = threading.Event()
        self._stopping = threading.Event()
        self._stop_asked: float | None = None  # monotonic
        self._claimed: queue.SimpleQueue[tuple[Sending, datetime] | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[Attempt | None] = queue.SimpleQueue()  # None: there may be something to claim
        self._outstanding = 0
        self._may_claim = True
        self._newest_first = False
        self._answered: Waiting | None = None
        self._threads: list[threading.Thread] = []
        self._lookout = Lookout(ledger)
        self._bookkeeper = Bookkeeper(
            ledger,
            self._lookout,
            judge,
            pace,
            clock,
            decided=self._books_moved,
            trouble=self._books_trouble,
            is_busy=lambda: self._outstanding > 0,
            changed_rules=changed_rules,
            look_ups=looking_up.policy if looking_up else None,
        )

    def start(self) -> None:
        """Start all threads and return."""
        self._threads += [started("books", self._keep_books), started("dispatch", self._dispatch)]
        self._threads += [started(f"send-{number}", self._send) for number in range(self._pace.threads)]
        if self._looking_up is not None:
            self._looking_up.start(self._look)
        if self._heart is not None:
            self._threads.append(started("heart", partial(self._beat, self._heart)))
        if self._jobs is not None:
            self._job_thread = started("jobs", partial(self._jobs.run, self._stopping, self._look))
        for name, chore in self._chores.items():
            started(name, partial(chore, self._stopping))

    def request_stop(self) -> None:
        """Claim no more; safe to call from a signal handler. `stop_seconds` begin with the first call."""
        if self._stop_asked is None:
            self._stop_asked = time.monotonic()
        self._stopping.set()
        if self._looking_up is not None:
            self._looking_up.request_stop()

    def stop(self) -> bool:
        """Stop, wait for what is being sent, give back the rest. True when nothing was left under way."""
        self.request_stop()
        until = (self._stop_asked or 0.0) + self._pace.stop_seconds
        for thread in self._threads[:2]:
            thread.join(max(0.0, until - time.monotonic()))
        all_answered = self._looking_up is None or self._looking_up.stop(until)
        if self._job_thread is not None:
            self._job_thread.join(max(0.0, until - time.monotonic()))
        self._is_over.set()
        for thread in self._threads[2 + self._pace.threads :]:
            thread.join(max(_GOODBYE_SECONDS, until - time.monotonic()))
        return all_answered and not any(thread.is_alive() for thread in self._threads[:2])

    def wait(self) -> None:
        """Return once a stop was asked for. Never `Event.wait`, whose lock a signal handler in this thread would find held."""
        while not self._stopping.is_set():
            time.sleep(_STOP_LOOK_SECONDS)

    def _beat(self, heart: Heart) -> None:
        while True:
            heart.beat(self._bookkeeper.rules_version)
            if self._is_over.wait(_BEAT_LOOK_SECONDS):
                heart.stop()
                return

    # The books

    def _keep_books(self) -> None:
        with self._books_trouble.watching(doing="books"):  # it only makes the database quicker
            self._ledger.gather_statistics()
        self._bookkeeper.run(self._stopping, self._ledger.news)

    def keep_books_once(self) -> int:
        """One round of folding, deciding and reviewing. Returns how much was done; 0 when there is nothing to do."""
        return self._bookkeeper.keep_once()

    def _books_moved(self) -> None:
        """Something was decided, or waits for a look-up."""
        self._wake_dispatch()
        if self._looking_up is not None:
            self._looking_up.wake()

    def _look(self, at_once: bool = False) -> Waiting:
        """What waits, as it was a moment ago unless `at_once`: one question for all threads."""
        return self._lookout.look(0.0 if at_once else 2 * max(self._pace.poll_seconds, self._pace.idle_seconds))

    def _wake_dispatch(self) -> None:
        self._may_claim = True
        self._done.put(None)

    # Deliveries

    def _dispatch(self) -> None:
        unwritten: list[Attempt] = []
        while not (self._stopping.is_set() and self._outstanding == 0 and not unwritten):
            if self._stopping.is_set():
                self._give_back()
            with self._dispatch_trouble.watching(self._rest, doing="dispatch"):
                unwritten += self._results()
                self._write(unwritten)
                self._claim()
        for _ in range(self._pace.threads):
            self._claimed.put(None)

    def _rest(self) -> None:
        self._rests(self._pace.trouble_wait_seconds)

    def _results(self) -> list[Attempt]:
        first = self._pace.poll_seconds if self._is_full() else self._idle_wait()
        return gathered(self._done, first, self._result_wait())

    def _idle_wait(self) -> float:
        return self._pace.poll_seconds if self._outstanding == 0 else min(0.02, self._pace.poll_seconds)

    def _result_wait(self) -> float:
        return _BUSY_RESULT_WAIT_SECONDS if self._outstanding > self._pace.threads else _RESULT_WAIT_SECONDS

    def _is_full(self) -> bool:
        return self._outstanding >= self._most_claimed()

    def _most_claimed(self) -> int:
        return _CLAIMED_FOR_A_THREAD * self._pace.threads

    def _write(self, unwritten: list[Attempt]) -> None:
        if not unwritten:
            return
        finished = self._ledger.finish(unwritten, self._clock())
        self._outstanding -= len(unwritten)
        unwritten.clear()
        log_finished(finished)

    def _claim(self) -> None:
        """As many as the threads can take, and what they take next."""
        if self._stopping.is_set():
            return
        waiting, now = self._look(), self._clock()
        is_news = waiting is not self._answered
        if is_news and leases_are_over(waiting, now):
            log_moved(self._ledger.expire_leases(now, self._policy))
            self._may_claim = True
        free = self._most_claimed() - self._outstanding
        if free > 0 and (self._may_claim or (is_news and must_dispatch(waiting, now, self._policy))):
            self._answered = waiting
            self._may_claim = False  # from here on somebody may say that there is more
            if self._claimed_of(now, free) == free:
                self._may_claim = True

    def _claimed_of(self, now: datetime, free: int) -> int:
        """Claim up to `free`, and hand them to the threads. Returns how many there were."""
        newest, self._newest_first = self._newest_first, not self._newest_first  # a call of now is not behind a backlog
        claimed = self._ledger.claim(now, free, self._pace.lease_seconds, self._policy, newest=newest)
        for sending in claimed.taken:
            self._outstanding += 1
            self._claimed.put((sending, now + timedelta(seconds=self._pace.lease_seconds)))
        log_moved(claimed.held)
        return len(claimed.taken)

    def _give_back(self) -> None:
        """Claimed and not sent: the next worker may have it at once."""
        while True:
            try:
                item = self._claimed.get_nowait()
            except queue.Empty:
                return
            if item is not None:
                self._release(item[0], "stopped")

    def _release(self, sending: Sending, reason: str) -> None:
        now = self._clock()
        self._done.put(attempt(sending, Outcome(Result.RELEASED, reason), now, now, self._policy))

    def _send(self) -> None:
        while (item := self._claimed.get()) is not None:
            sending, lease_ends = item
            if self._stopping.is_set():
                self._release(sending, "stopped")
            elif self._clock() + timedelta(seconds=self._pace.deadline_seconds) > lease_ends:
                self._release(sending, "lease_too_short")
            else:
                self._done.put(self._deliver(sending))

    def _deliver(self, sending: Sending) -> Attempt:
        asked_at = self._own_clock()
        try:
            made = deliver(sending, self._destination, self._policy, self._clock)
            self._compare_clocks(asked_at, made.outcome.answered_at)
            return made
        except Exception as error:  # `send` does not raise; should it, the request may have left all the same
            log.exception("send_failed", extra={"call_sid": sending.key.call_sid})
            now = self._clock()
            outcome = Outcome(Result.MAYBE_SENT, f"unexpected_{type(error).__name__}")
            return attempt(sending, outcome, now, now, self._policy)

    def _compare_clocks(self, asked_at: datetime, theirs: datetime | None) -> None:
        """Ours with the destination's, whenever its answer carries the time."""
        if theirs is None:
            return
        observed = skew_seconds(asked_at, self._own_clock(), theirs, DATE_RESOLUTION_SECONDS)
        log_change(log, self._destination_skew.observe(observed), self._destination_skew, "destination")
