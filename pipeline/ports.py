"""The Protocols that the steps need of the outside: as small as they can be, one for each part of the ledger."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from pipeline.call import Call, Callback, CallKey, RawCallback
from pipeline.conversion import Conversion, Customer, Decision
from pipeline.delivery import Next, Outcome, RetryPolicy, Sending, Turn


class LedgerUnavailable(Exception):
    """The ledger cannot store or answer now (full disk, database gone, lock held too long). Try again later.

    The text is for the log and may name hosts and paths; `word` is one plain word that may be shown to anybody.
    """

    def __init__(self, text: str, word: str = "failing") -> None:
        super().__init__(text)
        self.word = word


class Inbox(Protocol):
    """Where callbacks are kept."""

    def append(self, callbacks: Sequence[RawCallback]) -> None:
        """Keep them durably; those already kept stay as they are. Returns only after the commit is on disk.

        Raises LedgerUnavailable; then nothing may be acknowledged.
        """


class Reader(Protocol):
    """Reads a raw callback in our words; total, see `adapters/twilio/reading.py`."""

    def __call__(self, raw: RawCallback, /) -> Callback: ...


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision with everything that explains it. `payload` is what will be sent, only for a Convert."""

    call: Call
    decision: Decision
    decided_at: datetime
    rules_version: str
    mapping_version: int
    payload: bytes | None = None
    from_e164: str | None = None


class Books(Protocol):
    """One transaction of the one worker that keeps the books at a time."""

    def unfolded(self, limit: int) -> Sequence[RawCallback]:
        """The oldest callbacks that no call has taken in yet."""

    def families(self, fresh: Sequence[RawCallback]) -> Mapping[CallKey, Sequence[RawCallback]]:
        """Every callback of each call that `fresh` belongs to, child legs with their root, by the root's key."""

    def save_call(self, call: Call, settle_at: datetime | None) -> None:
        """Write what a call adds up to. A call that was decided already keeps its state."""

    def mark_folded(self, fresh: Sequence[RawCallback]) -> None: ...

    def due(self, now: datetime, limit: int) -> Sequence[CallKey]:
        """Calls that are final and settled and were not decided yet, the longest waiting first."""

    def parked_and_known(self, limit: int) -> Sequence[CallKey]:
        """Parked calls whose caller is in the mapping by now."""

    def callbacks_of(self, keys: Collection[CallKey]) -> Mapping[CallKey, Sequence[RawCallback]]:
        """Every callback of these calls, legs included."""

    def customers(self, phones: Collection[str]) -> Mapping[str, Customer]:
        """Those of the E.164 numbers that are in the mapping."""

    def mapping_version(self) -> int:
        """Grows with every change of the mapping."""

    def record(self, decided: Iterable[Decided]) -> None:
        """Journal each decision, move its call, and put its conversion into the outbox."""


class Bookkeeping(Protocol):
    def books(self) -> AbstractContextManager[Books | None]:
        """One transaction, committed at the end; None while another worker keeps the books."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at a delivery, and where the conversion goes after it."""

    sending: Sending
    outcome: Outcome
    started_at: datetime
    finished_at: datetime
    next: Next


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a claim came to: `taken` are leased to us, `held` were moved to `ambiguous`, for their day has turned."""

    taken: Sequence[Sending] = ()
    held: Sequence[Attempt] = ()


@dataclass(frozen=True, slots=True)
class Finished:
    """What became of results. `moved` went where their `next` says; `late` came when their fence was lost, and changed nothing.

    A late 2xx that delivered its conversion all the same is among the moved. `turn` says that the destination takes
    nothing from us any more, or again, with the reason.
    """

    moved: Sequence[Attempt] = ()
    late: Sequence[Attempt] = ()
    turn: tuple[Turn, str] | None = None


class Outbox(Protocol):
    """Where conversions wait for their way out. Every move is in what these return, so that it can be told."""

    def claim(self, now: datetime, limit: int, lease_seconds: float, policy: RetryPolicy) -> Claimed:
        """Lease up to `limit` due conversions, as many as the breaker allows; ours until the lease ends.

        What may have arrived and may not leave again on this day is held for a person, due or not.
        """

    def finish(self, attempts: Sequence[Attempt], now: datetime) -> Finished:
        """Journal attempts and move their conversions, those whose fence still holds.

        A late 2xx is journaled, too, and delivers a conversion that nobody is sending. To call it again with what was
        written already, since nobody knew whether the commit came through, changes nothing and tells the same.
        """

    def expire_leases(self, now: datetime, policy: RetryPolicy) -> Sequence[Attempt]:
        """Take back conversions whose worker was not heard of in time."""


class Ledger(Inbox, Bookkeeping, Outbox, Protocol):
    """All of it in one database."""


class Destination(Protocol):
    """Where conversions go."""

    def encode(self, conversion: Conversion) -> bytes:
        """The bytes that every attempt will send."""

    def send(self, payload: bytes) -> Outcome:
        """One attempt. Never raises for what the other side does."""
