"""A source that is asked by SQL: who has this number? One SELECT in a transaction that may not write and is never committed.

The number is bound (`:phone`, `:national`, `:digits`), never part of the statement. The time limit holds whatever the driver
does: each question runs in a thread of its own, which is left behind where nothing ends it, a few at most.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTime
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from offhook.adapters.customers.answers import AnswerLimits, Record, WrongAnswer, answer_of
from offhook.pipeline.look_up import Answer, Later
from offhook.pipeline.phone import national

log = logging.getLogger("offhook.look_ups")

_RENEW_SECONDS = 300
_IDS = ("customer_id", "id")


@dataclass(frozen=True, slots=True)
class SqlQuestion:
    """A database (any URL of SQLAlchemy's) and a SELECT. Its columns `email` and `customer_id` (or `id`) say who it is, all
    others are attributes; a row each customer."""

    database: str = field(repr=False)
    sql: str


@dataclass(frozen=True, slots=True)
class SqlLimits:
    """Seconds for one question, connecting included, how many are asked at once, and how many rows of an answer are read."""

    deadline_seconds: float = 5.0
    at_once: int = 8
    rows: int = 100
    values: AnswerLimits = field(default_factory=AnswerLimits)


class SqlSource:
    """`CallerSource` over SQL. Connects to nothing before it is asked. Raises ValueError for a database without a driver, and
    for a statement that binds no number.
    """

    def __init__(self, name: str, question: SqlQuestion, limits: SqlLimits) -> None:
        self.name = name
        self._limits = limits
        self._sql = text(question.sql)
        self._bound = _bound(question.sql)
        self._engine = _engine(question.database, limits)
        self._places = threading.BoundedSemaphore(2 * limits.at_once)

    def __repr__(self) -> str:
        return f"SqlSource({self.name!r})"

    def find(self, phone: str) -> Answer:
        known = {"phone": phone, "national": national(phone), "digits": phone.removeprefix("+")}
        values = {name: known[name] for name in self._bound}
        ends_at = time.monotonic() + self._limits.deadline_seconds
        if not self._places.acquire(timeout=self._limits.deadline_seconds):
            return Later("sql_hangs", "questions before this one have not come back")
        asking = _Asking(self._engine, ends_at, self._limits.rows)
        answer: Future[Sequence[Mapping[str, Any]]] = Future()

        def run() -> None:
            try:
                answer.set_result(asking.rows(self._sql, values))
            except BaseException as error:
                answer.set_exception(error)
            finally:
                self._places.release()

        threading.Thread(target=run, name=f"look-up-{self.name}", daemon=True).start()
        return self._read(answer, asking)

    def close(self) -> None:
        self._engine.dispose()

    def _read(self, answer: Future[Sequence[Mapping[str, Any]]], asking: _Asking) -> Answer:
        try:
            rows = answer.result(max(0.0, asking.ends_at - time.monotonic()))
            return answer_of([_record(row) for row in rows], self._limits.values)
        except WrongAnswer as error:
            return error.later
        except NotInTime:
            asking.give_up()
            return Later("deadline", f"no answer within {self._limits.deadline_seconds:g} s")
        except Exception as error:
            return _later(error, is_over=time.monotonic() >= asking.ends_at)


class _Asking:
    """One question under way."""

    def __init__(self, engine: Engine, ends_at: float, rows: int) -> None:
        self._engine = engine
        self._rows = rows
        self.ends_at = ends_at
        self._guard = threading.Lock()
        self._raw: Any = None

    def rows(self, sql: Any, values: Mapping[str, str]) -> Sequence[Mapping[str, Any]]:
        """The first rows. What was begun is rolled back, whatever it did."""
        with self._engine.connect() as connection:
            with self._guard:
                self._raw = connection.connection.driver_connection
            try:
                _limit(connection, max(0.001, self.ends_at - time.monotonic()))
                result = connection.execute(sql, values)
                return [dict(row) for row in result.mappings().fetchmany(self._rows)]
            finally:
                with self._guard:
                    self._raw = None
                connection.rollback()

    def give_up(self) -> None:
        """Let the database stop working at it, where its driver can say so."""
        with self._guard, suppress(Exception):
            stop = getattr(self._raw, "interrupt", None)  # SQLite's; Postgres and MySQL have a limit of their own
            if stop is not None:
                stop()


def _limit(connection: Connection, seconds: float) -> None:
    """A transaction that may not write, and that the server itself ends in time, where it can."""
    milliseconds = max(1, int(seconds * 1000))
    match connection.dialect.name:
        case "postgresql":
            connection.exec_driver_sql("SET TRANSACTION READ ONLY")
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = {milliseconds}")
        case "mysql" | "mariadb":
            connection.exec_driver_sql("SET TRANSACTION READ ONLY")
        case "sqlite":
            connection.exec_driver_sql("PRAGMA query_only = ON")


def checked_sql(sql: str) -> str:
    """Raises ValueError for a statement that binds no number."""
    _bound(sql)
    return sql


def checked_database(database: str) -> str:
    """Raises ValueError for a database without a driver. Connects to nothing."""
    _engine(database, SqlLimits()).dispose()
    return database


def _bound(sql: str) -> set[str]:
    bound = set(text(sql).compile().params)
    if not bound or bound - {"phone", "national", "digits"}:
        raise ValueError("must be a SELECT that binds :phone, :national or :digits, and nothing else")
    return bound


def _engine(database: str, limits: SqlLimits) -> Engine:
    try:
        url = _url(database)
        options: dict[str, Any] = {"pool_size": limits.at_once, "max_overflow": limits.at_once}
        options |= {"pool_timeout": limits.deadline_seconds, "pool_recycle": _RENEW_SECONDS, "pool_pre_ping": True}
        return create_engine(url, connect_args=_arguments(url, limits), **options)
    except (ArgumentError, NoSuchModuleError):
        raise ValueError("must be a URL such as postgresql://reader:password@db.example.com/shop") from None
    except ModuleNotFoundError as error:
        raise ValueError(f"its driver is not installed (pip install {error.name})") from None
    except ValueError:  # its text may hold a piece of the password
        raise ValueError("cannot be read as a URL") from None


def _url(database: str) -> URL:
    """As SQLAlchemy takes it, with our driver for Postgres. A SQLite file is opened to be read, and never made."""
    url = make_url(database)
    if url.drivername in ("postgres", "postgresql"):
        return url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() != "sqlite":
        return url
    if not url.database or url.database == ":memory:":
        raise ArgumentError("in memory")
    if url.database.startswith("file:"):
        return url
    path = quote(str(Path(url.database).absolute()))
    return url.set(database=f"file:{path}", query={"mode": "ro", "uri": "true"})


def _arguments(url: URL, limits: SqlLimits) -> dict[str, Any]:
    seconds = max(1, round(limits.deadline_seconds))
    match url.get_backend_name(), url.get_driver_name():
        case "postgresql", "psycopg":
            return {"connect_timeout": max(2, seconds), "prepare_threshold": None}  # a pooler keeps no statement
        case "mysql" | "mariadb", "pymysql" | "mysqldb":
            return {"connect_timeout": seconds, "read_timeout": seconds, "write_timeout": seconds}
        case "sqlite", _:
            return {"timeout": limits.deadline_seconds, "check_same_thread": False}
    return {}


def _record(row: Mapping[str, Any]) -> Record:
    """Raises WrongAnswer for a row that has no column of an email or an id."""
    named = {str(name).lower(): value for name, value in row.items()}
    key = next((name for name in _IDS if name in named), None)
    if "email" not in named and key is None:
        raise WrongAnswer("no_customer_in_answer", "no column is called email, customer_id or id")
    rest = {name: value for name, value in named.items() if name not in ("email", key)}
    return Record(named.get("email"), named.get(key or ""), rest)


def _later(error: Exception, *, is_over: bool) -> Later:
    """The type alone: the text of an error may hold the number, and the password."""
    if is_over or "timeout" in type(getattr(error, "orig", error)).__name__.lower() or isinstance(error, PoolTimeout):
        return Later("deadline", type(error).__name__)
    name = type(getattr(error, "orig", None) or error).__name__
    if isinstance(error, DBAPIError) and (error.connection_invalidated or "Operational" in name):
        return Later("sql_unreachable", name)
    if not isinstance(error, SQLAlchemyError):
        log.warning("look_up_error", extra={"error": name})
    return Later("sql_failed", name)
