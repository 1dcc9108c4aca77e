"""Calls of which no final status came in time: when to look for them, and what is said of them. Knows no database.

Twilio sends one callback of a call's end, and only where it was asked to: a status callback on `<Number>` or `<Dial>` speaks of
child legs alone, and such a call would stay open for ever without a word.
https://www.twilio.com/docs/voice/twiml/number#statuscallback
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from offhook.pipeline import reasons
from offhook.pipeline.callback import CallKey, Status
from offhook.pipeline.seldom import in_time

UNFINISHED = "unfinished"
"""The reason word, and what stands where a call's state is shown."""

REMEDY = reasons.remedy(UNFINISHED)
_NAMED_CALLS = 10


@dataclass(frozen=True, slots=True)
class OpenCall:
    """A call that waits for its end. `status` is the last of the call itself, `unknown` while only child legs are known."""

    key: CallKey
    status: str
    legs: int
    first_received_at: datetime


def sentence(call: OpenCall, after_seconds: float) -> str:
    """Why it counts as unfinished, and the remedy, for the person who asks."""
    which = 0 if call.status != Status.UNKNOWN else 1
    words = {"hours": f"{after_seconds / 3600:g}", "status": call.status, "legs": call.legs}
    return f"{reasons.sentence(UNFINISHED, which, **words)} {REMEDY}"


class UnfinishedLook:
    """When to look, in seconds of a steady clock, and the one line about all that a look found, batch by batch."""

    def __init__(self, after_seconds: float) -> None:
        self._after_seconds = after_seconds
        self._look = in_time(after_seconds)
        self._count = 0
        self._named: list[str] = []

    def is_due(self, now_seconds: float) -> bool:
        return self._look.is_due(now_seconds)

    def found(self, calls: Sequence[OpenCall]) -> None:
        """A batch of them; there may be more."""
        self._count += len(calls)
        self._named += [call.key.call_sid for call in calls[: _NAMED_CALLS - len(self._named)]]

    def is_over(self, now_seconds: float, log: logging.Logger) -> None:
        """There are no more of them now: a warning, where any were found."""
        self._look.is_done(now_seconds)
        if self._count:
            hours = round(self._after_seconds / 3600, 3)
            more = {"count": self._count, "hours": hours, "call_sids": self._named, "what": REMEDY}
            log.warning("calls_unfinished", extra=more)
        self._count, self._named = 0, []
