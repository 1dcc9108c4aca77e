"""How many calls came to what, by the hour: sums that are kept as the calls move, so that no call is read to know them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from offhook.pipeline.counting import RuleTally, Tally


@dataclass(frozen=True, slots=True)
class CountedAnew:
    """What counting anew came to: how many calls were looked at, those as well that are legs now; how many of them stood in
    another place or in none; and in how many hours a sum was wrong, by number or by rule."""

    calls: int = 0
    moved: int = 0
    hours: int = 0


@dataclass(frozen=True, slots=True)
class Sums:
    """Of one moment, so that both come to the same calls, where `spans` are of all numbers; none is 0.

    `places` are the sums of the whole time by number, verdict and reason, whose `hour` is its beginning. `spans` are those of
    each span between two bounds that follow each other by verdict alone: their `hour` is the earlier bound, number and
    reason are "". Both are in their order.
    """

    places: Sequence[Tally] = ()
    spans: Sequence[Tally] = ()


@dataclass(frozen=True, slots=True)
class SumsByRule:
    """Of one moment; none is 0, and both are in their order.

    `rules` are the sums by rule, by what came of it and by reason, as far as it is known by which rule a call was decided.
    `places` are those of all calls by verdict and reason: their `hour` is the beginning of the time, `number` is "".
    """

    rules: Sequence[RuleTally] = ()
    places: Sequence[Tally] = ()


class Tallies(Protocol):
    """Sums of calls by hour, tracked number, verdict and reason, and by the rule that decided them. Each method raises
    LedgerUnavailable.

    Whatever changes what became of a call changes these in the same transaction. Legs of other calls are not counted.
    """

    def between(self, since: datetime, until: datetime) -> Sequence[Tally]:
        """The sums of the hours that begin at `since` or later and before `until`, in their order; none is 0."""

    def summed(self, bounds: Sequence[datetime], number: str | None = None) -> Sums:
        """The sums of the hours that begin between the first of these moments, which are in their order, and the last of
        them, which is excluded; however many hours there are, few rows are read. Of less than two moments there are none.

        `number` is the tracked number whose spans are wanted, None for all of them.
        """

    def by_rule(self, since: datetime, until: datetime) -> SumsByRule:
        """The sums of the hours that begin at `since` or later and before `until`, however many: few rows are read.

        Each call is in them once, as its newest decision has it, in the hour of its first callback and under the name that
        its rule had then. What a version that knows no such sums decides is missing in `rules` or stands there as it did
        before, until this version has to do with the call again, or calls are counted anew.
        """

    def is_whole(self) -> bool:
        """Whether every call is counted: not so where calls came before there were sums, until they are counted anew."""

    def count_anew(self) -> CountedAnew:
        """Put each call where it belongs, then each hour's sums, and count the calls of unknown callers, in short transactions,
        while others work. Twice does no harm.
        """
