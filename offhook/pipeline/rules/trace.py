"""How the rules were gone through for one call: which were tried, and what each of their conditions saw. Decides nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

LAST_RULE = ""
"""The name of the last rule: what the file says outside of its blocks [[rule]]."""


class ConditionTrace(NamedTuple):
    """A condition by its key in the file, what was asked and what was found. `holds` is None where nobody knows."""

    key: str
    asked: str
    found: str
    holds: bool | None


class RuleTrace(NamedTuple):
    """A rule that was tried. `holds` is None where it hung on something that nobody knows."""

    rule: str
    holds: bool | None
    conditions: tuple[ConditionTrace, ...]


def as_json(trace: Sequence[RuleTrace]) -> str:
    """The trace as the journal keeps it."""
    rows = [
        [one.rule, one.holds, [[each.key, each.asked, each.found, each.holds] for each in one.conditions]]
        for one in trace
    ]
    return json.dumps(rows, ensure_ascii=False, separators=(",", ":"))


def from_json(kept: str | None) -> tuple[RuleTrace, ...]:
    """What `as_json` wrote; empty where nothing was kept."""
    return tuple(
        RuleTrace(rule, holds, tuple(ConditionTrace(*each) for each in conditions))
        for rule, holds, conditions in json.loads(kept or "[]")
    )
