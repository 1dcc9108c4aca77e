"""Durable intake: callbacks of many requests in one commit, one statement. Never answers before the commit is on disk.

A request that comes while a commit is under way waits for the next one, together with all others that came meanwhile.
One of those that wait does the writing (there is no thread for it), so a lone request pays for no hand-over. The single
statement lets SQLite insert, commit and sync in one call without Python's interpreter lock in between.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any

from adapters.ledger.engine import Database
from adapters.ledger.schema import callbacks, micros
from pipeline.call import RawCallback
from pipeline.ports import LedgerUnavailable

_COLUMNS = [column.name for column in callbacks.columns if column.name not in ("seq", "folded")]
Row = tuple[Any, ...]


class _Waiting:
    """One request's rows, and the lock that its thread sleeps on until they are stored or have failed."""

    __slots__ = ("error", "leads", "rows", "settled", "wake")

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows
        self.settled = False
        self.leads = False
        self.error: LedgerUnavailable | None = None
        self.wake = threading.Lock()
        self.wake.acquire()


class GroupCommit:
    """Gathers the rows of concurrent requests and hands them to `write` in groups of up to `most_rows`."""

    def __init__(self, write: Callable[[list[Row]], None], *, most_rows: int, timeout_seconds: float) -> None:
        self._write = write
        self._most_rows = most_rows
        self._timeout_seconds = timeout_seconds
        self._guard = threading.Lock()
        self._queue: list[_Waiting] = []
        self._writing = False

    def submit(self, rows: list[Row]) -> None:
        """Returns when the rows are stored. Raises LedgerUnavailable when they are not, or not in time."""
        mine = _Waiting(rows)
        with self._guard:
            self._queue.append(mine)
            mine.leads = not self._writing
            self._writing = True
        if not mine.leads:
            self._wait(mine)
        if mine.leads and not mine.settled:
            self._lead(mine)
        if mine.error is not None:
            raise mine.error

    def _wait(self, mine: _Waiting) -> None:
        if mine.wake.acquire(timeout=self._timeout_seconds):
            return
        with self._guard:  # it may have been taken up, or chosen to lead, in this very moment
            if mine.leads or mine.settled:
                return
            if mine in self._queue:
                self._queue.remove(mine)
        mine.error = LedgerUnavailable("not stored in time")

    def _lead(self, mine: _Waiting) -> None:
        """Write one group, ours among it, wake the others, and let the first that came meanwhile lead the next."""
        with self._guard:
            group = self._next_group(mine)
        error: LedgerUnavailable | None = None
        try:
            self._write([row for waiting in group for row in waiting.rows])
        except LedgerUnavailable as failure:
            error = failure
        except Exception as failure:  # a bug must not leave the others waiting
            error = LedgerUnavailable(f"unexpected {type(failure).__name__}")
            raise
        finally:
            self._settle(group, error)

    def _next_group(self, mine: _Waiting) -> list[_Waiting]:
        """Ours first, then the oldest, until the group is full."""
        self._queue.remove(mine)
        group, rows = [mine], len(mine.rows)
        while self._queue and rows + len(self._queue[0].rows) <= self._most_rows:
            rows += len(self._queue[0].rows)
            group.append(self._queue.pop(0))
        return group

    def _settle(self, group: list[_Waiting], error: LedgerUnavailable | None) -> None:
        with self._guard:
            for waiting in group:
                waiting.settled = True
                waiting.error = error
            heir = self._queue[0] if self._queue else None
            self._writing = heir is not None
            if heir is not None:
                heir.leads = True
        if heir is not None:
            heir.wake.release()
        for waiting in group[1:]:
            waiting.wake.release()


class InboxTable:
    """`append` on the callbacks table."""

    def __init__(self, database: Database, *, batch_rows: int, timeout_seconds: float) -> None:
        self._database = database
        self._commits = GroupCommit(self._insert, most_rows=batch_rows, timeout_seconds=timeout_seconds)

    def append(self, raws: Sequence[RawCallback]) -> None:
        """Keep callbacks durably; those already kept stay as they are. Raises LedgerUnavailable."""
        if raws:
            self._commits.submit([_row(raw) for raw in raws])

    def _insert(self, rows: list[Row]) -> None:
        """One statement is one transaction; in a fixed order of keys, so that two groups cannot deadlock on Postgres."""
        rows.sort(key=itemgetter(0))
        style = "?" if self._database.is_sqlite else "%s"
        flat = tuple(value for row in rows for value in row)
        self._database.execute_alone(_statement(len(rows), style), flat)


@lru_cache(maxsize=1024)
def _statement(rows: int, style: str) -> str:
    one = f"({', '.join([style] * len(_COLUMNS))})"
    every = ", ".join([one] * rows)
    return f"INSERT INTO callbacks ({', '.join(_COLUMNS)}) VALUES {every} ON CONFLICT (dedupe_key) DO NOTHING"


def _row(raw: RawCallback) -> Row:
    return (
        raw.dedupe_key,
        raw.account_sid,
        raw.call_sid,
        raw.parent_call_sid,
        micros(raw.received_at),
        raw.method,
        raw.target,
        raw.content_type,
        json.dumps(raw.headers),
        raw.body,
        raw.source,
    )
