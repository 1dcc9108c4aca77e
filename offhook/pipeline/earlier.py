"""What a customer did before a call, as the decision about that call needs it. Reads no ledger: it is given the rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from offhook.pipeline.call import Call, CallState
from offhook.pipeline.callback import CallKey, Direction
from offhook.pipeline.conversion import Decision, Weighed, state_of
from offhook.pipeline.ends import Numbering, is_our_own, our_end, their_end
from offhook.pipeline.ports.books import Asking, CallBefore
from offhook.pipeline.rules.facts import EarlierCall


class Earlier:
    """The calls before those of a batch. What is decided of one of these counts for those after it.

    `until` is up to when callbacks counted for each call, `ours` are numbers (E.164) of our own people.
    """

    def __init__(
        self,
        found: Mapping[Asking, Sequence[CallBefore]],
        numbering: Numbering,
        until: Mapping[CallKey, datetime] | None = None,
        ours: Collection[str] = (),
    ) -> None:
        self._found = found
        self._numbering = numbering
        self._until = until
        self._ours = ours
        self._decided: dict[CallKey, CallState] = {}

    def decided(self, key: CallKey, decision: Decision | Weighed) -> None:
        """A call of the batch was decided so."""
        self._decided[key] = state_of(decision)

    def before(self, call: Call, number: str | None) -> Sequence[EarlierCall] | None:
        """The calls of the same customer that began before, the latest first; None where nobody knows."""
        if self._until is None or number is None:
            return None
        found = self._found.get(Asking(number, self._until[call.key]), ())
        began = (call.started_at, call.key)
        earlier = [self._as_earlier(row, number) for row in found if row.key != call.key]
        return sorted((one for one in earlier if _place(one) < began), key=_place, reverse=True)

    def _as_earlier(self, row: CallBefore, number: str) -> EarlierCall:
        state = self._decided.get(row.key, row.state)
        is_inbound = row.direction is Direction.INBOUND and not self._is_by_agent(row, number)
        length = timedelta(seconds=row.duration_seconds or 0)
        return EarlierCall(
            key=row.key,
            ours=our_end(row.from_ if row.direction is Direction.OUTBOUND_API else row.to, self._numbering),
            direction=Direction.INBOUND if is_inbound else Direction.OUTBOUND_API,
            started_at=row.ended_at - length if row.ended_at else row.first_received_at,
            ended_at=row.ended_at,
            state=state,
            is_missed=is_inbound and row.answered is False and state is CallState.SKIPPED,
        )

    def _is_by_agent(self, row: CallBefore, number: str) -> bool:
        """One of our own people called, and was put through to the customer."""
        if row.from_ == number:
            return False
        end = their_end(row.from_, None, self._numbering)
        return is_our_own(end, self._ours) and end.number != number


def _place(one: EarlierCall) -> tuple[datetime, CallKey]:
    return one.started_at, one.key
