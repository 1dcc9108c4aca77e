"""How many calls came to what, by the hour: sums that are kept as the calls move, so that no call is read to know them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from offhook.pipeline.counting import Tally


@dataclass(frozen=True, slots=True)
class CountedAnew:
    """What counting anew came to: how many calls were looked at, those as well that are legs now; how many of them stood in
    another place or in none; and in how many hours a sum was wrong."""

    calls: int = 0
    moved: int = 0
    hours: int = 0


class Tallies(Protocol):
    """Sums of calls by hour, tracked number, verdict and reason. Each method raises LedgerUnavailable.

    Whatever changes what became of a call changes these in the same transaction. Legs of other calls are not counted.
    """

    def between(self, since: datetime, until: datetime) -> Sequence[Tally]:
        """The sums of the hours that begin at `since` or later and before `until`, in their order; none is 0."""

    def summed(self, bounds: Sequence[datetime]) -> Sequence[Tally]:
        """The sums of the hours that begin between each two bounds that follow each other, the later excluded: the `hour` of
        such a sum is the earlier bound. In their order; none is 0. However many hours there are, only the sums are given."""

    def is_whole(self) -> bool:
        """Whether every call is counted: not so where calls came before there were sums, until they are counted anew."""

    def count_anew(self) -> CountedAnew:
        """Put each call where it belongs, then each hour's sums, in short transactions, while others work. Twice does no harm."""
