"""What is shown of calls afterwards: typed read models, the same for a terminal, a page and a test. Decides nothing.

Words of the ledger (states, results) stay as they were written: a newer version may have written more of them than we know.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

from offhook.pipeline.call import CallState
from offhook.pipeline.callback import CallKey, RawCallback
from offhook.pipeline.conversion import Reason
from offhook.pipeline.delivery import State
from offhook.pipeline.rules.trace import RuleTrace

COUNTED_UP_TO = 10_000
"""Nobody reads more of a number; to count on would take longer with every call."""
LOOKED_AT = 400
"""Calls that are looked at for one question where few of them are wanted: no question takes long, and whoever asks goes on."""


class Verdict(StrEnum):
    """What became of a call, in one word: why it is in Rockerbox, or is not."""

    DELIVERED = "delivered"
    ON_ITS_WAY = "on_its_way"
    HELD = "held"  # it may have arrived, or stops the workers: a person has to look
    REFUSED = "refused"  # Rockerbox refused it, or it could not be delivered in time
    UNKNOWN_CALLER = "unknown_caller"  # it would count, and waits until the mapping knows who called
    DOES_NOT_COUNT = "does_not_count"
    NOT_FINISHED = "not_finished"  # it is not over, or its end was never reported


_OF_A_CONVERSION: dict[str, Verdict] = {
    State.PENDING: Verdict.ON_ITS_WAY,
    State.SENDING: Verdict.ON_ITS_WAY,
    State.DELIVERED: Verdict.DELIVERED,
    State.DEAD: Verdict.REFUSED,
    State.AMBIGUOUS: Verdict.HELD,
    State.QUARANTINED: Verdict.HELD,
}
_OF_A_CALL: dict[str, Verdict] = {
    CallState.CONVERTED: Verdict.ON_ITS_WAY,
    CallState.PARKED: Verdict.UNKNOWN_CALLER,
    CallState.SKIPPED: Verdict.DOES_NOT_COUNT,
}


def verdict(state: str, delivery: str | None) -> Verdict:
    """The verdict on a call in this `state` whose conversion stands at `delivery`; None where there is none.

    Where there is a conversion it alone counts: what is in Rockerbox is there, whatever became of the call (a leg of it may
    have been converted while it stood as a call of its own). Words of a newer version are taken for what is not over.
    """
    if delivery is not None:
        return _OF_A_CONVERSION.get(delivery, Verdict.ON_ITS_WAY)
    return _OF_A_CALL.get(state, Verdict.NOT_FINISHED)


@dataclass(frozen=True, slots=True)
class CallLine:
    """A call as a list shows it. `state` is `unfinished` for an open one that waited too long for its end.

    `from_` and `to` are as Twilio wrote them, `customer_phone` is the caller's number as it was looked up. `status` and
    `direction` are `unknown` while only child legs are known. `settle_at` is until when it waits for child legs.
    """

    key: CallKey
    state: str
    status: str
    direction: str
    from_: str
    to: str
    customer_phone: str | None
    duration_seconds: int | None
    callbacks: int
    legs: int
    first_received_at: datetime
    final_at: datetime | None
    settle_at: datetime | None
    decided_at: datetime | None


class PageMark(NamedTuple):
    """Where a page of calls ends; the next one begins behind it."""

    at: datetime
    call_sid: str
    account_sid: str


@dataclass(frozen=True, slots=True)
class CallFilter:
    """Which calls are wanted: all that is set must hold. `since` and `until` are about the first callback, the latter
    excluded; `number` is ours in E.164, `outcome` a verdict, `state` as a CallLine's, `phones` the caller's numbers (E.164).
    `least_seconds` and `most_seconds` bound the call's length, both included; one without a length is in no bounds.
    `source` is how a callback of the call itself came, as a RawCallback's.
    """

    since: datetime | None = None
    until: datetime | None = None
    number: str | None = None
    outcome: str | None = None
    reason: str | None = None
    state: str | None = None
    phones: tuple[str, ...] | None = None
    least_seconds: int | None = None
    most_seconds: int | None = None
    source: str | None = None

    def is_of(self, call: CallLine) -> bool:
        """Whether what is asked of the call's own row holds of it: its state and its length."""
        bounds = (self.least_seconds, self.most_seconds)
        if bounds == (None, None):
            return self.state in (None, call.state)
        length = call.duration_seconds
        return self.state in (None, call.state) and length is not None and _is_within(length, *bounds)


def _is_within(length: int, least: int | None, most: int | None) -> bool:
    return (least is None or length >= least) and (most is None or length <= most)


@dataclass(frozen=True, slots=True)
class CountedCall:
    """A call, and where it is counted (pipeline/counting.py)."""

    call: CallLine
    number: str
    outcome: str
    reason: str


@dataclass(frozen=True, slots=True)
class CallsPage:
    """Some calls, the newest first. `after` is where the next page begins, None at the end; a page may have none and yet
    not be the last, since only so many are looked at for one."""

    calls: Sequence[CountedCall]
    after: PageMark | None


@dataclass(frozen=True, slots=True)
class DecisionLine:
    """One decision of the journal. `result` is converted, parked, skipped or unfinished.

    `rule` is the rule that matched, `trace` those that were tried, `customer_row` the row of the customers' history that
    said who called; none of them stands in a decision of before they were kept.
    """

    decided_at: datetime
    result: str
    reasons: tuple[Reason, ...]
    rules_version: str
    mapping_version: int
    who: Reason | None = None
    rule: str | None = None
    trace: Sequence[RuleTrace] = ()
    customer_row: int | None = None


@dataclass(frozen=True, slots=True)
class CustomerRow:
    """A row of the customers' history: who had a number from when to when (None: still), and what brought it: an import, a
    sync, an API call, a look-up, by its `source` and the `name` of that.
    """

    id: int
    email: str | None
    customer_id: str | None
    from_at: datetime
    until_at: datetime | None
    source: str
    name: str


@dataclass(frozen=True, slots=True)
class ConversionLine:
    """A conversion as it stands in the outbox. `payload` are the bytes that every attempt sends.

    `fence` is the number of its last claim. `maybe_sent` says that a copy may have arrived. `due_at` is there only while it
    waits, `delivered_at` only when it was.
    """

    key: CallKey
    action: str
    order_id: str
    payload: bytes
    state: str
    reason: str
    created_at: datetime
    due_at: datetime | None
    fence: int
    attempts: int
    maybe_sent: bool
    delivered_at: datetime | None


@dataclass(frozen=True, slots=True)
class ConversionFilter:
    """Which conversions are wanted: all that is set must hold. `states` are any of these, all where none is named; `since`
    and `until` are about when they were decided, the latter excluded. `maybe_sent`: whether a copy may have arrived.
    """

    states: tuple[str, ...] = ()
    reason: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    maybe_sent: bool | None = None


@dataclass(frozen=True, slots=True)
class ConversionsPage:
    """Some conversions, the newest first. `after` is where the next page begins, None at the end."""

    conversions: Sequence[ConversionLine]
    after: PageMark | None


@dataclass(frozen=True, slots=True)
class WayOut:
    """Whether the destination takes anything: `failures` in a row; none is tried before `open_until`, and `blocked` is the
    reason why it takes nothing from us, since `blocked_since`. None where that is not so.
    """

    failures: int = 0
    open_until: datetime | None = None
    blocked: str | None = None
    blocked_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class NeedsPeople:
    """How many conversions a person has to look at, and how many calls wait for a customer. Of each state up to
    COUNTED_UP_TO + 1 are counted.
    """

    held: int = 0
    unknown: int = 0


@dataclass(frozen=True, slots=True)
class HourCount:
    """How many conversions of an action were delivered within an hour (UTC; `hour` is its beginning)."""

    hour: datetime
    action: str
    count: int


@dataclass(frozen=True, slots=True)
class AttemptLine:
    """One attempt of the journal: what came of it, and the state that its conversion went to.

    `came_late`: its claim was over by then, and it moved nothing, but for a 2xx. `answer` may hold a person's data.
    """

    number: int
    started_at: datetime
    finished_at: datetime
    result: str
    reason: str
    status_code: int | None
    answer: str
    next_state: str
    came_late: bool


@dataclass(frozen=True, slots=True)
class ReplacedLine:
    """What a conversion was before it was decided anew. `attempts` is how many had been made by then, all in all."""

    action: str
    order_id: str
    payload: bytes
    attempts: int
    replaced_at: datetime


@dataclass(frozen=True, slots=True)
class Story:
    """All that is known of one call, legs included, each kind in the order in which it came."""

    call: CallLine
    callbacks: Sequence[RawCallback]
    decisions: Sequence[DecisionLine]
    conversion: ConversionLine | None
    attempts: Sequence[AttemptLine]
    replaced: Sequence[ReplacedLine]

    def attempts_by_bytes(self) -> list[list[AttemptLine]]:
        """The attempts at each thing that was sent: those of each of `replaced`, and last those of the conversion as it is."""
        bounds = (0.0, *(old.attempts for old in self.replaced), math.inf)
        return [[one for one in self.attempts if first < one.number <= last] for first, last in pairwise(bounds)]


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """What became of one call. `state` is as a CallLine's, `reasons` are the words of its last decision; `payload` and
    `delivery` (where its conversion stands) are None where there is no conversion.
    """

    key: CallKey
    state: str
    reasons: tuple[str, ...]
    payload: bytes | None
    delivery: str | None
