"""When a list of customers is fetched next, and which version of it was taken last."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text

from offhook.adapters.ledger.engine import Database
from offhook.adapters.ledger.schema import micros

_CLAIM = text(
    "INSERT INTO syncs (name, due_at) VALUES (:name, :until) ON CONFLICT (name) DO UPDATE SET due_at = excluded.due_at "
    "WHERE syncs.due_at <= :now RETURNING name"
)
_TAKEN = text(
    "INSERT INTO syncs (name, version, due_at) VALUES (:name, :version, :due_at) ON CONFLICT (name) DO UPDATE SET "
    "version = excluded.version, due_at = excluded.due_at"
)
_VERSION = text("SELECT version FROM syncs WHERE name = :name")


class SyncsTable:
    """`Syncs` of pipeline/ports/syncs.py."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, name: str, now: datetime, until: datetime, /) -> bool:
        values = {"name": name, "now": micros(now), "until": micros(until)}
        with self._database.write() as connection:
            return connection.execute(_CLAIM, values).first() is not None

    def version(self, name: str, /) -> str | None:
        with self._database.read() as connection:
            return connection.execute(_VERSION, {"name": name}).scalar_one_or_none()

    def taken(self, name: str, version: str | None, due_at: datetime, /) -> None:
        with self._database.write() as connection:
            connection.execute(_TAKEN, {"name": name, "version": version, "due_at": micros(due_at)})
