"""What a customer did before a call, as the decision about that call needs it. Reads no ledger: it is given the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from offhook.pipeline.call import Call, CallState
from offhook.pipeline.callback import CallKey, Direction
from offhook.pipeline.conversion import Decision, state_of
from offhook.pipeline.ends import Numbering, is_our_own, our_end, their_end
from offhook.pipeline.ports.books import Asking, CallBefore
from offhook.pipeline.rules.facts import EarlierCall


class Earlier:
    """The calls before those of a batch. What is decided of one of these counts for those after it.

    `until` is up to when callbacks counted for each call.
    """

    def __init__(
        self,
        found: Mapping[Asking, Sequence[CallBefore]],
        numbering: Numbering,
        until: Mapping[CallKey, datetime] | None = None,
    ) -> None:
        self._found = found
        self._numbering = numbering
        self._until = until
        self._decided: dict[CallKey, CallState] = {}

    def decided(self, key: CallKey, decision: Decision) -> None:
        """A call of the batch was decided so."""
        self._decided[key] = state_of(decision)

    def before(self, call: Call, number: str | None) -> Sequence[EarlierCall] | None:
        """The calls of the same customer that began before, the latest first; None where nobody knows."""
        if self._until is None or number is None:
            return None
        found = self._found.get(Asking(number, self._until[call.key]), ())
        earlier = [self._as_earlier(row) for row in found if row.key != call.key]
        return sorted(
            (one for one in earlier if (one.started_at, one.key) < (call.started_at, call.key)),
            key=lambda one: (one.started_at, one.key),
            reverse=True,
        )

    def _as_earlier(self, row: CallBefore) -> EarlierCall:
        state = self._decided.get(row.key, row.state)
        is_inbound = row.direction is Direction.INBOUND and not is_our_own(their_end(row.from_, None, self._numbering))
        length = timedelta(seconds=row.duration_seconds or 0)
        return EarlierCall(
            key=row.key,
            ours=our_end(row.to if is_inbound else row.from_, self._numbering),
            direction=Direction.INBOUND if is_inbound else Direction.OUTBOUND_API,
            status=row.status,
            started_at=row.ended_at - length if row.ended_at else row.first_received_at,
            ended_at=row.ended_at,
            state=state,
            is_missed=is_inbound and row.answered is False and state is CallState.SKIPPED,
        )
