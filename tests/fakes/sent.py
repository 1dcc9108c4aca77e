"""What was made and what arrived, from memory: `Sent` without a database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime

from offhook.pipeline.callback import CallKey
from offhook.pipeline.phone import spellings
from offhook.pipeline.story import ConversionLine, HourCount
from tests.fakes.kept import Kept, KeptCall
from tests.fakes.stories import conversion_line


class MemorySent:
    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def made(self, since: datetime, until: datetime) -> Iterator[Sequence[ConversionLine]]:
        found = [one for one in self._kept.conversions.values() if since <= one.created_at < until]
        for one in sorted(found, key=lambda one: one.created_at):
            yield [conversion_line(one)]

    def returning(self, keys: Collection[CallKey]) -> set[CallKey]:
        return {key for key in keys if key in self._kept.conversions and self._has_called_before(key)}

    def _has_called_before(self, key: CallKey) -> bool:
        call = self._kept.calls[CallKey(key.account_sid, self._kept.links[key].root)]
        return any(_is_before(one, call) for one in self._kept.calls.values() if one.state == "converted")

    def delivered(self, since: datetime, until: datetime) -> Sequence[HourCount]:
        times = [(one.delivered_at, one.action) for one in self._kept.conversions.values()]
        counts = Counter(
            (at.replace(minute=0, second=0, microsecond=0), action)
            for at, action in times
            if at and since <= at < until
        )
        return [HourCount(hour, action, count) for (hour, action), count in sorted(counts.items())]


def _is_before(one: KeptCall, call: KeptCall) -> bool:
    is_same = one.customer_phone is not None and one.customer_phone in spellings(call.customer_phone or "")
    return is_same and one.folded.call.first_received_at < call.folded.call.first_received_at
