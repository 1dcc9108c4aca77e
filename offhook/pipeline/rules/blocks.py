"""The rules of a file in their order: the first whose conditions hold says what becomes of a call. Reads no file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from offhook.pipeline.rules.between import Unknown
from offhook.pipeline.rules.conditions import ALWAYS, Asked, Condition, Conditions, asked_by
from offhook.pipeline.rules.facts import Facts
from offhook.pipeline.rules.results import Own
from offhook.pipeline.rules.trace import Outline, Trail, Tried, failing, looked_at

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
        every = enumerate(self.asked)
        return tuple((one.holds, value, failing(self.name, self.asked, place)) for place, (_, one, value, _) in every)

    @cached_property
    def _ways(self) -> dict[tuple[bool | None, ...], Tried]:
        return {}

    def looked_at(self, facts: Facts) -> Tried:
        """All of its conditions. There are few ways how they hold, and each is put down once."""
        found = tuple([holds(asked, facts) for holds, asked, _ in self.checks])
        if (seen := self._ways.get(found)) is None:
            seen = self._ways[found] = looked_at(self.name, self.asked, found)
        return seen


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


def match(blocks: Sequence[Rule], last: Rule, unknown: Unknown, facts: Facts, outline: Outline) -> Matched:
    """Go through `blocks` in their order, then to the `last` rule, which is what the file says outside of blocks.

    Of a block that does not match the first condition is noted that fails; the others are not looked at. `outline` is that
    of all these rules.
    """
    always = tuple(_broken(facts))
    tried: list[Tried] = []
    trail = Trail(tried, facts, outline)
    for rule in _left(blocks, facts, tried):
        waits = not always and tried[-1].waits
        if waits or _holds(tried[-1].comes_to, rule.when_unknown or unknown):
            return Matched(rule, trail, () if rule.skip else always, waits)
    seen = last.looked_at(facts)
    tried.append(seen)
    if not always and seen.waits:
        return Matched(None, trail, waits=True)
    against = () if seen.comes_to else _against(seen, unknown, facts)
    return Matched(None, trail, (*against, *always))


def _against(seen: Tried, unknown: Unknown, facts: Facts) -> Iterator[Broken]:
    for (_, one, _, shown), holds in zip(seen.asked, seen.holds, strict=True):
        if not _holds(holds, unknown):
            yield Broken(one, {"found": one.found_in(facts), "asked": shown})


def _left(blocks: Sequence[Rule], facts: Facts, tried: list[Tried]) -> Iterator[Rule]:
    """The blocks of which no condition fails. Each that was looked at is the last of `tried` by then."""
    for rule in blocks:
        for holds, asked, noted in rule.checks:
            if holds(asked, facts) is False:
                tried.append(noted)
                break
        else:
            tried.append(rule.looked_at(facts))
            yield rule


def _holds(found: bool | None, unknown: Unknown) -> bool:
    return unknown is Unknown.HOLDS if found is None else found


def _broken(facts: Facts) -> list[Broken]:
    """What speaks against every conversion, whatever the rules are."""
    return [Broken(one, one.words(True, facts)) for one in ALWAYS if not one.holds(True, facts)]
