"""The numbers of calls that wait for a customer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select

from offhook.adapters.ledger.engine import Database
from offhook.adapters.ledger.people.unknown import callers_after, callers_behind, latest_callers, most_frequent_callers
from offhook.pipeline.ports.unknown import CallersMark, UnknownCaller


class UnknownOnSql:
    """`UnknownCallers` of pipeline/ports/unknown.py."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def callers(self, after: str, limit: int, /) -> Sequence[UnknownCaller]:
        return self._found(callers_after(after, limit))

    def most_frequent(self, limit: int, after: CallersMark | None = None, /) -> Sequence[UnknownCaller]:
        return self._found(most_frequent_callers(limit, after))

    def latest(self, limit: int, after: CallersMark | None = None, /) -> Sequence[UnknownCaller]:
        return self._found(latest_callers(limit, after))

    def are_more_than(self, count: int, /) -> bool:
        with self._database.read(patient=True) as connection:
            return connection.execute(callers_behind(count)).first() is not None

    def _found(self, statement: Select[Any]) -> Sequence[UnknownCaller]:
        with self._database.read(patient=True) as connection:
            return [UnknownCaller(*row) for row in connection.execute(statement)]
