"""What each rule came to: how many calls counted by it, wait for their customer, or do not count, and why. Made of sums. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from offhook.pipeline.call import CallState
from offhook.pipeline.counting import RuleTally, ruled
from offhook.pipeline.ports.tallies import SumsByRule
from offhook.pipeline.rules.trace import LAST_RULE


@dataclass(frozen=True, slots=True)
class RuleFigures:
    """One rule's calls. `rule` is "" for the last one, None where no rule was asked; `why` are the reasons of those that do
    not count, the most frequent first; `is_here`: the rules that were given have it.
    """

    rule: str | None
    is_here: bool
    counted: int = 0
    waiting: int = 0
    excluded: int = 0
    why: Sequence[tuple[str, int]] = ()


def rule_figures(names: Sequence[str], sums: Iterable[RuleTally]) -> list[RuleFigures]:
    """Those of the rules with these names in their order, then of the last one, then of whatever else decided calls."""
    by_rule: dict[str | None, Counter[tuple[str, str]]] = {}
    for one in sums:
        by_rule.setdefault(one.rule, Counter())[one.state, one.reason] += one.calls
    here = [*names, LAST_RULE]
    others = sorted((rule for rule in by_rule if rule not in here), key=str)
    return [_figures(rule, rule in here, by_rule.get(rule, Counter())) for rule in (*here, *others)]


def _figures(rule: str | None, is_here: bool, found: Mapping[tuple[str, str], int]) -> RuleFigures:
    sums: Counter[str] = Counter()
    for (state, _), calls in found.items():
        sums[state] += calls
    why = [(reason, calls) for (state, reason), calls in found.items() if state == CallState.SKIPPED]
    return RuleFigures(
        rule,
        is_here,
        counted=sums[CallState.CONVERTED],
        waiting=sums[CallState.PARKED],
        excluded=sums[CallState.SKIPPED],
        why=sorted(why, key=lambda one: (-one[1], one[0])),
    )


def left_out(found: SumsByRule) -> list[tuple[str, int]]:
    """Why calls do not count, the most frequent first: every one of these days is in it, whichever version decided it."""
    sums = Counter[str]()
    for one in found.places:
        if ruled(one.outcome) is CallState.SKIPPED:
            sums[one.reason] += one.calls
    return sorted(sums.items(), key=lambda one: (-one[1], one[0]))


def lacking(found: SumsByRule) -> int:
    """How many calls the sums by rule lack, or have elsewhere than they stand: those that a version without such sums decided."""
    decided, by_rule = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for place in found.places:
        if state := ruled(place.outcome):
            decided[state, "" if state is CallState.CONVERTED else place.reason] += place.calls
    for one in found.rules:
        by_rule[one.state, one.reason] += one.calls
    return (decided - by_rule).total()
