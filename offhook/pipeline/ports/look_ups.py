"""Which numbers are to be looked up, when, and by whom: kept where several workers and a restart respect it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class LookUpState(StrEnum):
    """Where the look-up of a number stands. Of an UNKNOWN one the sources name nobody to be credited, until it is due again."""

    WANTED = "wanted"
    KNOWN = "known"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A number that this worker alone asks for now. `attempts` failed before in a row; `fence` is the claim's."""

    phone: str
    fence: int
    attempts: int


@dataclass(frozen=True, slots=True)
class LookedUp:
    """What came of a claim: where it stands now, when it is due again, the failures in a row, who said so, what was wrong.

    `has_several`: an UNKNOWN one has several people, which its parked calls are to say.
    """

    wanted: Wanted
    state: LookUpState
    due_at: datetime
    attempts: int = 0
    source: str = ""
    reason: str = ""
    has_several: bool = False


@dataclass(frozen=True, slots=True)
class LookUpLine:
    """A number that waits to be looked up, for people. `waits_since` is when the first call began to wait for it, None for
    one that is asked again although no undecided call waits."""

    phone: str
    waits_since: datetime | None
    due_at: datetime
    attempts: int
    source: str
    reason: str


class LookUps(Protocol):
    """The numbers that calls wait for (`Books.let_wait`), and those that were unknown. Each raises LedgerUnavailable."""

    def claim_look_ups(self, now: datetime, limit: int, lease_seconds: float, /) -> Sequence[Wanted]:
        """Numbers that are due to be asked for, those that are due longest first. Nobody else gets them before the lease is over.

        A number that was unknown is asked for again only while a call of it is parked or to be decided, and forgotten otherwise:
        one that is being decided just now may be parked because the number is unknown.
        """

    def finish_look_ups(self, done: Collection[LookedUp], /) -> None:
        """Write down what came of them, of those whose claim still holds."""

    def fresh_numbers(self, phones: Collection[str], now: datetime, /) -> Collection[str]:
        """Those of the E.164 numbers that need no look-up: somebody has them, or they are unknown, and that holds at `now`."""

    def look_ups(self, limit: int, /) -> Sequence[LookUpLine]:
        """Numbers that wait to be looked up, those that are due first."""

    def look_up_of(self, phone: str, /) -> LookUpLine | None:
        """Where the look-up of this E.164 number stands; None where none waits."""
