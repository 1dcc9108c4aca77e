"""SQLite behind the ledger: how a file is opened, whether it is still the one at its path, what makes a connection useless.

Opening never creates a file. One that is deleted under a running process must not come back empty: what is written to it
would be acknowledged and gone.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.pool import QueuePool

from adapters.ledger.refused import LedgerRefused
from adapters.private_file import PRIVATE, hide_from_others
from pipeline.ports import LedgerUnavailable

SAFE = (3, 51, 3)  # 3.7.0 to 3.51.2 can corrupt a WAL database: https://www.sqlite.org/wal.html#walresetbug
# For locks of others than us: the sqlite3 shell, a backup. We wait holding our own lock, so those behind us wait as well.
BUSY_MILLISECONDS = 2000

# https://www.sqlite.org/rescode.html: (primary result code) -> our word. A connection that met one of the first five
# stays as it is for ever: a file that was read-only for a moment remains read-only for whoever opened it then.
_USELESS = {8: "read_only", 10: "io_error", 11: "corrupt", 14: "missing", 26: "corrupt"}
_WORDS = {**_USELESS, 5: "locked", 6: "locked", 13: "full"}

_ENDINGS = ("", "-wal", "-shm")

Identity = tuple[tuple[int, int], ...]


def module() -> Any:
    """The `pysqlite3` wheel brings a fixed SQLite; Python's own is what is left where there is no wheel."""
    try:
        import pysqlite3.dbapi2 as found
    except ImportError:
        import sqlite3 as found
    return found


def file_of(url: str) -> Path:
    """The file that a SQLite URL names. Raises LedgerRefused for a database in memory: nothing there is durable."""
    name = make_url(url).database
    if not name or name == ":memory:":
        raise LedgerRefused("DATABASE_URL names a SQLite database in memory; name a file, e.g. sqlite:///offhook.db")
    return Path(name)


def create_file(path: Path) -> None:
    """An empty file that only its owner may read, where there is none; SQLite gives -wal and -shm its mode. Raises OSError."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE))
    except FileExistsError:
        return


def identity(path: Path) -> Identity:
    """Device and inode of the database, its WAL and its index, as they are at the path now; () when one is missing.

    While a connection is open nothing may change them: https://www.sqlite.org/howtocorrupt.html, 2.4.
    """
    try:
        found = [os.stat(f"{path}{ending}") for ending in _ENDINGS]  # noqa: PTH116 (three of them a commit)
    except OSError:
        return ()
    return tuple((one.st_dev, one.st_ino) for one in found)


def replaced(path: Path) -> LedgerUnavailable:
    """What happened to the file, and what to do."""
    if path.exists():
        text = f"{path} or its -wal was replaced under the running process; nothing is kept until the new one is opened"
        return LedgerUnavailable(text, "replaced")
    return missing(path)


def missing(path: Path) -> LedgerUnavailable:
    return LedgerUnavailable(
        f"there is no file {path} (never made, deleted or moved): put it back, or run `flask db upgrade` for a new one",
        "missing",
    )


def word_of(error: BaseException) -> str | None:
    """Our word for an error of the driver."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return None
    if "no such table" in str(error) or "no such column" in str(error):
        return "no_tables"
    return _WORDS.get(code & 0xFF)


def is_useless(error: BaseException) -> bool:
    """True when the connection will not write any more, so that a new one must be tried."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _USELESS


def cut(connection: Any) -> None:
    """End what the connection does, from another thread."""
    connection.interrupt()


def engine_for(url: str, *, pool_size: int, pool_seconds: float, renew_seconds: float) -> Engine:
    """Connections to the file, each checked against the path whenever it is taken from the pool."""
    path = file_of(url)
    engine = create_engine(
        "sqlite://",
        module=module(),
        creator=lambda: _open(path),
        poolclass=QueuePool,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=pool_seconds,
        pool_recycle=renew_seconds,
    )

    @event.listens_for(engine, "connect")
    def _remember(connection: Any, record: Any) -> None:
        record.info["identity"] = _prepared(connection, path)

    @event.listens_for(engine, "checkout")
    def _still_there(_connection: Any, record: Any, _proxy: Any) -> None:
        if record.info["identity"] != identity(path):
            raise InvalidatePoolError

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        if not options.get("offhook_one_statement"):
            connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("offhook_writes") else "BEGIN")

    return engine


def _open(path: Path) -> Any:
    if not path.exists():
        raise missing(path)
    for ending in _ENDINGS:  # an older version, or a backup that was put back, may have left them open to everybody
        hide_from_others(Path(f"{path}{ending}"))
    where = f"file:{quote(str(path.absolute()))}?mode=rw"
    return module().connect(where, uri=True, check_same_thread=False, timeout=BUSY_MILLISECONDS / 1000)


def _prepared(connection: Any, path: Path) -> Identity:
    """Set it up, read it once, so that its WAL is open, and say which files it has. Raises LedgerUnavailable."""
    connection.isolation_level = None  # transactions begin where we say so
    mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
    for pragma in ("synchronous=FULL", "temp_store=MEMORY", f"busy_timeout={BUSY_MILLISECONDS}"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if mode != "wal":
        raise LedgerUnavailable(f"this file system gives SQLite journal_mode={mode}; wal is needed", "unsafe")
    found = identity(path)
    if not found:
        raise replaced(path)
    return found


def check(engine: Engine, url: str, *, allow_old: bool) -> list[str]:
    """Read back what durability rests on. Returns warnings; raises LedgerRefused."""
    warnings = []
    version = tuple(module().sqlite_version_info)
    if version < SAFE:
        told = f"SQLite {'.'.join(map(str, version))} can corrupt a WAL database; install the pysqlite3 wheel (pip install pysqlite3)"
        if not allow_old:
            raise LedgerRefused(f"{told}, or use Postgres, or set OFFHOOK_ALLOW_OLD_SQLITE=1 at your own risk.")
        warnings.append(told)
    path = file_of(url)
    if not path.exists():
        warnings.append(f"there is no {path} yet; run `flask db upgrade`: until then callbacks are answered 503")
        return warnings
    with engine.connect() as connection:
        mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
        synchronous = connection.exec_driver_sql("PRAGMA synchronous").scalar_one()
    if mode != "wal" or synchronous < 2:
        raise LedgerRefused(
            f"This file system gives SQLite journal_mode={mode}, synchronous={synchronous}; wal and 2 (FULL) are needed. "
            "Put the file on a local disk, or use Postgres."
        )
    return warnings
