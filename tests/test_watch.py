"""A run of the tests that is ended by a signal leaves nothing running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.processes import REPOSITORY
from tests.support.waiting import wait_until

_RUN = """
import signal, sys
from pathlib import Path
from tests.support.postgres import PostgresServer
from tests.support.processes import Process
server = PostgresServer()
beside = Process([sys.executable, "-c", "import signal; signal.pause()"], {}, Path(sys.argv[1]), "beside").start()
folder = server._folder
print(folder, (folder / "data" / "postmaster.pid").read_text().split()[0], beside.pid, flush=True)
signal.pause()
"""


@pytest.fixture
def no_postgres_is_missing(postgres: object) -> None:
    """Where there is none this is skipped, as all others."""


@pytest.mark.usefixtures("no_postgres_is_missing")
def test_what_a_killed_run_has_started_ends_with_it(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(
        [sys.executable, "-c", _RUN, str(tmp_path)], env=env, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as run:
        assert run.stdout is not None
        folder, server, beside = run.stdout.readline().split()
        assert psutil.pid_exists(int(server)) and psutil.pid_exists(int(beside))
        os.killpg(run.pid, signal.SIGKILL)
    wait_until(lambda: not psutil.pid_exists(int(server)))
    wait_until(lambda: not Path(folder).exists())
    assert not psutil.pid_exists(int(beside)) or psutil.Process(int(beside)).status() == psutil.STATUS_ZOMBIE
