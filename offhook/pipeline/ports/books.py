"""What the one bookkeeper reads and writes: callbacks into calls, calls into decisions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from offhook.pipeline.call import Call, CallEvent, CallState
from offhook.pipeline.callback import CallKey, Direction, RawCallback
from offhook.pipeline.conversion import Decision
from offhook.pipeline.customer import Customer
from offhook.pipeline.ports.look_ups import LookUpState
from offhook.pipeline.ports.rule_texts import RuleTexts
from offhook.pipeline.unfinished import OpenCall


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision with everything that explains it. `payload` is what will be sent, only for a Convert, and `due_at` its
    place in the outbox: since when it might have left. `customer_row` is the row of the customer table's history by which
    it was decided.
    """

    call: Call
    decision: Decision
    decided_at: datetime
    due_at: datetime
    rules_version: str
    mapping_version: int
    payload: bytes | None = None
    customer_phone: str | None = None
    customer_row: int | None = None


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
    and the calls of `converted` have such a leg that was converted already.
    """

    calls: Mapping[CallKey, Sequence[RawCallback]]
    seqs: Collection[int]
    links: Mapping[CallKey, Link]
    absorbed: Collection[CallKey]
    converted: Collection[CallKey]


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
    """Some parked calls of whose callers the mapping says something else by now; `after` is where the next page begins,
    None at the end."""

    to_decide: Sequence[CallKey]
    after: str | None


@dataclass(frozen=True, slots=True)
class Answered:
    """Numbers (E.164) whose look-ups were answered, with what came of them, and parked calls of theirs, of whose callers the
    mapping says something else by now: at least one while there is any, and fewer than twice as many as were asked for."""

    numbers: Mapping[str, LookUpState]
    parked: Sequence[CallKey]


class CallBefore(NamedTuple):
    """A call as the ledger keeps it, for the decision about a later one of the same customer. Times are UTC.

    `answered`: whether a person answered, None where nobody knows.
    """

    key: CallKey
    state: CallState
    direction: Direction
    from_: str
    to: str
    duration_seconds: int | None
    first_received_at: datetime
    ended_at: datetime | None
    answered: bool | None


class Asking(NamedTuple):
    """Who is asked about: the customer's number (as `calls` keeps it), and until when callbacks count, UTC. `but` is a call
    that is not given, the one for which it is asked."""

    phone: str
    until: datetime
    but: CallKey | None = None


class KnownCalls(Protocol):
    """What is known of calls and callers: all that a decision needs. Changes nothing."""

    def calls_before(self, asking: Sequence[Asking], limit: int) -> Sequence[Sequence[CallBefore]]:
        """Of each of these, in their order, the calls of that customer of which callbacks came until then, without the one
        that is not to be given: the latest `limit`, the latest first."""

    def settled(self, keys: Collection[CallKey]) -> Settled:
        """All that is known of these calls."""

    def customers(self, phones: Collection[str]) -> tuple[Mapping[str, Customer], int]:
        """Those of the numbers that are in the mapping, by what they were asked by, and the mapping's version, which grows
        with every change. A number that several people have comes with how many."""

    def customers_as_of(self, asked: Collection[tuple[str, datetime]]) -> Mapping[tuple[str, datetime], Customer]:
        """Of each (number, time) the one person who had it then, by history; else the first who had it later."""


class Books(KnownCalls, Protocol):
    """What the one bookkeeper of the ledger reads and writes. Nobody else changes these rows, but for new callbacks.

    Reading takes no lock that intake waits for. `save` and `record` are one short transaction each, or parts of one that
    ends with the bookkeeper's turn; they raise LedgerUnavailable, and change nothing, when what they rest on was changed.
    """

    def unfolded(self, limit: int, *, newest: bool = False) -> Sequence[Stored]:
        """Callbacks that no call has taken in yet: the oldest, or the newest. In the order of their numbers."""

    def families(self, fresh: Sequence[Stored]) -> Families:
        """The calls that `fresh` belong to."""

    def save(self, families: Families, folded: Sequence[Folded]) -> None:
        """Write what calls add up to and which callbacks they took in. A call that was decided already keeps its state. Raises
        IllegalMove, and changes nothing, where CALL_MOVES says nothing of callbacks that come to a call which stands so."""

    def due(self, now: datetime, limit: int, *, newest: bool = False) -> Sequence[CallKey]:
        """Calls that are final and settled and were not decided yet: those that wait longest, or shortest."""

    def parked(self, after: str, limit: int) -> ParkedPage:
        """The parked calls of the callers after `after` ("" for the first), of at most `limit` that are looked at."""

    def parked_since(self, before: datetime, limit: int) -> Sequence[CallKey]:
        """The parked calls that were first received by then: the oldest."""

    def waited(self, keys: Collection[CallKey]) -> Collection[CallKey]:
        """Those of the calls that wait for their caller: parked ones, and ones that `let_wait` put off once."""

    def record(self, decided: Collection[Decided], event: CallEvent = CallEvent.DECIDE) -> None:
        """Journal each decision, move its call, and put its conversion into the outbox. `event` is why it was decided."""

    def unresolved(self, keys: Collection[CallKey], now: datetime) -> Mapping[CallKey, str]:
        """Those of the calls whose caller has a number that must be looked up first, with that number (E.164): nobody has
        it and it is not unknown either, or what is known of it is too old at `now`."""

    def let_wait(self, asked: Mapping[CallKey, str], now: datetime, until: datetime) -> None:
        """These calls, which are due, wait until their callers were looked up (`release`), or else until then."""

    def answered(self, limit: int, *, every: bool = False) -> Answered:
        """Numbers whose look-ups were answered, or with `every` all that wait for one, and parked calls of theirs."""

    def release(
        self, numbers: Mapping[str, LookUpState], now: datetime, settled_before: datetime, *, every: bool = False
    ) -> None:
        """The calls that wait for look-ups of these numbers (`answered`) are due, those that had their end before
        `settled_before`. A number that has another answer by now is left for the next time.

        With `every` what was to be looked up is forgotten.
        """

    def open_since(self, before: datetime, limit: int) -> Sequence[OpenCall]:
        """Calls that were first received by then, have no final status and are not called unfinished: the oldest."""

    def leave_unfinished(self, why: Mapping[CallKey, str], now: datetime, rules_version: str) -> None:
        """Journal these calls as unfinished, each with a sentence for a person. A final callback still moves them."""


class Bookkeeping(RuleTexts, Protocol):
    def books(self) -> AbstractContextManager[Books | None]:
        """The bookkeeper's turn until the end of the `with`; None while another worker has it. A killed one loses it."""
