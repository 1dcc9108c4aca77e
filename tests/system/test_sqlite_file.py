"""The SQLite file, its WAL or its lock is deleted, moved or replaced under a running Offhook: never a 2xx for what is not kept."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.support import ledger
from tests.support.disks import mounted
from tests.support.load import Load, assert_kept, stored
from tests.support.twilio import Twilio, callback, new_sid, status_of
from tests.support.waiting import wait_until
from tests.system.conftest import Offhook

pytestmark = pytest.mark.parametrize("empty_database_url", ["sqlite"], indirect=True)


def file_of(offhook: Offhook) -> Path:
    return Path(ledger.sqlite_file(offhook.database_url))


def back_up(path: Path, to: Path) -> None:
    with closing(ledger.connect_sqlite(f"sqlite:///{path}")) as source:
        source.execute("VACUUM INTO ?", (str(to),))


def delete(path: Path) -> None:
    for ending in ("", "-wal", "-shm"):
        Path(f"{path}{ending}").unlink(missing_ok=True)


def delete_database_alone(path: Path) -> None:
    path.unlink()


def delete_wal(path: Path) -> None:
    Path(f"{path}-wal").unlink()


def delete_shm(path: Path) -> None:
    Path(f"{path}-shm").unlink()


def move_away(path: Path) -> None:
    path.rename(f"{path}.old")


def put_back_a_backup(path: Path) -> None:
    """As `cp backup new; mv new offhook.db` does it, with the old WAL left where it was."""
    new = path.with_name("new.db")
    back_up(path, new)
    new.rename(path)


def is_ready(twilio: Twilio) -> bool:
    return twilio.get("/readyz").status == 200


@pytest.mark.parametrize("harm", [delete, delete_database_alone, move_away], ids=lambda harm: harm.__name__)
def test_what_was_sent_after_the_file_had_gone_is_refused_until_it_is_back(
    offhook: Offhook, harm: Callable[[Path], None]
) -> None:
    path = file_of(offhook)
    with offhook.web(WEB_CONCURRENCY="2") as web:
        for _ in range(8):
            assert web.twilio.send(callback(new_sid())).status == 204
        kept = stored(offhook.database_url)
        assert len(kept) == 8
        spare = path.with_name("spare.db")
        back_up(path, spare)
        harm(path)
        refused = [web.twilio.send(callback(new_sid())) for _ in range(8)]
        assert {answer.status for answer in refused} == {503}
        assert all(int(answer.headers["retry-after"]) > 0 for answer in refused)
        ready = web.twilio.get("/readyz")
        assert ready.status == 503 and b"file" in ready.body and str(path).encode() not in ready.body
        assert not path.exists(), "a deleted database must not come back empty"
        web.wait_for_log("there is no file")

        delete(path)
        spare.rename(path)
        wait_until(lambda: is_ready(web.twilio), shows=lambda: web.log[-2000:])
        sid = new_sid()
        assert web.twilio.send(callback(sid)).status == 204
    assert {call_sid for call_sid, _ in stored(offhook.database_url)} == {call_sid for call_sid, _ in kept} | {sid}


@pytest.mark.parametrize("harm", [delete_wal, delete_shm, put_back_a_backup], ids=lambda harm: harm.__name__)
def test_a_file_replaced_under_load_loses_nothing_that_is_acknowledged(
    offhook: Offhook, harm: Callable[[Path], None]
) -> None:
    path = file_of(offhook)
    with offhook.web(WEB_CONCURRENCY="2") as web, offhook.worker() as worker:
        with Load(web.twilio) as before:
            wait_until(lambda: before.count(204) >= 20)
        wait_until(lambda: ledger.count(offhook.database_url, "callbacks", "folded = 0") == 0)
        harm(path)
        with Load(web.twilio) as load:
            wait_until(lambda: load.count(204) >= 40, shows=lambda: web.log[-2000:])
        assert is_ready(web.twilio)
        assert web.is_running and worker.is_running
    assert_kept(before, offhook.database_url)
    assert_kept(load, offhook.database_url)
    assert ledger.query(offhook.database_url, "PRAGMA integrity_check") == [{"integrity_check": "ok"}]


def test_a_deleted_lock_file_lets_nobody_in_twice_and_is_made_anew(offhook: Offhook) -> None:
    lock = Path(f"{file_of(offhook)}.lock")
    with offhook.web(WEB_CONCURRENCY="2") as web, offhook.worker():
        with Load(web.twilio) as load:
            for _ in range(5):
                before = load.count(204)
                lock.unlink(missing_ok=True)
                wait_until(lambda before=before: load.count(204) >= before + 20)  # type: ignore[misc]
        assert lock.exists()
        assert load.count(503) == 0
    assert_kept(load, offhook.database_url)


def test_a_volume_mounted_over_the_folder_is_refused_and_its_end_heals(offhook: Offhook, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    shutil.copyfile(file_of(offhook), data / "offhook.db")
    inside = Offhook(f"sqlite:///{data}/offhook.db", tmp_path, offhook.sink)
    with inside.web() as web:
        assert web.twilio.send(callback(new_sid())).status == 204
        with mounted(data, "8m"):
            assert [status_of(web.twilio, callback(new_sid())) for _ in range(3)] == [503, 503, 503]
            assert not is_ready(web.twilio)
        wait_until(lambda: is_ready(web.twilio), shows=lambda: web.log[-2000:])
        assert web.twilio.send(callback(new_sid())).status == 204
    assert len(stored(inside.database_url)) == 2


def test_a_worker_on_a_file_that_was_replaced_goes_on_with_the_new_one(offhook: Offhook) -> None:
    path = file_of(offhook)
    with offhook.worker() as worker:
        put_back_a_backup(path)
        with offhook.web() as web:
            assert web.twilio.send(callback(new_sid())).status == 204
            wait_until(lambda: offhook.states() == {"delivered": 1}, shows=lambda: worker.log[-2000:])
