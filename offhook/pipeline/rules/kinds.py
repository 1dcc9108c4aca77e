"""What a value of the rules may be: its type and its limits, one kind each, and how it is written and said. Reads no file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, Generic, TypeVar

from offhook.pipeline.rules.templates import ExtraValue, quoted, value_in_english

MAX_TEXT = 200  # characters of an action, a label, an order id, the name of an extra field
MAX_EXTRA_TEXT = 2000  # characters of an extra field's value
MAX_EXTRA_INT = 2**53 - 1  # what every reader of JSON keeps exactly (RFC 8259, section 6)
MAX_SECONDS = 86_400
MAX_REVENUE = Decimal(10_000_000)

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
class Dollars(Kind[Decimal | None]):
    """An amount of dollars with its cents."""

    def in_words(self) -> str:
        return f"dollars.cents, 0 to {MAX_REVENUE}"

    def plain(self, value: Decimal | None) -> str | None:
        return None if value is None else f"{value:.2f}"

    def shown(self, value: Decimal | None) -> str:
        return f"{value:.2f}"


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
