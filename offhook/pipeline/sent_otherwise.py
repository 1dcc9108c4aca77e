"""Calls that count by the rules of then and by others: what of each would be sent otherwise. Reads nothing, decides nothing.

Compared is what both rules write for the call, not what it came to: so it costs no look at what was sent, many calls are one
change, and a customer whose row changed meanwhile is none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from offhook.pipeline.conversion import Counts
from offhook.pipeline.ports.past import PastCall
from offhook.pipeline.rules import Rules
from offhook.pipeline.rules.results import RESULTS, Own, Time, results_of

RulesOfThen = Callable[[str], Rules | None]
"""The rules of a version; None where nobody knows them any more."""

_VERSIONS = 32  # of rules that are remembered; calls come in the order of time, and so do these
_PLACES = 4096  # of a version, two rules and a number
_LONGEST = 200  # characters of a value


class SentOtherwise:
    """`rules` are the others."""

    def __init__(self, rules: Rules, of_then: RulesOfThen) -> None:
        self._rules = rules
        self._of_then = lru_cache(_VERSIONS)(of_then)
        self._compared = lru_cache(_PLACES)(self._compare)

    def of(self, call: PastCall, found: Counts) -> tuple[str, str] | None:
        """What of a converted call was sent, and what would be in its place; None where that is the same, or nobody knows."""
        if call.rules_version == self._rules.version:
            return None
        rule = found.found.rule
        is_pairs = found.pair is not None
        return self._compared(call.rules_version, call.rule, rule.name if rule else "", found.facts.ours, is_pairs)

    def _compare(self, version: str, rule_then: str, rule: str, ours: str, is_pairs: bool) -> tuple[str, str] | None:
        """`is_pairs`: the call answers another one, whose moment is sent."""
        then = self._of_then(version)
        was = None if then is None else _sent(then, rule_then, ours)
        would = _sent(self._rules, rule, ours)
        if was is None or would is None:
            return None
        keys = [key for key in RESULTS if was[key] != would[key] and not (is_pairs and key == "time")]
        return (_said(keys, was, would), _said(keys, would, was)) if keys else None


def _sent(rules: Rules, name: str, ours: str) -> Mapping[str, Any] | None:
    """What is sent of a call that this rule converts ("" for the last one); None where there is no such rule."""
    owns: Mapping[str, Own | None] = {rules.last.name: None} | {one.name: one.own for one in rules.blocks}
    if name not in owns:
        return None
    found = results_of(rules, rules.numbers.get(ours), owns[name])
    return {key: getattr(found, key) for key in RESULTS} | {"time": found.time or Time.ENDED}


def _said(keys: list[str], values: Mapping[str, Any], others: Mapping[str, Any]) -> str:
    return ", ".join(_one_said(key, values[key], others[key]) for key in keys)


def _one_said(key: str, value: Any, other: Any) -> str:
    """Of several fields those that differ."""
    if isinstance(value, Mapping):
        value = {name: one for name, one in value.items() if name not in other or other[name] != one}
    if value is None or value == {}:
        return f"without {key}"
    shown = RESULTS[key].kind.shown(value)
    return f"{key} {shown if len(shown) <= _LONGEST else f'{shown[:_LONGEST]}...'}"
