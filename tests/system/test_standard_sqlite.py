"""Where pysqlite3 has no wheel (ARM Linux, Intel Macs, musl) Offhook runs on the SQLite of Python itself, and keeps its promises."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from offhook.adapters.ledger.sqlite import has_reset_bug
from tests.support.ledger import sqlite_file
from tests.support.processes import (
    REPOSITORY,
    Process,
    Up,
    bare_environment,
    environment,
    flask,
    free_port,
    standard_sqlite,
)
from tests.system.conftest import Offhook
from tests.system.test_kill import under_kills

_IS_OLD = has_reset_bug(sqlite3.sqlite_version_info)
old_alone = pytest.mark.skipif(not _IS_OLD, reason=f"Python's own SQLite {sqlite3.sqlite_version} is a mended one")


def standard(env: dict[str, str]) -> dict[str, str]:
    return env | standard_sqlite()


def python(*arguments: str, folder: Path = REPOSITORY) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    env = standard(bare_environment())
    return subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True)


def test_without_the_package_the_sqlite_of_python_is_taken() -> None:
    program = "from offhook.adapters.ledger.sqlite import module; print(module().__name__, module().sqlite_version)"
    assert python("-c", program).stdout.split() == ["sqlite3", sqlite3.sqlite_version]


def test_the_ledgers_contract_holds_on_it() -> None:
    """All of tests/test_ledger.py and of tests/test_sqlite.py: who holds the write lock is asked of the old SQLite, too."""
    chosen = ("tests/test_ledger.py", "tests/test_sqlite.py", "-k", "not postgres")
    done = python("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *chosen)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert re.search(r"\b[3-9]\d passed", done.stdout), done.stdout[-500:]


@pytest.mark.soak
@pytest.mark.parametrize("empty_database_url", ["sqlite"], indirect=True)
def test_kills_under_load_lose_nothing_and_leave_a_whole_database(
    offhook: Offhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = Offhook.env
    monkeypatch.setattr(Offhook, "env", lambda self, **changes: standard(ours(self, **changes)))
    under_kills(offhook, kills_of_each=3, seed=4)
    with closing(sqlite3.connect(sqlite_file(offhook.database_url))) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.soak
def test_the_demonstration_runs_on_it_and_refuses_nothing(tmp_path: Path) -> None:
    with Up(standard(bare_environment()), tmp_path) as up:
        assert re.search(r"\d+ callbacks sent: .*204", up.log)


@old_alone
def test_a_start_on_it_says_so_once_and_a_setting_takes_the_line_away(tmp_path: Path) -> None:
    env = standard(environment(f"sqlite:///{tmp_path}/offhook.db"))
    assert flask("db", "upgrade", env=env, folder=tmp_path).returncode == 0
    said = start_of_web(env, tmp_path)
    assert said.count(f"SQLite {sqlite3.sqlite_version} can corrupt") == 1 and "OFFHOOK_ALLOW_OLD_SQLITE" in said
    assert "can corrupt" not in start_of_web(env | {"OFFHOOK_ALLOW_OLD_SQLITE": "1"}, tmp_path)


def start_of_web(env: dict[str, str], folder: Path) -> str:
    """What the web process says until it serves."""
    command = [sys.executable, "-m", "gunicorn", "-c", str(REPOSITORY / "gunicorn.conf.py"), "app:app"]
    with Serving(command, env | {"PORT": str(free_port())}, folder, f"web-{os.urandom(4).hex()}") as web:
        return web.log


class Serving(Process):
    def _wait_ready(self) -> None:
        self.wait_for_log("Booting worker")
