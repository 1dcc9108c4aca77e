"""Conditions in SQL that are made of a table of moves, so that no statement moves a row to where the table does not lead."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import TypeVar

from offhook.pipeline.states import Moves

S = TypeVar("S", bound=StrEnum)
E = TypeVar("E", bound=StrEnum)


def is_one_of(column: str, states: Iterable[StrEnum]) -> str:
    """`state = 'pending'`, as a partial index says it, or `state IN (...)`."""
    every = [f"'{state}'" for state in states]
    return f"{column} = {every[0]}" if len(every) == 1 else f"{column} IN ({', '.join(every)})"


def of_the_row(column: str) -> str:
    """A state that is looked at in rows which are found by their keys. As it is no bare column, no index of states serves:
    by one, a statement over many keys would read all that stands in that state, for each of them.
    """
    return f"({column} || '')"


def may_move(moves: Moves[S, E], event: E, column: str = "state") -> str:
    """The row stands where the event may lead from."""
    return is_one_of(column, moves.sources(event))


def stays(moves: Moves[S, E], event: E, column: str) -> str:
    """The event leaves the row in the state in which it stands."""
    return is_one_of(column, [source for source, targets in moves.pairs(event) if source in targets])


def leads(moves: Moves[S, E], events: Iterable[E], source: str, target: str) -> str:
    """One of the events leads from the state in `source` to the one in `target`."""
    pairs = moves.pairs(*events)
    return "(" + " OR ".join(f"({is_one_of(source, [one])} AND {is_one_of(target, to)})" for one, to in pairs) + ")"
