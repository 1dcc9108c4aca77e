"""Whose turn it is to write to a SQLite file: a lock among threads, then an `flock` among processes, first come first served.

SQLite's busy handler sleeps and polls, which ruins the tail (p99 of 700 ms with 32 connections); `flock` wakes the next
writer at once. The lock is never taken on the database file itself: closing that file would drop SQLite's own locks
(https://www.sqlite.org/howtocorrupt.html, 2.2).
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from offhook.adapters.private_file import PRIVATE
from offhook.pipeline.ports.unavailable import LedgerUnavailable


class FairLock:
    """One writer at a time on this machine. A killed process loses its turn at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._threads = threading.Lock()
        self._file: int | None = None
        self._pid = 0

    @contextmanager
    def held(self, until: float) -> Iterator[None]:
        """Our turn; raises LedgerUnavailable when it came after `until` (monotonic).

        `flock` knows no time limit: behind a process that was stopped while it held the lock, the thread that asks may
        wait longer. Nobody else does: those behind it in this process give up in time, and whoever needs an answer in
        time must not be that thread (adapters/ledger/inbox.py).
        """
        if not self._threads.acquire(timeout=max(0.0, until - time.monotonic())):
            raise _late()
        try:
            file = self._lock()
            try:
                if time.monotonic() > until:
                    raise _late()
                yield
            finally:
                fcntl.flock(file, fcntl.LOCK_UN)
        finally:
            self._threads.release()

    @contextmanager
    def tried(self) -> Iterator[bool]:
        """True when it is ours until the end of the `with`; False, without waiting, while somebody else has it."""
        if not self._threads.acquire(blocking=False):
            yield False
            return
        try:
            file = self._lock_now()
            try:
                yield file is not None
            finally:
                if file is not None:
                    fcntl.flock(file, fcntl.LOCK_UN)
        finally:
            self._threads.release()

    def _lock_now(self) -> int | None:
        while True:
            file = self._open()
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if _is_at(file, self._path):
                    return None
            else:
                if _is_at(file, self._path):
                    return file
            self._forget()

    def _lock(self) -> int:
        """The lock file, ours now. One that was deleted or replaced meanwhile excludes nobody, so it is opened anew."""
        while True:
            file = self._open()
            fcntl.flock(file, fcntl.LOCK_EX)
            if _is_at(file, self._path):
                return file
            self._forget()

    def _open(self) -> int:
        """Opened anew after a fork: an inherited one would share its lock with the parent."""
        if self._file is None or self._pid != os.getpid():
            try:
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE)
            except OSError as error:
                text = f"the lock file {self._path} cannot be opened ({error.strerror})"
                raise LedgerUnavailable(text, "unwritable") from error
            self._pid = os.getpid()
        return self._file

    def _forget(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def close(self) -> None:
        """Give the file back; the lock may be used again all the same."""
        if self._threads.acquire(blocking=False):
            try:
                self._forget()
            finally:
                self._threads.release()


def _is_at(file: int, path: Path) -> bool:
    try:
        there = path.stat()
    except OSError:
        return False
    ours = os.fstat(file)
    return (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)


def _late() -> LedgerUnavailable:
    return LedgerUnavailable("the write lock was not free in time: another process holds it", "locked")
