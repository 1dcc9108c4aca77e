"""Conversions that rest, sent again because a person asked: as they are, or as today's rules and customers make them.

Sorts out which may be, and makes the move, for `flask conversions retry`, the API, the pages and the job alike; what is
shown and asked beside is somebody else's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from offhook.pipeline.callback import CallKey
from offhook.pipeline.conversion import Convert, why
from offhook.pipeline.delivery import CONVERSION_MOVES, Event
from offhook.pipeline.ports.books import Decided
from offhook.pipeline.ports.outbox import Outbox
from offhook.pipeline.ports.rebuilding import Rebuilding
from offhook.pipeline.ports.rule_texts import RuleTexts
from offhook.pipeline.rules import Rules
from offhook.pipeline.steps import Judge, decide_anew, keep_text
from offhook.pipeline.story import ConversionLine

RESTING = tuple(CONVERSION_MOVES.sources(Event.RETRY))
"""The states in which a conversion waits for a person."""
RETRYABLE = tuple(state.value for state in RESTING)

Lacks = Callable[[bytes], str | None]
"""Of a payload the field of the account's deduplication key that it lacks, without which Rockerbox counts nothing; or None."""


@dataclass(frozen=True, slots=True)
class Today:
    """A conversion that rests, what would be decided today (None: that is unknown), and whether it may be rebuilt.

    `rules` are those of today; `lacks` is the field of the account's deduplication key that it would lack today as well, None
    where it has all.
    """

    row: ConversionLine
    decided: Decided | None
    may_be_rebuilt: bool
    rules: Rules
    lacks: str | None = None

    @property
    def is_other(self) -> bool:
        return self.decided is not None and self.decided.payload != self.row.payload

    @property
    def can_rebuild(self) -> bool:
        """It is another one today, is sent today, too, and may be."""
        is_sent = self.decided is not None and self.decided.payload is not None and self.lacks is None
        return self.is_other and self.may_be_rebuilt and is_sent

    @property
    def is_the_same(self) -> bool:
        """The same bytes today, and no copy may have arrived."""
        return self.decided is not None and not self.is_other and not self.row.maybe_sent

    @property
    def would_be_sent(self) -> bool:
        """Sent as it is where it cannot be rebuilt; what would not be sent today stays."""
        return not self.can_rebuild and (self.decided is None or self.decided.payload is not None)


def compare(
    rebuilding: Rebuilding, rows: Sequence[ConversionLine], judge: Judge, lacks: Lacks, now: datetime
) -> list[Today]:
    """Each with what would be decided today. Raises LedgerUnavailable."""
    keys = [row.key for row in rows]
    today = {one.call.key: one for one in decide_anew(rebuilding.known_calls(), keys, judge, now)}
    free = rebuilding.may_be_rebuilt(rows)
    return [
        Today(row, (decided := today.get(row.key)), row.key in free, judge.rules, _lacking(decided, lacks))
        for row in rows
    ]


def _lacking(decided: Decided | None, lacks: Lacks) -> str | None:
    payload = decided.payload if decided else None
    return None if payload is None else lacks(payload)


def rebuild(rebuilding: Rebuilding, texts: RuleTexts, found: Sequence[Today], now: datetime) -> int:
    """Those that can be are decided anew; the others stay. Returns how many. Raises LedgerUnavailable."""
    for rules in {one.rules.version: one.rules for one in found if one.can_rebuild}.values():
        keep_text(texts, rules, now)
    wanted = [replace(one.decided, decision=_as_asked(one.decided)) for one in found if one.can_rebuild and one.decided]
    return rebuilding.rebuild(wanted, {one.row.key: one.row.fence for one in found}, now)


def _as_asked(decided: Decided) -> Convert:
    assert isinstance(decided.decision, Convert)
    return replace(decided.decision, reasons=(*decided.decision.reasons, why("decided_anew")))


def uncounted(rows: Sequence[ConversionLine], lacks: Lacks) -> Mapping[CallKey, str]:
    """Those of which Rockerbox would count nothing, each with the field that it lacks: they are not sent as they are."""
    return {row.key: lacking for row in rows if (lacking := lacks(row.payload))}


def in_short(rows: Sequence[ConversionLine]) -> str:
    """What these are, for the audit: the CallSid of the only one, else how many, and how many of them may have arrived."""
    if len(rows) == 1:
        return rows[0].key.call_sid
    doubtful = sum(row.maybe_sent for row in rows)
    return f"{len(rows)} conversions{f', {doubtful} of which may have arrived' if doubtful else ''}"


@dataclass(frozen=True, slots=True)
class Sorted:
    """Conversions that somebody wants sent again, by what may become of each.

    Of `safe` nothing can have arrived; of `doubtful` a copy may have, so that another one could count twice. `lacking` lack
    the field that is named, and Rockerbox would count nothing of them; `moving` do not rest: they go on by themselves.
    """

    safe: Sequence[ConversionLine] = ()
    doubtful: Sequence[ConversionLine] = ()
    lacking: Mapping[CallKey, str] = field(default_factory=dict)
    moving: Sequence[ConversionLine] = ()

    def sendable(self, *, with_doubtful: bool) -> list[ConversionLine]:
        """What is sent again; what may have arrived only where somebody has looked."""
        return [*self.safe, *(self.doubtful if with_doubtful else ())]


def sort_out(rows: Sequence[ConversionLine], lacks: Lacks) -> Sorted:
    """What may become of each of these. Each is in one of the four."""
    resting = [row for row in rows if row.state in RESTING]
    held = uncounted(resting, lacks)
    whole = [row for row in resting if row.key not in held]
    return Sorted(
        safe=[row for row in whole if not row.maybe_sent],
        doubtful=[row for row in whole if row.maybe_sent],
        lacking=held,
        moving=[row for row in rows if row.state not in RESTING],
    )


@dataclass(frozen=True, slots=True)
class SentAgain:
    """How many were moved, and those that stay as they are with the field that they lack: Rockerbox would count nothing."""

    moved: int = 0
    lacking: Mapping[CallKey, str] = field(default_factory=dict)


def send_again(
    outbox: Outbox,
    rows: Sequence[ConversionLine],
    lacks: Lacks,
    now: datetime,
    *,
    asked_at: datetime | None = None,
) -> SentAgain:
    """The same bytes again, of those that Rockerbox can count. What was sent again since `asked_at` stays as it is, so that
    the same may be asked twice. Raises LedgerUnavailable.
    """
    held = uncounted(rows, lacks)
    keys = [row.key for row in rows if row.key not in held]
    return SentAgain(outbox.retry(keys, now, asked_at=asked_at) if keys else 0, held)
