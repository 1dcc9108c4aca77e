"""The ledger as pages read it: a few connections of its own, transactions that can change nothing, a limit on each statement."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from offhook.adapters.ledger.engine import Database, Patience
from offhook.adapters.ledger.imports import HistoryOnSql
from offhook.adapters.ledger.look_ups import LookUpsTable
from offhook.adapters.ledger.people.customers import find_customers
from offhook.adapters.ledger.rebuild import RebuildingOnSql
from offhook.adapters.ledger.stories import StoriesOnSql
from offhook.adapters.ledger.tallies import TalliesTable
from offhook.pipeline.customer import Customer
from offhook.pipeline.ports.books import KnownCalls
from offhook.pipeline.ports.history import History
from offhook.pipeline.ports.look_ups import LookUpLine
from offhook.pipeline.ports.stories import Stories
from offhook.pipeline.ports.tallies import Tallies


class Reading:
    """Read models alone. Whatever takes longer than `seconds` raises LedgerUnavailable with the word `slow`."""

    def __init__(self, url: str, *, pool_size: int, patience: Patience, seconds: float) -> None:
        known = replace(patience, store_seconds=seconds, statement_seconds=seconds)
        self.database = Database(url, pool_size=pool_size, patience=known, reads_only=True)
        self.stories: Stories = StoriesOnSql(self.database)
        self.tallies: Tallies = TalliesTable(self.database)
        self.history: History = HistoryOnSql(self.database)
        self.known_calls: KnownCalls = RebuildingOnSql(self.database).known_calls()

    def look_up_of(self, phone: str, /) -> LookUpLine | None:
        """Where the look-up of this E.164 number stands; None where none waits. Raises LedgerUnavailable."""
        return LookUpsTable(self.database).look_up_of(phone)

    def find_customers(self, phones: Collection[str], /) -> Mapping[str, Customer]:
        """Those of the E.164 numbers that are known. Raises LedgerUnavailable."""
        with self.database.read() as connection:
            return find_customers(connection, phones)

    def close(self) -> None:
        self.database.close()
