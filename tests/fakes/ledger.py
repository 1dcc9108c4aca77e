"""A whole ledger in memory, for tests of the steps. It passes the same contracts as the real ones (tests/contracts)."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from offhook.pipeline.callback import RawCallback
from offhook.pipeline.delivery import BreakerPolicy, State
from offhook.pipeline.ports.books import Books
from offhook.pipeline.ports.look_ups import LookUpState
from offhook.pipeline.ports.past import RulesUsed
from offhook.pipeline.ports.waiting import Waiting
from offhook.pipeline.rules import Rules
from offhook.pipeline.rules.held import held
from tests.fakes.answered import MemoryAnswered
from tests.fakes.books import MemoryBooks
from tests.fakes.customers import MemoryCustomers
from tests.fakes.history import MemoryHistory
from tests.fakes.intake_counts import MemoryIntakeCounts
from tests.fakes.jobs import MemoryJobFiles, MemoryJobs
from tests.fakes.kept import Kept
from tests.fakes.look_ups import MemoryLookUps
from tests.fakes.outbox import MemoryOutbox
from tests.fakes.past import MemoryPast
from tests.fakes.rebuilding import MemoryRebuilding
from tests.fakes.sent import MemorySent
from tests.fakes.signs import MemorySigns
from tests.fakes.stories import MemoryStories
from tests.fakes.syncs import MemorySyncs
from tests.fakes.tallies import MemoryTallies
from tests.fakes.tokens import MemoryTokens
from tests.fakes.unknown import MemoryUnknown
from tests.fakes.users import MemoryAudit, MemoryInvites, MemorySessions, MemoryTries, MemoryUsers


class MemoryLedger:
    """For one thread, but that the bookkeeper's turn is one's alone."""

    def __init__(self, breaker_policy: BreakerPolicy | None = None, kept: Kept | None = None) -> None:
        self._kept = kept or Kept()
        self._turn = threading.Lock()
        self._outbox = MemoryOutbox(self._kept, breaker_policy or BreakerPolicy())
        self._customers = MemoryCustomers(self._kept)
        self.stories = MemoryStories(self._kept)
        self.sent = MemorySent(self._kept)
        self.tallies = MemoryTallies(self._kept)
        self.rebuilding = MemoryRebuilding(self._kept)
        self.past = MemoryPast(self._kept)
        self.history = MemoryHistory(self._kept)
        self.unknown = MemoryUnknown(self._kept)
        self.syncs = MemorySyncs(self._kept)
        self.intake_counts = MemoryIntakeCounts(self._kept)
        self.workers = MemorySigns(self._kept)
        self.tokens = MemoryTokens(self._kept)
        self.answered = MemoryAnswered(self._kept)
        self.users = MemoryUsers(self._kept)
        self.sessions = MemorySessions(self._kept)
        self.invites = MemoryInvites(self._kept)
        self.tries = MemoryTries(self._kept)
        self.audit = MemoryAudit(self._kept)
        self.jobs = MemoryJobs(self._kept)
        self.job_files = MemoryJobFiles(self._kept)
        self.news = threading.Event()
        self.claim = self._outbox.claim
        self.finish = self._outbox.finish
        self.expire_leases = self._outbox.expire_leases
        self.retry = self._outbox.retry
        self.merge_customers = self._customers.merge_customers
        self.retire_customers = self._customers.retire_customers
        self.known_phones = self._customers.known_phones
        self.find_customers = self._customers.find_customers
        self._look_ups = MemoryLookUps(self._kept)
        self.claim_look_ups = self._look_ups.claim_look_ups
        self.finish_look_ups = self._look_ups.finish_look_ups
        self.fresh_numbers = self._look_ups.fresh_numbers
        self.look_ups = self._look_ups.look_ups
        self.look_up_of = self._look_ups.look_up_of
        self.mapping_version = self._customers.mapping_version

    def append(self, callbacks: Sequence[RawCallback]) -> None:
        known = {raw.dedupe_key for raw in self._kept.callbacks.values()}
        for raw in callbacks:
            if raw.dedupe_key not in known:
                self._kept.callbacks[len(self._kept.callbacks) + 1] = raw
                known.add(raw.dedupe_key)
        self.news.set()

    def keep_rules(self, rules: Rules, now: datetime) -> None:
        text, uses = self._kept.rules.setdefault(rules.version, rules.text), self._kept.rule_uses
        if not uses or uses[-1].version != rules.version:
            uses.append(RulesUsed(len(uses) + 1, rules.version, now, text))
        self._kept.lists.setdefault(rules.version, rules.lists)
        self._kept.held.setdefault(rules.version, held(rules))

    def kept_rules(self, version: str) -> str | None:
        return self._kept.rules.get(version)

    @contextmanager
    def books(self) -> Iterator[Books | None]:
        is_ours = self._turn.acquire(blocking=False)
        try:
            yield MemoryBooks(self._kept) if is_ours else None
        finally:
            if is_ours:
                self._turn.release()

    def waiting(self, *, with_open: bool = False) -> Waiting:
        kept, conversions = self._kept, self._kept.conversions.values()
        oldest = min((seq for seq in kept.callbacks if seq not in kept.folded), default=None)
        opened = [one for one in kept.calls.values() if one.state == "open" and one.decided_at is None]
        parked = [one for one in kept.calls.values() if one.state == "parked"]
        pending = [one for one in conversions if one.state is State.PENDING]
        return Waiting(
            oldest_callback=oldest,
            oldest_received_at=kept.callbacks[oldest].received_at if oldest else None,
            settled_at=_first(one.folded.settle_at for one in kept.calls.values() if one.state == "settling"),
            due_at=_first(one.due_at for one in pending),
            door_opens_at=kept.breaker.open_until,
            leased_until=_first(one.lease_until for one in conversions if one.state is State.SENDING),
            doubtful_since=_first(one.first_attempt_at for one in pending if one.maybe_sent),
            mapping_version=kept.mapping_version,
            to_review=kept.mapping_version - kept.released_changes,
            look_up_at=_first(one.due_at for one in kept.look_ups.values() if one.state is not LookUpState.KNOWN),
            job_at=_first(one.due_at for one in kept.jobs.values()),
            has_answers=any(one.to_release for one in kept.look_ups.values()),
            open_since=_first(one.folded.call.first_received_at for one in opened) if with_open else None,
            parked_since=_first(one.folded.call.first_received_at for one in parked) if with_open else None,
        )

    def gather_statistics(self) -> None:
        """Nothing to be gathered."""

    def close(self) -> None:
        """Nothing to be closed."""


def _first(moments: Iterator[datetime | None]) -> datetime | None:
    return min((moment for moment in moments if moment is not None), default=None)
