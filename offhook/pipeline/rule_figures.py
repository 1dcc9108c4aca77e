"""What each rule came to: how many calls counted by it, wait for their customer, or do not count, and why. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from offhook.pipeline.call import CallState
from offhook.pipeline.ports.past import RuleUse
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


def rule_figures(names: Sequence[str], uses: Iterable[RuleUse]) -> list[RuleFigures]:
    """Those of the rules with these names in their order, then of the last one, then of whatever else decided calls."""
    by_rule: dict[str | None, Counter[tuple[CallState, str]]] = {}
    for one in uses:
        by_rule.setdefault(one.rule, Counter())[one.state, one.reason] += one.calls
    here = [*names, LAST_RULE]
    others = sorted((rule for rule in by_rule if rule not in here), key=str)
    return [_figures(rule, rule in here, by_rule.get(rule, Counter())) for rule in (*here, *others)]


def _figures(rule: str | None, is_here: bool, found: Mapping[tuple[CallState, str], int]) -> RuleFigures:
    sums: Counter[CallState] = Counter()
    for (state, _), calls in found.items():
        sums[state] += calls
    why = [(reason, calls) for (state, reason), calls in found.items() if state is CallState.SKIPPED]
    return RuleFigures(
        rule,
        is_here,
        counted=sums[CallState.CONVERTED],
        waiting=sums[CallState.PARKED],
        excluded=sums[CallState.SKIPPED],
        why=sorted(why, key=lambda one: (-one[1], one[0])),
    )
