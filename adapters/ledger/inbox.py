"""Durable intake: callbacks of many requests in one commit, one statement. Never answers before the commit is on disk.

A request that comes while a commit is under way waits for the next one, together with all others that came meanwhile.
One of those that wait does the writing (there is no thread for it), so a lone request pays for no hand-over. The single
statement lets SQLite insert, commit and sync in one call without Python's interpreter lock in between.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any

from adapters.ledger.engine import Database
from adapters.ledger.schema import callbacks, micros
from pipeline.call import RawCallback
from pipeline.ports import LedgerUnavailable

_COLUMNS = [column.name for column in callbacks.columns if column.name not in ("seq", "folded")]
_INSERT = f"INSERT INTO callbacks ({', '.join(_COLUMNS)})"
_ONCE = "ON CONFLICT (dedupe_key) DO NOTHING"
# For Postgres a column is one binary array: the same statement for every number of rows, so it is prepared once.
_POSTGRES_TYPES = {"received_at": "bigint", "body": "bytea"}
_ARRAYS = ", ".join(f"%b::{_POSTGRES_TYPES.get(name, 'text')}[]" for name in _COLUMNS)
_ARRAYS_STATEMENT = f"{_INSERT} SELECT * FROM unnest({_ARRAYS}) {_ONCE}"
Row = tuple[Any, ...]


class _Waiting:
    """One request's rows, and the lock that its thread sleeps on until they are stored or have failed."""

    __slots__ = ("error", "leads", "rows", "settled", "until", "wake")

    def __init__(self, rows: list[Row], until: float) -> None:
        self.rows = rows
        self.until = until
        self.settled = False
        self.leads = False
        self.error: LedgerUnavailable | None = None
        self.wake = threading.Lock()
        self.wake.acquire()


class GroupCommit:
    """Gathers the rows of concurrent requests and hands them to `write` in groups of up to `most_rows`.

    `turn` waits until it is ours to write, up to the given time (monotonic): that of the request whose thread it is.
    """

    def __init__(
        self,
        write: Callable[[list[Row]], None],
        turn: Callable[[float], AbstractContextManager[None]],
        *,
        most_rows: int,
        timeout_seconds: float,
    ) -> None:
        self._write = write
        self._turn = turn
        self._most_rows = most_rows
        self._timeout_seconds = timeout_seconds
        self._guard = threading.Lock()
        self._queue: list[_Waiting] = []
        self._writing = False

    def submit(self, rows: list[Row]) -> None:
        """Returns when the rows are stored. Raises LedgerUnavailable when they are not, or not in time."""
        mine = _Waiting(rows, time.monotonic() + self._timeout_seconds)
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
            self._queue.remove(mine)
        group, error = [mine], None
        try:
            with self._turn(mine.until):
                with self._guard:  # only now: those that came while we waited for our turn share the commit
                    group += self._company(len(mine.rows))
                self._write([row for waiting in group for row in waiting.rows])
        except LedgerUnavailable as failure:
            error = failure
        except Exception as failure:  # a bug must not leave the others waiting
            error = LedgerUnavailable(f"unexpected {type(failure).__name__}")
            raise
        finally:
            self._settle(group, error)

    def _company(self, rows: int) -> list[_Waiting]:
        """The oldest that wait, until the group is full."""
        company: list[_Waiting] = []
        while self._queue and rows + len(self._queue[0].rows) <= self._most_rows:
            rows += len(self._queue[0].rows)
            company.append(self._queue.pop(0))
        return company

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
        self._commits = GroupCommit(self._insert, database.turn, most_rows=batch_rows, timeout_seconds=timeout_seconds)

    def append(self, raws: Sequence[RawCallback]) -> None:
        """Keep callbacks durably; those already kept stay as they are. Raises LedgerUnavailable."""
        if raws:
            self._commits.submit([_row(raw) for raw in raws])

    def _insert(self, rows: list[Row]) -> None:
        """One statement is one transaction; in a fixed order of keys, so that two groups cannot deadlock on Postgres."""
        rows.sort(key=itemgetter(0))
        if self._database.is_sqlite:
            self._database.execute_alone(_rows_statement(len(rows)), tuple(chain.from_iterable(rows)))
        else:
            self._database.execute_alone(_ARRAYS_STATEMENT, tuple(map(list, zip(*rows, strict=True))))


@lru_cache(maxsize=1024)
def _rows_statement(rows: int) -> str:
    one = f"({', '.join('?' * len(_COLUMNS))})"
    return f"{_INSERT} VALUES {', '.join([one] * rows)} {_ONCE}"


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
