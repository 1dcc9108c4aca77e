"""The turn to write to a SQLite file: one at a time on a machine, across threads, processes and forks; and what a commit waits for."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from offhook.adapters.ledger import sqlite
from offhook.adapters.ledger.refused import LedgerRefused
from offhook.adapters.ledger.store import SqlLedger
from offhook.adapters.ledger.write_lock import FairLock
from offhook.pipeline.ports.unavailable import LedgerUnavailable

pytestmark = pytest.mark.unit


def test_every_connection_waits_for_the_disk_at_each_commit(tmp_path: Path) -> None:
    """`synchronous` is a connection's own affair: NORMAL on one of them, and a power cut takes what was acknowledged."""
    ledger = SqlLedger(f"sqlite:///{tmp_path}/offhook.db")
    ledger.migrations.upgrade()
    with ledger.database.read() as one, ledger.database.read() as other, ledger.database.write() as writing:
        found = [each.exec_driver_sql("PRAGMA synchronous").scalar_one() for each in (one, other, writing)]
        modes = [each.exec_driver_sql("PRAGMA journal_mode").scalar_one() for each in (one, other, writing)]
    ledger.close()
    assert (found, modes) == (
        [2, 2, 2],
        ["wal"] * 3,
    )  # 2 is FULL: https://www.sqlite.org/pragma.html#pragma_synchronous


def test_a_file_system_that_gives_less_than_full_is_refused_at_the_start(tmp_path: Path) -> None:
    ledger = SqlLedger(f"sqlite:///{tmp_path}/offhook.db")
    ledger.migrations.upgrade()

    @event.listens_for(ledger.database.engine, "checkout")
    def _half(connection: Any, _record: object, _proxy: object) -> None:
        connection.execute("PRAGMA synchronous=NORMAL")

    with pytest.raises(LedgerRefused, match="synchronous=1"):
        sqlite.check(ledger.database.engine, f"sqlite:///{tmp_path}/offhook.db", allow_old=True)
    ledger.close()


def soon() -> float:
    """Long enough, however busy the machine: nobody here has the turn for longer than a line."""
    return time.monotonic() + 60


def is_free(path: Path) -> bool:
    """Whether another process could take its turn now."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(file)
    return True


def test_whoever_has_the_turn_to_write_has_it_alone_on_this_machine_and_gives_it_back(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    one, other = FairLock(path), FairLock(path)
    with one.held(soon()):
        assert not is_free(path)
        with other.tried() as ours:
            assert not ours
    assert is_free(path)
    with one.tried() as ours:
        assert ours and not is_free(path)
    assert is_free(path)
    one.close()
    other.close()


def test_a_lock_file_that_was_deleted_or_replaced_is_opened_anew_for_it_excludes_nobody(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock = FairLock(path)
    with lock.held(soon()):
        pass
    path.unlink()
    with lock.tried() as ours:
        assert ours and not is_free(path)
    path.unlink()
    path.touch()
    with lock.held(soon()):
        assert not is_free(path)
    lock.close()


def test_a_lock_that_is_closed_or_opened_anew_leaves_no_file_open(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock, made = FairLock(path), list[os.stat_result]()
    for _ in range(3):
        with lock.held(soon()):
            made.append(path.stat())
            assert _open_files(made) == 1
        path.unlink()
    lock.close()
    assert _open_files(made) == 0


def _open_files(these: list[os.stat_result]) -> int:
    """How many of this process's descriptors are one of these files, deleted or not."""
    found = 0
    for descriptor in range(1024):
        with suppress(OSError):
            found += any(os.path.samestat(os.fstat(descriptor), one) for one in these)
    return found


def in_a_child(asked: Callable[[], bool]) -> bool:
    """What a forked process finds; a trouble in it is False, and it runs nothing of pytest."""
    child = os.fork()
    if child == 0:
        found = False
        try:
            found = asked()
        finally:
            os._exit(0 if found else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("is_held", [True, False])
def test_a_forked_process_waits_for_its_parent_s_turn_to_end_as_any_other_does(tmp_path: Path, is_held: bool) -> None:
    """gunicorn forks: a lock file that was opened before would be locked by parent and child at once."""
    lock = FairLock(tmp_path / "lock")
    with lock.held(soon()):
        pass  # it has its file open from now on
    begin, answer = os.pipe(), os.pipe()

    def gets_it() -> bool:
        os.read(begin[0], 1)
        with lock.tried() as ours:
            return ours

    def ask() -> bool:
        os.write(begin[1], b"!")
        return os.read(answer[0], 1) == b"1"

    child = os.fork()
    if child == 0:
        try:
            os.write(answer[1], b"1" if gets_it() else b"0")
        finally:
            os._exit(0)
    if is_held:
        with lock.held(soon()):
            assert not ask()
    else:
        assert ask()
    os.waitpid(child, 0)
    lock.close()
    for file in (*begin, *answer):
        os.close(file)


def test_a_child_that_ends_takes_its_parent_s_turn_from_nobody(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock = FairLock(path)
    with lock.held(soon()):
        assert in_a_child(lambda: True)
        assert not is_free(path)
    lock.close()


def test_a_turn_that_comes_too_late_is_given_back_and_refused(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock = FairLock(path)
    with pytest.raises(LedgerUnavailable) as late, lock.held(0.0):
        raise AssertionError("nothing is written by it")
    assert late.value.word == "locked"
    assert is_free(path)
    lock.close()
