"""What a condition may look at: the call, its number, its customer, and what the same customer did before. Asks nobody."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta, tzinfo
from functools import cached_property
from typing import NamedTuple

from offhook.pipeline.call import Call, CallState, Leg
from offhook.pipeline.callback import CallKey, Direction, Status
from offhook.pipeline.customer import Customer
from offhook.pipeline.phone import Caller, area_code, country_of
from offhook.pipeline.rules.limits import USUAL, RuleLimits
from offhook.pipeline.rules.results import Number

COUNTS = (CallState.CONVERTED, CallState.PARKED)
"""A call in one of these counts, or will once its caller is known."""

# https://www.twilio.com/docs/voice/answering-machine-detection: what is neither is `unknown`
_HUMAN = "human"
_NO_HUMAN = ("machine", "fax")


class EarlierCall(NamedTuple):
    """A call of the same customer that began before. `ours` is our end in E.164, or as it came; times are UTC.

    `is_missed`: the customer called, no person answered, and it does not count.
    """

    key: CallKey
    ours: str
    direction: Direction
    started_at: datetime
    ended_at: datetime | None
    state: CallState
    is_missed: bool = False


@dataclass(frozen=True)
class Facts:
    """`leg` is the call itself, without the legs that it dialled. `ours` is our end in E.164, or as it came; `number` is
    what the rules say of it, None where it is not listed. `customer` is the other end, `who` the row of the customer table
    that names it, None while nobody does. `direction` is which way the call went between us and the customer. `earlier` are
    the customer's calls before, the latest first; None where they are not known. `limits` are those of what is kept of it.
    """

    call: Call
    leg: Leg
    ours: str
    number: Number | None
    customer: Caller
    direction: Direction
    who: Customer | None = None
    earlier: Sequence[EarlierCall] | None = None
    zone: tzinfo = field(default=UTC)
    limits: RuleLimits = USUAL

    @property
    def duration_seconds(self) -> int:
        """A call that nobody answered has no length."""
        return self.leg.duration_seconds or 0

    @cached_property
    def by_person(self) -> bool | None:
        """Whether a person answered; None where nobody knows."""
        return is_by_person(self.call)

    @cached_property
    def talk_seconds(self) -> int | None:
        """How long was talked; None where nobody knows."""
        return talk_seconds(self.call)

    @cached_property
    def began(self) -> datetime:
        """When the call began, in the time zone of the rules."""
        return self.call.started_at.astimezone(self.zone)

    @property
    def clock(self) -> time:
        """The time of day at which it began, in that zone."""
        return self.began.time()

    @cached_property
    def country(self) -> str | None:
        """The country of the customer's number by its two letters; None where it is not known."""
        return country_of(self.customer.e164)

    @cached_property
    def area_code(self) -> str | None:
        """The area code of the customer's number; None where it has none."""
        return area_code(self.customer.e164)

    @property
    def seconds_since_counted(self) -> float:
        """How long before it the customer's latest call ended that counts; endless where there is none."""
        return self._since_end_of(self._counted(same_number=False))

    @property
    def seconds_since_counted_of_number(self) -> float:
        """The same of calls of the same number."""
        return self._since_end_of(self._counted(same_number=True))

    def _since_end_of(self, calls: Iterable[EarlierCall]) -> float:
        ends = [one.ended_at or one.started_at for one in calls]
        return (self.call.started_at - max(ends)).total_seconds() if ends else math.inf

    def counted_since(self, length: timedelta, *, same_number: bool = False) -> EarlierCall | None:
        """The latest call that counts and ended so shortly before this one, of any number or of the same."""
        since = self.call.started_at - length
        counted = self._counted(same_number=same_number)
        return next((one for one in counted if (one.ended_at or one.started_at) >= since), None)

    def _counted(self, *, same_number: bool) -> Sequence[EarlierCall]:
        """The customer's calls before that count, of any number or of the same."""
        counted = [one for one in self.earlier or () if one.state in COUNTS]
        return [one for one in counted if one.ours == self.ours] if same_number else counted


def answered_leg(call: Call) -> Leg | None:
    """The leg that somebody answered: of those that the call dialled, the one that was talked to longest."""
    if not call.children:
        return None
    talked = [leg for leg in call.children if leg.status is Status.COMPLETED and leg.duration_seconds]
    return max(talked, key=lambda leg: leg.duration_seconds or 0, default=None)


def answered_by(call: Call) -> str:
    """Who answered, in Twilio's word: as detection found it for the call itself, else for the leg that was talked to
    longest; "" where none ran."""
    word = call.root.details.get("AnsweredBy", "") if call.root else ""
    if word or not call.children:
        return word
    legs = sorted(call.children, key=lambda leg: -(leg.duration_seconds or 0))
    return next(filter(None, (leg.details.get("AnsweredBy") for leg in legs)), "")


def talk_seconds(call: Call) -> int | None:
    """How long was talked, on the leg that somebody answered; None where no leg and no detection says so."""
    leg = answered_leg(call)
    if leg is not None:
        return leg.duration_seconds
    if call.children:
        return 0
    return (call.root.duration_seconds or 0) if call.root and _is_known_without_legs(call, call.root) else None


def _is_known_without_legs(call: Call, root: Leg) -> bool:
    """What Twilio answers itself says nothing of a person; what nobody answered, and whom we called, does."""
    return root.status is not Status.COMPLETED or root.direction is Direction.OUTBOUND_API or bool(answered_by(call))


def is_by_person(call: Call) -> bool | None:
    """Whether a person answered: as detection says, else by a leg that was talked to. None where neither is known."""
    word = answered_by(call)
    if word == _HUMAN:
        return True
    if word.startswith(_NO_HUMAN):
        return False
    if call.children:
        return answered_leg(call) is not None
    return False if call.root and call.root.status is not Status.COMPLETED else None
