"""What a customer did before a call, as the decision about that call needs it. Reads no ledger: whoever does is asked."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from operator import attrgetter
from typing import overload

from offhook.pipeline.call import Call, CallState
from offhook.pipeline.callback import CallKey, Direction
from offhook.pipeline.conversion import Decision, Weighed, state_of
from offhook.pipeline.ends import Numbering, is_our_own, our_end, their_end
from offhook.pipeline.ports.books import CallBefore
from offhook.pipeline.rules.facts import EarlierCall

Found = Mapping[CallKey, Sequence[CallBefore]]


class Earlier:
    """The calls before those of a batch. What is decided of one of these counts for those after it.

    `ask` gives them for each call whose customer has a number, the latest first; None where the rules need not know them. It
    is called once, and only when somebody looks at them: rules often come to an end before. `ours` are numbers (E.164) of our
    own people.
    """

    def __init__(self, ask: Callable[[], Found] | None, numbering: Numbering, ours: Collection[str] = ()) -> None:
        self._ask = ask
        self._numbering = numbering
        self._ours = ours
        self._ours_of: dict[str, str] = {}
        self._decided: dict[CallKey, CallState] = {}

    def decided(self, key: CallKey, decision: Decision | Weighed) -> None:
        """A call of the batch was decided so."""
        self._decided[key] = state_of(decision)

    def before(self, call: Call, number: str | None) -> Sequence[EarlierCall] | None:
        """The calls of the same customer that began before, the latest first; None where nobody knows."""
        return None if self._ask is None or number is None else _WhenLookedAt(lambda: self._before(call, number))

    def _before(self, call: Call, number: str) -> Sequence[EarlierCall]:
        began = (call.started_at, call.key)
        found = [self._as_earlier(row, number) for row in self._found.get(call.key, ())]
        return sorted((one for one in found if _place(one) < began), key=_place, reverse=True)

    @cached_property
    def _found(self) -> Found:
        return self._ask() if self._ask else {}

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


_place: Callable[[EarlierCall], tuple[datetime, CallKey]] = attrgetter("started_at", "key")


class _WhenLookedAt(Sequence[EarlierCall]):
    """Calls that are made out when somebody looks at them."""

    def __init__(self, make: Callable[[], Sequence[EarlierCall]]) -> None:
        self._make = make

    @cached_property
    def _made(self) -> Sequence[EarlierCall]:
        return self._make()

    @overload
    def __getitem__(self, place: int) -> EarlierCall: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[EarlierCall]: ...
    def __getitem__(self, place: int | slice) -> EarlierCall | Sequence[EarlierCall]:
        return self._made[place]

    def __len__(self) -> int:
        return len(self._made)

    def __iter__(self) -> Iterator[EarlierCall]:
        return iter(self._made)
