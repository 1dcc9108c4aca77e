"""The rules of a file in their order: the first whose conditions hold says what becomes of a call. Reads no file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from offhook.pipeline.rules.between import Unknown
from offhook.pipeline.rules.conditions import ALWAYS, Asked, Condition, Conditions, asked_by
from offhook.pipeline.rules.facts import Facts
from offhook.pipeline.rules.results import Own
from offhook.pipeline.rules.trace import LAST_RULE, Trail, Tried, failing

Check = tuple[Callable[[Any, Facts], bool | None], Any, Tried]
"""Whether something holds of what is asked, and what is noted where it does not."""


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

    @cached_property
    def checks(self) -> tuple[Check, ...]:
        """Made once: most rules of a file do not match, and are looked at for each call."""
        return tuple((one[1].holds, one[2], failing(self.name, (one,))) for one in self.asked)


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


def match(blocks: Sequence[Rule], last: Asked, unknown: Unknown, facts: Facts) -> Matched:
    """Go through `blocks` in their order, then to the `last` rule, which is what the file says outside of blocks.

    Of a block that does not match the first condition is noted that fails; the others are not looked at.
    """
    always = tuple(_broken(facts))
    tried: list[Tried] = []
    trail = Trail(tried, facts)
    for rule in blocks:
        noted = _first_that_fails(rule.checks, facts)
        if noted is not None:
            tried.append(noted)
            continue
        tried.append(_looked_at(rule.name, rule.asked, facts))
        waits = not always and _hangs_on_customer(tried[-1])
        if waits or _holds(tried[-1].comes_to, rule.when_unknown or unknown):
            return Matched(rule, trail, () if rule.skip else always, waits)
    seen = _looked_at(LAST_RULE, last, facts)
    tried.append(seen)
    if not always and _hangs_on_customer(seen):
        return Matched(None, trail, waits=True)
    against = [
        Broken(one, {"found": one.found_in(facts), "asked": shown})
        for (_, one, _, shown), holds in zip(last, seen.holds, strict=True)
        if not _holds(holds, unknown)
    ]
    return Matched(None, trail, (*against, *always))


def _first_that_fails(checks: Iterable[Check], facts: Facts) -> Tried | None:
    for holds, asked, noted in checks:
        if holds(asked, facts) is False:
            return noted
    return None


def _looked_at(name: str, asked: Asked, facts: Facts) -> Tried:
    return Tried(name, asked, tuple([condition.holds(value, facts) for _, condition, value, _ in asked]))


def _hangs_on_customer(seen: Tried) -> bool:
    """All else holds, and what is not known will be, once somebody says who called."""
    if seen.comes_to is not None:
        return False
    return all(one.of_customer for (_, one, _, _), holds in zip(seen.asked, seen.holds, strict=True) if holds is None)


def _holds(found: bool | None, unknown: Unknown) -> bool:
    return unknown is Unknown.HOLDS if found is None else found


def _broken(facts: Facts) -> list[Broken]:
    """What speaks against every conversion, whatever the rules are."""
    return [Broken(one, one.words(True, facts)) for one in ALWAYS if not one.holds(True, facts)]
