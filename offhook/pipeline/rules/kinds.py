"""What a value of the rules may be: its type and its limits, one kind each, and how it is written and said. Reads no file."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, time
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from typing import Any, Generic, TypeVar

from offhook.pipeline.rules.matching import ValueTest, number
from offhook.pipeline.rules.templates import ExtraValue, quoted, render, value_in_english

MAX_TEXT = 200  # characters of an action, a label, an order id, the name of an extra field
MAX_EXTRA_TEXT = 2000  # characters of an extra field's value
MAX_EXTRA_INT = 2**53 - 1  # what every reader of JSON keeps exactly (RFC 8259, section 6)
MAX_SECONDS = 86_400
MAX_REVENUE = Decimal(10_000_000)
MAX_DAYS = 3660
SECONDS_OF = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

V = TypeVar("V")
_Word = TypeVar("_Word", bound=StrEnum)


class Kind(Generic[V]):
    """The type and the limits of one setting of the rules. A value is None where it is not set."""

    def in_words(self) -> str:
        """What may be written, for a page: completes "The value is ..."."""
        raise NotImplementedError

    def plain(self, value: V) -> Any:
        """The value as JSON knows it, always the same for the same value."""
        return value

    def shown(self, value: V) -> str:
        """The value as a sentence may hold it."""
        return str(value)

    def over(self, common: V, own: V | None) -> V:
        """What holds for a number that says `own`, where `common` holds for all others."""
        return common if own is None else own


@dataclass(frozen=True, slots=True)
class Seconds(Kind[int]):
    """A length of time in whole seconds, both limits included."""

    example: int
    at_least: int = 0
    at_most: int = MAX_SECONDS

    def in_words(self) -> str:
        return f"a whole number of seconds, {self.at_least} to {self.at_most}"


@dataclass(frozen=True, slots=True)
class Words(Kind[frozenset[_Word]]):
    """One or more words of a list: as it is written -> what it means."""

    known: Mapping[str, _Word]

    def in_words(self) -> str:
        return f"a list of one or more of {', '.join(map(quoted, self.known))}"

    def plain(self, value: frozenset[_Word]) -> list[str]:
        return sorted(value)

    def shown(self, value: frozenset[_Word]) -> str:
        return " or ".join(sorted(value))


@dataclass(frozen=True, slots=True)
class YesNo(Kind[bool]):
    """True or false."""

    def in_words(self) -> str:
        return "true or false"


@dataclass(frozen=True, slots=True)
class Line(Kind[str]):
    """One line of text that is the same for every call."""

    example: str

    def in_words(self) -> str:
        return f"one line of 1 to {MAX_TEXT} characters"

    def shown(self, value: str) -> str:
        return quoted(value)


@dataclass(frozen=True, slots=True)
class Template(Kind[str]):
    """One line that is different for every call: it names the CallSid."""

    def in_words(self) -> str:
        return f"a template of at most {MAX_TEXT} characters that contains {{call_sid}}"

    def shown(self, value: str) -> str:
        return value_in_english(value)


@dataclass(frozen=True, slots=True)
class ExtraFields(Kind[Mapping[str, ExtraValue]]):
    """Fields of the brand's own. Those of a number stand beside the common ones, in the place of those with their name."""

    def in_words(self) -> str:
        return "a table of name = value (text, a template, a number, true or false), or a list of fields"

    def plain(self, value: Mapping[str, ExtraValue]) -> dict[str, ExtraValue]:
        return dict(value)

    def shown(self, value: Mapping[str, ExtraValue]) -> str:
        return ", ".join(f"{name} = {value_in_english(one)}" for name, one in value.items())

    def over(self, common: Mapping[str, ExtraValue], own: Mapping[str, ExtraValue] | None) -> Mapping[str, ExtraValue]:
        return {**common, **(own or {})}


@dataclass(frozen=True, slots=True)
class Amount(Kind[Decimal | str | None]):
    """An amount of dollars with its cents, or a template that comes to one."""

    def in_words(self) -> str:
        return f'dollars.cents, 0 to {MAX_REVENUE}, or a template that comes to it, as "{{customer.value}}"'

    def plain(self, value: Decimal | str | None) -> str | None:
        return f"{value:.2f}" if isinstance(value, Decimal) else value

    def shown(self, value: Decimal | str | None) -> str:
        return f"{value:.2f} dollars" if isinstance(value, Decimal) else f"{value_in_english(value or '')} in dollars"


def revenue_of(written: Decimal | str | None, fields: Mapping[str, str]) -> Decimal | None:
    """What a call is worth, in dollars with 2 places: as it stands, or what the template comes to. None where that is none."""
    if not isinstance(written, str):
        return written
    found = number(render(written, fields).replace(",", "").lstrip("$ "))
    if found is None or not 0 <= found <= MAX_REVENUE:
        return None
    return abs(found.quantize(Decimal("0.01"), ROUND_HALF_UP))


@dataclass(frozen=True, slots=True)
class Word(Kind[_Word]):
    """One word of a list: as it is written -> what it means."""

    known: Mapping[str, _Word]

    def in_words(self) -> str:
        return f"one of {', '.join(map(quoted, self.known))}"

    def plain(self, value: _Word) -> str | None:
        return None if value is None else str(value)


@dataclass(frozen=True, slots=True)
class Span(Kind[int]):
    """A length of time, in seconds."""

    example: str
    at_least: int = 1
    at_most: int = MAX_DAYS * SECONDS_OF["d"]

    def in_words(self) -> str:
        return f'a length of time as "{self.example}" (s, m, h, d), at most {span(self.at_most)}'

    def shown(self, value: int) -> str:
        return span(value)


_WRITTEN_SPAN = re.compile(r"([0-9]{1,9})\s*([smhd])")


def seconds_in(written: str) -> int | None:
    """The seconds of a length of time as it is written (`90s`, `10m`, `4h`, `30d`); None where it is none."""
    found = _WRITTEN_SPAN.fullmatch(written.strip())
    return int(found[1]) * SECONDS_OF[found[2]] if found else None


def span(seconds: int) -> str:
    """A length of time as it is written: in the longest unit that leaves no rest."""
    unit = next((name for name, length in reversed(SECONDS_OF.items()) if seconds % length == 0), "s")
    return f"{seconds // SECONDS_OF[unit]}{unit}"


@dataclass(frozen=True, slots=True)
class NumberSet:
    """Some phone numbers (E.164) by what they are called in the file."""

    names: tuple[str, ...]
    numbers: frozenset[str]


@dataclass(frozen=True, slots=True)
class TrackedNumbers(Kind[NumberSet]):
    """Tracked numbers, each as such or by the name of a group."""

    def in_words(self) -> str:
        return "a list of phone numbers, labels of tracked numbers and names of [groups]"

    def plain(self, value: NumberSet | None) -> list[str] | None:
        return None if value is None else sorted(value.numbers)

    def shown(self, value: NumberSet) -> str:
        return " or ".join(value.names)


@dataclass(frozen=True, slots=True)
class Codes(Kind[frozenset[str]]):
    """Short codes of one form: countries, area codes. `form` completes "a list of ..."."""

    form: str
    example: str

    def in_words(self) -> str:
        return f"a list of {self.form}"

    def plain(self, value: frozenset[str] | None) -> list[str] | None:
        return None if value is None else sorted(value)

    def shown(self, value: frozenset[str]) -> str:
        return " or ".join(sorted(value))


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a day. Where `until` is not later than `since`, it goes over midnight; `until` itself is no part of it."""

    since: time
    until: time

    def __contains__(self, moment: time) -> bool:
        if self.since < self.until:
            return self.since <= moment < self.until
        return moment >= self.since or moment < self.until

    def __str__(self) -> str:
        until = f"{self.until:%H:%M}" if self.until != time() else "24:00"
        return f"{self.since:%H:%M}-{until}"


@dataclass(frozen=True, slots=True)
class DayParts(Kind[tuple[Part, ...]]):
    """Parts of a day in the time zone of the rules."""

    def in_words(self) -> str:
        return 'a list of hours as "09:00-17:30" in the `time_zone`; "22:00-06:00" goes over midnight'

    def plain(self, value: tuple[Part, ...] | None) -> list[str] | None:
        return None if value is None else [str(part) for part in value]

    def shown(self, value: tuple[Part, ...]) -> str:
        return " or ".join(map(str, value))


@dataclass(frozen=True, slots=True)
class Holidays:
    """The public holidays of a country, or of a part of it (`US`, `US-CA`)."""

    place: str
    name_of: Callable[[date], str | None] = field(compare=False)


@dataclass(frozen=True, slots=True)
class HolidaysOf(Kind[Holidays]):
    """A country, or a part of it, whose public holidays are meant."""

    def in_words(self) -> str:
        return 'a country, or a part of one, as "US" or "US-CA"'

    def plain(self, value: Holidays | None) -> str | None:
        return None if value is None else value.place

    def shown(self, value: Holidays) -> str:
        return value.place


@dataclass(frozen=True, slots=True)
class NumberList:
    """The phone numbers (E.164) in a file. `digest` is a SHA-256 of them, so that a changed list makes other rules. `count` is
    how many they are, None where nobody knows that any more.
    """

    file: str
    numbers: frozenset[str] = field(repr=False)
    digest: str
    count: int | None

    @classmethod
    def of(cls, file: str, numbers: frozenset[str]) -> NumberList:
        return cls(file, numbers, hashlib.sha256(_in_lines(numbers).encode()).hexdigest(), len(numbers))

    @classmethod
    def of_then(cls, file: str, digest: str = "", count: int | None = None) -> NumberList:
        """For reading rules back, not for deciding by them: the numbers are left where they are kept."""
        return cls(file, frozenset(), digest, count)

    @property
    def text(self) -> str:
        """What the digest is made of: the numbers in their order, one a line."""
        return _in_lines(self.numbers)


def _in_lines(numbers: frozenset[str]) -> str:
    return "\n".join(sorted(numbers))


@dataclass(frozen=True, slots=True)
class ListFile(Kind[NumberList]):
    """A file of phone numbers, one a line."""

    def in_words(self) -> str:
        return "the name of a file of phone numbers, one a line, beside the file of rules"

    def plain(self, value: NumberList | None) -> str | None:
        return None if value is None else value.digest

    def shown(self, value: NumberList) -> str:
        many = "of which the numbers were not kept" if value.count is None else f"{value.count} numbers"
        return f"{quoted(value.file)} ({many})"


@dataclass(frozen=True, slots=True)
class ValueTests(Kind[Mapping[str, ValueTest]]):
    """What named values must be: by equality, a list, a range of numbers or a regular expression."""

    example: str

    def in_words(self) -> str:
        return (
            "a table of name = text, a list of texts, { at_least = 1, at_most = 9 } or "
            "{ matches = 'a regular expression' }"
        )

    def plain(self, value: Mapping[str, ValueTest] | None) -> dict[str, Any] | None:
        return None if value is None else {name: test.plain() for name, test in sorted(value.items())}

    def shown(self, value: Mapping[str, ValueTest]) -> str:
        return " and ".join(f"{name} {test}" for name, test in value.items())


@dataclass(frozen=True, slots=True)
class Zone(Kind[str]):
    """A time zone by its name in the tz database."""

    def in_words(self) -> str:
        return 'a time zone of the tz database, as "America/New_York"'
