"""The threads that look callers up: numbers are claimed, the sources asked, answers written. Outside of any transaction.

Nothing of the books waits for them: a source that is slow or gone holds up the calls of the numbers that it is asked for.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from offhook.pipeline.customer import Customer
from offhook.pipeline.look_up import (
    Answer,
    Asked,
    Found,
    Later,
    LookUpPolicy,
    NotThere,
    next_at,
)
from offhook.pipeline.ports.caller_source import CallerSource
from offhook.pipeline.ports.customers import Brought, Customers, Source
from offhook.pipeline.ports.look_ups import LookedUp, LookUps, LookUpState, Wanted
from offhook.pipeline.ports.waiting import Waiting
from offhook.pipeline.reasons import OF_LOOK_UPS, known
from offhook.pipeline.repeated import EVERY_SECONDS, Repeated
from offhook.pipeline.threads import gathered, started
from offhook.pipeline.trouble import Trouble

log = logging.getLogger("offhook.look_ups")

_GATHER_SECONDS = 0.02  # lets more answers come, so that they share a commit


class LookUpLedger(LookUps, Customers, Protocol):
    """The numbers to be looked up, and the mapping that the answers go into."""


def ask(sources: Sequence[CallerSource], phone: str) -> Asked:
    """Ask one after the other, as far as it takes."""
    return comes_to(phone, ((source.name, asked_of(source, phone)) for source in sources))


def comes_to(phone: str, answers: Iterable[tuple[str, Answer]]) -> Asked:
    """What the answers of sources, in their order, come to. Unknown is only who is unknown to every one.

    One that fails for a moment ends it: what the next one says might not be what this one would have said.
    """
    name = ""
    for name, answer in answers:
        if not isinstance(answer, NotThere):
            return Asked(phone, answer, name)
    return Asked(phone, NotThere(), name)


def asked_of(source: CallerSource, phone: str) -> Answer:
    """One source's answer. `find` does not raise; should it, nobody is unknown for that."""
    try:
        return source.find(phone)
    except Exception as error:
        log.exception("look_up_raised", extra={"source": source.name})
        return Later(f"unexpected_{type(error).__name__}")


def take_in(
    ledger: Customers,
    answers: Iterable[Asked],
    kept: Collection[str],
    now: datetime,
    policy: LookUpPolicy,
    *,
    is_released: bool = False,
) -> None:
    """Answers into the mapping, each with its source and lifetime: who was found, and that a number is nobody's any more.

    Numbers that are `kept` stay as they are. `is_released` as in Brought. Raises LedgerUnavailable; all of it may be done again.
    """
    until = now + timedelta(seconds=policy.fresh_seconds)
    for source, some in _by_source(asked for asked in answers if asked.phone not in kept).items():
        brought = Brought(Source.LOOKUP, source, fresh_until=until, is_released=is_released)
        found = [customer for asked in some if (customer := customer_of(asked))]
        if found:
            ledger.merge_customers(found, brought)
        nobodys = [asked.phone for asked in some if isinstance(asked.answer, NotThere)]
        if nobodys and (gone := ledger.find_customers(nobodys)):
            ledger.retire_customers(list(gone), brought)


def customer_of(asked: Asked) -> Customer | None:
    """As the mapping keeps it; None where the answer names nobody."""
    if not isinstance(asked.answer, Found):
        return None
    found = asked.answer
    who = (found.email, found.customer_id, found.people, found.attributes)
    return Customer(asked.phone, *who, others=found.others)


def _by_source(answers: Iterable[Asked]) -> Mapping[str, list[Asked]]:
    found: dict[str, list[Asked]] = {}
    for asked in answers:
        found.setdefault(asked.source, []).append(asked)
    return found


def looked_up(wanted: Wanted, asked: Asked, now: datetime, policy: LookUpPolicy) -> LookedUp:
    """What an answer makes of the number that was asked for."""
    match asked.answer:
        case Found(people=people) if people > 1:  # whoever cleans up there has its calls credited
            until = now + timedelta(seconds=policy.fresh_seconds)
            return LookedUp(wanted, LookUpState.UNKNOWN, until, 0, asked.source, has_several=True)
        case Found():
            until = now + timedelta(seconds=policy.fresh_seconds)
            return LookedUp(wanted, LookUpState.KNOWN, until, 0, asked.source)
        case NotThere():
            until = now + timedelta(seconds=policy.unknown_seconds)
            return LookedUp(wanted, LookUpState.UNKNOWN, until, 0, asked.source)
        case Later() as later:
            attempts = wanted.attempts + 1
            again = next_at(later, attempts, now, policy)
            return LookedUp(wanted, LookUpState.WANTED, again, attempts, asked.source, later.reason)


@dataclass(frozen=True, slots=True)
class LookUpPace:
    """How many numbers are asked for at once, how often is looked for more. Times are seconds."""

    at_once: int = 8
    poll_seconds: float = 0.2
    trouble_wait_seconds: float = 1.0
    log_repeat_seconds: float = EVERY_SECONDS


class LookingUp:
    """Asks the sources for what waits in the ledger, until it is stopped. Several may run on one ledger.

    `clock` is the ledger's time.
    """

    def __init__(
        self,
        ledger: LookUpLedger,
        sources: Sequence[CallerSource],
        policy: LookUpPolicy,
        pace: LookUpPace,
        clock: Callable[[], datetime],
    ) -> None:
        self.policy = policy
        self._ledger = ledger
        self._sources = sources
        self._pace = pace
        self._clock = clock
        self._trouble = Trouble(Repeated(log, "look_ups_failed", pace.log_repeat_seconds))
        self._unanswered = Repeated(log, "look_up_unanswered", pace.log_repeat_seconds)
        self._stopping = threading.Event()
        self._claimed: queue.SimpleQueue[Wanted | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[tuple[Wanted, Asked] | None] = queue.SimpleQueue()  # None: look for more
        self._outstanding = 0
        self._there_may_be = False
        self._threads: list[threading.Thread] = []

    def start(self, look: Callable[[bool], Waiting]) -> None:
        """Start all threads and return. `look` says what waits: for True now, else as it was a moment ago."""
        self._threads.append(started("look-ups", lambda: self._run(look)))
        self._threads += [started(f"look-up-{number}", self._ask) for number in range(self._pace.at_once)]

    def wake(self) -> None:
        """There may be something to be looked up. From any thread."""
        self._there_may_be = True
        self._answers.put(None)

    def request_stop(self) -> None:
        """Claim no more."""
        self._stopping.set()

    def stop(self, until: float) -> bool:
        """Stop, and wait for what is being asked, until then (monotonic). True when nothing was left under way.

        What was left is asked again by the next worker, when the claim is over.
        """
        self.request_stop()
        for thread in self._threads[:1]:
            thread.join(max(0.0, until - time.monotonic()))
        is_clean = not any(thread.is_alive() for thread in self._threads[:1])
        if is_clean:
            for source in self._sources:
                source.close()
        return is_clean

    def _run(self, look: Callable[[bool], Waiting]) -> None:
        unwritten: list[tuple[Wanted, Asked]] = []
        while not (self._stopping.is_set() and self._outstanding == 0 and not unwritten):
            with self._trouble.watching(self._rest):
                unwritten += gathered(self._answers, self._pace.poll_seconds, _GATHER_SECONDS)
                self._write(unwritten)
                self._claim(look)
        for _ in range(self._pace.at_once):
            self._claimed.put(None)

    def _rest(self) -> None:
        time.sleep(self._pace.trouble_wait_seconds)

    def _write(self, unwritten: list[tuple[Wanted, Asked]]) -> None:
        if not unwritten:
            return
        now = self._clock()
        answers = [asked for _, asked in unwritten]
        # Where something else has brought a number meanwhile, that stays.
        fresh = self._ledger.fresh_numbers([asked.phone for asked in answers], now)
        take_in(self._ledger, answers, fresh, now, self.policy, is_released=True)
        self._ledger.finish_look_ups([self._done(*one, fresh, now) for one in unwritten])
        self._outstanding -= len(unwritten)
        unwritten.clear()

    def _done(self, wanted: Wanted, asked: Asked, fresh: Collection[str], now: datetime) -> LookedUp:
        """A number that something else has brought meanwhile is known, whatever the source says of it."""
        if asked.phone in fresh:
            return LookedUp(wanted, LookUpState.KNOWN, now, 0, asked.source)
        return looked_up(wanted, asked, now, self.policy)

    def _claim(self, look: Callable[[bool], Waiting]) -> None:
        """As many as threads are free: whatever is claimed is asked for at once."""
        free = self._pace.at_once - self._outstanding
        if self._stopping.is_set() or free <= 0:
            return
        there_may_be, self._there_may_be = self._there_may_be, False  # from here on somebody may say that there is more
        now, due_at = self._clock(), look(there_may_be).look_up_at
        if due_at is None or due_at > now:
            return
        taken = self._ledger.claim_look_ups(now, free, self.policy.lease_seconds)
        self._outstanding += len(taken)
        for wanted in taken:
            self._claimed.put(wanted)
        if len(taken) == free:
            self._there_may_be = True

    def _ask(self) -> None:
        while (wanted := self._claimed.get()) is not None:
            asked = ask(self._sources, wanted.phone)
            self._say(asked)
            self._answers.put((wanted, asked))

    def _say(self, asked: Asked) -> None:
        """A source that fails is a line in the log, and another now and then."""
        if not isinstance(asked.answer, Later):
            self._unanswered.works()
            return
        later, found = asked.answer, known(asked.answer.reason, OF_LOOK_UPS)
        fields = {"source": asked.source, "reason": later.reason, "error": later.detail}
        remedy = {"remedy": found.advice} if found and found.advice else {}
        self._unanswered.log(logging.WARNING, f"{asked.source} {later.reason}", fields | remedy)
