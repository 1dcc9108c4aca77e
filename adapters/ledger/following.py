"""Callbacks as they come in, each once, whichever process took them in."""

from __future__ import annotations

import time
from typing import Self

from sqlalchemy import func, select

from offhook.adapters.ledger.books import to_raw
from offhook.adapters.ledger.engine import Database
from offhook.adapters.ledger.rows import for_each
from offhook.adapters.ledger.schema import callbacks
from offhook.pipeline.callback import RawCallback

_MISSING_SECONDS = 30.0  # longer than a callback may wait to be stored (OFFHOOK_STORE_TIMEOUT_SECONDS, 15 at most)
_MAX_MISSING = 1000


class FollowingOnSql:
    """`Following` of pipeline/ports/following.py.

    A row may show after one with a greater number: on Postgres the number is taken before the commit. Numbers that were
    passed over are asked for again until `_MISSING_SECONDS` have gone by (most of them were duplicates and never come).
    """

    def __init__(self, database: Database, last_seq: int) -> None:
        self._database = database
        self._last_seq = last_seq
        self._missing: dict[int, float] = {}

    @classmethod
    def from_now(cls, database: Database) -> Self:
        """Raises LedgerUnavailable."""
        with database.read(patient=True) as connection:
            return cls(database, connection.execute(select(func.max(callbacks.c.seq))).scalar_one() or 0)

    def fresh(self, limit: int = 500) -> list[RawCallback]:
        """Up to `limit` that were not given yet, in the order of their numbers. Raises LedgerUnavailable."""
        now = time.monotonic()
        self._missing = {seq: until for seq, until in self._missing.items() if until > now}
        newer = select(callbacks).where(callbacks.c.seq > self._last_seq).order_by(callbacks.c.seq).limit(limit)
        keys = [{"seq": seq} for seq in self._missing]
        with self._database.read(patient=True) as connection:
            late = for_each(connection, keys, {"seq": "bigint"}, callbacks, "t.seq = v.seq")
            rows = sorted([*late, *connection.execute(newer)], key=lambda row: row.seq)[:limit]
        for row in rows:
            self._took(row.seq, now + _MISSING_SECONDS)
        return [to_raw(row) for row in rows]

    def _took(self, seq: int, until: float) -> None:
        self._missing.pop(seq, None)
        if seq > self._last_seq:
            passed_over = range(max(self._last_seq + 1, seq - _MAX_MISSING), seq)
            self._missing.update(dict.fromkeys(passed_over, until))
            self._last_seq = seq
        while len(self._missing) > _MAX_MISSING:
            del self._missing[next(iter(self._missing))]
