"""What a decision looked at: the rules that were tried, and what each of their conditions asked and found. Decides nothing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ConditionTrace:
    """One condition by its key: what was asked for, what was found, both for a person; `holds` is None where it is unknown."""

    key: str
    asked: str
    found: str
    holds: bool | None


@dataclass(frozen=True, slots=True)
class RuleTrace:
    """One rule that was tried, by its name. `holds` is None where it depends on what is unknown."""

    rule: str
    holds: bool | None
    conditions: tuple[ConditionTrace, ...]
