"""What shall count and what is sent of it: the rules, whoever wrote them. Holds values; no file is read here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from offhook.pipeline.rules.conditions import CONDITIONS, Condition, Conditions
from offhook.pipeline.rules.results import RESULTS, Number, ResultField, Results

SETTINGS: Mapping[str, Condition | ResultField] = {**CONDITIONS, **RESULTS}
"""All that a file may say but the tracked numbers, by its key."""


@dataclass(frozen=True)
class Rules(Results, Conditions):
    """What counts and what is told. `version` names these rules; comments and the order of keys play no part in it."""

    numbers: Mapping[str, Number] = field(default_factory=dict)
    version: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "version", _version(self))


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


def _version(rules: Rules) -> str:
    says = _plain(rules, SETTINGS)
    told = {key: value for key, value in says.items() if key in _FIRST or value not in _UNSAID}
    numbers = {each: _own(number) for each, number in rules.numbers.items()}
    return hashlib.sha256(json.dumps({**told, "numbers": numbers}, sort_keys=True).encode()).hexdigest()[:12]


def _own(number: Number) -> list[Any]:
    says = _plain(number, (key for key, entry in RESULTS.items() if entry.of_number))
    later = {key: value for key, value in says.items() if key not in _FIRST_OF_NUMBER and value not in _UNSAID}
    return [number.label, *(says[key] for key in _FIRST_OF_NUMBER), *([later] if later else [])]


def _plain(rules: Rules | Number, keys: Iterable[str]) -> dict[str, Any]:
    """What is said, by its key, as JSON knows it."""
    return {key: SETTINGS[key].kind.plain(getattr(rules, key)) for key in keys}
