"""A database behind the ledger: a connection in a transaction, to read or to write, with an end to every wait. Holds no table."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from offhook.adapters.ledger import postgres, sqlite
from offhook.adapters.ledger.clock import TOLERANCE_SECONDS, LedgerClock
from offhook.adapters.ledger.refused import LedgerRefused
from offhook.adapters.ledger.waited import count_waiting
from offhook.adapters.ledger.watch import Watch, Watchdog
from offhook.adapters.ledger.write_lock import FairLock
from offhook.pipeline.ports.unavailable import LedgerUnavailable
from offhook.pipeline.repeated import EVERY_SECONDS

__all__ = ["Database", "LedgerRefused", "Patience"]

T = TypeVar("T")
_GRACE_SECONDS = 0.5  # the server's own limit shall come first: its reason is the better one
_COPY_WAL_EVERY_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the ledger waits for its database, in seconds; see the settings of the same names."""

    store_seconds: float = 10.0
    statement_seconds: float = 30.0
    slow_seconds: float = 2.0
    connect_seconds: float = 5.0
    renew_seconds: float = 300.0
    idle_in_transaction_seconds: float = 15.0
    clock_tolerance_seconds: float = TOLERANCE_SECONDS
    log_repeat_seconds: float = EVERY_SECONDS


class Database:
    """SQLite or Postgres: which of them is asked here and nowhere else but in `append`'s dialect-free SQL.

    `read()` and `write()` give a connection in a transaction; `write()` commits at the end and is the only way to
    change anything. Both raise LedgerUnavailable for whatever the database does not do now. `clock` is the time that
    the database's users agree on. With `reads_only` the database itself refuses every change.
    """

    def __init__(self, url: str, *, pool_size: int, patience: Patience, reads_only: bool = False) -> None:
        self.is_sqlite = url.startswith("sqlite")
        self.clock = LedgerClock(patience.clock_tolerance_seconds)
        self._patience = patience
        self._reads_only = reads_only
        self._path = sqlite.file_of(url) if self.is_sqlite else Path()
        self._copies_wal_back = self.is_sqlite and not sqlite.has_reset_bug()
        self._copy_wal_at = 0.0  # monotonic
        self._opening = threading.local()
        self._mine = threading.local()
        self.engine = self._engine(url, pool_size)
        self._url = url
        self._driver = sqlite if self.is_sqlite else postgres
        self._watchdog = Watchdog(patience.slow_seconds, patience.log_repeat_seconds)
        self._lock = FairLock(Path(f"{self._path}.lock")) if self.is_sqlite else None
        _watch_statements(self.engine, self._driver)
        if reads_only:
            (sqlite.only_read if self.is_sqlite else count_waiting)(self.engine)

    def _engine(self, url: str, pool_size: int) -> Engine:
        known = self._patience
        pool = {"pool_size": pool_size, "pool_seconds": known.connect_seconds, "renew_seconds": known.renew_seconds}
        if self.is_sqlite:
            return sqlite.engine_for(url, turn=self._turn_at_once, **pool)  # type: ignore[arg-type]
        ours = {"connect_seconds": known.connect_seconds, "clock": self.clock, "opened": self._opened}
        return postgres.engine_for(url, **ours, **pool)  # type: ignore[arg-type]

    @property
    def program(self) -> str:
        """What this database is, for a person: `SQLite 3.51.3`, `Postgres 16.4`. Without a version before the first connection."""
        version = getattr(self.engine.dialect, "server_version_info", None) or ()
        return " ".join(
            ["SQLite" if self.is_sqlite else "Postgres", *([".".join(map(str, version))] if version else [])]
        )

    @contextmanager
    def turn(self, until: float | None = None) -> Iterator[None]:
        """Our turn to write, if it comes before `until` (monotonic). On Postgres everybody has one. Raises LedgerUnavailable."""
        if self._lock is None:
            yield
            return
        latest = time.monotonic() + self._patience.store_seconds if until is None else until
        with (
            unavailable_when_failing(self._driver),
            self._watchdog.watching("waiting for the write lock") as waiting,
            self._lock.held(latest),
        ):
            waiting.ends()
            self._mine.turn = True
            try:
                yield
            finally:
                self._mine.turn = False

    @contextmanager
    def _turn_at_once(self) -> Iterator[None]:
        """The turn that this thread has, or one that is free now. Raises LedgerUnavailable."""
        if self._lock is None or getattr(self._mine, "turn", False):
            yield
            return
        with self._lock.tried() as is_ours:
            if not is_ours:
                raise LedgerUnavailable("somebody else has the turn to write", "locked")
            yield

    @contextmanager
    def write(self, *, seconds: float | None = None) -> Iterator[Connection]:
        """A transaction that is committed at the end. `seconds` bounds it; the default is that of storing a callback."""
        limit = self._patience.store_seconds if seconds is None else seconds
        options = {"offhook_writes": True, "offhook_limits": self._limits(limit)}
        with unavailable_when_failing(self._driver), self.turn():
            with self._transaction(limit, options) as connection:
                opened = connection.info.get("identity")
                yield connection
            self._must_be_in_place(opened)
        self._copy_wal_back()

    @contextmanager
    def read(self, *, patient: bool = False, seconds: float | None = None) -> Iterator[Connection]:
        """A transaction that changes nothing. `patient`: for a person, who may wait longer than a callback."""
        limit = self._usual(patient) if seconds is None else seconds
        options = {"offhook_limits": self._limits(limit)}
        with unavailable_when_failing(self._driver), self._transaction(limit, options) as connection:
            yield connection

    def execute_alone(self, statement: str, values: tuple[Any, ...], until: float | None = None) -> None:
        """One INSERT that is a transaction of its own, in our `turn`, over before `until` (monotonic).

        It must be safe to run twice: where the connection turns out to be useless, it is sent again on a new one.
        """
        latest = time.monotonic() + self._patience.store_seconds if until is None else until
        with unavailable_when_failing(self._driver):
            _once_more(lambda: self._execute(statement, values, latest), latest)

    def execute_bare(self, statement: str, seconds: float) -> None:
        """A statement of Postgres that bears no transaction around it (CREATE INDEX CONCURRENTLY)."""
        with unavailable_when_failing(self._driver), self._connected(seconds, {"offhook_bare": True}) as connection:
            connection.exec_driver_sql(statement)

    def ask(self, question: str, *, patient: bool = False) -> tuple[Any, ...]:
        """The one row that a SELECT gives, in one round trip and without a lock: a transaction of its own."""
        limit = self._usual(patient)
        options = {"offhook_bare": True, "offhook_one_statement": True}
        with unavailable_when_failing(self._driver):
            return _once_more(lambda: self._ask(question, limit, options), math.inf)

    def look_writable(self) -> None:
        """Whether the database takes writes, asked without one: what only a write finds out (a full disk) is not seen. Raises
        LedgerUnavailable.
        """
        if self.is_sqlite:
            self.ask("SELECT 1")
            takes = os.access(self._path, os.W_OK) and os.access(self._path.parent, os.W_OK)
        else:
            takes = self.ask(_TAKES_WRITES) == (True,)
        if not takes:
            raise LedgerUnavailable("the database takes no writes", "read_only")

    def _ask(self, question: str, seconds: float, options: dict[str, Any]) -> tuple[Any, ...]:
        with self._connected(seconds, options) as connection:
            if self.is_sqlite:
                return tuple(connection.exec_driver_sql(question).one())
            return postgres.ask(connection, question, self._limits(seconds), self.clock)

    def _execute(self, statement: str, values: tuple[Any, ...], until: float) -> None:
        left = max(0.05, until - time.monotonic())
        options = {"offhook_one_statement": True, "offhook_limits": self._limits(left, looks_up=False)}
        with self._connected(left, options) as connection:
            with connection.begin():
                connection.exec_driver_sql(statement, values)
            self._must_be_in_place(connection.info.get("identity"))

    def _usual(self, patient: bool) -> float:
        return self._patience.statement_seconds if patient else self._patience.store_seconds

    def _limits(self, seconds: float, *, looks_up: bool = True) -> postgres.Limits:
        idle = self._patience.idle_in_transaction_seconds
        return postgres.Limits(seconds, seconds, idle, looks_up, self._reads_only)

    @contextmanager
    def _transaction(self, seconds: float, options: dict[str, Any]) -> Iterator[Connection]:
        """Begun, once more on a new connection where the first one turns out to be useless; committed at the end."""
        latest = time.monotonic() + seconds
        with ExitStack() as stack:
            yield _once_more(lambda: self._begun(stack, seconds, options), latest)

    def _begun(self, stack: ExitStack, seconds: float, options: dict[str, Any]) -> Connection:
        with ExitStack() as opening:
            connection = opening.enter_context(self._connected(seconds, options))
            opening.enter_context(connection.begin())
            stack.enter_context(opening.pop_all())
            return connection

    @contextmanager
    def _connected(self, seconds: float, options: dict[str, Any]) -> Iterator[Connection]:
        """A connection that is cut when it is not given back in time."""
        ours: list[Any] = []
        self._opening.connections = ours

        def cut() -> bool:
            for raw in ours:
                self._driver.cut(raw)
            return bool(ours)

        with (
            self._watchdog.watching("connecting", seconds=seconds + _GRACE_SECONDS, cut=cut) as watch,
            self.engine.connect() as connection,
        ):
            watch.ends()
            connection.execution_options(**options)
            ours[:] = [connection.connection.driver_connection]
            connection.info[_WATCH] = watch
            try:
                yield connection
            finally:
                ours.clear()  # from here on it may be another thread's

    def _opened(self, raw: Any) -> Any:
        """A new connection, before SQLAlchemy asks its first questions on it: these have an end, too."""
        getattr(self._opening, "connections", []).append(raw)
        return raw

    def _must_be_in_place(self, opened: sqlite.Identity | None) -> None:
        """After a commit: raises LedgerUnavailable when it went into a file that is no longer the one at its path."""
        if self.is_sqlite and opened != sqlite.identity(self._path):
            raise sqlite.replaced(self._path)

    def _copy_wal_back(self) -> None:
        """SQLite: after our turn, so that nobody waits for it. Where only intake writes, SQLite does it by itself in the end.

        A SQLite in which copying back and a commit must not meet does it by itself always: in a commit, within our turn.
        """
        if not self._copies_wal_back or time.monotonic() < self._copy_wal_at:
            return
        self._copy_wal_at = time.monotonic() + _COPY_WAL_EVERY_SECONDS
        with (
            suppress(LedgerUnavailable),  # what is committed is safe in the WAL
            unavailable_when_failing(self._driver),
            self._connected(self._patience.store_seconds, {"offhook_one_statement": True}) as connection,
        ):
            sqlite.copy_wal_back(connection)

    def copy_into(self, file: Path, seconds: float) -> None:
        """SQLite: all of it, as it is now, into another file. Raises LedgerUnavailable, or sqlite.CopyFailed."""
        with (
            unavailable_when_failing(self._driver),
            self._connected(seconds, {"offhook_one_statement": True}) as connection,
        ):
            sqlite.copy_into(connection.connection.driver_connection, file)

    @property
    def is_there(self) -> bool:
        """False for a SQLite file that was not made yet."""
        return not self.is_sqlite or self._path.exists()

    def create(self) -> None:
        """Make the SQLite file where there is none, for its owner alone. Raises LedgerUnavailable."""
        if self.is_sqlite:
            with unavailable_when_failing(self._driver):
                sqlite.create_file(self._path)

    def check_trustworthy(self, *, allow_old_sqlite: bool) -> list[str]:
        """Read back what durability rests on. Returns warnings; raises LedgerRefused, or LedgerUnavailable when unreachable."""
        if not self.is_sqlite:
            with self.read() as connection:
                return postgres.check(connection)
        with self.turn():  # where the lock file cannot be made, no ledger can
            return sqlite.check(self.engine, self._url, allow_old=allow_old_sqlite)

    def close(self) -> None:
        self.engine.dispose()
        self._watchdog.close()
        if self._lock is not None:
            self._lock.close()


# https://www.postgresql.org/docs/current/hot-standby.html. Of a transaction that only reads `transaction_read_only` says nothing.
_TAKES_WRITES = "SELECT NOT pg_is_in_recovery() AND current_setting('default_transaction_read_only') = 'off'"
_WATCH = "offhook_watch"


def _once_more(step: Callable[[], T], until: float) -> T:
    """A step, and once more where its connection was at fault and there is time (monotonic) for a new one."""
    try:
        return step()
    except DBAPIError as error:
        if not error.connection_invalidated or time.monotonic() >= until:
            raise
    return step()


def _watch_of(connection: Connection) -> Watch:
    """The one that `_connected` set; another one, which nobody looks at, for what SQLAlchemy asks by itself."""
    found = connection.info.get(_WATCH)
    return found if isinstance(found, Watch) else Watch(None, None)


def _watch_statements(engine: Engine, driver: Any) -> None:
    """Which statement is under way, and which errors make a connection useless."""

    @event.listens_for(engine, "before_cursor_execute")
    def _begins(connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        _watch_of(connection).begins(statement)

    @event.listens_for(engine, "after_cursor_execute")
    def _ends(connection: Connection, *_: Any) -> None:
        _watch_of(connection).ends()

    @event.listens_for(engine, "commit")
    def _commits(connection: Connection) -> None:
        _watch_of(connection).begins("COMMIT")

    @event.listens_for(engine, "handle_error")
    def _fails(context: Any) -> None:
        if driver.is_useless(context.original_exception):
            context.is_disconnect = True
            engine.pool.dispose()  # the idle ones, too: on SQLite one that is left open makes the next as useless


@contextmanager
def unavailable_when_failing(driver: Any) -> Iterator[None]:
    """What the database or the disk refuses becomes LedgerUnavailable, with the first line of its reason and our word."""
    try:
        yield
    except PoolTimeout as error:
        raise LedgerUnavailable("all connections to the database are in use", "busy") from error
    except (DBAPIError, OSError) as error:
        cause = getattr(error, "orig", None) or error
        reason = str(cause).strip().splitlines()
        word = driver.word_of(cause) or "failing"
        remedy = "; run `flask db upgrade`" if word == "no_tables" else ""
        raise LedgerUnavailable(f"{type(error).__name__}: {reason[0] if reason else ''}{remedy}", word) from error
