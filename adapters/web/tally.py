"""Counts what is refused or is no callback, in memory, and has the sums written now and then. No request waits for it.

Whoever floods the address with forgeries costs a number in memory each: the sums have few names, none of which a sender
chooses, and are written by a thread of its own, at once after a quiet while and then at most every few seconds.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from offhook.pipeline.arrival import Explain, Explained
from offhook.pipeline.phone import mask_numbers_in
from offhook.pipeline.ports.intake_counts import IntakeCounts
from offhook.pipeline.refusals import Run, joined, other_kind_name, refused_name, wrong_path_name
from offhook.pipeline.repeated import EVERY_SECONDS, Repeated
from offhook.pipeline.trouble import Trouble

log = logging.getLogger("offhook.web")

_QUIET_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class TallyLimits:
    """See the settings of the same names. Seconds."""

    write_seconds: float = 2.0
    refused_before_error: int = 5
    error_every_seconds: float = 3600.0
    log_repeat_seconds: float = EVERY_SECONDS


@dataclass(slots=True)
class _Pending:
    """What was not written yet."""

    counts: dict[str, int] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)

    def count(self, name: str, more: int = 1) -> None:
        self.counts[name] = self.counts.get(name, 0) + more

    def refused(self, run: Run) -> None:
        self.runs[run.account] = joined(self.runs.get(run.account), run)


class Tally:
    """For all threads of a process. `source_counts` are sources of callbacks that are counted when they are stored."""

    def __init__(
        self,
        counts: IntakeCounts,
        limits: TallyLimits,
        counted_sources: AbstractSet[str] = frozenset(),
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._counts = counts
        self._limits = limits
        self._sources = counted_sources
        self._steady = steady
        self._guard = threading.Lock()
        self._pending = _Pending()
        self._latest: dict[str, tuple[str, Explain]] = {}
        self._logged_at: dict[str, float] = {}
        self._news = threading.Event()
        self._thread: threading.Thread | None = None
        self._trouble = Trouble(Repeated(log, "counts_not_written", limits.log_repeat_seconds))

    def refused(self, check: str, account: str, at: datetime, explain: Explain | None) -> None:
        """A request of which the check failed. `account` is one that we have keys of, else ""; without `explain` it is
        only counted, for it did not pretend to be Twilio's.
        """
        with self._guard:
            self._pending.count(refused_name(check, account))
            if explain is not None:
                self._pending.refused(Run(account, 1, at, at))
                self._latest[account] = (check, explain)
        self._wake()

    def stored(self, source: str) -> None:
        """A callback is kept; most are not worth a count."""
        if source in self._sources:
            self.other(source)

    def other(self, kind: str) -> None:
        """A request of Twilio's that is about something else than a call's status."""
        self._count(other_kind_name(kind))

    def wrong_path(self, status: int) -> None:
        """A request that carried a signature ended in 404 or 405."""
        self._count(wrong_path_name(status))

    def _count(self, name: str) -> None:
        with self._guard:
            self._pending.count(name)
        self._wake()

    def _wake(self) -> None:
        with suppress(RuntimeError), self._guard:  # where there can be no thread now, the next one tries again
            self._news.set()
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="tally", daemon=True)
                thread.start()
                self._thread = thread

    def _run(self) -> None:
        while self._has_news():
            self._news.clear()
            self.write()
            time.sleep(self._limits.write_seconds)

    def _has_news(self) -> bool:
        """Sleeps until something was counted. False after a long quiet while: the next count starts another thread."""
        if self._news.wait(_QUIET_SECONDS):
            return True
        with self._guard:
            if self._news.is_set():
                return True
            self._thread = None
            return False

    def write(self) -> None:
        """Write what has gathered; where the ledger does not take it, it gathers on. Says what must be said."""
        with self._guard:
            pending, self._pending = self._pending, _Pending()
        runs: Sequence[Run] = tuple(pending.runs.values())
        with self._trouble.watching(lambda: self._take_back(pending)):  # a bug must not end the counting
            runs = self._counts.add(pending.counts, runs) if pending.counts else ()
        try:
            for run in runs:
                self._log_run(run)
        except Exception as error:  # nor must one in what is said
            self._trouble.came_to(error)

    def _take_back(self, pending: _Pending) -> None:
        with self._guard:
            for name, count in pending.counts.items():
                self._pending.count(name, count)
            for run in pending.runs.values():
                self._pending.refused(run)
        self._news.set()

    def _log_run(self, run: Run) -> None:
        """An error once so many were refused and none accepted, and again while it goes on."""
        if run.count < self._limits.refused_before_error:
            return
        now = self._steady()
        if now - self._logged_at.get(run.account, float("-inf")) < self._limits.error_every_seconds:
            return
        self._logged_at[run.account] = now
        check, explain = self._latest[run.account]
        log.error("callbacks_refused", extra=_line(run, check, explain()))


def _line(run: Run, check: str, why: Explained) -> Mapping[str, object]:
    return {
        "count": run.count,
        "since": run.since.isoformat(),
        "account_sid": run.account or "none of ours",
        "check": check,
        "twilio_hashed": mask_numbers_in(
            why.hashed_url or "unknown: no address that we could think of gives its signature"
        ),
        "we_hashed": mask_numbers_in(why.compared_url),
        "what": f"so many requests in a row look like Twilio's and were refused, and none was accepted. {why.usually} "
        "(Where your calls arrive all the same, somebody forges them.)",
    }
