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
        self._ours_of: dict[str, str] = {}
        self._decided: dict[CallKey, CallState] = {}

    def decided(self, key: CallKey, decision: Decision | Weighed) -> None:
        """A call of the batch was decided so."""
        self._decided[key] = state_of(decision)

    def before(self, call: Call, number: str | None) -> Sequence[EarlierCall] | None:
        """The calls of the same customer that began before, the latest first; None where nobody knows."""
        if self._until is None or number is None:
            return None
        found = self._found.get(Asking(number, self._until[call.key], call.key), ())
        if not found:
            return ()
        began = (call.started_at, call.key)
        earlier = [one for row in found if _place(one := self._as_earlier(row, number)) < began]
        return sorted(earlier, key=_place, reverse=True)

    def _as_earlier(self, row: CallBefore, number: str) -> EarlierCall:
        key, state, direction, from_, to, seconds, received_at, ended_at, answered = row
        state = self._decided.get(key, state)
        is_inbound = direction is Direction.INBOUND and not self._is_by_agent(from_, number)
        return EarlierCall(
            key,
            self._our_end(from_ if direction is Direction.OUTBOUND_API else to),
            Direction.INBOUND if is_inbound else Direction.OUTBOUND_API,
            ended_at - timedelta(seconds=seconds or 0) if ended_at else received_at,
            ended_at,
            state,
            is_inbound and answered is False and state is CallState.SKIPPED,
        )

    def _our_end(self, address: str) -> str:
        """Calls of many customers have the same few numbers."""
        if (found := self._ours_of.get(address)) is None:
            found = self._ours_of[address] = our_end(address, self._numbering)
        return found

    def _is_by_agent(self, from_: str, number: str) -> bool:
        """One of our own people called, and was put through to the customer."""
        if from_ == number:
            return False
        end = their_end(from_, None, self._numbering)
        return is_our_own(end, self._ours) and end.number != number


def _place(one: EarlierCall) -> tuple[datetime, CallKey]:
    return one.started_at, one.key
