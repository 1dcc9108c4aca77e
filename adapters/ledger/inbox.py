"""Durable intake: callbacks of many requests in one commit, one statement. Never answers before the commit is on disk.

A request that comes while a commit is under way waits for the next one, together with all others that came meanwhile.
The single statement lets SQLite insert, commit and sync in one call without Python's interpreter lock in between.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from itertools import chain
from operator import itemgetter
from typing import Any

from offhook.adapters.ledger.engine import Database
from offhook.adapters.ledger.rows import values_of
from offhook.adapters.ledger.schema import callbacks, micros
from offhook.pipeline.callback import RawCallback
from offhook.pipeline.ports.unavailable import LedgerUnavailable
from offhook.pipeline.repeated import EVERY_SECONDS, Repeated

log = logging.getLogger("offhook.ledger")

_COLUMNS = [column.name for column in callbacks.columns if column.name not in ("seq", "folded")]
_INSERT = f"INSERT INTO callbacks ({', '.join(_COLUMNS)})"
_ONCE = "ON CONFLICT (dedupe_key) DO NOTHING"
# For Postgres a column is one binary array: the same statement for every number of rows, and nothing to be quoted.
_POSTGRES_TYPES = {"received_at": "bigint", "body": "bytea"}
_ARRAYS = ", ".join(f"%b::{_POSTGRES_TYPES.get(name, 'text')}[]" for name in _COLUMNS)
_ARRAYS_STATEMENT = f"{_INSERT} SELECT * FROM unnest({_ARRAYS}) {_ONCE}"
_MARKS = 64
Row = tuple[Any, ...]


class _Waiting:
    """One request's rows, and the lock that its thread sleeps on until they are stored or have failed."""

    __slots__ = ("error", "rows", "settled", "until", "wake")

    def __init__(self, rows: list[Row], until: float) -> None:
        self.rows = rows
        self.until = until
        self.settled = False
        self.error: LedgerUnavailable | None = None
        self.wake = threading.Lock()
        self.wake.acquire()


class _Writer:
    """One writing thread's state, guarded by its GroupCommit. `busy_until` is monotonic, None while it has nothing to do."""

    __slots__ = ("asleep", "bell", "busy_until", "replaced")

    def __init__(self) -> None:
        self.bell = threading.Lock()
        self.bell.acquire()
        self.asleep = False
        self.replaced = False
        self.busy_until: float | None = None


class GroupCommit:
    """Gathers the rows of concurrent requests and hands them to `write` in groups of up to `most_rows`.

    A thread of its own writes, so that whatever it waits for (a lock that a stopped process holds, a peer that is gone, a
    disk that hangs), every request is answered in time. A writer that does not come back in time is left to itself, and
    another one goes on; at most `most_writers` are there at once. `turn` waits until it is ours to write, up to the given
    time (monotonic); `write` gets the rows, none for a mere proof that it works, and the time by which it must be over.
    """

    def __init__(
        self,
        write: Callable[[list[Row], float], None],
        turn: Callable[[float], AbstractContextManager[None]],
        *,
        most_rows: int,
        timeout_seconds: float,
        most_writers: int = 4,
        log_repeat_seconds: float = EVERY_SECONDS,
    ) -> None:
        self._write = write
        self._turn = turn
        self._most_rows = most_rows
        self._timeout_seconds = timeout_seconds
        self._most_writers = most_writers
        self._failed = Repeated(log, "store_failed", log_repeat_seconds)
        self._stuck = Repeated(log, "writer_stuck", log_repeat_seconds)
        self._guard = threading.Lock()
        self._queue: deque[_Waiting] = deque()
        self._writer: _Writer | None = None
        self._writers = 0
        self._closed = False

    def submit(self, rows: list[Row], timeout_seconds: float | None = None) -> None:
        """Returns when the rows are stored. Raises LedgerUnavailable when they are not, or not in time."""
        timeout = self._timeout_seconds if timeout_seconds is None else timeout_seconds
        mine = _Waiting(rows, time.monotonic() + timeout)
        with self._guard:
            self._queue.append(mine)
            writer = self._current()
            ring, writer.asleep = writer.asleep, False
        if ring:
            writer.bell.release()
        if not mine.wake.acquire(timeout=timeout):
            self._give_up(mine)
        if mine.error is not None:
            raise mine.error

    def close(self) -> None:
        """End the writing thread once nothing waits."""
        with self._guard:
            self._closed, writer = True, self._writer
            ring = writer is not None and writer.asleep
            if writer is not None:
                writer.asleep = False
        if ring and writer is not None:
            writer.bell.release()

    def _current(self) -> _Writer:
        """The thread that writes; a new one where there is none, or where the last one is stuck. Needs the guard."""
        writer = self._writer
        if writer is None or (self._is_stuck(writer) and self._writers < self._most_writers):
            if writer is not None:
                self._stuck.log(logging.ERROR, "", {"writers": self._writers})
                writer.replaced = True
            writer = _Writer()
            threading.Thread(target=self._run, args=(writer,), name="ledger-writer", daemon=True).start()
            self._writer = writer  # not before it runs: where there can be no thread now, the next request tries again
            self._writers += 1
        return writer

    def _is_stuck(self, writer: _Writer) -> bool:
        return writer.busy_until is not None and time.monotonic() > writer.busy_until

    def _give_up(self, mine: _Waiting) -> None:
        with self._guard:  # it may have been settled in this very moment
            if mine.settled:
                return
            if mine in self._queue:
                self._queue.remove(mine)
            if self._queue:
                self._current()  # those behind us shall not wait for what we waited for
        mine.error = LedgerUnavailable("not stored in time: whoever writes waits for the database", "slow")

    def _run(self, writer: _Writer) -> None:
        while self._has_work(writer):
            group: list[_Waiting] = []
            error: LedgerUnavailable | None = None
            try:
                with self._turn(self._busy(writer)):
                    group = self._group(writer)  # only now: who came while we waited for our turn shares the commit
                    if group:
                        rows = [row for waiting in group for row in waiting.rows]
                        self._write(rows, max(waiting.until for waiting in group))
                self._failed.works()
                self._stuck.works()
            except LedgerUnavailable as failure:
                error = failure
            except Exception as failure:  # a bug must neither leave the others waiting nor end the writing
                self._failed.log_error(failure)
                error = LedgerUnavailable(f"unexpected {type(failure).__name__}")
            self._settle(writer, group, error)
        with self._guard:
            self._writers -= 1
            if self._writer is writer:
                self._writer = None

    def _has_work(self, writer: _Writer) -> bool:
        """Sleeps until something waits. False when this thread is not needed any more."""
        while True:
            with self._guard:
                if writer.replaced:
                    return False
                if self._queue:
                    return True
                if self._closed:
                    return False
                writer.asleep = True
            writer.bell.acquire()

    def _busy(self, writer: _Writer) -> float:
        """From now on it counts as stuck when it is not back in time. Returns until when the oldest can wait."""
        with self._guard:
            writer.busy_until = time.monotonic() + self._timeout_seconds
            return self._queue[0].until if self._queue else writer.busy_until

    def _group(self, writer: _Writer) -> list[_Waiting]:
        """The oldest that wait, until the group is full; those whose time is over have gone, or go now."""
        group: list[_Waiting] = []
        rows, now = 0, time.monotonic()
        with self._guard:
            writer.busy_until = now + self._timeout_seconds
            while self._queue and (not group or rows + len(self._queue[0].rows) <= self._most_rows):
                waiting = self._queue.popleft()
                if waiting.until > now:
                    rows += len(waiting.rows)
                    group.append(waiting)
        return group

    def _settle(self, writer: _Writer, group: list[_Waiting], error: LedgerUnavailable | None) -> None:
        with self._guard:
            writer.busy_until = None
            if error is not None and not group and self._queue:
                group = [self._queue.popleft()]  # it was for this one that we waited for our turn
            for waiting in group:
                waiting.settled = True
                waiting.error = error
        for waiting in group:
            waiting.wake.release()


class InboxTable:
    """`append` on the callbacks table."""

    def __init__(
        self,
        database: Database,
        *,
        batch_rows: int,
        timeout_seconds: float,
        log_repeat_seconds: float = EVERY_SECONDS,
    ) -> None:
        self._database = database
        self._commits = GroupCommit(
            self._insert,
            database.turn,
            most_rows=batch_rows,
            timeout_seconds=timeout_seconds,
            log_repeat_seconds=log_repeat_seconds,
        )

    def append(self, raws: Sequence[RawCallback]) -> None:
        """Keep callbacks durably; those already kept stay as they are. Raises LedgerUnavailable."""
        if raws:
            self._commits.submit([_row(raw) for raw in raws])

    def prove_writable(self, timeout_seconds: float) -> None:
        """Commit something by the way of every callback. Raises LedgerUnavailable when that fails, or takes too long."""
        self._commits.submit([], timeout_seconds)

    def close(self) -> None:
        self._commits.close()

    def _insert(self, rows: list[Row], until: float) -> None:
        """One statement is one transaction; in a fixed order of keys, so that two groups cannot deadlock on Postgres."""
        rows.sort(key=itemgetter(0))
        if not rows:
            self._database.execute_alone(_mark(), (), until)
        elif self._database.is_sqlite:
            statement = f"{_INSERT} {values_of(len(_COLUMNS), len(rows))} {_ONCE}"
            self._database.execute_alone(statement, tuple(chain.from_iterable(rows)), until)
        else:
            self._database.execute_alone(_ARRAYS_STATEMENT, tuple(map(list, zip(*rows, strict=True))), until)


def _mark() -> str:
    """A row of each process's own, of a few: one that vanished while it wrote its mark must not make others wait for it."""
    number = zlib.crc32(f"{socket.gethostname()} {os.getpid()}".encode()) % _MARKS
    insert = f"INSERT INTO counters (name, value) VALUES ('ready_mark_{number}', 1)"
    return f"{insert} ON CONFLICT (name) DO UPDATE SET value = counters.value + 1"


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
