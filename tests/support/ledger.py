"""The ledger as anybody with a database client sees it. Imports nothing of Offhook."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Any

import psycopg
from psycopg.rows import dict_row

from tests.support.waiting import HANGS_AFTER_SECONDS

try:
    from pysqlite3 import dbapi2 as sqlite
except ImportError:
    import sqlite3 as sqlite

Rows = list[dict[str, Any]]


def sqlite_file(url: str) -> str:
    return url.removeprefix("sqlite:///")


def connect_sqlite(url: str) -> Any:
    """A connection that begins no transaction by itself."""
    return sqlite.connect(sqlite_file(url), timeout=HANGS_AFTER_SECONDS, isolation_level=None)


def query(url: str, sql: str) -> Rows:
    """All rows, each as a dictionary."""
    if not url.startswith("sqlite"):
        with psycopg.connect(url, row_factory=dict_row) as connection:
            return connection.execute(sql.encode()).fetchall()
    with closing(connect_sqlite(url)) as connection:
        cursor = connection.execute(sql)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def count(url: str, table: str, where: str = "1 = 1") -> int:
    return int(query(url, f"SELECT count(*) AS found FROM {table} WHERE {where}")[0]["found"])


def change(url: str, sql: str) -> None:
    """One statement, committed."""
    if not url.startswith("sqlite"):
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(sql.encode())
        return
    with closing(connect_sqlite(url)) as connection:
        connection.execute(sql)


def add_customer(url: str, phone: str, email: str) -> None:
    now = time.time_ns() // 1000
    change(url, f"INSERT INTO customers (phone, email, changed_at) VALUES ('{phone}', '{email}', {now})")
