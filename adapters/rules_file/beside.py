"""Values of the rules for which the file alone is not enough: other tables of it, files beside it, libraries. Decides nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

from offhook.adapters.rules_file.patterns import why_slow
from offhook.adapters.rules_file.problems import Mistake
from offhook.adapters.rules_file.words import shown
from offhook.pipeline.rules.kinds import (
    Holidays,
    HolidaysOf,
    Kind,
    ListFile,
    NumberList,
    NumberSet,
    TrackedNumbers,
)
from offhook.pipeline.rules.limits import USUAL, RuleLimits
from offhook.pipeline.rules.matching import Pattern

_ANY_YEAR = 2026  # to see whether the place is known

BESIDE: frozenset[type[Kind[Any]]] = frozenset({HolidaysOf, TrackedNumbers, ListFile})
"""The kinds that are read with a Beside."""


@dataclass(frozen=True, slots=True)
class Beside:
    """`number` reads a phone number as E.164, or None; `folder` is where the file stands, None where it is no file;
    `names` are groups and labels with their numbers; `files` are the files that were read, by what they held. `may_read`
    are the only files that are read, None where any is: what somebody uploads must not look into this machine's files.
    Where there is a `listed`, it gives the list of a file of numbers, and none is read.
    """

    number: Callable[[str], str | None]
    folder: Path | None = None
    names: Mapping[str, frozenset[str]] = field(default_factory=dict)
    files: dict[Path, bytes] = field(default_factory=dict)
    may_read: frozenset[Path] | None = None
    listed: Callable[[str], NumberList] | None = None
    limits: RuleLimits = USUAL


def read_numbers(key: str, beside: Beside, value: object) -> NumberSet:
    every = value if isinstance(value, list) else []
    if not 0 < len(every) <= beside.limits.listed or not all(isinstance(one, str) for one in every):
        form = "a list of phone numbers, labels of tracked numbers and names of [groups], in quotes"
        raise Mistake(f'{key} must be {form}; you wrote {shown(value)}. Write e.g. {key} = ["+14155550100"].')
    found = [_numbers_of(key, beside, name) for name in every]
    return NumberSet(tuple(every), frozenset().union(*found))


def _numbers_of(key: str, beside: Beside, name: str) -> frozenset[str]:
    if name in beside.names:
        return beside.names[name]
    number = beside.number(name)
    if number is None:
        known = ", ".join(sorted(beside.names)[:20]) or "there are none"
        raise Mistake(f"{key}: {shown(name)} is no phone number, no label and no group. Labels and groups: {known}.")
    return frozenset({number})


def read_list(key: str, beside: Beside, value: object) -> NumberList:
    if not isinstance(value, str) or not value.strip():
        raise Mistake(
            f'{key} must be the name of a file of phone numbers; you wrote {shown(value)}. Write e.g. "blocked.txt".'
        )
    if beside.listed is not None:
        return beside.listed(value)
    if beside.folder is None and not Path(value).is_absolute():
        raise Mistake(f"{key}: rules that are no file have no folder; write the whole path of {shown(value)}.")
    path = (beside.folder or Path()) / value
    if beside.may_read is not None and path not in beside.may_read:
        raise Mistake(f"{key}: {shown(value)} is no file that today's rules name, and no other is read for an upload.")
    lines = _lines(key, path, beside)
    return NumberList.of(value, frozenset(_listed_number(key, path, place, line, beside) for place, line in lines))


def _lines(key: str, path: Path, beside: Beside) -> list[tuple[int, str]]:
    most = beside.limits.list_bytes
    try:
        with path.open("rb") as file:
            raw = file.read(most + 1)
        text = raw.decode("utf-8-sig")
    except (OSError, UnicodeError, ValueError) as error:
        raise Mistake(f"{key}: {path} cannot be read ({error}).") from None
    if len(raw) > most:
        raise Mistake(f"{key}: {path} has more than {most} bytes (OFFHOOK_RULES_LIST_BYTES).")
    beside.files[path] = raw
    lines = ((place, line.partition("#")[0].strip()) for place, line in enumerate(text.splitlines(), 1))
    return [(place, line) for place, line in lines if line]


def _listed_number(key: str, path: Path, place: int, line: str, beside: Beside) -> str:
    number = beside.number(line)
    if number is None:
        raise Mistake(f"{key}: {path}, line {place}: {shown(line)} is no phone number; correct it, or put # before it.")
    return number


def read_holidays(key: str, _beside: Beside, value: object) -> Holidays:
    """By the `holidays` library, which knows them for any year; loaded by rules that ask for them alone."""
    place = value.strip().upper() if isinstance(value, str) else ""
    country, _, part = place.partition("-")
    try:
        _holidays(country, part or None, _ANY_YEAR)
    except (NotImplementedError, KeyError, AttributeError, ValueError):
        problem = f"{key}: no public holidays are known of {shown(value)}"
        raise Mistake(f'{problem}. Write a country, or a part of it, as {key} = "US" or {key} = "US-CA".') from None
    return Holidays(place, lambda day: _holidays(country, part or None, day.year).get(day))


@lru_cache(maxsize=256)
def _holidays(country: str, part: str | None, year: int) -> Mapping[date, str]:
    import holidays

    return dict(holidays.country_holidays(country, subdiv=part, years=year))


def read_pattern(key: str, value: object, most: int) -> Pattern:
    """One of Python's, of the kind whose time cannot explode: no pattern can keep the books from being kept."""
    if not isinstance(value, str) or not 0 < len(value) <= most:
        problem = f"{key}.matches must be a regular expression of 1 to {most} characters"
        raise Mistake(f"{problem}; you wrote {shown(value)}.")
    try:
        found = re.compile(value)
        why = why_slow(value)
    except (re.error, RecursionError, OverflowError) as error:
        raise Mistake(f"{key}.matches: {shown(value)} cannot be used ({error}); correct it.") from None
    if why:
        raise Mistake(
            f"{key}.matches: {shown(value)} could take for ever: {why}. Write it without, or as a list of texts."
        )
    return Pattern(value, lambda text: found.search(text) is not None, most)
