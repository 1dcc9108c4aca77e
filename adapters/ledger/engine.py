"""A database behind the ledger: how to connect, how to write, and whether it may be trusted. Holds no table.

Writers on SQLite queue at a lock file of their own. SQLite's busy handler sleeps and polls, which ruins the tail (p99
of 700 ms with 32 connections); `flock` wakes the next writer at once. The lock is never taken on the database file
itself: closing that file would drop SQLite's own locks (https://www.sqlite.org/howtocorrupt.html, 2.2).
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool

from pipeline.ports import LedgerUnavailable

SAFE_SQLITE = (3, 51, 3)  # 3.7.0 to 3.51.2 can corrupt a WAL database: https://www.sqlite.org/wal.html#walresetbug
# For locks of others than us: the sqlite3 shell, a backup. We wait holding our own lock, so those behind us wait as well.
BUSY_MILLISECONDS = 2000
POSTGRES_CONNECT_SECONDS = 5
POSTGRES_STATEMENT_MILLISECONDS = 30_000


class LedgerRefused(Exception):
    """This database may not be used as it is; the text says what to do."""


class FairLock:
    """One writer at a time on this machine: a lock among threads, then an `flock` among processes, first come first served."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._threads = threading.Lock()
        self._file: int | None = None
        self._pid = 0

    @contextmanager
    def held(self, until: float) -> Iterator[None]:
        """Our turn; raises LedgerUnavailable when it came after `until` (monotonic). A killed process loses its own at once.

        `flock` knows no time-out. It ends soon after `until` all the same: those who find their time over let go at once.
        """
        if not self._threads.acquire(timeout=max(0.0, until - time.monotonic())):
            raise LedgerUnavailable("the write lock was not free in time")
        try:
            file = self._open()
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                if time.monotonic() > until:
                    raise LedgerUnavailable("the write lock was not free in time")
                yield
            finally:
                fcntl.flock(file, fcntl.LOCK_UN)
        finally:
            self._threads.release()

    def _open(self) -> int:
        """The lock file, opened anew after a fork: an inherited one would share its lock with the parent."""
        if self._file is None or self._pid != os.getpid():
            try:
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise LedgerUnavailable(f"the lock file cannot be opened ({error.strerror})") from error
            self._pid = os.getpid()
        return self._file


class Database:
    """SQLite or Postgres, told apart here and nowhere else but in `append`'s dialect-free SQL.

    `read()` and `write()` give a connection in a transaction; `write()` commits at the end and is the only way to
    change anything. Both raise LedgerUnavailable for whatever the database does not do now.
    """

    def __init__(self, url: str, *, pool_size: int, lock_timeout_seconds: float) -> None:
        self.engine = _sqlite(url, pool_size) if url.startswith("sqlite") else _postgres(url, pool_size)
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        alone = {"offhook_one_statement": True} if self.is_sqlite else {"isolation_level": "AUTOCOMMIT"}
        self._alone = self.engine.execution_options(**alone)
        self._writing = self.engine.execution_options(offhook_writes=True)
        self._lock_timeout_seconds = lock_timeout_seconds
        self._lock = FairLock(Path(f"{sqlite_path(url)}.lock")) if self.is_sqlite else None

    @contextmanager
    def turn(self, until: float | None = None) -> Iterator[None]:
        """Our turn to write, if it comes before `until` (monotonic). On Postgres everybody has one. Raises LedgerUnavailable."""
        if self._lock is None:
            yield
            return
        with (
            unavailable_when_failing(),
            self._lock.held(time.monotonic() + self._lock_timeout_seconds if until is None else until),
        ):
            yield

    @contextmanager
    def write(self) -> Iterator[Connection]:
        with unavailable_when_failing(), self.turn(), self._writing.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        with unavailable_when_failing(), self.engine.connect() as connection, connection.begin():
            yield connection

    def execute_alone(self, statement: str, values: tuple[Any, ...]) -> None:
        """One statement that is a transaction of its own, in our `turn`: one call on SQLite, one round trip on Postgres.

        It must be safe to run twice: where the connection turns out to be dead, it is sent again on a new one.
        """
        with unavailable_when_failing():
            try:
                self._execute(statement, values)
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
                self._execute(statement, values)

    def _execute(self, statement: str, values: tuple[Any, ...]) -> None:
        with self._alone.connect() as connection:
            connection.exec_driver_sql(statement, values)

    def close(self) -> None:
        self.engine.dispose()


@contextmanager
def unavailable_when_failing() -> Iterator[None]:
    """What the database or the disk refuses becomes LedgerUnavailable, with the first line of its reason."""
    try:
        yield
    except (DBAPIError, PoolTimeout, OSError) as error:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()
        raise LedgerUnavailable(f"{type(error).__name__}: {reason[0] if reason else ''}") from error


def sqlite_path(url: str) -> Path:
    """The file that a SQLite URL names. Raises LedgerRefused for a database in memory: nothing there is durable."""
    name = make_url(url).database
    if not name or name == ":memory:":
        raise LedgerRefused("DATABASE_URL names a SQLite database in memory; name a file, e.g. sqlite:///offhook.db")
    return Path(name)


def _sqlite_module() -> Any:
    """The `pysqlite3` wheel brings a fixed SQLite; Python's own is what is left where there is no wheel."""
    try:
        import pysqlite3.dbapi2 as module
    except ImportError:
        import sqlite3 as module
    return module


def _sqlite(url: str, pool_size: int) -> Engine:
    sqlite_path(url)
    engine = create_engine(
        url,
        module=_sqlite_module(),
        poolclass=QueuePool,
        pool_size=pool_size,
        max_overflow=pool_size,
        connect_args={"check_same_thread": False, "timeout": BUSY_MILLISECONDS / 1000},
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # transactions begin where we say so
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "temp_store=MEMORY",
            f"busy_timeout={BUSY_MILLISECONDS}",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        if not options.get("offhook_one_statement"):
            connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("offhook_writes") else "BEGIN")

    return engine


def _postgres(url: str, pool_size: int) -> Engine:
    return create_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=POSTGRES_CONNECT_SECONDS,
        connect_args={
            "connect_timeout": POSTGRES_CONNECT_SECONDS,
            "options": f"-c statement_timeout={POSTGRES_STATEMENT_MILLISECONDS} -c timezone=UTC",
            "application_name": "offhook",
        },
    )


def check_trustworthy(database: Database, *, allow_old_sqlite: bool) -> list[str]:
    """Read back what durability rests on. Returns warnings; raises LedgerRefused, or LedgerUnavailable when unreachable."""
    return _check_sqlite(database, allow_old_sqlite) if database.is_sqlite else _check_postgres(database)


def _check_sqlite(database: Database, allow_old_sqlite: bool) -> list[str]:
    warnings = []
    version = tuple(_sqlite_module().sqlite_version_info)
    if version < SAFE_SQLITE:
        told = f"SQLite {'.'.join(map(str, version))} can corrupt a WAL database; install the pysqlite3 wheel (pip install pysqlite3)"
        if not allow_old_sqlite:
            raise LedgerRefused(f"{told}, or use Postgres, or set OFFHOOK_ALLOW_OLD_SQLITE=1 at your own risk.")
        warnings.append(told)
    with database.read() as connection:
        mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
        synchronous = connection.exec_driver_sql("PRAGMA synchronous").scalar_one()
    if mode != "wal" or synchronous < 2:
        raise LedgerRefused(
            f"This file system gives SQLite journal_mode={mode}, synchronous={synchronous}; wal and 2 (FULL) are needed. "
            "Put the file on a local disk, or use Postgres."
        )
    return warnings


def _check_postgres(database: Database) -> list[str]:
    with database.read() as connection:
        found = {
            name: connection.execute(text(f"SHOW {name}")).scalar_one() for name in ("fsync", "synchronous_commit")
        }
    return [
        f"Postgres has {name}={value}: an acknowledged callback can be lost when it crashes. Set it to on."
        for name, value in found.items()
        if value == "off"
    ]
