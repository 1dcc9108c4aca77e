"""What shall count and what is sent of it: the rules, whoever wrote them. Holds values; no file is read here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from offhook.pipeline.rules.between import BETWEEN, Between, Setting, Unknown
from offhook.pipeline.rules.blocks import Matched, Rule, Ways
from offhook.pipeline.rules.conditions import CONDITIONS, Condition, Conditions
from offhook.pipeline.rules.facts import Facts
from offhook.pipeline.rules.kinds import NumberList
from offhook.pipeline.rules.limits import USUAL, RuleLimits
from offhook.pipeline.rules.results import OF_NUMBER, RESULTS, Number, Own, ResultField, Results
from offhook.pipeline.rules.trace import LAST_RULE, Outline

SETTINGS: Mapping[str, Condition | ResultField | Setting] = {**CONDITIONS, **RESULTS, **BETWEEN}
"""All that a file may say outside of its blocks, by its key."""


@dataclass(frozen=True)
class Rules(Between, Results, Conditions):
    """What counts and what is sent. `version` names these rules; comments and the order of keys play no part in it.

    `blocks` are the rules that go before what the file says outside of them. `ours` are numbers (E.164) of our own people,
    who are nobody's customers. `text` is the file as it was written, empty where there is none. `limits` say how much is kept
    of what was found.
    """

    numbers: Mapping[str, Number] = field(default_factory=dict)
    blocks: tuple[Rule, ...] = ()
    ours: frozenset[str] = frozenset()
    text: str = field(default="", compare=False, repr=False)
    limits: RuleLimits = field(default=USUAL, compare=False, repr=False)
    version: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "version", _version(self))

    @cached_property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone or "UTC")

    @cached_property
    def looks_back(self) -> bool:
        """Whether a decision needs to know what the same customer did before."""
        pairs = self.repeat_within or self.called_back_within or len(self.our_numbers) > 1
        return bool(pairs) or any(one.looks_back for one in self._conditions)

    @cached_property
    def look_at_the_call_alone(self) -> bool:
        """Whether what they say against a call is so whoever the customer is, and whatever he did before."""
        return not self.called_back_within and not any(one.of_customer or one.looks_back for one in self._conditions)

    @cached_property
    def needs_callbacks(self) -> bool:
        """Whether a decision needs legs or parameters of the call, which its callbacks alone say."""
        return bool(self.called_back_within) or any(one.of_callbacks for one in self._conditions)

    @cached_property
    def params_asked(self) -> frozenset[str]:
        """The parameters of Twilio's that any of the rules asks for."""
        return frozenset(name for rule in (*self.blocks, self.last) for name in rule.when.params or ())

    @cached_property
    def _conditions(self) -> tuple[Condition, ...]:
        """All that any of the rules asks."""
        return tuple(one for rule in (*self.blocks, self.last) for _, one, _, _ in rule.asked)

    @cached_property
    def lists(self) -> tuple[NumberList, ...]:
        """The files of numbers that any of the rules asks for, each once."""
        asked = (rule.when.callers_in for rule in (*self.blocks, self.last))
        return tuple({one.file: one for one in asked if one is not None}.values())

    @cached_property
    def our_numbers(self) -> frozenset[str]:
        """The tracked numbers that the file names, listed or in a rule, and those of our own people."""
        asked = (rule.when.tracked_numbers for rule in (*self.blocks, self.last))
        return frozenset(self.numbers).union(self.ours, *(one.numbers for one in asked if one))

    def match(self, facts: Facts) -> Matched:
        """What the rules say of a call: the first that matches."""
        return self._ways.match(facts)

    @cached_property
    def _ways(self) -> Ways:
        return Ways(self.blocks, self.last, self.when_unknown or Unknown.FAILS, self.outline)

    @cached_property
    def last(self) -> Rule:
        """What the file says outside of its blocks."""
        return Rule(LAST_RULE, self)

    @cached_property
    def outline(self) -> Outline:
        """What all rules ask, in their order."""
        return Outline.of([(rule.name, rule.asked) for rule in (*self.blocks, self.last)])


# What the first rules knew, and what of a number. A version names these always, and what came later only where it is said:
# the version of a file stays what it was when Offhook learns a new word.
_FIRST = (
    "action",
    "min_duration_seconds",
    "statuses",
    "directions",
    "order_id",
    "revenue",
    "extra",
    "only_listed_numbers",
)
_FIRST_OF_NUMBER = ("action", "revenue", "extra")
_UNSAID: tuple[object, ...] = (None, False, {})


def said(rules: Rules) -> dict[str, Any]:
    """What holds outside of the blocks, by its key, as JSON knows it; null where nothing does."""
    return _plain(rules, SETTINGS)


def _version(rules: Rules) -> str:
    says = said(rules)
    written = {key: value for key, value in says.items() if key in _FIRST or value not in _UNSAID}
    numbers = {each: _own(number) for each, number in rules.numbers.items()}
    more = {"rule": [_block(rule) for rule in rules.blocks], "ours": sorted(rules.ours)}
    whole = {**written, "numbers": numbers, **{key: value for key, value in more.items() if value}}
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:12]


def _own(number: Number) -> list[Any]:
    says = _plain(number, OF_NUMBER)
    later = {key: value for key, value in says.items() if key not in _FIRST_OF_NUMBER and value not in _UNSAID}
    return [number.label, *(says[key] for key in _FIRST_OF_NUMBER), *([later] if later else [])]


def _block(rule: Rule) -> list[Any]:
    own = _plain(rule.own, OF_NUMBER) if rule.own else None
    return [rule.name, _plain(rule.when, CONDITIONS), rule.skip, own, rule.when_unknown]


def _plain(rules: Results | Conditions | Number | Own, keys: Iterable[str]) -> dict[str, Any]:
    """What is said, by its key, as JSON knows it; null where nothing is."""
    found = {key: getattr(rules, key) for key in keys}
    return {key: None if value is None else SETTINGS[key].kind.plain(value) for key, value in found.items()}
