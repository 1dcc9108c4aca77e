"""What stands on the first page: the way from calls to delivered in figures that add up, made of tallies alone. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from enum import StrEnum

from offhook.pipeline.counting import Tally
from offhook.pipeline.story import Verdict

_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)
_HOURS_UP_TO = 2  # days that are shown by the hour


class Ways(StrEnum):
    """Where a call is on its way, as a reader knows it. Each verdict is in one."""

    DELIVERED = "delivered"
    ON_THE_WAY = "on_the_way"
    NEEDS_YOU = "needs_you"
    UNKNOWN_CALLER = "unknown_caller"
    DOES_NOT_COUNT = "does_not_count"
    NOT_OVER = "not_over"


_WAY = {
    Verdict.DELIVERED: Ways.DELIVERED,
    Verdict.ON_ITS_WAY: Ways.ON_THE_WAY,
    Verdict.HELD: Ways.NEEDS_YOU,
    Verdict.REFUSED: Ways.NEEDS_YOU,
    Verdict.UNKNOWN_CALLER: Ways.UNKNOWN_CALLER,
    Verdict.DOES_NOT_COUNT: Ways.DOES_NOT_COUNT,
    Verdict.NOT_FINISHED: Ways.NOT_OVER,
}
_COUNTED = frozenset({Ways.DELIVERED, Ways.ON_THE_WAY, Ways.NEEDS_YOU})


def way_of(outcome: str) -> Ways:
    """A word of a newer version is taken for what is not over."""
    return _WAY[Verdict(outcome)] if outcome in set(Verdict) else Ways.NOT_OVER


@dataclass(frozen=True, slots=True)
class Period:
    """Days of a time zone, both included. By the hour where they are few."""

    first: date
    last: date
    zone: tzinfo

    @property
    def begins(self) -> datetime:
        """UTC, the first beginning of an hour within: tallies are of whole hours, and a zone's midnight may be within one."""
        return _next_hour(_midnight(self.first, self.zone))

    @property
    def ends(self) -> datetime:
        """UTC, excluded."""
        return _next_hour(_midnight(self.last + _DAY, self.zone))

    @property
    def bounds(self) -> list[datetime]:
        """The beginning of each day, and the end of the last. UTC."""
        days = (self.first + _DAY * number for number in range(self.days))
        return [*(_next_hour(_midnight(day, self.zone)) for day in days), self.ends]

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1

    @property
    def by_hour(self) -> bool:
        return self.days <= _HOURS_UP_TO


def _midnight(day: date, zone: tzinfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


def _next_hour(at: datetime) -> datetime:
    whole = at.replace(minute=0, second=0, microsecond=0)
    return whole if whole == at else whole + _HOUR


@dataclass(frozen=True, slots=True)
class Bar:
    """An hour or a day of the chart. `at` is its beginning in the zone of the period; `ways` are calls, 0 where there are none."""

    at: datetime
    ways: dict[Ways, int]


@dataclass(frozen=True, slots=True)
class WhyNot:
    """Calls that did not count, by one reason."""

    outcome: str
    reason: str
    calls: int


@dataclass(frozen=True, slots=True)
class NumberLine:
    """A tracked number, "" where none of ours is known."""

    number: str
    calls: int
    counted: int
    delivered: int


@dataclass(frozen=True, slots=True)
class Overview:
    """`calls` = `counted` + `not_counted`; `counted` = `delivered` + `on_the_way` + `needs_you`; `not_counted` is the sum of
    `why_not`, `calls` that of `numbers` and that of `bars`.
    """

    calls: int
    counted: int
    delivered: int
    on_the_way: int
    needs_you: int
    why_not: Sequence[WhyNot]
    numbers: Sequence[NumberLine]
    bars: Sequence[Bar]

    @property
    def not_counted(self) -> int:
        return self.calls - self.counted


def overview(tallies: Iterable[Tally], period: Period, spans: Iterable[Tally] | None = None) -> Overview:
    """The first page of these tallies, which are of the period. `spans` are those of the bars, where other ones than these: the
    same calls, for each day, by verdict alone.
    """
    every = list(tallies)
    ways = Counter[Ways]()
    why_not = Counter[tuple[str, str]]()
    for one in every:
        way = way_of(one.outcome)
        ways[way] += one.calls
        if way not in _COUNTED:
            why_not[one.outcome, one.reason] += one.calls
    return Overview(
        calls=ways.total(),
        counted=sum(ways[way] for way in _COUNTED),
        delivered=ways[Ways.DELIVERED],
        on_the_way=ways[Ways.ON_THE_WAY],
        needs_you=ways[Ways.NEEDS_YOU],
        why_not=[WhyNot(*place, calls) for place, calls in _most(why_not)],
        numbers=_numbers(every),
        bars=_bars(every if spans is None else spans, period),
    )


def _most(counted: Counter[tuple[str, str]]) -> list[tuple[tuple[str, str], int]]:
    return sorted(((place, calls) for place, calls in counted.items() if calls), key=lambda one: (-one[1], one[0]))


def _numbers(tallies: Iterable[Tally]) -> list[NumberLine]:
    """The one with the most calls first."""
    found: dict[str, Counter[Ways]] = {}
    for one in tallies:
        found.setdefault(one.number, Counter())[way_of(one.outcome)] += one.calls
    lines = [
        NumberLine(number, ways.total(), sum(ways[way] for way in _COUNTED), ways[Ways.DELIVERED])
        for number, ways in found.items()
    ]
    return sorted(lines, key=lambda line: (-line.calls, line.number))


def _bars(tallies: Iterable[Tally], period: Period) -> list[Bar]:
    """One for each hour or day of the period, with those in which nobody called. An hour (UTC) is in the day of its beginning."""
    found = {at: dict.fromkeys(Ways, 0) for at in _moments(period)}
    for one in tallies:
        found[_moment(one.hour, period)][way_of(one.outcome)] += one.calls
    return [Bar(at, ways) for at, ways in found.items()]


def _moments(period: Period) -> list[datetime]:
    step = _HOUR if period.by_hour else _DAY / 2  # a day of a zone may have 23 hours
    found: list[datetime] = []
    at = period.begins
    while at < period.ends:
        here = _moment(at, period)
        if not found or found[-1] != here:
            found.append(here)
        at += step
    return found


def _moment(at: datetime, period: Period) -> datetime:
    """The bar of a moment. Where a clock is put back, two hours have one name and are one bar."""
    here = at.astimezone(period.zone)
    return here if period.by_hour else datetime.combine(here.date(), time(), period.zone)
