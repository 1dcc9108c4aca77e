"""Behind a transaction pooler (PgBouncer, as Heroku, Supabase and Neon have it): every transaction may be another session's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import sinks
from tests.support import ledger, pgbouncer
from tests.support.load import Load, assert_kept
from tests.support.needed import require
from tests.support.postgres import PostgresServer
from tests.support.processes import WorkerProcess, flask
from tests.support.waiting import wait_until
from tests.system.conftest import Offhook

pytestmark = pytest.mark.parametrize("empty_database_url", ["postgres"], indirect=True)


@pytest.fixture
def bouncer(postgres: PostgresServer) -> Iterator[int]:
    """Its port. Where it is missing the test is skipped, but in CI it fails."""
    require(pgbouncer.found(), "needs PgBouncer: apt-get install pgbouncer")
    with pgbouncer.running(postgres) as port:
        yield port


@pytest.fixture
def pooled(offhook: Offhook, postgres: PostgresServer, bouncer: int) -> Offhook:
    return Offhook(postgres.url_through(bouncer, offhook.database_url), offhook.folder, offhook.sink)


def test_two_web_processes_and_two_workers_share_a_transaction_pooler(pooled: Offhook, sink: sinks.Sink) -> None:
    with (
        pooled.web(WEB_CONCURRENCY="2") as web,
        WorkerProcess(pooled.env(), pooled.folder, "worker-1") as first,
        WorkerProcess(pooled.env(), pooled.folder, "worker-2") as second,
    ):
        with Load(web.twilio, threads=8) as load:
            wait_until(lambda: load.count(204) >= 400, shows=lambda: str(load.answers))
        assert set(load.answers) == {204}
        ended = {sid for sid, status in load.acknowledged if status == "completed"}
        wait_until(
            lambda: pooled.states() == {"delivered": len(ended)}, shows=lambda: f"{pooled.states()} {first.log[-2000:]}"
        )
        for worker in (first, second):
            assert "ledger_unavailable" not in worker.log
            assert "Traceback" not in worker.log
        assert "start_warning" not in web.log
        assert web.twilio.get("/readyz").status == 200
    assert_kept(load, pooled.database_url)
    assert len(sink.requests) == len(ended)


def test_the_commands_work_through_a_transaction_pooler(
    bare_offhook: Offhook, postgres: PostgresServer, bouncer: int
) -> None:
    url = postgres.url_through(bouncer, bare_offhook.database_url)
    pooled = Offhook(url, bare_offhook.folder, bare_offhook.sink)
    customers = pooled.folder / "customers.csv"
    customers.write_text("phone,email,customer_id\n+14155550101,b@example.test,7\n")
    for command in (["db", "upgrade"], ["customers", "import", str(customers)], ["conversions", "list"]):
        done = flask(*command, env=pooled.env(), folder=pooled.folder)
        assert done.returncode == 0, done.stderr
    assert ledger.count(pooled.database_url, "customers") == 1
