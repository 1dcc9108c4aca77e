"""A real PgBouncer (Debian's package) before the tests' Postgres, in transaction mode. Imports nothing of Offhook."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support import watch
from tests.support.postgres import PostgresServer
from tests.support.processes import free_port
from tests.support.waiting import wait_until

_CONFIG = """
[databases]
* = host={server} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
logfile = {folder}/pgbouncer.log
"""


def found() -> str | None:
    """Where it is; None on a machine without it."""
    return shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/sbin")


@contextmanager
def running(server: PostgresServer) -> Iterator[int]:
    """The port of this machine that it listens on. It refuses to run as root, so there it runs as Postgres does."""
    program, port = found(), free_port()
    assert program is not None
    folder = Path(tempfile.mkdtemp(prefix="offhook-bouncer-"))
    config = folder / "pgbouncer.ini"
    config.write_text(_CONFIG.format(server=server.socket_folder, port=port, folder=folder))
    if os.geteuid() == 0:
        user = pwd.getpwuid(Path(server.socket_folder).stat().st_uid)
        os.chown(folder, user.pw_uid, user.pw_gid)
        command = [program, "-q", "-u", user.pw_name, str(config)]
    else:
        command = [program, "-q", str(config)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    watch.group_runs(process.pid)
    try:
        wait_until(lambda: _listens(port) or process.poll() is not None)
        assert process.poll() is None, (folder / "pgbouncer.log").read_text()
        yield port
    finally:
        process.kill()
        process.wait()
        watch.group_ended(process.pid)
        shutil.rmtree(folder)


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
