"""The rules of a file in their order: the first whose conditions hold says what becomes of a call. Reads no file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from offhook.pipeline.rules.between import Unknown
from offhook.pipeline.rules.conditions import ALWAYS, Asked, Condition, Conditions, asked_by
from offhook.pipeline.rules.facts import Facts
from offhook.pipeline.rules.results import Own
from offhook.pipeline.rules.trace import LAST_RULE, ConditionTrace, RuleTrace


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
    trace: tuple[RuleTrace, ...]
    broken: tuple[Broken, ...] = ()
    waits: bool = False


def match(blocks: Sequence[Rule], last: Asked, unknown: Unknown, facts: Facts) -> Matched:
    """Go through `blocks` in their order, then to the `last` rule, which is what the file says outside of blocks.

    Of a block that does not match the first condition is noted that fails; the others are not looked at.
    """
    always = tuple(_broken(facts))
    tried: list[RuleTrace] = []
    for rule in blocks:
        failing = _first_that_fails(rule.asked, facts)
        if failing is not None:
            tried.append(RuleTrace(rule.name, False, (failing,)))
            continue
        seen = [(asked[1], _looked_at(asked, facts)) for asked in rule.asked]
        tried.append(_trace(rule.name, seen))
        waits = not always and _hangs_on_customer(seen)
        if waits or _holds(tried[-1].holds, rule.when_unknown or unknown):
            return Matched(rule, tuple(tried), () if rule.skip else always, waits)
    seen = [(asked[1], _looked_at(asked, facts)) for asked in last]
    tried.append(_trace(LAST_RULE, seen))
    against = [Broken(one, _words(each)) for one, each in seen if not _holds(each.holds, unknown)]
    if not always and _hangs_on_customer(seen):
        return Matched(None, tuple(tried), waits=True)
    return Matched(None, tuple(tried), (*against, *always))


_Seen = list[tuple[Condition, ConditionTrace]]


def _first_that_fails(asked: Asked, facts: Facts) -> ConditionTrace | None:
    for key, condition, value, shown in asked:
        if condition.holds(value, facts) is False:
            return ConditionTrace(key, shown, condition.found_in(facts), False)
    return None


def _looked_at(asked: tuple[str, Condition, object, str], facts: Facts) -> ConditionTrace:
    key, condition, value, shown = asked
    return ConditionTrace(key, shown, condition.found_in(facts), condition.holds(value, facts))


def _trace(name: str, seen: _Seen) -> RuleTrace:
    conditions = tuple(each for _, each in seen)
    found = [each.holds for each in conditions]
    return RuleTrace(name, False if False in found else None if None in found else True, conditions)


def _hangs_on_customer(seen: _Seen) -> bool:
    """All else holds, and what is not known will be, once somebody says who called."""
    unknown = [condition for condition, each in seen if each.holds is None]
    return bool(unknown) and all(one.of_customer for one in unknown) and not any(e.holds is False for _, e in seen)


def _holds(found: bool | None, unknown: Unknown) -> bool:
    return unknown is Unknown.HOLDS if found is None else found


def _broken(facts: Facts) -> list[Broken]:
    """What speaks against every conversion, whatever the rules are."""
    return [Broken(one, one.words(True, facts)) for one in ALWAYS if not one.holds(True, facts)]


def _words(trace: ConditionTrace) -> dict[str, str]:
    return {"found": trace.found, "asked": trace.asked}
