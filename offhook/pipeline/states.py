"""Tables of moves: which event may lead from which state to which. They know no state of their own, and move nothing.

Whoever moves a row asks its table, in Python by `check`, in SQL by conditions that are made of `pairs` and `sources`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Generic, TypeVar

S = TypeVar("S", bound=StrEnum)
E = TypeVar("E", bound=StrEnum)


class IllegalMove(Exception):
    """Somebody wanted a move that the table does not have. Nothing was changed."""


class Moves(Generic[S, E]):
    """The whole machine of one kind of row: (where it stands, what happens) -> where it may go, the usual place first. `begin`
    is where a new one may stand."""

    def __init__(self, rows: Mapping[tuple[S, E], tuple[S, ...]], begin: tuple[S, ...]) -> None:
        self.rows = dict(rows)
        self.begin = begin

    def first(self, state: S) -> S:
        """The state, of a row that is new. Raises IllegalMove where the table lets none begin there."""
        if state not in self.begin:
            raise IllegalMove(f"none begins as {state}")
        return state

    def check(self, source: S, event: E, target: S) -> S:
        """The target. Raises IllegalMove where the table has no such move."""
        if target not in self.rows.get((source, event), ()):
            raise IllegalMove(f"{event} leads from {source} not to {target}")
        return target

    def usual(self, source: S, event: E) -> S:
        """Where the event leads, where nothing speaks for another place. Raises IllegalMove."""
        if (source, event) not in self.rows:
            raise IllegalMove(f"{event} leads from {source} nowhere")
        return self.rows[source, event][0]

    def sources(self, event: E) -> tuple[S, ...]:
        """The states that the event may lead from. Raises IllegalMove when there is none."""
        found = tuple(source for source, known in self.rows if known is event)
        if not found:
            raise IllegalMove(f"{event} leads nowhere")
        return found

    def targets(self, event: E) -> tuple[S, ...]:
        """The states that the event may lead to. Raises IllegalMove when there is none."""
        return tuple(dict.fromkeys(target for source in self.sources(event) for target in self.rows[source, event]))

    def only_target(self, event: E) -> S:
        """The one state that the event leads to, whatever it leads from. Raises IllegalMove when there is none, or another."""
        found = self.targets(event)
        if len(found) != 1:
            raise IllegalMove(f"{event} leads to {' or '.join(sorted(found))}")
        return found[0]

    def ends(self) -> tuple[S, ...]:
        """The states from which nothing leads on."""
        sources = {source for source, _ in self.rows}
        return tuple(dict.fromkeys(to for targets in self.rows.values() for to in targets if to not in sources))

    def pairs(self, *events: E) -> Iterator[tuple[S, tuple[S, ...]]]:
        """(from, every to) of some events, those of one state together."""
        every: dict[S, dict[S, None]] = {}
        for (source, event), targets in self.rows.items():
            if event in events:
                every.setdefault(source, {}).update(dict.fromkeys(targets))
        return ((source, tuple(targets)) for source, targets in every.items())

    def as_mermaid(self) -> str:
        """The diagram."""
        lines = [f"    [*] --> {state}" for state in self.begin]
        for (source, event), targets in self.rows.items():
            lines += [f"    {source} --> {target}: {event}" for target in targets]
        return "\n".join(["stateDiagram-v2", *lines])
