"""How the rules were gone through for one call: which were tried, and what each of their conditions saw. Decides nothing.

The journal keeps a trace small, since a decision by many rules has a long one: what the rules say is kept once for all
decisions, as an `Outline`, and of a call which of its conditions were looked at and what each found, once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from json.encoder import encode_basestring
from operator import attrgetter
from typing import Any, NamedTuple, overload

from offhook.pipeline.rules.conditions import CONDITIONS, Asked
from offhook.pipeline.rules.facts import Facts

LAST_RULE = ""
"""The name of the last rule: what the file says outside of its blocks [[rule]]."""


class ConditionTrace(NamedTuple):
    """A condition by its key in the file, what was asked and what was found. `holds` is None where nobody knows."""

    key: str
    asked: str
    found: str
    holds: bool | None


class RuleTrace(NamedTuple):
    """A rule that was tried. `holds` is None where it hung on something that nobody knows."""

    rule: str
    holds: bool | None
    conditions: tuple[ConditionTrace, ...]


class Tried(NamedTuple):
    """A rule that was tried: what of it was looked at, and whether each of that holds.

    `waits`: all else holds, and what nobody knows will be known, once somebody says who called. `mark` is how the journal
    writes it.
    """

    rule: str
    asked: Asked
    holds: tuple[bool | None, ...]
    comes_to: bool | None
    waits: bool
    mark: str


_MARK: Callable[[Tried], str] = attrgetter("mark")


def looked_at(rule: str, asked: Asked, holds: tuple[bool | None, ...]) -> Tried:
    """A rule of which these conditions were looked at."""
    comes_to = _comes_to(holds)
    waits = comes_to is None and all(
        one.of_customer for (_, one, _, _), found in zip(asked, holds, strict=True) if found is None
    )
    return Tried(rule, asked, holds, comes_to, waits, f'"{"".join(map(_MARKS.__getitem__, holds))}"')


def failing(rule: str, asked: Asked, place: int) -> Tried:
    """A rule of which the condition at this place fails, made ready once for all calls."""
    alone = asked[place : place + 1]
    return Tried(rule, alone, (False,), False, False, str(place))


def _comes_to(holds: Sequence[bool | None]) -> bool | None:
    return False if False in holds else None if None in holds else True


_MARKS: Mapping[bool | None, str] = {True: "1", False: "0", None: "?"}
_MEANT = {mark: holds for holds, mark in _MARKS.items()}


ASKED = "asked-"  # by which an outline's name is known from a version of rules
LISTS = f"{ASKED}lists-"  # before a version: which files of numbers those rules asked for
LIST = f"{ASKED}list-"  # before a digest: the numbers of such a file
HELD = f"{ASKED}held-"  # before a version: what held by those rules, defaults and all


@dataclass(frozen=True)
class Outline:
    """What rules ask, as traces point at it: of each rule in its order the name, and key and words of each condition.

    `name` is made of all that, so that it never means anything else, whatever becomes of rules and of these words.
    """

    text: str

    @classmethod
    def of(cls, rules: Iterable[tuple[str, Asked]]) -> Outline:
        """Of these rules, the last one included."""
        return cls(_json([(name, _named(asked)) for name, asked in rules]))

    @cached_property
    def name(self) -> str:
        return f"{ASKED}{hashlib.sha256(self.text.encode()).hexdigest()[:16]}"


class Way:
    """The rules that were tried, for any number of calls. `marks` is how the journal writes them, `looked_for` what of a call
    was looked at: many rules ask the same.
    """

    def __init__(self, tried: Sequence[Tried]) -> None:
        self.tried = tuple(tried)

    @cached_property
    def marks(self) -> str:
        return ",".join(map(_MARK, self.tried))

    @cached_property
    def looked_for(self) -> tuple[tuple[str, Callable[[Facts], str], str], ...]:
        """Key, what finds it in a call, and the key as JSON has it before a value."""
        asked: dict[str, list[Any]] = {}
        for one in self.tried:
            for key, _, value, _ in one.asked:
                asked.setdefault(key, []).append(value)
        return tuple(
            (key, one.found_by(asked[key]), f"{_json(key)}:") for key, one in CONDITIONS.items() if key in asked
        )


class Trail(Sequence[RuleTrace]):
    """The rules that were tried for the call of `facts`. What each condition found is put into words when somebody asks."""

    def __init__(self, way: Way, facts: Facts, outline: Outline) -> None:
        self.outline = outline
        self._way = way
        self._facts = facts

    @overload
    def __getitem__(self, place: int) -> RuleTrace: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[RuleTrace]: ...
    def __getitem__(self, place: int | slice) -> RuleTrace | Sequence[RuleTrace]:
        return self._in_words[place]

    def __len__(self) -> int:
        return len(self._way.tried)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self._in_words == tuple(other)

    def __hash__(self) -> int:
        return hash(self._in_words)

    def __repr__(self) -> str:
        return repr(self._in_words)

    @cached_property
    def _in_words(self) -> tuple[RuleTrace, ...]:
        found = {key: found_in(self._facts) for key, found_in, _ in self._way.looked_for}
        return tuple(
            RuleTrace(one.rule, one.comes_to, _conditions(_named(one.asked), one.holds, found))
            for one in self._way.tried
        )

    def as_kept(self) -> str:
        """{"asked": the outline's name, "tried": [...], "found": {key: words}}. Of a rule that was tried there is the place
        of its condition that failed, or, where none did or it is the last, a sign for each that was looked at: 1, 0, or ?
        where nobody knows.
        """
        facts, way = self._facts, self._way
        found = ",".join([before + _quoted(found_in(facts)) for _, found_in, before in way.looked_for])
        return f'{{"asked":"{self.outline.name}","tried":[{way.marks}],"found":{{{found}}}}}'


def _named(asked: Asked) -> list[tuple[str, str]]:
    return [(key, shown) for key, _, _, shown in asked]


def _conditions(
    asked: Iterable[Sequence[str]], holds: Iterable[bool | None], found: Mapping[str, str]
) -> tuple[ConditionTrace, ...]:
    return tuple(ConditionTrace(key, shown, found[key], each) for (key, shown), each in zip(asked, holds, strict=True))


_quoted: Callable[[str], str] = encode_basestring
_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def as_kept(trace: Iterable[RuleTrace]) -> str:
    """The trace as the journal keeps it. One that is no trail is written out: [[rule, holds, [[key, asked, found, holds],
    ...]], ...], as all were once.
    """
    return trace.as_kept() if isinstance(trace, Trail) else _json(list(trace))


def outlines_of(kept: Iterable[str | None]) -> set[str]:
    """The names of the outlines at which traces of the journal point."""
    return {json.loads(one)["asked"] for one in kept if one and one[0] == "{"}


def from_kept(kept: str | None, outlines: Mapping[str, str]) -> tuple[RuleTrace, ...]:
    """What `as_kept` wrote; empty where nothing was kept. `outlines` are the texts of those at which it points, by name."""
    trace = json.loads(kept or "[]")
    if isinstance(trace, list):
        return tuple(
            RuleTrace(rule, holds, tuple(ConditionTrace(*each) for each in conditions))
            for rule, holds, conditions in trace
        )
    rules = json.loads(outlines.get(trace["asked"], "[]"))  # in their order, so the first that were tried are the first
    tried = zip(rules, trace["tried"], strict=False)
    return tuple(_trace_of(name, asked, mark, trace["found"]) for (name, asked), mark in tried)


def _trace_of(name: str, asked: Sequence[Sequence[str]], mark: int | str, found: Mapping[str, str]) -> RuleTrace:
    if isinstance(mark, int):
        return RuleTrace(name, False, _conditions(asked[mark : mark + 1], (False,), found))
    holds = [_MEANT[sign] for sign in mark]
    return RuleTrace(name, _comes_to(holds), _conditions(asked[: len(holds)], holds, found))
