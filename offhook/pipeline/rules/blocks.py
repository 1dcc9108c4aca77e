"""The rules of a file in their order: the first whose conditions hold says what becomes of a call. Reads no file."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from offhook.pipeline.rules.between import Unknown
from offhook.pipeline.rules.conditions import ALWAYS, Asked, Condition, Conditions, asked_by
from offhook.pipeline.rules.facts import Facts
from offhook.pipeline.rules.results import Own
from offhook.pipeline.rules.trace import Outline, Trail, Tried, Way, failing, looked_at

_MOST_REMEMBERED = 4096  # answers of a condition, and ways through the rules


@dataclass(frozen=True)
class Rule:
    """A block [[rule]]. A call for which `when` holds is skipped for the reason `skip`, or, without one, converted, with
    what `own` says otherwise than the rest of the file. `when_unknown` is None where the file's holds.
    """

    name: str
    when: Conditions
    skip: str | None = None
    own: Own | None = None
    when_unknown: Unknown | None = None

    @cached_property
    def asked(self) -> Asked:
        return asked_by(self.when)


@dataclass(frozen=True, slots=True)
class Broken:
    """A condition that does not hold, and the words of its sentence."""

    condition: Condition
    words: dict[str, str]


@dataclass(frozen=True, slots=True)
class Matched:
    """What going through the rules came to.

    `rule` is the block that matched, None where the last rule says what becomes of the call. `broken` is what speaks
    against converting it. `waits`: it hangs on the customer alone, whom nobody knows yet.
    """

    rule: Rule | None
    trace: Trail
    broken: tuple[Broken, ...] = ()
    waits: bool = False


class _Answers:
    """Whether what a condition looked at is as each of those asks that ask it, in their order. The same again is the same
    object, so that it is compared as fast as can be.
    """

    __slots__ = ("holds",)

    def __init__(self, holds: tuple[bool | None, ...]) -> None:
        self.holds = holds


_Ask = Callable[[Facts], _Answers]


def _ask(condition: Condition, asked: Sequence[Any]) -> _Ask:
    """What all rules ask of one condition, asked at once. Answers are remembered: many calls give a condition the same to
    look at.
    """
    looks_at, holds, tells = condition.looks_at, condition.holds, condition.tells(asked)
    known: dict[Hashable, _Answers] = {}
    same: dict[tuple[bool | None, ...], _Answers] = {}

    def answered(seen: Any) -> _Answers:
        found = tuple([None if seen is None else holds(one, seen) for one in asked])
        return same.setdefault(found, _Answers(found))

    def ask(facts: Facts) -> _Answers:
        seen = looks_at(facts)
        told = seen if tells is None or seen is None else tells(seen)
        if (answers := known.get(told)) is None:
            if len(known) >= _MOST_REMEMBERED:
                known.clear()
                same.clear()
            answers = known[told] = answered(seen)
        return answers

    return ask


@dataclass(frozen=True, slots=True)
class _End:
    """Where a way through the rules ends. `against` are the conditions of the last rule that do not hold, with what each asks."""

    rule: Rule | None
    way: Way
    waits: bool = False
    against: tuple[tuple[Condition, str], ...] = ()


class Ways:
    """Ways of calls through `blocks` in their order, then to the `last` rule, which is what the file says outside of blocks.

    Of a block that does not match the first condition is noted that fails; the others are not looked at. `outline` is that
    of all these rules. The same answers lead the same way, so each is gone once and remembered.
    """

    def __init__(self, blocks: Sequence[Rule], last: Rule, unknown: Unknown, outline: Outline) -> None:
        self._blocks, self._last, self._unknown, self._outline = blocks, last, unknown, outline
        asked: dict[str, tuple[Condition, list[Any]]] = {}
        for rule in (*blocks, last):
            for key, one, value, _ in rule.asked:
                asked.setdefault(key, (one, []))[1].append(value)
        self._keys = tuple(asked)
        self._asks = tuple([_ask(one, values) for one, values in asked.values()])
        self._ends: dict[tuple[bool, tuple[_Answers, ...]], _End] = {}

    def match(self, facts: Facts) -> Matched:
        """What the rules say of a call: the first that matches."""
        always = tuple(_broken(facts))
        answers = tuple([ask(facts) for ask in self._asks])
        if (end := self._ends.get((not always, answers))) is None:
            if len(self._ends) >= _MOST_REMEMBERED:
                self._ends.clear()
            end = self._ends[not always, answers] = self._end(answers, may_wait=not always)
        trail = Trail(end.way, facts, self._outline)
        if end.rule and end.rule.skip:
            return Matched(end.rule, trail, waits=end.waits)
        against = [Broken(one, {"found": one.found_in(facts), "asked": shown}) for one, shown in end.against]
        return Matched(end.rule, trail, (*against, *always), end.waits)

    def _end(self, answers: Sequence[_Answers], *, may_wait: bool) -> _End:
        left = {key: iter(each.holds) for key, each in zip(self._keys, answers, strict=True)}
        tried: list[Tried] = []
        for rule in self._blocks:
            seen = _seen(rule, [next(left[key]) for key, _, _, _ in rule.asked])
            tried.append(seen)
            waits = may_wait and seen.waits
            if waits or _holds(seen.comes_to, rule.when_unknown or self._unknown):
                return _End(rule, Way(tried), waits)
        last = self._last
        seen = looked_at(last.name, last.asked, tuple([next(left[key]) for key, _, _, _ in last.asked]))
        way = Way([*tried, seen])
        if may_wait and seen.waits:
            return _End(None, way, waits=True)
        return _End(None, way, against=() if seen.comes_to else tuple(_against(seen, self._unknown)))


def _seen(rule: Rule, holds: list[bool | None]) -> Tried:
    if False in holds:
        return failing(rule.name, rule.asked, holds.index(False))
    return looked_at(rule.name, rule.asked, tuple(holds))


def _against(seen: Tried, unknown: Unknown) -> Iterator[tuple[Condition, str]]:
    for (_, one, _, shown), holds in zip(seen.asked, seen.holds, strict=True):
        if not _holds(holds, unknown):
            yield one, shown


def _holds(found: bool | None, unknown: Unknown) -> bool:
    return unknown is Unknown.HOLDS if found is None else found


def _broken(facts: Facts) -> list[Broken]:
    """What speaks against every conversion, whatever the rules are."""
    return [Broken(one, one.words(True, facts)) for one in ALWAYS if not one.says(True, facts)]
