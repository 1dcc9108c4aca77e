"""Which calls a person means: by CallSid, the caller's number, email or customer id, or the order id. Shows nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from offhook.pipeline.counting import counted
from offhook.pipeline.customer import Customer
from offhook.pipeline.phone import caller, spellings
from offhook.pipeline.ports.history import History
from offhook.pipeline.ports.stories import Stories
from offhook.pipeline.sids import CALL, typed_kind
from offhook.pipeline.story import CallLine, CountedCall, Story

_QUOTES = " \t\r\n\"'`,;.\u2018\u2019\u201c\u201d"


def typed(text: str) -> str:
    """Without the blanks and quotes that were copied along."""
    return text.strip(_QUOTES)


def call_sid(text: str) -> str | None:
    """The CallSid as Twilio writes it; None when it is none."""
    plain = typed(text)
    return f"{CALL}{plain[2:].lower()}" if typed_kind(plain) == CALL else None


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers of a customer, each once; `is_more` where that are not all."""

    phones: Sequence[str]
    is_more: bool = False


@dataclass(frozen=True, slots=True)
class Named:
    """The calls that a name may mean, each once, the newest first. `is_more` where that are not all; `is_more_numbers` where the
    customer has more numbers than were looked for, whose calls may be newer.
    """

    calls: Sequence[CallLine]
    is_more: bool = False
    is_more_numbers: bool = False


def numbers_of(stories: Stories, name: str, country: str, most: int) -> Numbers:
    """The numbers that this customer has today, up to `most`: a number is itself, an email or a customer id is looked up.
    `country` is that of numbers written without one. Raises LedgerUnavailable.
    """
    words = typed(name)
    phone = caller(words, country).number
    found = list(dict.fromkeys([*([phone] if phone else []), *stories.phones_of(words, most + 1)]))
    return Numbers(found[:most], len(found) > most)


def numbers_ever_of(history: History, stories: Stories, name: str, country: str, most: int) -> Numbers:
    """The numbers of whoever goes by this name now or ever did, those of now first, each line once, up to `most`: by them calls
    are found also of somebody who was retired or has another number today. A number is itself, known or not.

    Raises LedgerUnavailable.
    """
    today = numbers_of(stories, name, country, most)
    once: dict[str, str] = {}
    for phone in [*today.phones, *history.numbers_named(typed(name))]:
        once.setdefault(spellings(phone)[0], phone)
    found = list(once.values())
    return Numbers(found[:most], today.is_more or len(found) > most)


def calls_named(history: History, stories: Stories, name: str, country: str, most: int, most_numbers: int) -> Named:
    """The calls that a name may mean, up to `most`. Of several kinds all are given: what one takes for an order id may be a
    customer's id as well. Raises LedgerUnavailable.
    """
    sid = call_sid(name)
    if sid is not None:
        return Named([story.call for story in stories.of_call(sid)])
    numbers = numbers_ever_of(history, stories, name, country, most_numbers)
    found = [line for phone in numbers.phones for line in stories.calls_of(phone, most + 1)]
    newest = _newest([*found, *stories.with_order_id(typed(name), most + 1)])
    return Named(newest[:most], len(newest) > most, numbers.is_more)


class Missing(StrEnum):
    """Why no call goes by a name."""

    NOT_TAKEN_IN = "not taken in"  # reported just now
    NOT_REPORTED = "not reported"
    A_CALL = "a call"  # it is a customer's name, who has none
    NO_NUMBER = "no number"
    NO_EMAIL = "no email"
    NO_NAME = "no name"


def why_none(
    stories: Stories,
    customers: Callable[[Sequence[str]], Mapping[str, Customer]],
    name: str,
    country: str,
    most_numbers: int,
) -> Missing:
    """Of a name by which no call was found; `customers` are those who have numbers today. Raises LedgerUnavailable."""
    sid = call_sid(name)
    if sid is not None:
        return Missing.NOT_TAKEN_IN if stories.has_callbacks(sid) else Missing.NOT_REPORTED
    if customers(numbers_of(stories, name, country, most_numbers).phones):
        return Missing.A_CALL
    if caller(name, country).number:
        return Missing.NO_NUMBER
    return Missing.NO_EMAIL if "@" in name else Missing.NO_NAME


def counted_calls(stories: Stories, found: Named) -> list[CountedCall]:
    """The same calls with what became of each, as lists say it. Raises LedgerUnavailable."""
    return [counted(story_of(stories, line)) for line in found.calls]


def story_of(stories: Stories, line: CallLine) -> Story:
    """All of this call. Raises LedgerUnavailable."""
    [story] = [one for one in stories.of_call(line.key.call_sid) if one.call.key == line.key]
    return story


def _newest(found: Iterable[CallLine]) -> list[CallLine]:
    once = {line.key: line for line in found}
    return sorted(once.values(), key=lambda line: line.first_received_at, reverse=True)
