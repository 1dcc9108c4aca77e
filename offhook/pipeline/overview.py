"""What stands on the first page: the way from calls to delivered in figures that add up, made of tallies alone; and what needs
somebody. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from enum import StrEnum

from offhook.pipeline.counting import Tally
from offhook.pipeline.deliveries import Show, show_of
from offhook.pipeline.delivery import DAY_TURNED
from offhook.pipeline.health import HealthLine
from offhook.pipeline.story import ConversionLine, Verdict
from offhook.pipeline.unfinished import UNFINISHED
from offhook.pipeline.words import bounded, counted, reason_in_words

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


# What needs somebody, whatever its day: it does so until it is done.


class Where(StrEnum):
    """The page on which something is mended."""

    SETUP = "setup"
    DELIVERIES = "deliveries"
    UNKNOWN = "unknown"
    CUSTOMERS = "customers"
    CALLS = "calls"
    CALL = "call"  # `asked` says which


@dataclass(frozen=True, slots=True)
class Todo:
    """What needs the reader, why, and where it is mended: `asked` is what that page is asked for, `label` what the way there is
    called. `since` is since when, where that is to be said.
    """

    what: str
    why: str
    where: Where
    label: str
    since: datetime | None = None
    asked: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Needing:
    """What is known of that: the lines of health, and how many conversions a person has to look at, calls of unknown callers came
    in the last `days`, and calls ended without a word; the first and the last counted up to a bound. `newest` are those of the
    conversions that were made last: some, or all of them.
    """

    health: Sequence[HealthLine]
    held: int = 0
    newest: Sequence[ConversionLine] = ()
    unknown: int = 0
    days: int = 7
    unfinished: int = 0


def todo(known: Needing) -> list[Todo]:
    """What needs somebody, what stops everything first."""
    return [
        *(_of_health(line) for line in known.health if line.kind == "bad"),
        *_of_held(known.held, known.newest),
        *_of_unknown(known.unknown, known.days),
        *(_of_the_list(line) for line in known.health if line.name == "customers" and line.kind == "wait"),
        *_of_unfinished(known.unfinished),
    ]


def lately_bounds(now: datetime, days: int) -> list[datetime]:
    """The hours of the last days, for tallies: the one that is under way is among them."""
    return [(now - timedelta(days=days)).replace(minute=0, second=0, microsecond=0), now + _DAY]


def unknown_calls(tallies: Iterable[Tally]) -> int:
    """How many of them are calls of unknown callers."""
    return sum(one.calls for one in tallies if way_of(one.outcome) is Ways.UNKNOWN_CALLER)


def _of_health(line: HealthLine) -> Todo:
    return Todo(line.title, f"{line.said.rstrip('.')}.", Where.SETUP, "Set-up", line.since)


def _of_held(count: int, newest: Sequence[ConversionLine]) -> Iterator[Todo]:
    """Of each reason those that have it; of all of them, where there are more than are looked at."""
    is_more = count > len(newest)
    if is_more:
        why = "refused by Rockerbox, or nobody knows whether they arrived: a person has to look."
        yield Todo(_calls(count), why, Where.DELIVERIES, _see(count))
    alike: dict[tuple[Show, str], list[ConversionLine]] = {}
    for line in newest:
        alike.setdefault((show_of(line), line.reason), []).append(line)
    for (show, reason), lines in alike.items():
        what = f"{len(lines)} of the newest {len(newest)}" if is_more else _calls(len(lines))
        yield _of_reason(what, show, reason, lines)


def _of_reason(what: str, show: Show, reason: str, lines: Sequence[ConversionLine]) -> Todo:
    is_ = (
        "may be in Rockerbox already"
        if show is Show.MAYBE
        else f"{'is' if len(lines) == 1 else 'are'} not in Rockerbox"
    )
    why = f"{is_}: {_A_PERSON_LOOKS if reason == DAY_TURNED else reason_in_words(reason)}."
    if len(lines) > 1:
        return Todo(what, why, Where.DELIVERIES, "See them", asked={"show": show.value, "reason": reason})
    account, sid = lines[0].key
    return Todo(what, why, Where.CALL, "See the call", asked={"call_sid": sid, "account": account})


_A_PERSON_LOOKS = "a person has to look"


def _of_unknown(count: int, days: int) -> Sequence[Todo]:
    if not count:
        return ()
    waits = "waits" if count == 1 else "wait"
    why = f"of unknown callers in {counted(days, 'day', 'days')} {waits} for a customer."
    return (Todo(counted(count, "call", "calls"), why, Where.UNKNOWN, "Add them"),)


def _of_the_list(line: HealthLine) -> Todo:
    """`imported 9 days ago` is how old it is; else there is none."""
    is_old = line.said.startswith("imported")
    why = f"was {line.said}: callers who came since are unknown." if is_old else _NO_LIST
    return Todo("The customer list", why, Where.CUSTOMERS, "Import a newer one" if is_old else "Import it")


_NO_LIST = "was never imported: callers are unknown until it is."


def _of_unfinished(count: int) -> Sequence[Todo]:
    if not count:
        return ()
    asked = {"outcome": Verdict.NOT_FINISHED.value, "reason": UNFINISHED}
    return (Todo(_calls(count), _NO_END, Where.CALLS, _see(count), asked=asked),)


_NO_END = "ended without Twilio saying so: set the status callback on the number itself."


def _calls(count: int) -> str:
    """Of what is counted up to a bound."""
    return f"{bounded(count)} {'call' if count == 1 else 'calls'}"


def _see(count: int) -> str:
    return "See it" if count == 1 else "See them"
