"""Who calls, asked of the brand's own systems: what they answer, in which order they are asked, when they are asked again.

Values and pure functions. Who asks is looking_up.py, whom is ports/caller_source.py, where it stands is ports/look_ups.py.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from offhook.pipeline.delivery import RetryPolicy, full_jitter
from offhook.pipeline.phone import to_e164


@dataclass(frozen=True, slots=True)
class Found:
    """Who has the number: at least one of email and customer id is there.

    `people` is how many have the number. Above 1 nobody is credited, and neither email nor customer id is there. `others` are
    the several that the source names, whoever of them is credited: email and customer id of each.
    """

    email: str | None
    customer_id: str | None
    attributes: Mapping[str, str] = field(default_factory=dict)
    people: int = 1
    others: tuple[tuple[str | None, str | None], ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class NotThere:
    """The source has looked, and nobody has the number."""


@dataclass(frozen=True, slots=True)
class Later:
    """The source could not say now, which says nothing about the caller.

    `reason` is one word (reasons.OF_LOOK_UPS), `detail` what was said about it, without secrets and persons;
    `wait_seconds` is how long the source asks to be left alone, if it does.
    """

    reason: str
    detail: str = ""
    wait_seconds: float | None = None


Answer = Found | NotThere | Later


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of asking for one number, and which source said so; "" where there is none."""

    phone: str
    answer: Answer
    source: str = ""


@dataclass(frozen=True, slots=True)
class LookUpPolicy:
    """How long answers hold, and when a source that failed is asked again. Times are seconds.

    `lease_seconds` is how long one worker may ask before another takes over. A call whose caller is being looked up is
    looked at again after `again_seconds` at the latest, whatever became of the look-up.
    """

    fresh_seconds: float = 86400.0
    unknown_seconds: float = 21600.0
    base_seconds: float = 2.0
    cap_seconds: float = 300.0
    wait_cap_seconds: float = 3600.0
    lease_seconds: float = 30.0
    again_seconds: float = 60.0


def next_at(
    later: Later, attempts: int, now: datetime, policy: LookUpPolicy, draw: Callable[[], float] = random.random
) -> datetime:
    """When to ask again after so many failures in a row: full jitter, and not before the source wants to be asked."""
    pace = RetryPolicy(base_seconds=policy.base_seconds, cap_seconds=policy.cap_seconds)
    wait = max(full_jitter(attempts, pace, draw), min(later.wait_seconds or 0.0, policy.wait_cap_seconds))
    return now + timedelta(seconds=wait)


def number_to_ask(known_by: str | None) -> str | None:
    """The E.164 number of a caller, by what calls know it by; None for one that nobody can have (`NUMBER` of phone.py)."""
    return to_e164(known_by, "") if known_by else None
