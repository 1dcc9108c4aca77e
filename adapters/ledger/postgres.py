"""Postgres behind the ledger: how to connect, the limits of a transaction, what makes a connection useless.

It must work through a pooler that gives each transaction another session (PgBouncer, Supabase, Neon, Heroku's): no
start-up options, nothing that a session keeps, no prepared statements. So each transaction begins with its own limits.
https://www.pgbouncer.org/features.html
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, create_engine, event, text

from offhook.adapters.ledger.clock import LedgerClock, steady_seconds

if TYPE_CHECKING:
    import psycopg

# A peer that is gone without a word is noticed within half a minute, from our end and from the server's.
# https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-KEEPALIVES
_IDLE_SECONDS, _INTERVAL_SECONDS, _COUNT = 10, 5, 2
_UNACKNOWLEDGED_MILLISECONDS = 20_000

# https://www.postgresql.org/docs/current/errcodes-appendix.html: what a session will not get over. 25006: read-only (a
# former primary); 57P01 to 57P05: shut down, crashed, starting, dropped, idle for too long; 08: the connection itself.
_USELESS = frozenset({"25006", "57P01", "57P02", "57P03", "57P04", "57P05", "25P03"})
_WORDS = {
    "25006": "read_only",
    "55P03": "locked",
    "57014": "slow",
    "53100": "full",
    "42P01": "no_tables",
    "42703": "no_tables",
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one transaction, in seconds; None is no limit. `looks_up` is False where nothing is read that could be scanned."""

    statement_seconds: float | None
    lock_seconds: float | None
    idle_seconds: float | None
    looks_up: bool = True
    reads_only: bool = False

    def sql(self) -> str:
        """The statements that set them until the transaction ends."""
        values = {
            "statement_timeout": self.statement_seconds,
            "lock_timeout": self.lock_seconds,
            "idle_in_transaction_session_timeout": self.idle_seconds,
        }
        limits = [f"SET LOCAL {name} = {_milliseconds(value)}" for name, value in values.items()]
        changes_nothing = ("SET LOCAL transaction_read_only = on",) if self.reads_only else ()
        return "; ".join([*limits, *_SERVER_KEEPALIVES, *(_PLANS if self.looks_up else ()), *changes_nothing])


def _milliseconds(seconds: float | None) -> int:
    return 0 if seconds is None else max(1, round(seconds * 1000))


# Of the server's own end: a worker whose host is gone keeps its locks until its server process notices.
_SERVER_KEEPALIVES = (
    f"SET LOCAL tcp_keepalives_idle = {_IDLE_SECONDS}",
    f"SET LOCAL tcp_keepalives_interval = {_INTERVAL_SECONDS}",
    f"SET LOCAL tcp_keepalives_count = {_COUNT}",
    f"SET LOCAL tcp_user_timeout = {_UNACKNOWLEDGED_MILLISECONDS}",
)
# Every statement looks rows up by a key that has its index. A planner without statistics (after a restore, an upgrade,
# with autovacuum off) does not know that, and would rather read the whole table. Without a scan to fall back on it has
# nothing to guess; `jit` would compile for what such a plan seems to cost.
_PLANS = tuple(f"SET LOCAL {name} = off" for name in ("enable_seqscan", "enable_hashjoin", "enable_mergejoin", "jit"))
_TIME = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"


def engine_for(
    url: str,
    *,
    pool_size: int,
    pool_seconds: float,
    renew_seconds: float,
    connect_seconds: float,
    clock: LedgerClock,
    opened: Callable[[Any], Any],
) -> Engine:
    """Connections to any of the hosts that `url` names; libpq reads it, so `target_session_attrs` and all else count.

    `opened` is handed each new connection, and gives it back.
    """
    import psycopg  # SQLite alone does without (address.py says what to install)

    conninfo = url.replace("postgresql+psycopg://", "postgresql://", 1)
    options = _options(conninfo, connect_seconds)
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: opened(psycopg.connect(conninfo, **options)),
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=pool_seconds,
        pool_recycle=renew_seconds,
        use_native_hstore=False,  # it asks at every connection
    )

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        if options.get("offhook_bare"):
            return
        limits: Limits = options["offhook_limits"]
        asked_at = steady_seconds()
        # One message, one round trip. What comes before BEGIN is part of the transaction all the same.
        found = connection.exec_driver_sql(f"{_TIME}; BEGIN; {limits.sql()}").scalar_one()
        clock.anchor(_EPOCH + timedelta(microseconds=found), asked_at, steady_seconds())

    return engine


def ask(connection: Connection, question: str, limits: Limits, clock: LedgerClock) -> tuple[Any, ...]:
    """The only row of a SELECT, on a connection without a transaction: begun, limited, asked and over in one message."""
    asked_at = steady_seconds()
    result = connection.exec_driver_sql(f"{_TIME}; BEGIN; {limits.sql()}; {question}; COMMIT")
    cursor: Any = result.cursor
    now_micros = cursor.fetchone()[0]
    row: tuple[Any, ...] = ()
    while cursor.nextset():
        if cursor.description is not None:
            row = cursor.fetchone()
    result.close()
    clock.anchor(_EPOCH + timedelta(microseconds=now_micros), asked_at, steady_seconds())
    return tuple(row)


def _options(conninfo: str, connect_seconds: float) -> dict[str, Any]:
    """What is set unless the URL says otherwise."""
    ours: dict[str, Any] = {
        "connect_timeout": max(2, round(connect_seconds)),  # libpq takes whole seconds, and less than 2 as 2
        "application_name": "offhook",
        "keepalives": 1,
        "keepalives_idle": _IDLE_SECONDS,
        "keepalives_interval": _INTERVAL_SECONDS,
        "keepalives_count": _COUNT,
        "tcp_user_timeout": _UNACKNOWLEDGED_MILLISECONDS,
    }
    from psycopg.conninfo import conninfo_to_dict

    given = conninfo_to_dict(conninfo)
    wanted = {name: value for name, value in ours.items() if name not in given}
    # Transactions begin where we say so, with our own BEGIN. A prepared statement belongs to a session.
    return {**wanted, "autocommit": True, "prepare_threshold": None}


def word_of(error: BaseException) -> str | None:
    """Our word for an error of the driver."""
    state = getattr(error, "sqlstate", None)
    if state is None:
        return "unreachable" if _is_drivers_own(error) else None
    return "unreachable" if state.startswith(("08", "57P")) else _WORDS.get(state)


def _is_drivers_own(error: BaseException) -> bool:
    """True for an error that the driver met before the server could say anything."""
    return any((kind.__module__, kind.__name__) == ("psycopg", "OperationalError") for kind in type(error).__mro__)


def is_useless(error: BaseException) -> bool:
    """True when the connection will not write any more, so that a new one must be tried."""
    state = getattr(error, "sqlstate", None)
    return state is not None and (state in _USELESS or state.startswith("08"))


def cut(connection: psycopg.Connection[Any]) -> None:
    """End what the connection waits for, from another thread: both directions of its socket are closed.

    Never `close()`, which would free what the waiting thread still uses.
    """
    with socket.socket(fileno=os.dup(connection.fileno())) as twin:
        twin.shutdown(socket.SHUT_RDWR)


def check(connection: Connection) -> list[str]:
    """Read back what durability rests on. Returns warnings."""
    found = {name: connection.execute(text(f"SHOW {name}")).scalar_one() for name in ("fsync", "synchronous_commit")}
    return [
        f"Postgres has {name}={value}: an acknowledged callback can be lost when it crashes. Set it to on."
        for name, value in found.items()
        if value == "off"
    ]
