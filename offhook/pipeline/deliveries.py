"""How deliveries go: which of them a list shows, what became of them by day, and how long Rockerbox took. Pure: asks nobody."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, tzinfo
from enum import StrEnum

from offhook.pipeline.counting import Tally
from offhook.pipeline.delivery import MOVING, State
from offhook.pipeline.sending_again import RESTING
from offhook.pipeline.story import ConversionFilter, ConversionLine, Verdict

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


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
