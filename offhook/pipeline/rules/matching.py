"""What a named value must be: one of some texts, a number in a range, or what a pattern matches. Reads no call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from offhook.pipeline.rules.limits import USUAL

_LONGEST_NUMBER = 40


@dataclass(frozen=True, slots=True)
class Pattern:
    """A regular expression whose time cannot explode, whatever the text is. It matches no text of more than `most`
    characters."""

    written: str
    found_in: Callable[[str], bool] = field(compare=False, repr=False)
    most: int = field(default=USUAL.pattern, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ValueTest:
    """One of the three; a value that is not there is none of them."""

    any_of: tuple[str, ...] = ()
    at_least: Decimal | None = None
    at_most: Decimal | None = None
    pattern: Pattern | None = None

    def holds(self, value: str | None) -> bool:
        if value is None:
            return False
        if self.pattern is not None:
            return len(value) <= self.pattern.most and self.pattern.found_in(value)
        return value in self.any_of if self.any_of else self._is_in_range(number(value))

    def _is_in_range(self, value: Decimal | None) -> bool:
        if value is None:
            return False
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)

    def plain(self) -> dict[str, Any]:
        """As JSON knows it, always the same for the same test."""
        limits = {"at_least": self.at_least, "at_most": self.at_most}
        bounds: dict[str, Any] = {name: str(limit.normalize()) for name, limit in limits.items() if limit is not None}
        if self.pattern is not None:
            return {"matches": self.pattern.written}
        return {"any_of": sorted(self.any_of)} if self.any_of else bounds

    def __str__(self) -> str:
        if self.pattern is not None:
            return f"matches {self.pattern.written}"
        if self.any_of:
            return f"is {' or '.join(self.any_of)}"
        limits = ((self.at_least, "at least"), (self.at_most, "at most"))
        return "is " + " and ".join(f"{words} {limit}" for limit, words in limits if limit is not None)


def number(text: str) -> Decimal | None:
    """The number that a text is, with a point before its fraction; None where it is none."""
    try:
        found = Decimal(text.strip()) if len(text) <= _LONGEST_NUMBER else None
    except InvalidOperation:
        return None
    return found if found is not None and found.is_finite() else None
