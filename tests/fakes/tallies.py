"""The sums of calls, counted whenever they are asked for: `Tallies` without a database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

from offhook.pipeline.counting import Cell, RuleTally, Ruling, Tally, ruling_of
from offhook.pipeline.ports.tallies import CountedAnew, Sums, SumsByRule
from tests.fakes.kept import Kept
from tests.fakes.stories import calls_of_tally, places


class MemoryTallies:
    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def between(self, since: datetime, until: datetime) -> Sequence[Tally]:
        every = [place for place in places(self._kept).values() if since <= place.cell.hour < until]
        sums = Counter(place.cell for place in every)
        return _tallies(sums)

    def summed(self, bounds: Sequence[datetime], number: str | None = None) -> Sums:
        if len(bounds) < 2:
            return Sums()
        places, spans = Counter[Cell](), Counter[Cell]()
        for since, until in pairwise(bounds):
            for one in self.between(since, until):
                places[Cell(bounds[0], one.number, one.outcome, one.reason)] += one.calls
                if number in (None, one.number):
                    spans[Cell(since, "", one.outcome, "")] += one.calls
        return Sums(_tallies(places), _tallies(spans))

    def by_rule(self, since: datetime, until: datetime) -> SumsByRule:
        rulings, verdicts = Counter[Ruling](), Counter[Cell]()
        for key, call in calls_of_tally(self._kept).items():
            place, ruling = places(self._kept).get(key), ruling_of(call)
            if place is None or not since <= place.cell.hour < until:
                continue
            verdicts[Cell(since, "", place.outcome, place.reason)] += 1
            rulings.update([ruling] if ruling else [])
        return SumsByRule([RuleTally(*one, rulings[one]) for one in sorted(rulings, key=_in_order)], _tallies(verdicts))

    def is_whole(self) -> bool:
        return self._kept.mapping_version >= 0

    def count_anew(self) -> CountedAnew:
        return CountedAnew(len(self._kept.calls))


def _in_order(one: Ruling) -> tuple[str, bool, str, str]:
    return one.rule or "", one.rule is not None, one.state, one.reason


def _tallies(sums: Counter[Cell]) -> list[Tally]:
    return [Tally(cell.hour, cell.number, cell.outcome, cell.reason, sums[cell]) for cell in sorted(sums)]
