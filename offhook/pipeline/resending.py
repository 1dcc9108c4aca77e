"""Conversions that rest, laid beside what would be decided today: which may be decided anew, and which sent as they are.

Decides nothing about them: a person does, in a terminal or on a page.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from offhook.pipeline.conversion import Convert, why
from offhook.pipeline.delivery import State
from offhook.pipeline.ports.books import Decided
from offhook.pipeline.ports.rebuilding import Rebuilding
from offhook.pipeline.steps import Judge, decide_anew
from offhook.pipeline.story import ConversionLine

RESTING = (State.DEAD, State.AMBIGUOUS, State.QUARANTINED)
"""Where a conversion goes on only when a person asks for it."""
Lacking = Callable[[bytes], str | None]
"""Names the field of the account's deduplication key that a payload lacks, None where it has all."""


@dataclass(frozen=True, slots=True)
class Today:
    """A conversion that rests, what would be decided today (None: that is unknown), and whether it may be rebuilt.

    `lacks` is the field of the account's deduplication key that it would lack today as well, None where it has all.
    """

    row: ConversionLine
    decided: Decided | None
    may_be_rebuilt: bool
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

    @property
    def anew(self) -> Decided:
        """What `Rebuilding.rebuild` takes of one that `can_rebuild`: the decision of today, with why it was made."""
        assert self.decided is not None and isinstance(self.decided.decision, Convert)
        reasons = (*self.decided.decision.reasons, why("decided_anew"))
        return replace(self.decided, decision=replace(self.decided.decision, reasons=reasons))


def beside_today(
    rebuilding: Rebuilding, rows: Sequence[ConversionLine], judge: Judge, lacking: Lacking | None, now: datetime
) -> list[Today]:
    """Each of these with what would be decided today. Changes nothing. Raises LedgerUnavailable."""
    keys = [row.key for row in rows]
    today = {one.call.key: one for one in decide_anew(rebuilding.known_calls(), keys, judge, now)}
    free = rebuilding.may_be_rebuilt(rows)
    return [_today(row, today.get(row.key), row.key in free, lacking) for row in rows]


def _today(row: ConversionLine, decided: Decided | None, may_be_rebuilt: bool, lacking: Lacking | None) -> Today:
    lacks = lacking(decided.payload) if lacking and decided and decided.payload else None
    return Today(row, decided, may_be_rebuilt, lacks)
