"""Where a call is counted: its hour, the tracked number, the verdict and the reason word. Pure: counts nothing itself.

A place depends on what the ledger keeps of the call and its conversion and on nothing else, no setting and no rule, so that
whoever counts anew, years later, comes to the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from offhook.pipeline.call import CallState
from offhook.pipeline.callback import Direction
from offhook.pipeline.ends import is_our_own
from offhook.pipeline.phone import caller_of_call
from offhook.pipeline.story import CountedCall, Story, Verdict, verdict
from offhook.pipeline.unfinished import UNFINISHED

NOT_ENDED, SETTLING = "not_ended", "settling"
"""The reason words of a call of which nothing was decided yet."""
_NOT_COUNTED = frozenset({CallState.MERGED.value})


@dataclass(frozen=True, slots=True)
class Place:
    """Where a call is counted. `at` is when its first callback came, `number` ours in E.164, "" where it is not known."""

    at: datetime
    number: str
    outcome: str
    reason: str

    @property
    def cell(self) -> Cell:
        """The sum that it is part of."""
        return Cell(self.at.replace(minute=0, second=0, microsecond=0), self.number, self.outcome, self.reason)


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """What is counted together. `hour` is the beginning of an hour, UTC."""

    hour: datetime
    number: str
    outcome: str
    reason: str


class Ruling(NamedTuple):
    """By which rule a call counts, waits for its caller to become known, or does not count, and then why.

    `rule` is "" for the last one, None where none was asked; `state` is where such a call stands, a CallState's word;
    `reason` is the first word of the decision without the call that it names, "" of a call that counts.
    """

    rule: str | None
    state: str
    reason: str


@dataclass(frozen=True, slots=True)
class CallOfTally:
    """What the ledger keeps of a call that its place depends on.

    `words` are the reasons of its last decision; `delivery` is where its conversion stands and `why` its reason, None where
    there is no conversion. `rule` is that of the newest decision by which it stands as it does, of a leg's where that was
    converted.
    """

    state: str
    first_received_at: datetime
    direction: str
    from_: str
    to: str
    is_decided: bool
    words: Sequence[str] = ()
    delivery: str | None = None
    why: str | None = None
    rule: str | None = None


def place_of(call: CallOfTally) -> Place | None:
    """Where the call is counted; None for a leg of another call."""
    if call.state in _NOT_COUNTED:
        return None
    found = verdict(call.state, call.delivery)
    return Place(call.first_received_at, our_number(call.direction, call.from_, call.to), found.value, _reason(call))


def ruling_of(call: CallOfTally) -> Ruling | None:
    """None where nothing is decided yet, and for a leg of another call."""
    if call.state in _NOT_COUNTED:
        return None
    state = ruled(verdict(call.state, call.delivery))
    if state is None:
        return None
    counts = state == CallState.CONVERTED
    return Ruling(call.rule, state.value, "" if counts else kind_of(next(iter(call.words), "")))


def ruled(outcome: str) -> CallState | None:
    """What rules made of a call with this verdict; None where they have not decided yet."""
    return _RULED.get(_kind(outcome))


def _reason(call: CallOfTally) -> str:
    if call.why is not None:
        return call.why
    if call.state == CallState.SETTLING:
        return SETTLING
    return kind_of(next(iter(call.words), "")) if call.is_decided else NOT_ENDED


def call_of_tally(story: Story) -> CallOfTally:
    """What is known of a call, read as people read it."""
    call, sent = story.call, story.conversion
    return CallOfTally(
        state=CallState.OPEN if call.state == UNFINISHED else call.state,
        first_received_at=call.first_received_at,
        direction=call.direction,
        from_=call.from_,
        to=call.to,
        is_decided=call.decided_at is not None,
        words=[reason.word for reason in story.decisions[-1].reasons] if story.decisions else (),
        delivery=sent.state if sent else None,
        why=sent.reason if sent else None,
        rule=_rule(story),
    )


def _rule(story: Story) -> str | None:
    state = CallState.CONVERTED if story.conversion else story.call.state
    return next((one.rule for one in reversed(story.decisions) if one.result == state), None)


def counted(story: Story) -> CountedCall:
    """The call as a list has it: where it is counted. A story is of no leg, so there is such a place."""
    call = call_of_tally(story)
    number = our_number(call.direction, call.from_, call.to)
    return CountedCall(story.call, number, verdict(call.state, call.delivery).value, _reason(call))


def kind_of(word: str) -> str:
    """A reason word without the call that it names (`repeat_of CA...`): what is counted together."""
    return word.partition(" ")[0]


def our_number(direction: str, from_: str, to: str) -> str:
    """Our end of the call in E.164; "" where it has none, or where the other end may be the customer's.

    Of a call that came in it is the number that was called, unless one of ours called it (an agent's browser or desk phone):
    then that is a customer's, and what is counted shall name nobody.
    """
    if direction == Direction.INBOUND:
        return "" if _is_an_agent(from_) else _e164(to)
    return _e164(from_) if direction == Direction.OUTBOUND_API else ""


def _e164(address: str) -> str:
    """Without a country no national number is read, so that no setting plays a part."""
    return caller_of_call(address, "", sip_users=True).e164 or ""


def _is_an_agent(address: str) -> bool:
    """A browser phone, or a desk phone whose address is no number."""
    return ":" in address and is_our_own(caller_of_call(address, "", sip_users=True))


@dataclass(frozen=True, slots=True)
class Tally:
    """How many calls are counted in one place."""

    hour: datetime
    number: str
    outcome: str
    reason: str
    calls: int


@dataclass(frozen=True, slots=True)
class RuleTally:
    """Of how many calls the same rule made the same; the others as a Ruling's."""

    rule: str | None
    state: str
    reason: str
    calls: int


@dataclass(frozen=True, slots=True)
class Figures:
    """Calls by what became of them: `calls` are those converted, waiting, skipped and open together, and so are the sums of
    `by_reason` and of `by_number` ("" is where no number of ours is known), and `converted` those of the four verdicts.
    """

    calls: int = 0
    converted: int = 0
    waiting: int = 0
    skipped: int = 0
    open: int = 0
    by_outcome: Mapping[str, int] = field(default_factory=dict)
    by_reason: Mapping[str, int] = field(default_factory=dict)
    by_number: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


_KIND = {
    Verdict.DELIVERED: "converted",
    Verdict.ON_ITS_WAY: "converted",
    Verdict.HELD: "converted",
    Verdict.REFUSED: "converted",
    Verdict.UNKNOWN_CALLER: "waiting",
    Verdict.DOES_NOT_COUNT: "skipped",
    Verdict.NOT_FINISHED: "open",
}
KINDS = tuple(dict.fromkeys(_KIND.values()))
_RULED = {"converted": CallState.CONVERTED, "waiting": CallState.PARKED, "skipped": CallState.SKIPPED}


def figures(tallies: Iterable[Tally]) -> Figures:
    """The sums of some tallies, the greatest first."""
    every = list(tallies)
    by_number = {
        number: _kinds(one for one in every if one.number == number) for number in {one.number for one in every}
    }
    return Figures(
        calls=sum(one.calls for one in every),
        **_kinds(every),
        by_outcome={one.value: sum(each.calls for each in every if each.outcome == one) for one in Verdict},
        by_reason=_sums((one.reason, one.calls) for one in every),
        by_number={number: by_number[number] for number in _sums((one.number, one.calls) for one in every)},
    )


def _kinds(tallies: Iterable[Tally]) -> dict[str, int]:
    return dict.fromkeys(KINDS, 0) | _sums((_kind(one.outcome), one.calls) for one in tallies)


def _kind(outcome: str) -> str:
    return _KIND.get(Verdict(outcome), "open") if outcome in set(Verdict) else "open"


def _sums(found: Iterable[tuple[str, int]]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for name, count in found:
        sums[name] = sums.get(name, 0) + count
    return dict(sorted(((name, count) for name, count in sums.items() if count), key=lambda one: (-one[1], one[0])))
