"""How much rules may hold, and how much of what they found of a call is kept. No version of rules hangs on it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RuleLimits:
    """`listed` is the members of a list: numbers, countries, words of a parameter. `list_bytes` is a file of numbers.
    `pattern` is the characters of a regular expression, and of a value that is held against one: a longer one matches none.

    `value_found` is the characters of a parameter that the journal keeps (of a longer one its length is said), `found` those
    of all parameters that a call was looked at for.
    """

    listed: int = 1000
    list_bytes: int = 20_000_000
    pattern: int = 500
    value_found: int = 100
    found: int = 500


USUAL = RuleLimits()
