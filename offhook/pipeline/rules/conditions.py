"""What a call must be to count: one table of conditions, an entry each. Reads no file, no clock, no database.

What a file may say, what is decided, why, how the rules are read back and the page about them all come from the entry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from offhook.pipeline.call import Call, Leg
from offhook.pipeline.callback import Direction, Status, is_terminal
from offhook.pipeline.phone import Caller, CallerKind
from offhook.pipeline.rules.kinds import Kind, Seconds, Words, YesNo
from offhook.pipeline.rules.results import Number

V = TypeVar("V")
D = TypeVar("D")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a condition may look at.

    `leg` is the call itself, without the legs that it dialled. `ours` is our end of it in E.164, or as it came; `number`
    is what the rules say of that number, None where it is not listed. `customer` is the other end.
    """

    call: Call
    leg: Leg
    ours: str
    number: Number | None
    customer: Caller

    @property
    def duration_seconds(self) -> int:
        """A call that nobody answered has no length."""
        return self.leg.duration_seconds or 0


@dataclass(frozen=True, slots=True)
class Condition:
    """One entry.

    `holds` says whether a call is as asked; it is not asked where the rules say nothing (None). `reason` is the word of a
    call that is not, `sentence` the one for the person who asks, of what was {found} (by `found`) and what is {asked}, and
    `remedy` what can be done. `english` completes "A call counts when it ...", empty where that is said elsewhere.
    """

    kind: Kind[Any]
    holds: Callable[[Any, Facts], bool]
    found: Callable[[Facts], object]
    reason: str
    sentence: str
    remedy: str
    english: str
    explained: str

    def in_english(self, asked: Any) -> str:
        """What the rules ask; empty where they ask nothing."""
        return self.english.format(asked=self.kind.shown(asked)) if asked else ""

    def words(self, asked: Any, facts: Facts) -> dict[str, str]:
        """What the sentence says."""
        return {"found": str(self.found(facts)), "asked": self.kind.shown(asked)}


def _condition(
    kind: Kind[V],
    default: D,
    *,
    holds: Callable[[V, Facts], bool],
    found: Callable[[Facts], object],
    reason: str,
    sentence: str,
    remedy: str,
    english: str,
    explained: str,
) -> D:
    entry = Condition(kind, holds, found, reason, sentence, remedy, english, explained)
    return field(default=default, metadata={"entry": entry})


@dataclass(frozen=True)
class Conditions:
    """What a file may ask of a call. The name of an entry is its key in the file, its value what the rules ask."""

    directions: frozenset[Direction] = _condition(
        Words({each.value: each for each in (Direction.INBOUND, Direction.OUTBOUND_API)}),
        frozenset({Direction.INBOUND}),
        holds=lambda asked, facts: facts.leg.direction in asked,
        found=lambda facts: facts.leg.direction,
        reason="direction",
        sentence="Its direction is {found}; {asked} counts.",
        remedy="Name its direction in `directions` of the rules if such calls shall count.",
        english="is {asked}",
        explained="Who called whom. The legs that a call dials belong to it and never count by themselves.",
    )
    statuses: frozenset[Status] = _condition(
        Words({each.value: each for each in Status if is_terminal(each)}),
        frozenset({Status.COMPLETED}),
        holds=lambda asked, facts: facts.leg.status in asked,
        found=lambda facts: facts.leg.status,
        reason="status",
        sentence="Its status is {found}; {asked} counts.",
        remedy="Name its status in `statuses` of the rules if such calls shall count.",
        english="ended as {asked}",
        explained="How a call must have ended. That it is completed means that Twilio answered, not that a person did.",
    )
    min_duration_seconds: int = _condition(
        Seconds(example=30),
        0,
        holds=lambda asked, facts: facts.duration_seconds >= asked,
        found=lambda facts: facts.duration_seconds,
        reason="too_short",
        sentence="It lasted {found} s; at least {asked} s count.",
        remedy="Lower `min_duration_seconds` of the rules if shorter calls shall count.",
        english="lasted at least {asked} s",
        explained="Shorter calls do not count. A call that nobody answered lasted 0 seconds.",
    )
    max_duration_seconds: int | None = _condition(
        Seconds(example=3600, at_least=1),
        None,
        holds=lambda asked, facts: facts.duration_seconds <= asked,
        found=lambda facts: facts.duration_seconds,
        reason="too_long",
        sentence="It lasted {found} s; at most {asked} s count.",
        remedy="Raise `max_duration_seconds` of the rules if longer calls shall count.",
        english="lasted at most {asked} s",
        explained="Longer calls do not count. Without it there is no limit.",
    )
    only_listed_numbers: bool = _condition(
        YesNo(),
        False,
        holds=lambda asked, facts: not asked or facts.number is not None,
        found=lambda facts: facts.ours,
        reason="number_not_listed",
        sentence="{found} is not among the tracked numbers.",
        remedy="Add a [[numbers]] block with this number to the rules if its calls shall count.",
        english="",  # said above the list of numbers
        explained="Whether only calls of the numbers that have a block [[numbers]] count.",
    )


CONDITIONS: Mapping[str, Condition] = {each.name: each.metadata["entry"] for each in fields(Conditions)}

# What every file asks, whatever it says: no key takes it away.
ALWAYS: tuple[Condition, ...] = (
    Condition(
        YesNo(),
        holds=lambda _, facts: facts.customer.kind is not CallerKind.WITHHELD,
        found=lambda facts: facts.customer.kind,
        reason="caller_withheld",
        sentence="The caller withheld the number, so nobody can be matched.",
        remedy="Nothing can be done: there is no number to go by.",
        english="has a caller who did not withhold the number",
        explained="A caller who withheld the number cannot be matched with a customer.",
    ),
    Condition(
        YesNo(),
        holds=lambda _, facts: facts.customer.kind in (CallerKind.PHONE, CallerKind.NUMBER, CallerKind.WITHHELD),
        found=lambda facts: facts.customer.kind,
        reason="caller_not_a_phone",
        sentence="The caller is not a phone number ({found}).",
        remedy="Nothing can be done, but where callers come by SIP from a switchboard of your own, with numbers that are "
        "theirs: then set OFFHOOK_SIP_CALLERS=1.",
        english="has a phone number at the other end",
        explained="A SIP address, a client of Twilio's, a SIM or a short code is no phone number.",
    ),
)
EVERY: tuple[Condition, ...] = (*CONDITIONS.values(), *ALWAYS)


def all_asked(asked: Conditions) -> Iterator[tuple[Condition, Any]]:
    """Every entry with what is asked, in the order of the table; None where a file may ask something and does not."""
    for key, condition in CONDITIONS.items():
        yield condition, getattr(asked, key)
    for condition in ALWAYS:
        yield condition, True


def broken(asked: Conditions, facts: Facts) -> Iterator[tuple[Condition, dict[str, str]]]:
    """The conditions that do not hold, in the order of the table, each with the words of its sentence."""
    for condition, value in all_asked(asked):
        if value is not None and not condition.holds(value, facts):
            yield condition, condition.words(value, facts)
