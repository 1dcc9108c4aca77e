"""Which moves of the tables were made by a ledger, seen from outside: where calls and conversions stood before and after."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from offhook.pipeline.call import CALL_MOVES, CallEvent, CallState
from offhook.pipeline.callback import CallKey
from offhook.pipeline.delivery import CONVERSION_MOVES, Event, Result, State
from offhook.pipeline.story import Story

Move = tuple[str, str, str, str]
"""The table, and from where which event led to where."""
_TABLES = (("call", CALL_MOVES.rows), ("conversion", CONVERSION_MOVES.rows))
_BEFORE_DECIDED = (CallState.OPEN, CallState.SETTLING)


def every_move() -> set[Move]:
    """Each way that the tables have, but what comes to a leg: that is seen of no call."""
    unseen = {("call", CallState.MERGED.value, CallEvent.FOLD_LATE.value, CallState.MERGED.value)}
    return {
        (name, source.value, event.value, target.value)
        for name, rows in _TABLES
        for (source, event), targets in rows.items()
        for target in targets
    } - unseen


class Standing(NamedTuple):
    """Where a call stands, how many callbacks it took in and how often it was decided."""

    state: str
    callbacks: int
    decisions: int


class Picture(NamedTuple):
    """All calls and all conversions."""

    calls: Mapping[CallKey, Standing]
    conversions: Mapping[CallKey, str]


def picture_of(stories: Mapping[CallKey, Story]) -> Picture:
    """By the calls that stand for themselves."""
    sent = [story.conversion for story in stories.values() if story.conversion]
    return Picture(
        {key: Standing(_state(story), story.call.callbacks, len(story.decisions)) for key, story in stories.items()},
        {one.key: one.state for one in sent},
    )


def _state(story: Story) -> str:
    return CallState.OPEN.value if story.call.state == "unfinished" else story.call.state


@dataclass
class MovesSeen:
    """`look` takes a picture; `made` are the moves between two, `fresh` the calls that were the first to make one. Nothing may
    move but what is watched.
    """

    look: Callable[[], Picture]
    made: set[Move] = field(default_factory=set)
    fresh: list[CallKey] = field(default_factory=list)
    last: Picture = field(default=Picture({}, {}))

    @contextmanager
    def folded(self) -> Iterator[None]:
        before, after = yield from self._twice()
        for key, was in before.calls.items():
            now = after.calls.get(key)
            if now is None:
                self._call(key, was.state, CallEvent.MERGE, CallState.MERGED)
            elif now.state == CallState.CONVERTED and was.state != CallState.CONVERTED:
                self._call(key, was.state, CallEvent.LEG_CONVERTED, now.state)
            elif now.callbacks != was.callbacks:
                is_late = was.state not in _BEFORE_DECIDED
                self._call(key, was.state, CallEvent.FOLD_LATE if is_late else CallEvent.FOLD, now.state)

    @contextmanager
    def decided(self, event: CallEvent) -> Iterator[None]:
        before, after = yield from self._twice()
        for key, was in before.calls.items():
            now = after.calls.get(key, was)
            if now.decisions != was.decisions:
                self._call(key, was.state, event, now.state)

    @contextmanager
    def sent(self, event: Event | Result) -> Iterator[None]:
        """One attempt at most. What has arrived against the word of its last attempt is another event, and what nobody was
        sending any more, too; of what waits, a claim takes some and leaves some."""
        before, after = yield from self._twice()
        for key, was in before.conversions.items():
            now = after.conversions.get(key, was)
            if now != was:
                self._note(key, ("conversion", was, self._really(event, was, now).value, now))

    def _really(self, event: Event | Result, was: str, now: str) -> Event | Result:
        if event is Event.CLAIM and now == State.AMBIGUOUS:
            return Event.TURN_OF_DAY
        if now == State.DELIVERED and was != State.SENDING:
            return Event.LATE_ANSWER
        return Event.ARRIVED if now == State.DELIVERED and event is not Result.DELIVERED else event

    def _call(self, key: CallKey, was: str, event: CallEvent, now: str) -> None:
        self._note(key, ("call", was, event.value, now))

    def _note(self, key: CallKey, move: Move) -> None:
        if move not in self.made:
            self.fresh.append(key)
        self.made.add(move)

    def _twice(self) -> Generator[None, None, tuple[Picture, Picture]]:
        before = self.last
        yield
        self.last = self.look()
        return before, self.last
