"""What is sent of a call that counts: one table of results, an entry each. Decides nothing and reads no file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeVar

from offhook.pipeline.rules.kinds import Amount, ExtraFields, Kind, Line, Template, Word
from offhook.pipeline.rules.templates import ExtraValue

# Rockerbox's own fields, which an extra field must not replace.
FIXED = frozenset({"email", "customer_id", "action", "timestamp", "conversion_source", "order_id", "revenue"})

D = TypeVar("D")


class Time(StrEnum):
    """The moment of a call that is sent as the conversion's."""

    ENDED = "ended"
    STARTED = "started"
    ANSWERED = "answered"


@dataclass(frozen=True, slots=True)
class ResultField:
    """One entry. `english` is what `rules check` says of it, of {value}; `of_number`: a tracked number may have its own."""

    kind: Kind[Any]
    english: str
    explained: str
    of_number: bool = True

    def in_english(self, value: Any) -> str:
        """What the rules say; empty where they say nothing of it."""
        return self.english.format(value=self.kind.shown(value)) if value is not None and value != {} else ""


def _result(kind: Kind[Any], default: Callable[[], D], *, english: str, explained: str, of_number: bool = True) -> D:
    entry = ResultField(kind, english, explained, of_number)
    return field(default_factory=default, metadata={"entry": entry})


@dataclass(frozen=True)
class Results:
    """What is sent of a call: the table. The name of an entry is its key in the file, its value what the rules say."""

    action: str = _result(
        Line(example="phone_call"),
        lambda: "phone_call",
        english=", sent as {value}",
        explained="The name of the conversion, as Rockerbox lists it.",
    )
    revenue: Decimal | str | None = _result(
        Amount(),
        lambda: None,
        english=", worth {value}",
        explained="What a call is worth, or a template that comes to it. It is left out where there is none.",
    )
    time: Time | None = _result(
        Word({each.value: each for each in Time}),
        lambda: None,
        english=", timed as {value}",
        explained="Which moment of the call is sent: its end, where this says nothing. `answered` is when the leg began that "
        "was talked to.",
    )
    order_id: str = _result(
        Template(),
        lambda: "{call_sid}",
        english="; its order id is {value}",
        explained="What Rockerbox knows the order by: it ignores a second event with the same one.",
        of_number=False,
    )
    extra: Mapping[str, ExtraValue] = _result(
        ExtraFields(),
        dict,
        english=", with {value}",
        explained="Fields beside Rockerbox's own. Those that come out empty are not sent.",
    )


RESULTS: Mapping[str, ResultField] = {each.name: each.metadata["entry"] for each in fields(Results)}
OF_NUMBER = tuple(key for key, entry in RESULTS.items() if entry.of_number)
"""Those that a tracked number may have of its own."""


@dataclass(frozen=True, slots=True)
class Own:
    """What is sent otherwise of some calls; None where nothing differs. `revenue` is dollars, or a template."""

    action: str | None = None
    revenue: Decimal | str | None = None
    time: Time | None = None
    extra: Mapping[str, ExtraValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Number:
    """A tracked number (E.164) and what differs for it; None where nothing does. `revenue` is dollars, or a template."""

    number: str
    label: str | None = None
    action: str | None = None
    revenue: Decimal | str | None = None
    extra: Mapping[str, ExtraValue] = field(default_factory=dict)
    time: Time | None = None


def results_of(common: Results, *owns: Number | Own | None) -> Results:
    """What is sent of a call: what the last of `owns` says that says anything, else what holds for all."""
    found = common
    for own in (each for each in owns if each is not None):
        found = Results(**{key: _over(entry, getattr(found, key), own, key) for key, entry in RESULTS.items()})
    return found


def _over(entry: ResultField, common: Any, own: Number | Own, key: str) -> Any:
    return entry.kind.over(common, getattr(own, key) if entry.of_number else None)
