"""What callbacks add up to (Call). Pure values: never reads a clock, a file or a database.

Folding is forward only and does not depend on the order: the same callbacks, shuffled or doubled, make the same Call.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from offhook.pipeline.callback import ON_ITS_WAY, Callback, CallKey, Direction, Status, is_terminal
from offhook.pipeline.states import Moves


class CallState(StrEnum):
    """Where a call stands in the ledger. An open one with a time of decision is unfinished: no callback of its end came in time."""

    OPEN = "open"
    SETTLING = "settling"
    CONVERTED = "converted"
    SKIPPED = "skipped"
    PARKED = "parked"
    MERGED = "merged"


class CallEvent(StrEnum):
    """What moves a call."""

    FOLD = "fold"  # callbacks were taken in
    LEG_CONVERTED = "leg_converted"  # a leg joined it that stood as a call of its own and was converted
    FOLD_LATE = "fold_late"  # callbacks were taken in after it was decided, or joined another call
    DECIDE = "decide"
    DECIDE_ANEW = "decide_anew"  # a person asked for it, by other rules
    LEAVE = "leave"  # it is called unfinished
    MERGE = "merge"  # it turned out to be a leg of another call


# The whole machine. What was decided stays, whatever comes later, unless a person asks; a converted call stays converted, and
# one of which a leg was converted is, unless it was skipped. A merged one takes callbacks in where legs hang in a circle.
CALL_MOVES: Moves[CallState, CallEvent] = Moves(
    {
        (CallState.OPEN, CallEvent.FOLD): (CallState.OPEN, CallState.SETTLING),
        (CallState.SETTLING, CallEvent.FOLD): (CallState.SETTLING, CallState.OPEN),
        (CallState.OPEN, CallEvent.LEG_CONVERTED): (CallState.CONVERTED,),
        (CallState.SETTLING, CallEvent.LEG_CONVERTED): (CallState.CONVERTED,),
        (CallState.PARKED, CallEvent.LEG_CONVERTED): (CallState.CONVERTED,),
        (CallState.CONVERTED, CallEvent.FOLD_LATE): (CallState.CONVERTED,),
        (CallState.SKIPPED, CallEvent.FOLD_LATE): (CallState.SKIPPED,),
        (CallState.PARKED, CallEvent.FOLD_LATE): (CallState.PARKED,),
        (CallState.MERGED, CallEvent.FOLD_LATE): (CallState.MERGED,),
        (CallState.SETTLING, CallEvent.DECIDE): (CallState.CONVERTED, CallState.SKIPPED, CallState.PARKED),
        (CallState.PARKED, CallEvent.DECIDE): (CallState.CONVERTED, CallState.SKIPPED, CallState.PARKED),
        (CallState.SKIPPED, CallEvent.DECIDE_ANEW): (CallState.CONVERTED, CallState.SKIPPED, CallState.PARKED),
        (CallState.PARKED, CallEvent.DECIDE_ANEW): (CallState.CONVERTED, CallState.SKIPPED, CallState.PARKED),
        (CallState.OPEN, CallEvent.LEAVE): (CallState.OPEN,),
        (CallState.OPEN, CallEvent.MERGE): (CallState.MERGED,),
        (CallState.SETTLING, CallEvent.MERGE): (CallState.MERGED,),
        (CallState.CONVERTED, CallEvent.MERGE): (CallState.MERGED,),
        (CallState.SKIPPED, CallEvent.MERGE): (CallState.MERGED,),
        (CallState.PARKED, CallEvent.MERGE): (CallState.MERGED,),
    },
    begin=(CallState.OPEN, CallState.SETTLING, CallState.CONVERTED),
)
UNDECIDED = CALL_MOVES.sources(CallEvent.FOLD)
"""As long as callbacks move it."""
DECIDABLE_ANEW = CALL_MOVES.sources(CallEvent.DECIDE_ANEW)
"""Where a person may have it decided anew."""

_RANK = {status: rank for rank, status in enumerate(ON_ITS_WAY)}
_TERMINAL_RANK = len(ON_ITS_WAY)
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Leg:
    """One leg of a call as far as we know it. `details` are Twilio's parameters, the furthest callback's word first."""

    call_sid: str
    parent_call_sid: str | None
    status: Status
    direction: Direction
    from_: str
    to: str
    duration_seconds: int | None
    ended_at: datetime | None
    details: Mapping[str, str] = field(default_factory=dict)

    @property
    def started_at(self) -> datetime | None:
        """Its end less its length, UTC: Twilio's callbacks say no more of it. None until it has ended."""
        return self.ended_at and self.ended_at - timedelta(seconds=self.duration_seconds or 0)


@dataclass(frozen=True, slots=True)
class Call:
    """One call to the customer: the root leg, and the legs that hang from it.

    `root` is None while we have received child legs alone. `final_at` is when we first received a terminal status of
    the root leg, UTC; `ended_at` is the time of the end in Twilio's callback (else when we received it).
    """

    key: CallKey
    root: Leg | None
    children: tuple[Leg, ...]
    callbacks: int
    first_received_at: datetime
    final_at: datetime | None

    @property
    def started_at(self) -> datetime:
        """When it began, UTC, as far as callbacks say: else when the first of them came."""
        return (self.root.started_at if self.root else None) or self.first_received_at

    @property
    def ended_at(self) -> datetime:
        """When it ended, UTC, as far as callbacks say: else when the first that said so came, or the first of all."""
        return (self.root.ended_at if self.root else None) or self.final_at or self.first_received_at


def _furthest(callback: Callback) -> tuple[int, int, datetime, str, int, str]:
    """How far along a leg this callback speaks of: the greatest one wins, and the order of arrival plays no part.

    The words of the callback come before its key, which another spelling of the same callback would not share.
    """
    return (
        _RANK.get(callback.status, _TERMINAL_RANK),
        -1 if callback.sequence_number is None else callback.sequence_number,
        callback.occurred_at or _LONG_AGO,
        callback.status,
        -1 if callback.duration_seconds is None else callback.duration_seconds,
        callback.raw.dedupe_key,
    )


def fold_leg(callbacks: Iterable[Callback]) -> Leg:
    """All callbacks of ONE leg, in any order, as the leg they describe. Needs at least one."""
    in_order = list(callbacks)
    if len(in_order) == 1:
        return _leg_of_one(in_order[0])
    in_order.sort(key=_furthest)
    last = in_order[-1]
    details = {name: value for callback in in_order for name, value in callback.params.items() if value}
    durations = [c.duration_seconds for c in in_order if c.duration_seconds is not None]
    parents = [c.raw.parent_call_sid for c in in_order if c.raw.parent_call_sid]
    directions = [c.direction for c in in_order if c.direction is not Direction.UNKNOWN]
    return Leg(
        call_sid=last.raw.call_sid,
        parent_call_sid=parents[-1] if parents else None,
        status=last.status,
        direction=directions[-1] if directions else Direction.UNKNOWN,
        from_=details.get("From", ""),
        to=details.get("To", ""),
        duration_seconds=durations[-1] if durations else None,
        ended_at=(last.occurred_at or last.raw.received_at) if is_terminal(last.status) else None,
        details=details,
    )


def _leg_of_one(callback: Callback) -> Leg:
    raw, ended_at = callback.raw, None
    if is_terminal(callback.status):
        ended_at = callback.occurred_at or raw.received_at
    return Leg(
        raw.call_sid,
        raw.parent_call_sid or None,
        callback.status,
        callback.direction,
        callback.params.get("From", ""),
        callback.params.get("To", ""),
        callback.duration_seconds,
        ended_at,
        {name: value for name, value in callback.params.items() if value},
    )


def fold(key: CallKey, callbacks: Iterable[Callback]) -> Call:
    """All callbacks of a call and its legs, in any order, as the call they add up to. `key` names the root leg."""
    found = list(callbacks)
    if len(found) == 1:
        return _fold_one(key, found[0])
    by_leg: dict[str, dict[str, Callback]] = {}
    for callback in found:
        by_leg.setdefault(callback.raw.call_sid, {})[callback.raw.dedupe_key] = callback
    legs = {call_sid: fold_leg(of_leg.values()) for call_sid, of_leg in by_leg.items()}
    every = [callback for of_leg in by_leg.values() for callback in of_leg.values()]
    final = [c.raw.received_at for c in by_leg.get(key.call_sid, {}).values() if is_terminal(c.status)]
    return Call(
        key=key,
        root=legs.pop(key.call_sid, None),
        children=tuple(legs[call_sid] for call_sid in sorted(legs)),
        callbacks=len(every),
        first_received_at=min(callback.raw.received_at for callback in every),
        final_at=min(final) if final else None,
    )


def _fold_one(key: CallKey, callback: Callback) -> Call:
    """The same of a call of which one callback came, as of most: of that there is nothing to put in order."""
    raw, leg = callback.raw, fold_leg((callback,))
    if raw.call_sid != key.call_sid:
        return Call(key, None, (leg,), 1, raw.received_at, None)
    return Call(key, leg, (), 1, raw.received_at, raw.received_at if is_terminal(callback.status) else None)


def root_of(call_sid: str, parents: Mapping[str, str]) -> str:
    """The leg at the top of the family of `call_sid`; `parents` maps a leg to its parent. A circle ends at its least name."""
    seen: list[str] = []
    while call_sid in parents and call_sid not in seen:
        seen.append(call_sid)
        call_sid = parents[call_sid]
    return min(seen[seen.index(call_sid) :]) if call_sid in seen else call_sid
