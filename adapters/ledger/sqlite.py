"""SQLite behind the ledger: how a file is opened, whether it is still the one at its path, what makes a connection useless.

Opening never creates a file. One that is deleted under a running process must not come back empty: what is written to it
would be acknowledged and gone.
"""

from __future__ import annotations

import fcntl
import logging
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import quote
from weakref import WeakSet

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.pool import QueuePool

from offhook.adapters.ledger.held_files import HeldFiles
from offhook.adapters.ledger.refused import LedgerRefused
from offhook.adapters.private_file import PRIVATE, hide_from_others
from offhook.pipeline.ports.unavailable import LedgerUnavailable

log = logging.getLogger("offhook.ledger")

_ANOTHER = "take a Python that brings a newer one (python.org's installers and uv's do)"
# What our statements need: RETURNING, https://www.sqlite.org/releaselog/3_35_0.html
NEEDED = (3, 35, 0)
# 3.7.0 to 3.51.2 can corrupt a WAL database, two patched series apart: a checkpoint that begins while another connection
# commits may take the WAL for copied back when it is not. https://www.sqlite.org/wal.html#walresetbug
_RESET_BUG_UNTIL = (3, 51, 3)
_PATCHED = {(3, 44): (3, 44, 6), (3, 50): (3, 50, 7)}
# For locks of others than us: the sqlite3 shell, a backup. We wait holding our own lock, so those behind us wait as well.
BUSY_MILLISECONDS = 2000
_LOOK_EVERY_SECONDS = 0.01
# CallSids are random, so on a full ledger each call touches pages of its own. By a connection that remembers 2 MiB (SQLite's
# default) they are read again and again.
_CACHE_KIBIBYTES = 16 * 1024
# When a commit itself copies the WAL back (16 MiB), with the others waiting: most of it has been copied before.
_CHECKPOINT_PAGES = 4000
# The same where a commit is the only one that may copy it back: SQLite's own default, for the others wait each time.
_CHECKPOINT_PAGES_OF_COMMITS = 1000

# https://www.sqlite.org/rescode.html: (primary result code) -> our word. A connection that met one of the first five
# stays as it is for ever: a file that was read-only for a moment remains read-only for whoever opened it then.
_USELESS = {8: "read_only", 10: "io_error", 11: "corrupt", 14: "missing", 26: "corrupt"}
_WORDS = {**_USELESS, 5: "locked", 6: "locked", 9: "slow", 13: "full"}

_ENDINGS = ("", "-wal", "-shm")


class CopyFailed(Exception):
    """A copy of the database was not made, or is not sound."""


Identity = tuple[tuple[int, int] | None, ...]
Turn = Callable[[], AbstractContextManager[None]]


@cache
def module() -> Any:
    """The newer one of Python's own SQLite and what the `pysqlite3` package brings. Raises LedgerRefused without any."""
    found = []
    for name in ("pysqlite3.dbapi2", "sqlite3"):
        with suppress(ImportError):  # no wheel for this machine; or a Python that was built without SQLite
            found.append(import_module(name))
    if not found:
        raise LedgerRefused(f"this Python was built without SQLite: {_ANOTHER}, or use Postgres.")
    return max(found, key=lambda one: tuple(one.sqlite_version_info))


def has_reset_bug(version: tuple[int, ...] | None = None) -> bool:
    """True for a SQLite that can corrupt a WAL database while one connection copies the WAL back and another commits.

    Where it is so, nothing here copies it back but a commit, which has the write lock as each commit has, and the
    closing of the last connection, which SQLite lets nobody else be beside. So the two never meet.
    """
    found = tuple(module().sqlite_version_info if version is None else version)
    return found < _PATCHED.get(found[:2], _RESET_BUG_UNTIL)


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
    found = _files(path)
    return found if all(found) else ()


def _files(path: Path) -> Identity:
    """The three of them; None for one that is missing."""
    return tuple(_inode(f"{path}{ending}") for ending in _ENDINGS)


def _inode(name: str) -> tuple[int, int] | None:
    try:
        found = os.stat(name)  # noqa: PTH116 (three of them a commit)
    except OSError:
        return None
    return found.st_dev, found.st_ino


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


def engine_for(url: str, *, pool_size: int, pool_seconds: float, renew_seconds: float, turn: Turn) -> Engine:
    """Connections to the file, each checked against the path whenever it is taken from the pool.

    `turn` is the turn to write of the thread that asks: the one that it has, else one that is free soon.
    """
    opener = _Opener(file_of(url), pool_seconds, turn)
    engine = create_engine(
        "sqlite://",
        module=module(),
        creator=opener.open,
        poolclass=QueuePool,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=pool_seconds,
        pool_recycle=renew_seconds,
    )

    @event.listens_for(engine, "connect")
    def _remember(connection: Any, record: Any) -> None:
        record.info["identity"] = connection.identity

    @event.listens_for(engine, "engine_disposed")
    def _let_go(_engine: Engine) -> None:
        opener.held.release()

    @event.listens_for(engine, "checkout")
    def _still_there(connection: Any, _record: Any, _proxy: Any) -> None:
        if not opener.is_in_place(connection):
            engine.pool.dispose()  # the idle ones; those in use are thrown away when they come back
            raise InvalidatePoolError

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        if not options.get("offhook_one_statement"):
            connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("offhook_writes") else "BEGIN")

    return engine


def only_read(engine: Engine) -> None:
    """Each connection refuses to change anything: https://www.sqlite.org/pragma.html#pragma_query_only"""

    @event.listens_for(engine, "connect")
    def _refuse_changes(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA query_only=ON").close()


@cache
def _connection_class() -> Any:
    """A connection that knows which files it has, and says when it is closed.

    It closes its cursors, too: SQLite keeps the file open while one is, and an error that somebody holds has one in its traceback.
    https://www.sqlite.org/c3ref/close.html
    """

    class Opened(module().Connection):  # type: ignore[misc]
        identity: Identity = ()
        when_closed: Callable[[Any], None] | None = None

        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            self._cursors: WeakSet[Any] = WeakSet()

        def cursor(self, *given: Any, **named: Any) -> Any:
            made = super().cursor(*given, **named)
            self._cursors.add(made)
            return made

        def close(self) -> None:
            while self._cursors:
                self._cursors.pop().close()
            super().close()
            if self.when_closed is not None:
                self.when_closed(self)

    return Opened


class _Opener:
    """Opens the file, one process at a time, and never with a WAL or an index that belongs to another database.

    Whoever replaces the database under a running process often leaves its WAL where it was. SQLite would put that WAL's
    pages into the new database: https://www.sqlite.org/howtocorrupt.html, 1.4. The files that were opened last are held, so that
    a WAL that another process has just made is never taken for that one.
    """

    def __init__(self, path: Path, seconds: float, turn: Turn) -> None:
        self._path = path
        self._seconds = seconds
        self._turn = turn
        self._opened_last: Identity = ()
        self._open: dict[int, Identity] = {}
        self.held = HeldFiles()

    def open(self) -> Any:
        """A connection, ready for use. Raises LedgerUnavailable."""
        if not self._path.exists():
            raise missing(self._path)
        where = f"file:{quote(str(self._path.absolute()))}?mode=rw"
        with _alone_in(self._path.absolute().parent, self._seconds):
            for ending in _ENDINGS:  # a backup that was put back, or an older version, may have left it open to others
                hide_from_others(Path(f"{self._path}{ending}"))
            self._set_leftovers_aside()
            self._make_writable_again()
            connection = self._opened(where)
            if self._opened_last != connection.identity:
                self.held.hold([f"{self._path}{ending}" for ending in _ENDINGS])
            self._opened_last = self._open[id(connection)] = connection.identity
            return connection

    def _opened(self, where: str) -> Any:
        before = _files(self._path)
        if any(one != before for one in list(self._open.values())):
            # In one process SQLite gives all connections to a database the index of the first: beside an old one, a new
            # connection would write by an index that no other process knows.
            raise replaced(self._path)
        connection = module().connect(
            where,
            uri=True,
            check_same_thread=False,
            timeout=BUSY_MILLISECONDS / 1000,
            factory=_connection_class(),
        )
        try:
            _prepare(connection)
            connection.identity = identity(self._path)
            connection.when_closed = self.closed
            if not connection.identity or connection.identity[0] != before[0]:
                raise replaced(self._path)
        except BaseException:
            connection.close()
            raise
        return connection

    def closed(self, connection: Any) -> None:
        """It is no longer open."""
        self._open.pop(id(connection), None)

    def is_in_place(self, connection: Any) -> bool:
        """False when its files are no longer those at the path. What only its WAL held is saved where that can be done."""
        if connection.identity == identity(self._path):
            return True
        with suppress(Exception), self._turn(), _alone_in(self._path.absolute().parent, self._seconds):
            database, wal, _ = _files(self._path)
            if database == connection.identity[0] and wal is None:  # deleted, but we have it open still
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        return False

    def _set_leftovers_aside(self) -> None:
        if not self._opened_last:
            return
        database, wal, index = self._opened_last
        now = _files(self._path)
        if now[0] != database and now[1] == wal:
            aside = Path(f"{self._path}-wal.replaced-{time.time_ns()}")
            Path(f"{self._path}-wal").rename(aside)
            log.warning("database_replaced", extra={"wal_of_the_former_database": str(aside)})
        if now[2] == index and (now[0], now[1]) != (database, wal):
            Path(f"{self._path}-shm").unlink(missing_ok=True)

    def _make_writable_again(self) -> None:
        """A WAL and an index that were made while the database was read-only are so themselves, and stay so."""
        mode = self._path.stat().st_mode & 0o777
        for left in (Path(f"{self._path}-wal"), Path(f"{self._path}-shm")):
            if mode & stat.S_IWUSR and left.exists() and not left.stat().st_mode & stat.S_IWUSR:
                with suppress(OSError):
                    left.chmod(mode)


@contextmanager
def _alone_in(folder: Path, seconds: float) -> Iterator[None]:
    """No other process of ours opens a database in this folder meanwhile. Raises LedgerUnavailable after `seconds`."""
    lock = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        until = time.monotonic() + seconds
        while not _locked(lock):
            if time.monotonic() > until:
                raise LedgerUnavailable("another process has been opening the database for too long", "locked")
            time.sleep(_LOOK_EVERY_SECONDS)
        yield
    finally:
        os.close(lock)


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _prepare(connection: Any) -> None:
    """Set it up, and read it once, so that its WAL is open. Raises LedgerUnavailable."""
    connection.isolation_level = None  # transactions begin where we say so
    mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
    pragmas = {
        "synchronous": "FULL",
        "temp_store": "MEMORY",
        "busy_timeout": BUSY_MILLISECONDS,
        "cache_size": -_CACHE_KIBIBYTES,
        "wal_autocheckpoint": _CHECKPOINT_PAGES_OF_COMMITS if has_reset_bug() else _CHECKPOINT_PAGES,
    }
    for name, value in pragmas.items():
        connection.execute(f"PRAGMA {name}={value}")
    connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if mode != "wal":
        raise LedgerUnavailable(f"this file system gives SQLite journal_mode={mode}; wal is needed", "unsafe")


def copy_wal_back(connection: Connection) -> None:
    """What the WAL holds goes into the database as far as no reader needs it: https://www.sqlite.org/wal.html#ckpt."""
    connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)").close()


def copy_into(connection: Any, file: Path) -> None:
    """The whole database as it is now, as one file without a WAL, looked through. Raises CopyFailed.

    In one step: that holds a snapshot, and neither keeps writers from writing nor begins again when they do.
    https://www.sqlite.org/backup.html
    """
    try:
        with closing(module().connect(str(file), isolation_level=None)) as copy:
            copy.execute("PRAGMA locking_mode=EXCLUSIVE")  # no index in shared memory, for a file of ours alone
            connection.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")
            found = [row[0] for row in copy.execute("PRAGMA integrity_check(3)")]
    except module().Error as error:
        file.with_name(f"{file.name}-journal").unlink(missing_ok=True)  # that of a copy that was not finished
        raise CopyFailed(str(error)) from error
    if found != ["ok"]:
        raise CopyFailed(f"SQLite's integrity_check says of the copy: {'; '.join(found)}")


def doubts(version: tuple[int, ...], *, allow_old: bool) -> Iterator[str]:
    """Warnings about SQLite itself. Raises LedgerRefused where it cannot run our statements."""
    library = f"SQLite {'.'.join(map(str, version))}"
    if version < NEEDED:
        needed = ".".join(map(str, NEEDED))
        raise LedgerRefused(f"{library} is too old, {needed} is needed: {_ANOTHER}, or use Postgres.")
    if has_reset_bug(version) and not allow_old:
        yield (
            f"{library} can corrupt a database when two programs write to it. Offhook's own lock keeps that out; let no other "
            f"program write to the file, or {_ANOTHER}. OFFHOOK_ALLOW_OLD_SQLITE=1 takes this line away"
        )


def check(engine: Engine, url: str, *, allow_old: bool) -> list[str]:
    """Read back what durability rests on. Returns warnings; raises LedgerRefused."""
    warnings = list(doubts(tuple(module().sqlite_version_info), allow_old=allow_old))
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
