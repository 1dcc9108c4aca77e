"""Whether a callback could be kept now, asked by the way that every callback takes, or as pages read. Answers in time, whatever
hangs.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTime
from datetime import datetime
from typing import Any, Protocol

from offhook.adapters.ledger.clock import LedgerClock
from offhook.adapters.ledger.tables import Tables
from offhook.adapters.ledger.waiting import Backlog
from offhook.pipeline.lookout import Unkept, log_unkept
from offhook.pipeline.ports.unavailable import LedgerUnavailable
from offhook.pipeline.reasons import OF_THE_BACKLOG, OF_THE_DATABASE
from offhook.pipeline.refusals import IntakeSums
from offhook.pipeline.repeated import EVERY_SECONDS, Repeated
from offhook.pipeline.skew import Skew
from offhook.pipeline.trouble import Trouble

log = logging.getLogger("offhook.ledger")

Facts = Mapping[str, Any]


class _Ledger(Protocol):
    """What is asked of `SqlLedger`, or of `Reading`: a narrow view of this room's own, and no port of the pipeline."""

    def look_writable(self) -> None: ...
    def backlog(self, now: datetime, worker_lost_seconds: float) -> Backlog: ...
    def intake_sums(self) -> IntakeSums: ...


class LedgerHealth:
    """`ready()` for /readyz. `migrations` says where the tables stand; those that are ahead are as good as current ones.

    `clock` knows how far this machine's is ahead of the database's, `destination` how far it is ahead of the destination's
    where this process delivers. When callbacks have waited for `not_kept_seconds` and none was folded, that is an error.
    A worker that left no sign of life for `worker_lost_seconds` is none; `backlog_seconds` is how long anything may wait,
    None for as long as it likes. `prove` finds out by a write, within so many seconds; None: nothing is written, as a page must
    not, so that what only a write finds out is not seen.
    """

    def __init__(
        self,
        ledger: _Ledger,
        *,
        migrations: Callable[[], Tables],
        clock: LedgerClock,
        answer_seconds: float,
        cache_seconds: float,
        destination: Skew | None = None,
        not_kept_seconds: float = 60.0,
        worker_lost_seconds: float = 60.0,
        backlog_seconds: float | None = None,
        log_repeat_seconds: float = EVERY_SECONDS,
        refused_before_error: int = 5,
        prove: Callable[[float], None] | None = None,
    ) -> None:
        self._ledger, self._prove = ledger, prove
        self._migrations = migrations
        self._clock = clock
        self._destination = destination
        self._unkept = Unkept(not_kept_seconds)
        self._worker_lost_seconds = worker_lost_seconds
        self._backlog_seconds = backlog_seconds
        self._answer_seconds = answer_seconds
        self._cache_seconds = cache_seconds
        self._refused_before_error = refused_before_error
        failed, unavailable = (Repeated(log, event, log_repeat_seconds) for event in ("readiness_failed", "not_ready"))
        self._trouble = Trouble(failed, unavailable)
        self._guard = threading.Lock()
        self._looking: Future[tuple[bool, Facts]] | None = None
        self._answer: tuple[bool, Facts] = (False, {})
        self._until = 0.0

    def ready(self, backlog_seconds: float | None = None) -> tuple[bool, Facts]:
        """(can keep a callback, facts) within `answer_seconds`; facts name no host, user or path.

        Not ready either when something waits for longer than `backlog_seconds`, where that is given here or at the start.
        """
        at_most = self._backlog_seconds if backlog_seconds is None else backlog_seconds
        keeps, facts = self._answered()
        return _unless_behind(facts, at_most) if keeps and at_most is not None else (keeps, facts)

    def _answered(self) -> tuple[bool, Facts]:
        with self._guard:
            if time.monotonic() < self._until:
                return self._answer
            looking = self._looking or self._begin()
        try:
            return looking.result(self._answer_seconds)
        except NotInTime:
            return _not_ready("slow")

    def _begin(self) -> Future[tuple[bool, Facts]]:
        """One look at a time, in a thread of its own: who asks can go when it takes too long. Needs the guard."""
        looking: Future[tuple[bool, Facts]] = Future()

        def look() -> None:
            answer = self._looked()
            with self._guard:  # an answer that comes late is as old as its end, whoever waits for it
                self._looking = None
                self._answer, self._until = answer, time.monotonic() + self._cache_seconds
            looking.set_result(answer)

        threading.Thread(target=look, name="readiness", daemon=True).start()
        self._looking = looking
        return looking

    def _looked(self) -> tuple[bool, Facts]:
        """A look, whatever comes of it."""
        try:
            return self._look()
        except LedgerUnavailable as error:
            self._trouble.came_to(error, word=error.word)
            return _not_ready(error.word)
        except Exception as error:
            self._trouble.came_to(error)
            return _not_ready("failing")

    def _look(self) -> tuple[bool, Facts]:
        if self._prove is not None:
            self._prove(0.8 * self._answer_seconds)
        else:
            self._ledger.look_writable()
        tables = self._migrations()
        if tables is Tables.FOREIGN:
            return _not_ready("foreign_tables", migrations=tables)
        if not tables.are_usable:
            return _not_ready("no_tables", migrations=tables)
        backlog = self._ledger.backlog(self._clock(), self._worker_lost_seconds)
        log_unkept(log, self._unkept.observe(backlog.oldest_callback, time.monotonic()))
        self._trouble.came_to(None)
        return True, {
            "status": "ready",
            "database": "writable" if self._prove is not None else "answers",
            "migrations": tables,
            **_ages(backlog),
            **self._signs_of_life(backlog),
            **self._intake(),
            **self._clocks(),
        }

    def _intake(self) -> Facts:
        """What was refused or is no callback, since the ledger was made; and in a row, when that goes on."""
        sums = self._ledger.intake_sums()
        found: dict[str, dict[str, int]] = {"refused": {}, "other": {}, "wrong_path": {}}
        for name, count in sorted(sums.counts.items()):
            what, _, which = name.partition("/")
            by_kind, kind = found.setdefault(what, {}), which.partition("/")[0]
            by_kind[kind] = by_kind.get(kind, 0) + count
        in_a_row = max((run.count for run in sums.runs), default=0)
        facts: dict[str, Any] = {
            "callbacks_refused": found["refused"],
            "callbacks_refused_in_a_row": in_a_row,
            "callbacks_of_other_kinds": found["other"],
            "callbacks_to_wrong_paths": found["wrong_path"],
        }
        if in_a_row >= self._refused_before_error:
            facts["refused_warning"] = "Twilio's callbacks are refused: the error callbacks_refused in the log says why"
        return facts

    def _signs_of_life(self, backlog: Backlog) -> Facts:
        """How many workers live; where none does, since when, and what to do."""
        if backlog.workers_alive:
            return {"workers_alive": backlog.workers_alive}
        ago, lost = backlog.worker_seen_seconds, OF_THE_BACKLOG["no_worker"]
        seen = {} if ago is None else {"worker_last_seen_seconds_ago": round(ago, 1)}
        what = lost.sentences[0].format(seconds=self._worker_lost_seconds)
        return {"workers_alive": 0, **seen, "workers": f"{what}: {lost.advice}"}

    def _clocks(self) -> Facts:
        """This machine's clock beside those that it meets."""
        ahead = {"database": (self._clock.ahead_seconds, self._clock.differs)}
        if self._destination is not None:
            ahead["destination"] = (self._destination.seconds, self._destination.exceeded)
        known = {name: (seconds, differs) for name, (seconds, differs) in ahead.items() if seconds is not None}
        facts: dict[str, Any] = {f"clock_ahead_of_{name}_seconds": round(found[0], 3) for name, found in known.items()}
        differing = [name for name, (_, differs) in known.items() if differs]
        if differing:
            facts["warning"] = (
                f"this machine's clock differs from that of the {' and the '.join(differing)}: correct it (NTP)"
            )
        return facts


def _not_ready(word: str, **facts: str) -> tuple[bool, Facts]:
    """Hosts, users and paths are in the log alone."""
    known = OF_THE_DATABASE.get(word) or OF_THE_DATABASE["failing"]
    return False, {"status": "not ready", "database": word, "what": known.sentences[0], "remedy": known.advice, **facts}


# Whose age it is -> the word for it.
_WAITS = {
    "oldest_callback_not_folded_seconds": "not_folded",
    "oldest_call_not_decided_seconds": "not_decided",
    "oldest_caller_not_looked_up_seconds": "not_looked_up",
    "oldest_conversion_due_seconds": "not_sent",
}


def _unless_behind(facts: Facts, at_most_seconds: float) -> tuple[bool, Facts]:
    """Not ready, with the reasons, where something waits for longer than that."""
    late = {word: facts[name] for name, word in _WAITS.items() if facts[name] > at_most_seconds}
    if not late:
        return True, facts
    what = " and ".join(f"{OF_THE_BACKLOG[word].sentences[0]} for {seconds:.0f} s" for word, seconds in late.items())
    why = [f"{what}, longer than {at_most_seconds:g} s", *filter(None, [facts.get("workers")])]
    words = [*late, *(["no_worker"] if "workers" in facts else [])]
    remedy = " ".join(dict.fromkeys(OF_THE_BACKLOG[word].advice for word in late))
    return False, {**facts, "status": "behind", "reasons": words, "what": "; ".join(why), "remedy": remedy}


def _ages(waiting: Backlog) -> Facts:
    return {
        "backlog_age_seconds": max(
            waiting.unfolded_age_seconds, waiting.undecided_age_seconds, waiting.undelivered_age_seconds
        ),
        "oldest_callback_not_folded_seconds": waiting.unfolded_age_seconds,
        "oldest_call_not_decided_seconds": waiting.undecided_age_seconds,
        "oldest_caller_not_looked_up_seconds": waiting.unanswered_age_seconds,
        "oldest_conversion_due_seconds": waiting.undelivered_age_seconds,
        "conversions_held_for_a_person": waiting.held_for_a_person,
        "calls_unfinished": waiting.unfinished,
        "callers_to_look_up": waiting.callers_to_look_up,
    }
