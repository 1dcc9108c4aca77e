"""When rules held: each time that some did, until when, and whether they are those that are in use. Changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from offhook.pipeline.ports.past import Past, RulesUsed


@dataclass(frozen=True, slots=True)
class RulesHeld:
    """Rules that were used, from when to when others were; None where these were the last."""

    used: RulesUsed
    until: datetime | None
    is_now: bool


@dataclass(frozen=True, slots=True)
class RulesHeldPage:
    """The newest first. `older` is the number with which this page ends and the next one begins; None without any."""

    held: Sequence[RulesHeld]
    older: int | None


def rules_held(past: Past, size: int, after: int, in_use: str | None) -> RulesHeldPage:
    """Up to `size` of them. `after` is the number with which the page before ended, 0 for the newest; `in_use` is the version
    of the rules that are there now.
    """
    begun = 1 if after else 0
    used = past.rules_used(begun + size + 1, after)
    every = _with_ends(used, in_use)
    page = every[begun : begun + size]
    return RulesHeldPage(page, page[-1].used.number if len(every) > begun + size else None)


def held_once(past: Past, version: str, number: int | None, in_use: str | None) -> RulesHeld | None:
    """The time of this number in which the rules of this version held, else the newest; None where they never began to."""
    for one in (number, past.use_of(version)):
        beside = _with_ends(past.rules_used(2, one + 1), in_use) if one else ()
        for held in beside:
            if (held.used.number, held.used.version) == (one, version):
                return held
    return None


def _with_ends(used: Sequence[RulesUsed], in_use: str | None) -> list[RulesHeld]:
    """Each until the one before it in these began, which held after it."""
    until: list[datetime | None] = [None, *(later.began_at for later, _ in pairwise(used))]
    return [RulesHeld(one, end, end is None and one.version == in_use) for one, end in zip(used, until, strict=False)]
