"""Signs of life in memory: `SignsOfLife` without a database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from offhook.pipeline.ports.signs import Seen, Sign
from tests.fakes.kept import Kept

_MOST_SHOWN = 100


class MemorySigns:
    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def leave_sign(self, sign: Sign, now: datetime) -> None:
        first = self._kept.seen[sign.worker_id].sign if sign.worker_id in self._kept.seen else sign
        self._kept.seen[sign.worker_id] = Seen(replace(first, rules_version=sign.rules_version), now)

    def take_back_sign(self, worker_id: str) -> None:
        self._kept.seen.pop(worker_id, None)

    def forget_signs(self, before: datetime) -> None:
        self._kept.seen = {worker_id: seen for worker_id, seen in self._kept.seen.items() if seen.seen_at >= before}

    def seen_since(self, since: datetime) -> Sequence[Seen]:
        found = sorted(
            (seen for seen in self._kept.seen.values() if seen.seen_at >= since),
            key=lambda one: one.seen_at,
            reverse=True,
        )
        return sorted(found[:_MOST_SHOWN], key=lambda one: one.sign.started_at)
