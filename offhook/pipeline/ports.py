"""The Protocols that the steps need of the outside: as small as they can be, one for each part of the ledger."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from offhook.pipeline.call import Call
from offhook.pipeline.callback import Callback, CallKey, RawCallback
from offhook.pipeline.conversion import Conversion, Customer, Decision
from offhook.pipeline.delivery import Next, Outcome, RetryPolicy, Sending, Turn
from offhook.pipeline.unfinished import OpenCall


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
    """A decision with everything that explains it. `payload` is what will be sent, only for a Convert, and `due_at` its
    place in the outbox: since when it might have left.
    """

    call: Call
    decision: Decision
    decided_at: datetime
    due_at: datetime
    rules_version: str
    mapping_version: int
    payload: bytes | None = None
    customer_phone: str | None = None


class Stored(NamedTuple):
    """A callback by the number of its row; numbers grow in about the order of arrival."""

    seq: int
    raw: RawCallback


class Link(NamedTuple):
    """Where a leg hangs: its parent, if it has one, and the root at the top of its family. Both are CallSids."""

    parent: str | None
    root: str


@dataclass(frozen=True, slots=True)
class Families:
    """Calls that some callbacks belong to, as they were read.

    `calls` holds every callback of each, child legs with their root, by the root's key. `seqs` are the callbacks that are
    taken in with them. `links` are the legs whose link is new; `absorbed` stood as calls of their own and are legs now,
    and the calls of `told` have such a leg that was converted already.
    """

    calls: Mapping[CallKey, Sequence[RawCallback]]
    seqs: Collection[int]
    links: Mapping[CallKey, Link]
    absorbed: Collection[CallKey]
    told: Collection[CallKey]


@dataclass(frozen=True, slots=True)
class Folded:
    """What a call adds up to, and when it may be decided: None until it is final.

    `customer_phone` is the caller's `number` (pipeline/phone.py), or None.
    """

    call: Call
    settle_at: datetime | None
    customer_phone: str | None = None


@dataclass(frozen=True, slots=True)
class Settled:
    """Every callback of some calls, legs included; `unlinked` wait to be folded and bring further legs to these calls."""

    calls: Mapping[CallKey, Sequence[RawCallback]]
    unlinked: Sequence[Stored]


@dataclass(frozen=True, slots=True)
class ParkedPage:
    """Some parked calls of which the mapping says something else by now; `after` is where the next page begins, None at
    the end."""

    known: Sequence[CallKey]
    after: str | None


class Books(Protocol):
    """What the one bookkeeper of the ledger reads and writes. Nobody else changes these rows, but for new callbacks.

    Reading takes no lock that intake waits for. `save` and `record` are one short transaction each, or parts of one that
    ends with the bookkeeper's turn; they raise LedgerUnavailable, and change nothing, when what they rest on was changed.
    """

    def unfolded(self, limit: int, *, newest: bool = False) -> Sequence[Stored]:
        """Callbacks that no call has taken in yet: the oldest, or the newest. In the order of their numbers."""

    def families(self, fresh: Sequence[Stored]) -> Families:
        """The calls that `fresh` belong to."""

    def save(self, families: Families, folded: Sequence[Folded]) -> None:
        """Write what calls add up to and which callbacks they took in. A call that was decided already keeps its state."""

    def due(self, now: datetime, limit: int, *, newest: bool = False) -> Sequence[CallKey]:
        """Calls that are final and settled and were not decided yet: those that wait longest, or shortest."""

    def parked(self, after: str, limit: int) -> ParkedPage:
        """The parked calls of the callers after `after` ("" for the first), of at most `limit` that are looked at."""

    def settled(self, keys: Collection[CallKey]) -> Settled:
        """All that is known of these calls."""

    def customers(self, phones: Collection[str]) -> tuple[Mapping[str, Customer], int]:
        """Those of the numbers that are in the mapping, by what they were asked by, and the mapping's version, which grows
        with every change. A number that several people have comes with how many."""

    def record(self, decided: Collection[Decided]) -> None:
        """Journal each decision, move its call, and put its conversion into the outbox."""

    def open_since(self, before: datetime, limit: int) -> Sequence[OpenCall]:
        """Calls that were heard of before this, have no final status and are not called unfinished: the oldest."""

    def leave_unfinished(self, why: Mapping[CallKey, str], now: datetime, rules_version: str) -> None:
        """Journal these calls as unfinished, each with a sentence for a person. A final callback still moves them."""


class Bookkeeping(Protocol):
    def books(self) -> AbstractContextManager[Books | None]:
        """The bookkeeper's turn until the end of the `with`; None while another worker has it. A killed one loses it."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits in the ledger, and until when; None where nothing does.

    `settled_at` is when the first call is settled, `due_at` when the first conversion is to leave, as soon as the breaker's
    door is open (`door_opens_at`), `leased_until` when the first lease is over. `doubtful_since` is the first attempt of a
    waiting conversion that may have arrived, `open_since` when the oldest call was first heard of that waits for its end
    and is not called unfinished; it is asked for seldom, and None otherwise.
    """

    oldest_callback: int | None = None
    oldest_received_at: datetime | None = None
    settled_at: datetime | None = None
    due_at: datetime | None = None
    door_opens_at: datetime | None = None
    leased_until: datetime | None = None
    doubtful_since: datetime | None = None
    mapping_version: int = 0
    open_since: datetime | None = None

    @property
    def leaves_at(self) -> datetime | None:
        """When the first conversion may leave."""
        if self.due_at is None or self.door_opens_at is None:
            return self.due_at
        return max(self.due_at, self.door_opens_at)

    @property
    def next_moment(self) -> datetime | None:
        """When something will be due next: a call settled, a conversion sent or its lease over."""
        moments = (self.settled_at, self.leaves_at, self.leased_until)
        return min((moment for moment in moments if moment is not None), default=None)


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

    def claim(
        self, now: datetime, limit: int, lease_seconds: float, policy: RetryPolicy, *, newest: bool = False
    ) -> Claimed:
        """Lease up to `limit` due conversions, as many as the breaker allows; ours until the lease ends. Those that have
        been due for longest, or shortest.

        What may have arrived and may not leave again on this day is held for a person, due or not.
        """

    def finish(self, attempts: Sequence[Attempt], now: datetime) -> Finished:
        """Journal attempts and move their conversions, those whose fence still holds.

        A late 2xx is journaled, too, and delivers a conversion that nobody is sending. To call it again with what was
        written already, since nobody knew whether the commit came through, changes nothing and tells the same.
        """

    def expire_leases(self, now: datetime, policy: RetryPolicy) -> Sequence[Attempt]:
        """Take back conversions whose worker was not heard of in time."""


@dataclass(frozen=True, slots=True)
class Sign:
    """A worker's sign of life: who it is, Offhook's version and that of the rules by which it decides now."""

    worker_id: str
    host: str
    pid: int
    version: str
    rules_version: str
    started_at: datetime


class SignsOfLife(Protocol):
    """Where workers say that they are alive. Each raises LedgerUnavailable."""

    def leave_sign(self, sign: Sign, now: datetime) -> None:
        """This worker is alive at `now`."""

    def take_back_sign(self, worker_id: str) -> None:
        """This worker has ended."""

    def forget_signs(self, before: datetime) -> None:
        """Remove those of workers that were seen last before then."""


class Ledger(Inbox, Bookkeeping, Outbox, Protocol):
    """All of it in one database."""


class Destination(Protocol):
    """Where conversions go."""

    def encode(self, conversion: Conversion) -> bytes:
        """The bytes that every attempt will send."""

    def send(self, payload: bytes) -> Outcome:
        """One attempt. Never raises for what the other side does."""
