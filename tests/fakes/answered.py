"""Answers in memory: `Answered` without a database."""

from __future__ import annotations

from datetime import datetime

from offhook.pipeline.ports.answered import Answer, Asked, Seen
from tests.fakes.kept import Kept, KeptAnswer


class MemoryAnswered:
    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def begin(self, asked: Asked, now: datetime, kept_until: datetime, ends_by: datetime) -> Seen | None:
        place = (asked.token_id, asked.key)
        before = self._kept.answered.get(place)
        if before is not None and before.free_at > now:
            return Seen(before.fingerprint, before.answer)
        self._kept.answered[place] = KeptAnswer(asked.fingerprint, kept_until, ends_by)
        return None

    def answered(self, asked: Asked, answer: Answer) -> None:
        found = self._ours(asked)
        if found is not None:
            found.answer, found.free_at = answer, found.kept_until

    def give_up(self, asked: Asked) -> None:
        found = self._ours(asked)
        if found is not None and found.answer is None:
            del self._kept.answered[asked.token_id, asked.key]

    def _ours(self, asked: Asked) -> KeptAnswer | None:
        found = self._kept.answered.get((asked.token_id, asked.key))
        return found if found is not None and found.fingerprint == asked.fingerprint else None
