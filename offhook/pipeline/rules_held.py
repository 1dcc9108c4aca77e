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
    until: list[datetime | None] = [None, *(later.began_at for later, _ in pairwise(used))]
    every = [RulesHeld(one, end, end is None and one.version == in_use) for one, end in zip(used, until, strict=False)]
    page = every[begun : begun + size]
    return RulesHeldPage(page, page[-1].used.number if len(every) > begun + size else None)
