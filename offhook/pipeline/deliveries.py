"""How deliveries go: which of them a list shows, what became of them by day, how long Rockerbox took, and the work of sending all
of a list again. Pure: asks nobody.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from enum import StrEnum

from offhook.pipeline.counting import Tally
from offhook.pipeline.delivery import MOVING, State
from offhook.pipeline.job_kinds import RetryConversions
from offhook.pipeline.sending_again import RESTING
from offhook.pipeline.story import ConversionFilter, ConversionLine, HourCount, Verdict

_NINETEEN_OF_TWENTY = 0.95


class Show(StrEnum):
    """Which deliveries a list has: all that are not in Rockerbox, some of these, or those that are."""

    OPEN = "open"
    WAY = "way"
    REFUSED = "refused"
    MAYBE = "maybe"  # a copy may have arrived, and a person has to look
    HELD = "held"  # kept back before it was sent, or as it stops the workers
    DONE = "done"


_STATES: Mapping[Show, tuple[State, ...]] = {
    Show.OPEN: (*MOVING, *RESTING),
    Show.WAY: MOVING,
    Show.REFUSED: (State.DEAD,),
    Show.MAYBE: RESTING,
    Show.HELD: (State.AMBIGUOUS, State.QUARANTINED),
    Show.DONE: (State.DELIVERED,),
}
_MAYBE_SENT: Mapping[Show, bool] = {Show.MAYBE: True, Show.HELD: False}


def show_of(line: ConversionLine) -> Show:
    """The list in which a conversion stands that waits for a person."""
    if line.maybe_sent:
        return Show.MAYBE
    return Show.REFUSED if line.state == State.DEAD else Show.HELD


def filter_of(
    show: Show, reason: str | None = None, since: datetime | None = None, until: datetime | None = None
) -> ConversionFilter:
    """What the ledger is asked for such a list."""
    states = tuple(state.value for state in _STATES[show])
    return ConversionFilter(states, reason, since, until, _MAYBE_SENT.get(show))


def resting_of(wanted: ConversionFilter) -> ConversionFilter | None:
    """Of what is wanted that which waits for a person; None where nothing of it can."""
    states = tuple(state.value for state in RESTING if not wanted.states or state in wanted.states)
    if not states:
        return None
    return replace(wanted, states=states)


def days_to(now: datetime, count: int, zone: tzinfo) -> list[date]:
    """The last `count` days of the zone, the oldest first, today included."""
    today = now.astimezone(zone).date()
    return [today - timedelta(days=ago) for ago in reversed(range(count))]


def begin_of(day: date, zone: tzinfo) -> datetime:
    """The beginning of a day in the zone."""
    return datetime(day.year, day.month, day.day, tzinfo=zone)


@dataclass(frozen=True, slots=True)
class DayOutcomes:
    """Of the calls of a day that count: how many are in Rockerbox, on their way, and with somebody who has to look."""

    day: date
    delivered: int
    on_the_way: int
    needs_you: int


def outcomes_by_day(tallies: Iterable[Tally], days: Sequence[date], zone: tzinfo) -> list[DayOutcomes]:
    """Each of the days, those without calls, too. An hour belongs to the day in which it begins."""
    sums: Counter[tuple[date, str]] = Counter()
    for one in tallies:
        sums[one.hour.astimezone(zone).date(), one.outcome] += one.calls
    return [
        DayOutcomes(
            day,
            sums[day, Verdict.DELIVERED],
            sums[day, Verdict.ON_ITS_WAY],
            sums[day, Verdict.HELD] + sums[day, Verdict.REFUSED],
        )
        for day in days
    ]


def delivered_on(day: date, zone: tzinfo) -> ConversionFilter:
    """Those that a day is looked at for how long Rockerbox took."""
    since, until = (begin_of(each, zone).astimezone(UTC) for each in (day, day + timedelta(days=1)))
    return filter_of(Show.DONE, None, since, until)


@dataclass(frozen=True, slots=True)
class DayLatency:
    """Seconds from a call's decision to Rockerbox's taking it, of `looked_at` conversions of a day: half of them took
    `half_seconds` at the most, nineteen of twenty `most_seconds`."""

    day: date
    looked_at: int
    half_seconds: float
    most_seconds: float


def latency(day: date, lines: Sequence[ConversionLine]) -> DayLatency | None:
    """Of conversions that were delivered; None where there are none."""
    took = sorted((one.delivered_at - one.created_at).total_seconds() for one in lines if one.delivered_at)
    if not took:
        return None
    return DayLatency(day, len(took), max(0.0, _quantile(took, 0.5)), max(0.0, _quantile(took, _NINETEEN_OF_TWENTY)))


def all_again(wanted: ConversionFilter, named: Sequence[str]) -> list[RetryConversions]:
    """The work of sending all again that is wanted and rests: what cannot have arrived by the filter, and of what may have only
    the calls that are `named`, since nobody has looked for what came to that meanwhile. None where nothing is to be sent.
    """
    asked = []
    if wanted.maybe_sent is not True:
        asked.append(RetryConversions(wanted.states, wanted.reason, wanted.since, wanted.until, maybe_sent=False))
    if named:
        asked.append(RetryConversions(call_sids=tuple(named), also_maybe_sent=True))
    return asked


@dataclass(frozen=True, slots=True)
class Recent:
    """Conversions in the order of their making; `is_whole`: all that were made since then, and not the newest alone."""

    lines: Sequence[ConversionLine]
    is_whole: bool


def recent(newest: Sequence[ConversionLine], since: datetime, most: int) -> Recent:
    """Those made since then, of the newest that were read, one more than `most` where there are more."""
    wanted = [line for line in newest[:most] if line.created_at >= since]
    return Recent(wanted[::-1], len(newest) <= most or len(wanted) < most)


@dataclass(frozen=True, slots=True)
class Arrivals:
    """How many of each action arrived within an hour, in the order of the actions' names."""

    hour: datetime
    counts: Sequence[int]


def by_hour(counts: Sequence[HourCount], begin: datetime) -> list[Arrivals]:
    """Each of the 24 hours from then on; none where nothing arrived."""
    actions = sorted({one.action for one in counts})
    found = {(one.hour, one.action): one.count for one in counts}
    hours = [begin + timedelta(hours=each) for each in range(24)] if counts else []
    return [Arrivals(hour, [found.get((hour, action), 0) for action in actions]) for hour in hours]


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
