"""What the rules say of calls that belong together, and how they are read: one table, an entry each. Decides nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, TypeVar

from offhook.pipeline.rules.kinds import Kind, Span, Word, Zone

D = TypeVar("D")


class RepeatOn(StrEnum):
    """Which earlier calls of the same caller a repeat may follow."""

    ANY_NUMBER = "any_number"
    SAME_NUMBER = "same_number"


class CalledBackTime(StrEnum):
    """Whose time is sent of a missed call that was called back."""

    MISSED = "missed"
    CALLED_BACK = "called_back"


class Unknown(StrEnum):
    """What becomes of a rule that hangs on something which nobody knows."""

    FAILS = "fails"
    HOLDS = "holds"


@dataclass(frozen=True, slots=True)
class Setting:
    """One entry. `english` is what `rules check` says of a value, empty where that is said elsewhere."""

    kind: Kind[Any]
    english: str
    explained: str

    def in_english(self, value: Any) -> str:
        return self.english.format(value=self.kind.shown(value)) if value is not None else ""


def _setting(kind: Kind[Any], default: D, *, english: str, explained: str) -> D:
    return field(default=default, metadata={"entry": Setting(kind, english, explained)})


@dataclass(frozen=True)
class Between:
    """The table. The name of an entry is its key in the file."""

    repeat_within: int | None = _setting(
        Span(example="10m"),
        None,
        english="A call within {value} after one of the same caller that counts is a repeat, and does not count.",
        explained="How soon after a call that counts another one of the same caller is a repeat (`repeat_of CA...`).",
    )
    repeat_on: RepeatOn | None = _setting(
        Word({each.value: each for each in RepeatOn}),
        None,
        english="",
        explained="Whether a repeat may follow a call of any number (as without it), or of the same one alone.",
    )
    called_back_within: int | None = _setting(
        Span(example="4h", at_most=7 * 86_400),
        None,
        english="A missed call that is called back within {value}, and answered then, counts: once for the pair.",
        explained="How soon an answered call to a number makes up for the missed call that came from it. The missed call's "
        "number, action and order id are sent.",
    )
    called_back_time: CalledBackTime | None = _setting(
        Word({each.value: each for each in CalledBackTime}),
        None,
        english="",
        explained="Which time is sent of such a pair: the missed call's (as without it), or that of the call back.",
    )
    time_zone: str | None = _setting(
        Zone(),
        None,
        english="Hours and days are those of {value}.",
        explained="The time zone of `hours`, `days` and holidays.",
    )
    when_unknown: Unknown | None = _setting(
        Word({each.value: each for each in Unknown}),
        None,
        english="",
        explained="Whether a condition holds of which nobody knows whether it does: it fails without this. A rule may have "
        "its own.",
    )


BETWEEN: Mapping[str, Setting] = {each.name: each.metadata["entry"] for each in fields(Between)}
