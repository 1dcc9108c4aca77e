"""SQLite behind the ledger, where a real file and its rights are what matters."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import event

from offhook.adapters.ledger import sqlite
from offhook.adapters.ledger.refused import LedgerRefused
from offhook.adapters.ledger.store import SqlLedger
from offhook.pipeline.customer import Customer
from offhook.pipeline.ports.unavailable import LedgerUnavailable
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


def test_a_closed_connection_lets_go_of_its_file_though_somebody_keeps_a_cursor(tmp_path: Path) -> None:
    """As the traceback of an error does: until it is gone each new connection would be as useless as the one that failed."""
    ledger = SqlLedger(f"sqlite:///{tmp_path}/offhook.db")
    ledger.migrations.upgrade()
    ledger.append([final(1), final(2)])
    connection = ledger.database.engine.raw_connection()
    kept = connection.cursor()
    kept.execute("SELECT seq FROM callbacks")
    assert kept.fetchone()
    connection.invalidate()
    ledger.close()
    assert [one.path for one in psutil.Process().open_files() if one.path.startswith(str(tmp_path))] == []


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
    assert [raw.call_sid for raw in ledger.stories.every_callback()] == [final(1).call_sid]
    assert (seen.copies, seen.without_lock) == (1, [])
    ledger.close()
