"""The workers' signs of life: one row each, by the database's clock. Nothing of the pipeline waits for what stands here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, select

from offhook.adapters.ledger.engine import Database
from offhook.adapters.ledger.schema import micros, workers
from offhook.pipeline.ports.signs import Seen, Sign

_COLUMNS = ("id", "host", "pid", "version", "rules_version", "started_at", "seen_at")
_MOST_SHOWN = 100


class WorkersTable:
    """`SignsOfLife` of pipeline/ports/signs.py."""

    def __init__(self, database: Database) -> None:
        self._database = database
        marks = ", ".join(["?" if database.is_sqlite else "%s"] * len(_COLUMNS))
        self._leave = (
            f"INSERT INTO workers ({', '.join(_COLUMNS)}) VALUES ({marks}) ON CONFLICT (id) DO UPDATE SET "
            "rules_version = excluded.rules_version, seen_at = excluded.seen_at"
        )

    def leave_sign(self, sign: Sign, now: datetime) -> None:
        """One statement that is a transaction of its own, as a callback is: an idle worker asks little more for it."""
        row = (
            sign.worker_id,
            sign.host,
            sign.pid,
            sign.version,
            sign.rules_version,
            micros(sign.started_at),
            micros(now),
        )
        self._database.execute_alone(self._leave, row)

    def take_back_sign(self, worker_id: str) -> None:
        with self._database.write() as connection:
            connection.execute(delete(workers).where(workers.c.id == worker_id))

    def forget_signs(self, before: datetime) -> None:
        with self._database.write() as connection:
            connection.execute(delete(workers).where(workers.c.seen_at < before))

    def seen_since(self, since: datetime) -> Sequence[Seen]:
        statement = select(workers).where(workers.c.seen_at >= since).order_by(workers.c.seen_at.desc())
        with self._database.read(patient=True) as connection:
            rows = connection.execute(statement.limit(_MOST_SHOWN)).all()
        found = [
            Seen(Sign(row.id, row.host, row.pid, row.version, row.rules_version, row.started_at), row.seen_at)
            for row in rows
        ]
        return sorted(found, key=lambda one: one.sign.started_at)
