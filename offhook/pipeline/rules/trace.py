"""How the rules were gone through for one call: which were tried, and what each of their conditions saw. Decides nothing."""

from __future__ import annotations

import json
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from functools import cached_property, lru_cache
from typing import NamedTuple, overload

from offhook.pipeline.rules.conditions import Asked, Condition
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

    `start` is how it begins in the journal where that is the same for each call: a rule whose one condition fails.
    """

    rule: str
    asked: Asked
    holds: tuple[bool | None, ...]
    start: str = ""

    @property
    def comes_to(self) -> bool | None:
        return False if False in self.holds else None if None in self.holds else True


class Trail(Sequence[RuleTrace]):
    """The rules that were tried for the call of `facts`. What each condition found is put into words when somebody asks."""

    def __init__(self, tried: Sequence[Tried], facts: Facts) -> None:
        self._tried = tried
        self._facts = facts
        self._found: dict[str, str] = {}

    @overload
    def __getitem__(self, place: int) -> RuleTrace: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[RuleTrace]: ...
    def __getitem__(self, place: int | slice) -> RuleTrace | Sequence[RuleTrace]:
        return self._in_words[place]

    def __len__(self) -> int:
        return len(self._tried)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self._in_words == tuple(other)

    def __hash__(self) -> int:
        return hash(self._in_words)

    def __repr__(self) -> str:
        return repr(self._in_words)

    @cached_property
    def _in_words(self) -> tuple[RuleTrace, ...]:
        return tuple(RuleTrace(one.rule, one.comes_to, self._conditions(one)) for one in self._tried)

    def _conditions(self, one: Tried) -> tuple[ConditionTrace, ...]:
        return tuple(
            ConditionTrace(key, shown, self._found_by(key, condition), holds)
            for (key, condition, _, shown), holds in zip(one.asked, one.holds, strict=True)
        )

    def _found_by(self, key: str, condition: Condition) -> str:
        """Many rules ask the same of a call."""
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = condition.found_in(self._facts)
        return found

    def as_json(self) -> str:
        """A list of [rule, holds, [[key, asked, found, holds], ...]]."""
        found: dict[str, str] = {}

        def quoted(key: str, condition: Condition) -> str:
            known = found.get(key)
            if known is None:
                known = found[key] = _json(self._found_by(key, condition))
            return known

        def written(one: Tried) -> str:
            if one.start:
                [(key, condition, _, _)] = one.asked
                return f"{one.start}{quoted(key, condition)},false]]]"
            parts = [
                f"{_start(key, shown)}{quoted(key, condition)},{_WORDS[holds]}]"
                for (key, condition, _, shown), holds in zip(one.asked, one.holds, strict=True)
            ]
            return f"[{_json(one.rule)},{_WORDS[one.comes_to]},[{','.join(parts)}]]"

        return f"[{','.join(map(written, self._tried))}]"


_WORDS = {True: "true", False: "false", None: "null"}
_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@lru_cache(maxsize=4096)
def _start(key: str, shown: str) -> str:
    """What the rules say is the same for each call."""
    return f"[{_json(key)},{_json(shown)},"


def failing(rule: str, asked: Asked) -> Tried:
    """A rule of which one condition fails, made ready once for all calls."""
    [(key, _, _, shown)] = asked
    return Tried(rule, asked, (False,), f"[{_json(rule)},false,[{_start(key, shown)}")


_SHORT = 1000  # characters: a longer trace is kept compressed, at a quarter of its size; many rules repeat many words


def as_kept(trace: Iterable[RuleTrace]) -> str:
    """The trace as the journal keeps it: JSON, or where that is long the same, deflated, in base64."""
    told = trace.as_json() if isinstance(trace, Trail) else _json(list(trace))
    return told if len(told) <= _SHORT else b64encode(zlib.compress(told.encode(), 1)).decode()


def from_kept(kept: str | None) -> tuple[RuleTrace, ...]:
    """What `as_kept` wrote; empty where nothing was kept."""
    told = kept or "[]"
    return tuple(
        RuleTrace(rule, holds, tuple(ConditionTrace(*each) for each in conditions))
        for rule, holds, conditions in json.loads(told if told[0] == "[" else zlib.decompress(b64decode(told)))
    )
