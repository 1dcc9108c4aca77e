"""Files that are held: nobody else gets their inode numbers, and letting one go takes no lock from whoever holds it, too."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from offhook.adapters.ledger.held_files import HeldFiles
from offhook.adapters.ledger.store import SqlLedger
from tests.support.ledger import count
from tests.test_ledger import final

_IS_LOCKED = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'rb+'), fcntl.LOCK_EX | fcntl.LOCK_NB)"


def is_open(path: Path) -> bool:
    return str(path) in {one.path for one in psutil.Process().open_files()}


def test_a_file_that_is_held_gives_its_number_to_no_other(tmp_path: Path) -> None:
    path, held = tmp_path / "held", HeldFiles()
    path.touch()
    number = path.stat().st_ino
    held.hold([str(path), str(tmp_path / "none")])
    path.unlink()
    others = [tmp_path / f"{n}" for n in range(50)]
    for other in others:
        other.touch()
    assert number not in {other.stat().st_ino for other in others}
    held.release()
    assert not is_open(path)


def test_a_file_of_two_holders_stays_open_with_its_locks_until_the_last_lets_it_go(tmp_path: Path) -> None:
    path, one, other = tmp_path / "held", HeldFiles(), HeldFiles()
    path.touch()
    one.hold([str(path)])
    other.hold([str(path)])
    with path.open("rb+") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        one.release()
        assert subprocess.run([sys.executable, "-c", _IS_LOCKED, str(path)], stderr=subprocess.DEVNULL).returncode == 1
    assert is_open(path)
    other.release()
    assert not is_open(path)


@pytest.mark.parametrize("files_between", range(4))  # which of the numbers that are free the new WAL gets
def test_a_wal_that_another_has_made_anew_is_not_taken_for_that_of_the_former_database(
    sqlite_template: str, tmp_path: Path, files_between: int
) -> None:
    file, spare = tmp_path / "offhook.db", tmp_path / "spare.db"
    for path in (file, spare):
        path.write_bytes(Path(sqlite_template.removeprefix("sqlite:///")).read_bytes())
    url = f"sqlite:///{file}"
    with closing(SqlLedger(url)) as ours, closing(SqlLedger(url)) as others:
        ours.append([final(1)])
        ours.database.engine.pool.dispose()
        spare.rename(file)
        for number in range(files_between):
            (tmp_path / str(number)).touch()
        others.append([final(2)])
        ours.append([final(3)])
        assert sorted(path.name for path in tmp_path.glob("*replaced*")) == []
        assert count(url, "callbacks") == 2
