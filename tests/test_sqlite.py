"""SQLite behind the ledger, where a real file and its rights are what matters."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from offhook.adapters.ledger import sqlite
from offhook.adapters.ledger.refused import LedgerRefused
from offhook.adapters.ledger.store import SqlLedger
from offhook.adapters.ledger.write_lock import FairLock
from offhook.pipeline.conversion import Customer
from offhook.pipeline.ports import LedgerUnavailable
from offhook.pipeline.steps import attempt, decide_batch, fold_batch
from tests.support.ledger import count
from tests.test_ledger import CALLER, DELIVERED, JUDGE, NOON, POLICY, final

_NOBODY = 65534
_BEGINS_TO_WRITE = re.compile(
    r"INSERT|UPDATE|DELETE|CREATE|ALTER|DROP|BEGIN IMMEDIATE|WITH\b.*(INSERT|UPDATE|DELETE)", re.S
)


@contextmanager
def folder_of_an_ordinary_user() -> Iterator[Path]:
    """To whom the mode of a file means something; root writes to whatever there is."""
    folder = Path(tempfile.mkdtemp(prefix="offhook-ro-"))
    if os.geteuid() != 0:
        yield folder
        shutil.rmtree(folder)
        return
    os.chown(folder, _NOBODY, _NOBODY)
    os.seteuid(_NOBODY)
    try:
        yield folder
    finally:
        os.seteuid(0)
        shutil.rmtree(folder)


def test_a_file_that_was_read_only_for_a_moment_takes_writes_again() -> None:
    with folder_of_an_ordinary_user() as folder:
        file = folder / "offhook.db"
        made = SqlLedger(f"sqlite:///{file}")
        made.migrations.upgrade()
        made.append([final(1)])
        made.close()
        file.chmod(0o400)
        opened = SqlLedger(f"sqlite:///{file}")
        with pytest.raises(LedgerUnavailable) as refused:
            opened.append([final(2)])
        assert refused.value.word == "read_only"
        file.chmod(0o600)
        opened.append([final(2)])
        opened.close()
        assert count(f"sqlite:///{file}", "callbacks") == 2


class Witness:
    """Looks at each statement of a ledger: one that writes, or copies the WAL back, must find the write lock taken."""

    def __init__(self, ledger: SqlLedger, file: Path) -> None:
        self.writes = self.commits = self.copies = 0
        self.without_lock: list[str] = []
        self._lock = Path(f"{file}.lock")
        event.listen(ledger.database.engine, "connect", lambda raw, _record: raw.set_trace_callback(self._of(raw)))

    def _of(self, raw: Any) -> Callable[[str], None]:
        writing = False

        def traced(statement: str) -> None:
            nonlocal writing
            ends = statement in ("COMMIT", "ROLLBACK")
            begins = _BEGINS_TO_WRITE.match(statement) is not None
            copies = "wal_checkpoint" in statement
            self.writes += begins
            self.copies += copies
            self.commits += ends and writing
            if (begins or copies or (ends and writing)) and not self._is_taken():
                self.without_lock.append(statement)
            writing = not ends and (writing or (begins and raw.in_transaction) or statement == "BEGIN IMMEDIATE")

        return traced

    def _is_taken(self) -> bool:
        file = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(file)
        return False


def test_every_write_has_the_write_lock_and_where_sqlite_has_the_reset_bug_all_that_copies_the_wal_back(
    tmp_path: Path,
) -> None:
    file = tmp_path / "offhook.db"
    ledger = SqlLedger(f"sqlite:///{file}")
    seen = Witness(ledger, file)
    ledger.migrations.upgrade()
    ledger.merge_customers([Customer(CALLER, "a@example.test", None)])
    ledger.append([final(number) for number in range(20)])
    ledger.prove_writable(5)
    fold_batch(ledger, JUDGE, 20)
    assert decide_batch(ledger, JUDGE, NOON, 20) == 20
    taken = ledger.claim(NOON, 10, 60, POLICY).taken
    ledger.finish([attempt(one, DELIVERED, NOON, NOON, POLICY) for one in taken], NOON)
    assert len(taken) == 10
    ledger.close()
    assert seen.writes > 20 and seen.commits >= 6
    allowed = {"PRAGMA wal_checkpoint(PASSIVE)"} if not sqlite.has_reset_bug() else set()
    assert set(seen.without_lock) <= allowed
    assert seen.copies == 0 or not sqlite.has_reset_bug()


@pytest.mark.parametrize(
    ("version", "has_it"),
    [
        ((3, 35, 0), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 9), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 53, 4), False),
    ],
)
def test_which_sqlite_has_the_reset_bug(version: tuple[int, ...], has_it: bool) -> None:
    assert sqlite.has_reset_bug(version) is has_it


def test_a_sqlite_that_cannot_run_our_statements_is_refused_with_what_to_do() -> None:
    with pytest.raises(
        LedgerRefused, match=r"3\.26\.0 is too old, 3\.35\.0 is needed.*Python that brings a newer one.*Postgres"
    ):
        list(sqlite.doubts((3, 26, 0), allow_old=True))


def test_what_only_a_deleted_wal_held_is_saved_within_the_write_lock(tmp_path: Path) -> None:
    file = tmp_path / "offhook.db"
    ledger = SqlLedger(f"sqlite:///{file}")
    seen = Witness(ledger, file)
    ledger.migrations.upgrade()
    ledger.append([final(1)])
    seen.copies, seen.without_lock = 0, []
    Path(f"{file}-wal").unlink()
    assert [raw.call_sid for raw in ledger.inspection.every_callback()] == [final(1).call_sid]
    assert (seen.copies, seen.without_lock) == (1, [])
    ledger.close()


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


# The turn to write


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
    begin, told = os.pipe(), os.pipe()

    def gets_it() -> bool:
        os.read(begin[0], 1)
        with lock.tried() as ours:
            return ours

    def ask() -> bool:
        os.write(begin[1], b"!")
        return os.read(told[0], 1) == b"1"

    child = os.fork()
    if child == 0:
        try:
            os.write(told[1], b"1" if gets_it() else b"0")
        finally:
            os._exit(0)
    if is_held:
        with lock.held(soon()):
            assert not ask()
    else:
        assert ask()
    os.waitpid(child, 0)
    lock.close()
    for file in (*begin, *told):
        os.close(file)


def test_a_child_that_ends_takes_its_parent_s_turn_from_nobody(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock = FairLock(path)
    with lock.held(soon()):
        assert in_a_child(lambda: True)
        assert not is_free(path)
    lock.close()


def test_a_turn_that_comes_too_late_is_given_back_and_told(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock = FairLock(path)
    with pytest.raises(LedgerUnavailable) as late, lock.held(0.0):
        raise AssertionError("nothing is written by it")
    assert late.value.word == "locked"
    assert is_free(path)
    lock.close()
