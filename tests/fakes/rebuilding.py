"""What was refused, decided anew in memory: `Rebuilding` without a database."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from offhook.pipeline.callback import CallKey
from offhook.pipeline.conversion import Convert
from offhook.pipeline.delivery import State, nothing_can_have_counted
from offhook.pipeline.ports.books import Decided, KnownCalls
from offhook.pipeline.story import ConversionLine, ReplacedLine
from tests.fakes.books import MemoryBooks, line_of
from tests.fakes.kept import Kept, KeptConversion


class MemoryRebuilding:
    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def known_calls(self) -> KnownCalls:
        return MemoryBooks(self._kept)

    def may_be_rebuilt(self, found: Sequence[ConversionLine]) -> set[CallKey]:
        return {one.key for one in found if self._is_free(one.key, State(one.state), one.maybe_sent)}

    def rebuild(self, decided: Collection[Decided], fences: Mapping[CallKey, int], now: datetime) -> int:
        return sum(self._replace(one, fences[one.call.key], now) for one in decided)

    def _is_free(self, key: CallKey, state: State, maybe_sent: bool) -> bool:
        made = [one.attempt for one in self._kept.attempts if one.attempt.sending.key == key]
        return nothing_can_have_counted(
            state, maybe_sent, [(one.outcome.result, one.outcome.status_code) for one in made]
        )

    def _replace(self, one: Decided, fence: int, now: datetime) -> bool:
        was = self._kept.conversions.get(one.call.key)
        if was is None or was.fence != fence or not self._is_free(was.key, was.state, was.maybe_sent):
            return False
        self._kept.replaced.append((was.key, ReplacedLine(was.action, was.order_id, was.payload, was.attempts, now)))
        self._kept.conversions[was.key] = _rebuilt(was, one, now)
        self._kept.decisions.append((was.key, line_of(one, "converted")))
        return True


def _rebuilt(was: KeptConversion, one: Decided, now: datetime) -> KeptConversion:
    assert isinstance(one.decision, Convert) and one.payload is not None
    conversion = one.decision.conversion
    fresh = replace(was, action=conversion.action, order_id=conversion.order_id, payload=one.payload, expired_leases=0)
    return replace(fresh, state=State.PENDING, reason="rebuilt", due_at=now, horizon_from=now, first_attempt_at=None)
