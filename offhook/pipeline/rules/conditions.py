"""What a call must be to count: one table of conditions, an entry each. Reads no file, no clock, no database.

What a file may say, what is decided, why, how the rules are read back and the page about them all come from the entry.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import time, timedelta
from enum import StrEnum
from typing import Any, TypeVar

from offhook.pipeline.callback import Direction, Status, is_terminal
from offhook.pipeline.phone import CallerKind
from offhook.pipeline.rules.facts import Facts
from offhook.pipeline.rules.kinds import (
    Codes,
    DayParts,
    Holidays,
    HolidaysOf,
    Kind,
    ListFile,
    NumberList,
    NumberSet,
    Part,
    Seconds,
    Span,
    TrackedNumbers,
    ValueTests,
    Words,
    YesNo,
)
from offhook.pipeline.rules.limits import RuleLimits
from offhook.pipeline.rules.matching import ValueTest

V = TypeVar("V")
W = TypeVar("W")
D = TypeVar("D")


class Day(StrEnum):
    """The days of the week, Monday first, as `datetime.weekday` counts them."""

    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"


_DAYS = tuple(Day)
EVER = timedelta(days=36_500)
NOBODY_KNOWS = "nobody knows"
_NO_MATCH = "Nothing: nobody can be matched."

Distinction = Callable[[Any], Hashable]
"""As much of what a condition looks at as makes a difference: of two calls with the same it holds of both, or of neither."""

Finding = Callable[[Facts], object]
"""What of a call is shown beside what is asked; None where nobody knows."""


def _itself(_asked: Sequence[Any]) -> Distinction | None:
    return None


def _between(limits: Sequence[Any]) -> Distinction:
    """Between which of these limits a number lies, each of which it exceeds or not."""
    in_order = sorted(limits)
    return lambda number: bisect_left(in_order, number)


def _of_names(asked: Sequence[Mapping[str, ValueTest]]) -> Distinction:
    """The values that are asked for, of many that there are."""
    names = sorted({name for tests in asked for name in tests})
    return lambda values: tuple([values.get(name) for name in names])


def _whatever_is_asked(found: Finding) -> Callable[[Sequence[Any]], Finding]:
    return lambda _asked: found


def _values_asked_for(
    values_of: Callable[[Facts], Mapping[str, str]],
) -> Callable[[Sequence[Mapping[str, ValueTest]]], Finding]:
    """Of many values those whose names are asked for."""

    def finds(asked: Sequence[Mapping[str, ValueTest]]) -> Finding:
        names = sorted({name for tests in asked for name in tests})
        return lambda facts: _in_words(names, values_of(facts), facts.limits)

    return finds


def _in_words(names: Sequence[str], values: Mapping[str, str], limits: RuleLimits) -> str:
    """As many as there is room for, each whole: a part of a number or an email could not be masked any more."""
    parts, room = list[str](), limits.found
    for name in names:
        one = _one_in_words(name, values.get(name), limits.value_found)
        room -= len(one)
        if room < 0:
            return ", ".join([*parts, f"and {len(names) - len(parts)} more"])
        parts.append(one)
    return ", ".join(parts)


def _one_in_words(name: str, value: str | None, most: int) -> str:
    if not value:
        return f"without {name}"
    if len(value) > most:
        return f"{name} of {len(value)} characters"
    shown = value if value.isprintable() else "".join([each if each.isprintable() else "?" for each in value])
    return f"{name} {shown}"


@dataclass(frozen=True, slots=True)
class Condition:
    """One entry.

    `holds` says whether what `looks_at` gives of a call is as asked; that is None where nobody knows. It is not asked where
    the rules say nothing (None). `distinguishes` makes of all that rules ask what distinguishes calls (None: what it looks at itself),
    and `finds` what is found of a call. `reason` is the word of a call that is not, `sentence` the one for the person who
    asks, of what was {found} and what is {asked}, and `remedy` what can be done; `short`, `to_do` and `of_many` are as in Known
    of reasons.py. `english` completes "A call counts when it
    ...", `english_not` the same of one that is asked not to be so; empty where that is said elsewhere. `of_customer`: it is
    known once the caller is. `looks_back`: it looks at earlier calls of the customer. `needs_zone`: it needs the time zone
    of the rules. `of_callbacks`: it looks at legs or parameters, which callbacks alone say, and not the row that is kept of
    a call.
    """

    kind: Kind[Any]
    looks_at: Callable[[Facts], Any]
    holds: Callable[[Any, Any], bool]
    finds: Callable[[Sequence[Any]], Finding]
    reason: str
    sentence: str
    remedy: str
    english: str
    explained: str
    english_not: str = ""
    of_customer: bool = False
    looks_back: bool = False
    needs_zone: bool = False
    of_callbacks: bool = False
    distinguishes: Callable[[Sequence[Any]], Distinction | None] = _itself
    short: str = ""
    to_do: str = ""
    of_many: str = ""

    def in_english(self, asked: Any) -> str:
        """What the rules ask; empty where they ask nothing."""
        if asked is False:
            return self.english_not
        return self.english.format(asked=self.kind.shown(asked)) if asked else ""

    def says(self, asked: Any, facts: Facts) -> bool | None:
        """Whether the call is as asked; None where nobody knows."""
        seen = self.looks_at(facts)
        return None if seen is None else self.holds(asked, seen)

    def found_by(self, asked: Sequence[Any]) -> Callable[[Facts], str]:
        """What a call is, as a sentence may hold it, for rules that ask all this."""
        find = self.finds(asked)

        def found_in(facts: Facts) -> str:
            found = find(facts)
            return NOBODY_KNOWS if found is None else str(found)

        return found_in

    def words(self, asked: Any, facts: Facts) -> dict[str, str]:
        """What the sentence says."""
        return {"found": self.found_by([asked])(facts), "asked": self.kind.shown(asked)}


def _condition(
    kind: Kind[V],
    default: D,
    *,
    looks_at: Callable[[Facts], W | None],
    holds: Callable[[V, W], bool],
    found: Finding | None = None,
    finds: Callable[[Sequence[Any]], Finding] | None = None,
    reason: str,
    sentence: str,
    remedy: str,
    english: str,
    explained: str,
    english_not: str = "",
    of_customer: bool = False,
    looks_back: bool = False,
    needs_zone: bool = False,
    of_callbacks: bool = False,
    distinguishes: Callable[[Sequence[Any]], Distinction | None] = _itself,
    short: str = "",
    of_many: str = "",
) -> D:
    if found is not None:
        finds = _whatever_is_asked(found)
    assert finds is not None, "an entry has one of the two"
    more = (english_not, of_customer, looks_back, needs_zone, of_callbacks, distinguishes, short, "", of_many)
    entry = Condition(kind, looks_at, holds, finds, reason, sentence, remedy, english, explained, *more)
    return field(default=default, metadata={"entry": entry})


def _yes_or_no(found: bool | None) -> str | None:
    return None if found is None else ("no", "yes")[found]


def _equals(asked: bool, found: bool) -> bool:
    return asked == found


def _at_least(asked: int, found: int) -> bool:
    return found >= asked


def _at_most(asked: int, found: int) -> bool:
    return found <= asked


def _longer(asked: int, found: float) -> bool:
    return found > asked


def _among(asked: frozenset[V], found: V) -> bool:
    return found in asked


def _is_within(parts: tuple[Part, ...], moment: time) -> bool:
    for part in parts:  # noqa: SIM110  (any() takes twice as long)
        if moment in part:
            return True
    return False


def _day(facts: Facts) -> Day:
    return _DAYS[facts.began.weekday()]


def _is_first(facts: Facts) -> bool | None:
    return None if facts.earlier is None else not facts.earlier


def _since_counted(facts: Facts) -> float | None:
    return None if facts.earlier is None else facts.seconds_since_counted


def _since_counted_of_number(facts: Facts) -> float | None:
    return None if facts.earlier is None else facts.seconds_since_counted_of_number


def _latest(facts: Facts, *, same_number: bool) -> str | None:
    if facts.earlier is None:
        return None
    found = facts.counted_since(EVER, same_number=same_number)
    return f"{found.key.call_sid}, {found.started_at.isoformat(' ', 'minutes')[:16]} UTC" if found else "none"


def _are_as_asked(asked: Mapping[str, ValueTest], values: Mapping[str, str]) -> bool:
    for name, test in asked.items():  # noqa: SIM110  (all() takes twice as long)
        if not test.holds(values.get(name)):
            return False
    return True


def _attributes(facts: Facts) -> Mapping[str, str] | None:
    return None if facts.who is None or facts.who.people > 1 else facts.who.attributes


def _attributes_in_words(facts: Facts) -> str | None:
    values = _attributes(facts)
    if values is None:
        return None
    return ", ".join([f"{name} {value}" for name, value in values.items()]) or "without further columns"


@dataclass(frozen=True)
class Conditions:
    """What a file may ask of a call. The name of an entry is its key in the file, its value what the rules ask."""

    directions: frozenset[Direction] = _condition(
        Words({each.value: each for each in (Direction.INBOUND, Direction.OUTBOUND_API)}),
        frozenset({Direction.INBOUND}),
        looks_at=lambda facts: facts.direction,
        holds=_among,
        found=lambda facts: facts.direction,
        reason="direction",
        short="not a call of this direction",
        sentence="Its direction is {found}; {asked} counts.",
        remedy="Name its direction in `directions` of the rules if such calls shall count.",
        of_many="Name the direction in the rules if such calls shall count.",
        english="is {asked}",
        explained="Who called whom. The legs that a call dials belong to it and never count by themselves.",
    )
    statuses: frozenset[Status] = _condition(
        Words({each.value: each for each in Status if is_terminal(each)}),
        frozenset({Status.COMPLETED}),
        looks_at=lambda facts: facts.leg.status,
        holds=_among,
        found=lambda facts: facts.leg.status,
        reason="status",
        short="not answered",
        sentence="Its status is {found}; {asked} counts.",
        remedy="Name its status in `statuses` of the rules if such calls shall count.",
        of_many="Name how they ended in the rules if such calls shall count.",
        english="ended as {asked}",
        explained="How a call must have ended. That it is completed means that Twilio answered, not that a person did.",
    )
    min_duration_seconds: int = _condition(
        Seconds(example=30),
        0,
        looks_at=lambda facts: facts.duration_seconds,
        holds=_at_least,
        found=lambda facts: facts.duration_seconds,
        reason="too_short",
        sentence="It lasted {found} s; at least {asked} s count.",
        remedy="Lower `min_duration_seconds` of the rules if shorter calls shall count.",
        of_many="Lower the least length in the rules if shorter calls shall count.",
        english="lasted at least {asked} s",
        explained="Shorter calls do not count. A call that nobody answered lasted 0 seconds.",
    )
    max_duration_seconds: int | None = _condition(
        Seconds(example=3600, at_least=1),
        None,
        looks_at=lambda facts: facts.duration_seconds,
        holds=_at_most,
        found=lambda facts: facts.duration_seconds,
        reason="too_long",
        sentence="It lasted {found} s; at most {asked} s count.",
        remedy="Raise `max_duration_seconds` of the rules if longer calls shall count.",
        of_many="Raise the greatest length in the rules if longer calls shall count.",
        english="lasted at most {asked} s",
        explained="Longer calls do not count. Without it there is no limit.",
    )
    only_listed_numbers: bool = _condition(
        YesNo(),
        False,
        looks_at=lambda facts: facts.number is not None,
        holds=lambda asked, is_listed: is_listed or not asked,
        found=lambda facts: facts.ours,
        reason="number_not_listed",
        short="called number is not listed",
        sentence="{found} is not among the tracked numbers.",
        remedy="Add a [[numbers]] block with this number to the rules if its calls shall count.",
        of_many="Add the numbers to the rules if their calls shall count.",
        english="",  # said above the list of numbers
        explained="Whether only calls of the numbers that have a block [[numbers]] count.",
    )
    tracked_numbers: NumberSet | None = _condition(
        TrackedNumbers(),
        None,
        looks_at=lambda facts: facts.ours,
        holds=lambda asked, ours: ours in asked.numbers,
        found=lambda facts: facts.ours or None,
        reason="other_number",
        sentence="The number was {found}; {asked} counts.",
        remedy="Name the number in `tracked_numbers` of the rules if its calls shall count.",
        of_many="Name the numbers in the rules if their calls shall count.",
        english="is of {asked}",
        explained="Which tracked numbers are meant: phone numbers, labels of [[numbers]], names of [groups].",
    )
    answered_by_person: bool | None = _condition(
        YesNo(),
        None,
        looks_at=lambda facts: facts.by_person,
        holds=_equals,
        found=lambda facts: _yes_or_no(facts.by_person),
        reason="answered_otherwise",
        sentence="To whether a person answered the answer is {found}; asked is {asked}.",
        remedy="Change `answered_by_person` of the rules. Where nobody knows, set a status callback on <Number> or <Dial>, or "
        "let Twilio detect answering machines; `when_unknown` says which way the unknown falls.",
        english="was answered by a person",
        english_not="was not answered by a person",
        explained="A completed child leg was talked to, or detection says human. Where neither is known, it is unknown.",
        of_callbacks=True,
    )
    min_talk_seconds: int | None = _condition(
        Seconds(example=30),
        None,
        looks_at=lambda facts: facts.talk_seconds,
        holds=_at_least,
        found=lambda facts: facts.talk_seconds,
        reason="talk_too_short",
        sentence="The talk took {found} s; at least {asked} s count.",
        remedy="Lower `min_talk_seconds` of the rules if shorter talks shall count.",
        of_many="Lower the least length of a talk in the rules if they shall count.",
        english="was talked for at least {asked} s",
        explained="How long was talked at least, on the leg that somebody answered.",
        of_callbacks=True,
    )
    max_talk_seconds: int | None = _condition(
        Seconds(example=3600),
        None,
        looks_at=lambda facts: facts.talk_seconds,
        holds=_at_most,
        found=lambda facts: facts.talk_seconds,
        reason="talk_too_long",
        sentence="The talk took {found} s; at most {asked} s count.",
        remedy="Raise `max_talk_seconds` of the rules if longer talks shall count.",
        of_many="Raise the greatest length of a talk in the rules if they shall count.",
        english="was talked for at most {asked} s",
        explained="How long was talked at most, on the leg that somebody answered.",
        of_callbacks=True,
    )
    hours: tuple[Part, ...] | None = _condition(
        DayParts(),
        None,
        looks_at=lambda facts: facts.clock,
        holds=_is_within,
        found=lambda facts: facts.clock.isoformat("minutes"),
        reason="other_hours",
        sentence="It began at {found}; {asked} counts.",
        remedy="Change `hours` of the rules if calls of this hour shall count.",
        of_many="Change the hours in the rules if these calls shall count.",
        english="began in {asked}",
        explained="The hours in which a call must have begun.",
        needs_zone=True,
    )
    days: frozenset[Day] | None = _condition(
        Words({each.value: each for each in Day}),
        None,
        looks_at=_day,
        holds=_among,
        found=_day,
        reason="other_day",
        sentence="It began on {found}; {asked} counts.",
        remedy="Change `days` of the rules if calls of this day shall count.",
        of_many="Change the days in the rules if these calls shall count.",
        english="began on {asked}",
        explained="The days of the week on which a call must have begun.",
        needs_zone=True,
    )
    holiday_in: Holidays | None = _condition(
        HolidaysOf(),
        None,
        looks_at=lambda facts: facts.began.date(),
        holds=lambda asked, day: asked.name_of(day) is not None,
        found=lambda facts: facts.began.date(),
        reason="no_holiday",
        sentence="It began on {found}, which is no public holiday in {asked}.",
        remedy="Take `holiday_in` out of the rules if other days shall count.",
        english="began on a public holiday in {asked}",
        explained="The call began on a public holiday of this country, or of this part of it.",
        needs_zone=True,
    )
    workday_in: Holidays | None = _condition(
        HolidaysOf(),
        None,
        looks_at=lambda facts: facts.began.date(),
        holds=lambda asked, day: asked.name_of(day) is None,
        found=lambda facts: facts.began.date(),
        reason="holiday",
        sentence="It began on {found}, a public holiday in {asked}.",
        remedy="Take `workday_in` out of the rules if holidays shall count.",
        english="began on no public holiday in {asked}",
        explained="The call began on no public holiday of this country, or of this part of it.",
        needs_zone=True,
    )
    first_call: bool | None = _condition(
        YesNo(),
        None,
        looks_at=_is_first,
        holds=_equals,
        found=lambda facts: _yes_or_no(_is_first(facts)),
        reason="not_as_first_call",
        sentence="To whether it is the caller's first call the answer is {found}; asked is {asked}.",
        remedy="Take `first_call` out of the rules if it shall not matter.",
        english="is the caller's first ever",
        english_not="is not the caller's first",
        explained="Whether no call of this caller came before, as far as the ledger goes back.",
        looks_back=True,
    )
    no_conversion_within: int | None = _condition(
        Span(example="30d"),
        None,
        looks_at=_since_counted,
        holds=_longer,
        distinguishes=_between,
        found=lambda facts: _latest(facts, same_number=False),
        reason="converted_before",
        sentence="The latest call of this caller that counts is {found}; none may be within {asked}.",
        remedy="Shorten `no_conversion_within` of the rules if such calls shall count.",
        english="comes without a conversion of this caller within {asked}",
        explained="No call of this caller may have counted for so long, whatever its number.",
        looks_back=True,
    )
    no_conversion_within_of_number: int | None = _condition(
        Span(example="30d"),
        None,
        looks_at=_since_counted_of_number,
        holds=_longer,
        distinguishes=_between,
        found=lambda facts: _latest(facts, same_number=True),
        reason="converted_before_of_number",
        sentence="The latest call of this caller to the same number that counts is {found}; none may be within {asked}.",
        remedy="Shorten `no_conversion_within_of_number` of the rules if such calls shall count.",
        english="comes without a conversion of this caller by the same number within {asked}",
        explained="The same, of calls of the same tracked number alone.",
        looks_back=True,
    )
    withheld: bool | None = _condition(
        YesNo(),
        None,
        looks_at=lambda facts: facts.customer.kind is CallerKind.WITHHELD,
        holds=_equals,
        found=lambda facts: _yes_or_no(facts.customer.kind is CallerKind.WITHHELD),
        reason="not_as_withheld",
        sentence="To whether the caller withheld the number the answer is {found}; asked is {asked}.",
        remedy="Take `withheld` out of the rules if it shall not matter.",
        english="has a caller who withheld the number",
        english_not="has a caller who shows the number",
        explained="Whether the caller withheld the number. Such a call can be given a reason of its own, but not converted.",
    )
    countries: frozenset[str] | None = _condition(
        Codes("countries by their two letters", example="US"),
        None,
        looks_at=lambda facts: facts.country,
        holds=_among,
        found=lambda facts: facts.country,
        reason="other_country",
        sentence="The caller's number is of {found}; {asked} counts.",
        remedy="Name the country in `countries` of the rules if its callers shall count.",
        of_many="Name the countries in the rules if their callers shall count.",
        english="has a caller from {asked}",
        explained="The countries that the caller's number may be of.",
    )
    area_codes: frozenset[str] | None = _condition(
        Codes("area codes, digits in quotes", example="415"),
        None,
        looks_at=lambda facts: facts.area_code,
        holds=_among,
        found=lambda facts: facts.area_code,
        reason="other_area_code",
        sentence="The area code of the caller's number is {found}; {asked} counts.",
        remedy="Name the area code in `area_codes` of the rules if its callers shall count.",
        of_many="Name the area codes in the rules if their callers shall count.",
        english="has a caller with area code {asked}",
        explained="The area codes that the caller's number may have, where its country has any.",
    )
    callers_in: NumberList | None = _condition(
        ListFile(),
        None,
        looks_at=lambda facts: facts.customer.number or "",
        holds=lambda asked, number: number in asked.numbers,
        found=lambda facts: facts.customer.number,
        reason="not_in_list",
        sentence="The caller {found} is not in the list {asked}.",
        remedy="Add the number to the list if its calls are meant.",
        of_many="Add the numbers to the list if their calls shall count.",
        english="has a caller in the list {asked}",
        explained="The caller's number is in this file: a block list in a rule that skips, a list of guests in one that "
        "converts.",
    )
    customer: Mapping[str, ValueTest] | None = _condition(
        ValueTests(example='tier = "gold"'),
        None,
        looks_at=_attributes,
        holds=_are_as_asked,
        distinguishes=_of_names,
        found=_attributes_in_words,
        reason="other_customer",
        sentence="The customer is {found}; asked is {asked}.",
        remedy="Correct the customer's columns in your list, or `customer` of the rules.",
        english="has a customer whose {asked}",
        explained="What further columns of the customer's row must be. Until the caller is known, the call waits.",
        of_customer=True,
    )
    params: Mapping[str, ValueTest] | None = _condition(
        ValueTests(example='StirVerstat = "TN-Validation-Passed-A"'),
        None,
        looks_at=lambda facts: facts.leg.details,
        holds=_are_as_asked,
        distinguishes=_of_names,
        finds=_values_asked_for(lambda facts: facts.leg.details),
        reason="other_params",
        sentence="Its parameters are not as asked: asked is {asked}.",  # in lists, where a value could name a person
        remedy="Look at what its parameters were (`flask explain CALLSID`), and correct `params` of the rules.",
        english="has parameters of which {asked}",
        explained="What parameters of Twilio's must be, each by its own name. One that is not there is never as asked.",
        of_callbacks=True,
    )


CONDITIONS: Mapping[str, Condition] = {each.name: each.metadata["entry"] for each in fields(Conditions)}

# What every file asks, whatever it says: no key takes it away.
ALWAYS: tuple[Condition, ...] = (
    Condition(
        YesNo(),
        looks_at=lambda facts: facts.customer.kind,
        holds=lambda _, kind: kind is not CallerKind.WITHHELD,
        finds=_whatever_is_asked(lambda facts: facts.customer.kind),
        reason="caller_withheld",
        short="number withheld",
        sentence="The caller withheld the number, so nobody can be matched.",
        remedy="Nothing can be done: there is no number to go by.",
        to_do="Nothing can be done: the caller hides the number, so nobody can be found by it.",
        of_many=_NO_MATCH,
        english="has a caller who did not withhold the number",
        explained="A caller who withheld the number cannot be matched with a customer.",
    ),
    Condition(
        YesNo(),
        looks_at=lambda facts: facts.customer.kind,
        holds=lambda _, kind: kind in (CallerKind.PHONE, CallerKind.NUMBER, CallerKind.WITHHELD),
        finds=_whatever_is_asked(lambda facts: facts.customer.kind),
        reason="caller_not_a_phone",
        short="the caller is no phone",
        sentence="The caller is not a phone number ({found}).",
        remedy="Nothing can be done, but where callers come by SIP from a switchboard of your own, with numbers that are "
        "theirs: then set OFFHOOK_SIP_CALLERS=1.",
        to_do="Nothing can be done: the caller has no phone number by which somebody could be found.",
        of_many=_NO_MATCH,
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


Asked = tuple[tuple[str, Condition, Any, str], ...]
"""What is asked: key, entry, value, and the value as a sentence holds it."""


_IN_ORDER = sorted(CONDITIONS.items(), key=lambda entry: entry[1].looks_back)


def asked_by(conditions: Conditions) -> Asked:
    """The entries of which something is asked, in the order of the table; last those that look at earlier calls, since these
    cost a question to the ledger."""
    every = ((key, condition, getattr(conditions, key)) for key, condition in _IN_ORDER)
    return tuple((key, one, value, one.kind.shown(value)) for key, one, value in every if value is not None)


def only(written: Mapping[str, Any]) -> Conditions:
    """What a block of rules asks: what stands in it, and nothing of all else."""
    asked: dict[str, Any] = {key: written.get(key) for key in CONDITIONS}
    return Conditions(**asked)
