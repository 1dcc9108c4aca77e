"""The database goes away, is full, is locked or is empty: 503 with Retry-After, never a false 204, and it heals by itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests import sinks
from tests.support import ledger
from tests.support.disks import Disk, limited_files, small_tmpfs
from tests.support.load import Load, assert_kept
from tests.support.postgres import PostgresServer
from tests.support.processes import Process
from tests.support.twilio import CALLER, callback, new_sid
from tests.support.waiting import wait_until
from tests.system.conftest import Offhook

only_sqlite = pytest.mark.parametrize("empty_database_url", ["sqlite"], indirect=True)


def assert_refused_in_time(load: Load) -> None:
    assert {answer.status for answer in load.refusals} == {503}
    assert all(int(answer.headers["retry-after"]) > 0 for answer in load.refusals)
    assert load.count(0) == 0  # none was left without an answer until Twilio would have given up


def wait_until_refused(load: Load) -> None:
    before = load.count(503)
    wait_until(lambda: load.count(503) >= before + 8, shows=lambda: str(load.answers))


def wait_until_accepted(load: Load) -> None:
    before = load.count(204)
    wait_until(lambda: load.count(204) >= before + 30, shows=lambda: str(load.answers))


def wait_until_delivered(offhook: Offhook, load: Load, worker: Process) -> None:
    """Every call whose end was acknowledged has arrived."""
    ended = {sid for sid, status in load.acknowledged if status == "completed"}

    def all_delivered() -> bool:
        return ledger.count(offhook.database_url, "conversions", "state = 'delivered'") >= len(ended)

    wait_until(all_delivered, shows=lambda: f"{offhook.states()} {worker.log[-2000:]}")
    converted = {row["call_sid"] for row in ledger.query(offhook.database_url, "SELECT call_sid FROM conversions")}
    assert ended <= converted


def test_postgres_may_crash_under_load_and_come_back(lone_offhook: Offhook, own_postgres: PostgresServer) -> None:
    with lone_offhook.web() as web, lone_offhook.worker() as worker:
        with Load(web.twilio) as load:
            for _ in range(2):
                wait_until_accepted(load)
                own_postgres.stop()
                try:
                    wait_until_refused(load)
                    accepted = load.count(204)
                    wait_until_refused(load)
                    assert load.count(204) == accepted
                    assert web.twilio.get("/readyz").status == 503
                    assert web.twilio.get("/healthz").status == 200
                finally:
                    own_postgres.start()
            wait_until_accepted(load)
            assert web.twilio.get("/readyz").status == 200
        wait_until_delivered(lone_offhook, load, worker)
        assert web.is_running and worker.is_running
        worker.wait_for_log("ledger_unavailable")
    assert_kept(load, lone_offhook.database_url)
    assert_refused_in_time(load)


@pytest.fixture(params=["tmpfs", "rlimit"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    """A disk that can be full. Mounting needs root; the limit on files needs nothing."""
    kind = {"tmpfs": small_tmpfs, "rlimit": limited_files}[request.param]
    with kind(tmp_path / "disk") as made:
        yield made


def test_callbacks_are_refused_while_the_disk_is_full_and_taken_afterwards(
    disk: Disk, tmp_path: Path, sink: sinks.Sink
) -> None:
    offhook = Offhook(f"sqlite:///{disk.folder}/offhook.db", tmp_path, sink)
    offhook.upgrade()
    ledger.add_customer(offhook.database_url, CALLER, "caller@example.test")
    with offhook.web() as web, offhook.worker() as worker:
        with Load(web.twilio) as load:
            wait_until_accepted(load)
            disk.fill(web.pid)
            wait_until_refused(load)
            # What /readyz writes is smaller than a callback: for a while it may find room where callbacks do not.
            wait_until(lambda: web.twilio.get("/readyz").status == 503)
            disk.free(web.pid)
            wait_until_accepted(load)
            assert web.twilio.get("/readyz").status == 200
        wait_until_delivered(offhook, load, worker)
        assert web.is_running and worker.is_running
    assert_kept(load, offhook.database_url)
    assert_refused_in_time(load)
    assert ledger.query(offhook.database_url, "PRAGMA integrity_check") == [{"integrity_check": "ok"}]


@only_sqlite
def test_callbacks_are_refused_in_time_while_somebody_locks_the_database_and_taken_afterwards(offhook: Offhook) -> None:
    with offhook.web(WEB_CONCURRENCY="2") as web, offhook.worker() as worker:
        with Load(web.twilio, threads=8) as load:
            wait_until_accepted(load)
            with closing(ledger.connect_sqlite(offhook.database_url)) as shell:
                shell.execute("BEGIN IMMEDIATE")
                wait_until_refused(load)
                wait_until_refused(load)
                shell.execute("ROLLBACK")
            wait_until_accepted(load)
        wait_until_delivered(offhook, load, worker)
    assert_kept(load, offhook.database_url)
    assert_refused_in_time(load)


def test_missing_tables_are_said_with_the_remedy_and_heal(bare_offhook: Offhook) -> None:
    with bare_offhook.web() as web, bare_offhook.worker() as worker:
        refused = web.twilio.send(callback(new_sid()))
        assert refused.status == 503 and int(refused.headers["retry-after"]) > 0
        ready = web.twilio.get("/readyz")
        assert ready.status == 503 and b"flask db upgrade" in ready.body
        worker.wait_for_log("ledger_unavailable")

        bare_offhook.upgrade()
        ledger.add_customer(bare_offhook.database_url, CALLER, "caller@example.test")
        wait_until(lambda: web.twilio.get("/readyz").status == 200)
        assert web.twilio.send(callback(new_sid())).status == 204
        bare_offhook.sink.wait_for(1)
