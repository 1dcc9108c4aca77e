"""The rules of then laid beside those of today, in English: what a reader is shown where they differ. Pure: reads nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from offhook.pipeline.rules import Rules
from offhook.pipeline.rules.english import in_english
from offhook.pipeline.rules.trace import LAST_RULE


@dataclass(frozen=True, slots=True)
class Sides:
    """A sentence of the rules of then and the one that stands in its place today; "" where there is none."""

    then: str
    today: str


@dataclass(frozen=True, slots=True)
class RulesCompared:
    """`sides` are empty where both read the same; `in_short` says what is true of them then, "" where they differ."""

    sides: Sequence[Sides]
    in_short: str = ""


def rules_compared(then: Rules | None, today: Rules) -> RulesCompared:
    """The sentences that differ, in their order. `then` is None where the rules of then cannot be read any more."""
    if then is None:
        return RulesCompared(
            (), "Those of then cannot be read back any more, so they are not laid beside those of today."
        )
    sides = _differing(in_english(then).splitlines(), in_english(today).splitlines())
    if sides:
        return RulesCompared(sides)
    names = "; a file of numbers that they name may hold others" if then.lists else ""
    return RulesCompared((), f"In words they are the same{names}.")


def _differing(then: Sequence[str], today: Sequence[str]) -> list[Sides]:
    """Two are the same that differ in their place alone, which rules before them move. Where more stand on one side they begin
    beside nothing: rules come and go before the last one, which stays.
    """
    was, now = ([_PLACE.sub("", one) for one in each] for each in (then, today))
    found = SequenceMatcher(None, was, now, autojunk=False).get_opcodes()
    apart = ((then[a:b], today[c:d]) for what, a, b, c, d in found if what != "equal")
    return [
        Sides(*two) for was, now in apart for two in zip(_filled(was, len(now)), _filled(now, len(was)), strict=True)
    ]


_PLACE = re.compile(r"^(\d+\. |A call (?=counts)|Any other call (?=counts))")


def _filled(sentences: Sequence[str], least: int) -> Sequence[str]:
    return [""] * (least - len(sentences)) + list(sentences)


def deciding(then: str | None, today: str | None) -> str:
    """Which rule decided then, and which would today, in a sentence; None where none did, or nobody knows."""
    if then is None or today is None:
        return "" if then is None else f"{_at_start(then)} decided it."
    if then == today:
        return f"{_at_start(then)} decided it, and would today."
    return f"{_at_start(then)} decided it; today {_named(today)} would."


def _named(rule: str) -> str:
    return "what the rules say outside of their blocks" if rule == LAST_RULE else f"the rule “{rule}”"


def _at_start(rule: str) -> str:
    named = _named(rule)
    return named[0].upper() + named[1:]
