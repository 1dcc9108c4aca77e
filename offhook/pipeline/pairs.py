"""Calls of one customer that belong together: forwarded ones, repeats, and missed ones that were called back. Asks nobody."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from offhook.pipeline.call import Call, CallState
from offhook.pipeline.callback import Direction, Status
from offhook.pipeline.ends import Ends
from offhook.pipeline.rules import Rules
from offhook.pipeline.rules.between import CalledBackTime, RepeatOn
from offhook.pipeline.rules.facts import EarlierCall, Facts, is_by_person

_TOLERANCE = timedelta(seconds=5)  # both ends are in whole seconds, and of two legs
_FORWARDED_WITHIN = timedelta(minutes=2)  # of the beginning of a call whose end is not known


@dataclass(frozen=True, slots=True)
class Pair:
    """A missed call and the one that called back. `ends` are those of the pair, as if the missed call had been answered;
    `occurred_at` is the missed call's time, None where that of the call back is sent.
    """

    missed: EarlierCall
    ends: Ends
    occurred_at: datetime | None


def called_back(call: Call, ends: Ends, rules: Rules, earlier: Sequence[EarlierCall]) -> Pair | None:
    """The missed call that this one makes up for: the latest of its number, unless another call did so already."""
    if rules.called_back_within is None or not _reached_a_person(call, ends):
        return None
    since = call.started_at - timedelta(seconds=rules.called_back_within)
    for one in earlier:
        if one.started_at < since or (one.direction is Direction.OUTBOUND_API and one.state is CallState.CONVERTED):
            return None
        if one.is_missed:
            of_missed = rules.called_back_time is not CalledBackTime.CALLED_BACK
            moment = one.ended_at or one.started_at
            return Pair(one, _as_missed(ends, one), moment if of_missed else None)
    return None


def _reached_a_person(call: Call, ends: Ends) -> bool:
    is_answered = call.root is not None and call.root.status is Status.COMPLETED and bool(call.root.duration_seconds)
    return ends.direction is Direction.OUTBOUND_API and is_answered and is_by_person(call) is not False


def _as_missed(ends: Ends, missed: EarlierCall) -> Ends:
    return replace(ends, ours=missed.ours, direction=Direction.INBOUND)


def forwarded_by(facts: Facts, our_numbers: Collection[str]) -> EarlierCall | None:
    """The call within which this one lies: one of the same caller to another number of ours, which dialled this one."""
    if facts.direction is not Direction.INBOUND or facts.ours not in our_numbers:
        return None
    return next((one for one in facts.earlier or () if _holds(one, facts, our_numbers)), None)


def _holds(one: EarlierCall, facts: Facts, our_numbers: Collection[str]) -> bool:
    if one.direction is not Direction.INBOUND or one.ours == facts.ours or one.ours not in our_numbers:
        return False
    if one.ended_at is None:
        return facts.call.started_at - one.started_at <= _FORWARDED_WITHIN
    return one.ended_at + _TOLERANCE >= (facts.leg.ended_at or facts.call.started_at)


def repeat_of(facts: Facts, rules: Rules) -> EarlierCall | None:
    """The call that counts so shortly before this one."""
    if rules.repeat_within is None:
        return None
    same_number = rules.repeat_on is RepeatOn.SAME_NUMBER
    return facts.counted_since(timedelta(seconds=rules.repeat_within), same_number=same_number)
