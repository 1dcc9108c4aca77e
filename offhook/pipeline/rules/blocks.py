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
    looks_at, holds, distinguish = condition.looks_at, condition.holds, condition.distinguishes(asked)
    known: dict[Hashable, _Answers] = {}
    same: dict[tuple[bool | None, ...], _Answers] = {}

    def answered(seen: Any) -> _Answers:
        found = tuple([None if seen is None else holds(one, seen) for one in asked])
        return same.setdefault(found, _Answers(found))

    def ask(facts: Facts) -> _Answers:
        seen = looks_at(facts)
        key = seen if distinguish is None or seen is None else distinguish(seen)
        if (answers := known.get(key)) is None:
            if len(known) >= _MOST_REMEMBERED:
                known.clear()
                same.clear()
            answers = known[key] = answered(seen)
        return answers

    return ask


_Against = tuple[Condition, Callable[[Facts], str], str]


@dataclass(frozen=True, slots=True)
class _End:
    """Where a way through the rules ends. `against` are the conditions of the last rule that do not hold, each with what finds
    it in a call and what is asked."""

    rule: Rule | None
    way: Way
    waits: bool = False
    against: tuple[_Against, ...] = ()


class Ways:
    """Ways of calls through `blocks` in their order, then to the `last` rule, which is what the file says outside of blocks.

    Of a block that does not match the first condition is noted that fails; the others are not looked at, nor is what the
    customer did before, unless the way hangs on it. `outline` is that of all these rules. The same answers lead the same way,
    so each is gone once and remembered.
    """

    def __init__(self, blocks: Sequence[Rule], last: Rule, unknown: Unknown, outline: Outline) -> None:
        self._blocks, self._last, self._unknown, self._outline = blocks, last, unknown, outline
        asked: dict[str, tuple[Condition, list[Any]]] = {}
        for rule in (*blocks, last):
            for key, one, value, _ in rule.asked:
                asked.setdefault(key, (one, []))[1].append(value)
        at_call = {key: each for key, each in asked.items() if not each[0].looks_back}
        before = {key: each for key, each in asked.items() if each[0].looks_back}
        self._keys = (*at_call, *before)
        self._ask_call = tuple([_ask(*each) for each in at_call.values()])
        self._ask_before = tuple([_ask(*each) for each in before.values()])
        self._ends: dict[tuple[bool, tuple[_Answers, ...]], _End | None] = {}

    def match(self, facts: Facts) -> Matched:
        """What the rules say of a call: the first that matches."""
        always = tuple(_broken(facts))
        answers = tuple([ask(facts) for ask in self._ask_call])
        end = self._remembered(answers, may_wait=not always)
        if end is None:
            answers += tuple([ask(facts) for ask in self._ask_before])
            end = self._remembered(answers, may_wait=not always)
        assert end is not None
        trail = Trail(end.way, facts, self._outline)
        if end.rule and end.rule.skip:
            return Matched(end.rule, trail, waits=end.waits)
        against = [Broken(one, {"found": found_in(facts), "asked": shown}) for one, found_in, shown in end.against]
        return Matched(end.rule, trail, (*against, *always), end.waits)

    def _remembered(self, answers: tuple[_Answers, ...], *, may_wait: bool) -> _End | None:
        way = may_wait, answers
        if way not in self._ends:
            if len(self._ends) >= _MOST_REMEMBERED:
                self._ends.clear()
            self._ends[way] = self._end(answers, may_wait=may_wait)
        return self._ends[way]

    def _end(self, answers: Sequence[_Answers], *, may_wait: bool) -> _End | None:
        """None where it hangs on earlier calls, and these were not asked for."""
        left = {key: iter(each.holds) for key, each in zip(self._keys, answers, strict=False)}
        tried: list[Tried] = []
        for rule in self._blocks:
            unknown = rule.when_unknown or self._unknown
            seen = _seen(rule, [next(left[key]) for key, _, _, _ in rule.asked if key in left], unknown)
            if seen is None:
                return None
            tried.append(seen)
            waits = may_wait and seen.waits
            if waits or _holds(seen.comes_to, unknown):
                return _End(rule, Way(tried), waits)
        last = self._last
        holds = [next(left[key]) for key, _, _, _ in last.asked if key in left]
        if len(holds) < len(last.asked):
            return None
        seen = looked_at(last.name, last.asked, tuple(holds))
        way = Way([*tried, seen])
        if may_wait and seen.waits:
            return _End(None, way, waits=True)
        return _End(None, way, against=() if seen.comes_to else tuple(_against(seen, self._unknown)))


def _seen(rule: Rule, holds: list[bool | None], unknown: Unknown) -> Tried | None:
    """None where it hangs on what was not looked at: the last that it asks, of earlier calls."""
    if False in holds:
        return failing(rule.name, rule.asked, holds.index(False))
    of_call = sum(not one.looks_back for _, one, _, _ in rule.asked)
    if of_call < len(rule.asked) and _fails_unknown(rule.asked[:of_call], holds, unknown):
        return looked_at(rule.name, rule.asked[:of_call], tuple(holds[:of_call]))
    return looked_at(rule.name, rule.asked, tuple(holds)) if len(holds) == len(rule.asked) else None


def _fails_unknown(asked: Asked, holds: Sequence[bool | None], unknown: Unknown) -> bool:
    """Whether nobody knows something of these, nor will once the caller is known, so that the rest need not be looked at."""
    known_never = any(
        found is None and not one.of_customer for (_, one, _, _), found in zip(asked, holds, strict=False)
    )
    return known_never and not _holds(None, unknown)


def _against(seen: Tried, unknown: Unknown) -> Iterator[_Against]:
    for (_, one, value, shown), holds in zip(seen.asked, seen.holds, strict=True):
        if not _holds(holds, unknown):
            yield one, one.found_by([value]), shown


def _holds(found: bool | None, unknown: Unknown) -> bool:
    return unknown is Unknown.HOLDS if found is None else found


def _broken(facts: Facts) -> list[Broken]:
    """What speaks against every conversion, whatever the rules are."""
    return [Broken(one, one.words(True, facts)) for one in ALWAYS if not one.says(True, facts)]
