"""The database does not answer any more, or not now: every callback is answered in time, and web and worker go on by themselves.

What falls silent stays silent until the end of the test, so whatever waits for it would wait for ever.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
import pytest

from tests.support import ledger
from tests.support.load import Load, assert_kept
from tests.support.postgres import PostgresServer
from tests.support.processes import Process
from tests.support.proxy import Proxy
from tests.support.twilio import callback, new_sid
from tests.support.waiting import wait_until
from tests.system.conftest import Offhook

only_sqlite = pytest.mark.parametrize("empty_database_url", ["sqlite"], indirect=True)
only_postgres = pytest.mark.parametrize("empty_database_url", ["postgres"], indirect=True)
QUICK = {"OFFHOOK_STORE_TIMEOUT_SECONDS": "1", "OFFHOOK_READY_SECONDS": "0.5", "OFFHOOK_SLOW_STATEMENT_SECONDS": "0.5"}


@pytest.fixture
def proxy(postgres: PostgresServer) -> Iterator[Proxy]:
    with Proxy(postgres.connect) as running:
        yield running


@pytest.fixture
def through(offhook: Offhook, postgres: PostgresServer, proxy: Proxy) -> Offhook:
    """Offhook whose way to Postgres leads through `proxy`."""
    return Offhook(postgres.url_through(proxy.port, offhook.database_url), offhook.folder, offhook.sink)


def wait_for_more(load: Load, status: int, count: int = 20) -> None:
    before = load.count(status)
    wait_until(lambda: load.count(status) >= before + count, shows=lambda: str(load.answers))


@only_postgres
def test_connections_that_fell_silent_are_replaced_in_web_and_worker(
    offhook: Offhook, through: Offhook, proxy: Proxy
) -> None:
    with through.web(WEB_CONCURRENCY="2", **QUICK) as web, through.worker(**QUICK) as worker:
        with Load(web.twilio) as load:
            for _ in range(2):
                wait_for_more(load, 204)
                proxy.fall_silent()
                wait_for_more(load, 204)
            web.wait_for_log("database_cut_off")
            web.wait_for_log("database_slow")
        ended = {sid for sid, status in load.acknowledged if status == "completed"}
        wait_until(lambda: offhook.states().get("delivered", 0) >= len(ended), shows=lambda: worker.log[-2000:])
        worker.wait_for_log("database_slow")
        assert 0 not in load.answers  # nobody was left without an answer
    assert_kept(load, offhook.database_url)


@only_postgres
def test_a_network_that_swallows_everything_is_503_everywhere_and_heals(
    offhook: Offhook, through: Offhook, proxy: Proxy
) -> None:
    with through.web(**QUICK) as web, through.worker(**QUICK):
        with Load(web.twilio) as load:
            wait_for_more(load, 204)
            proxy.swallow()
            wait_for_more(load, 503)
            assert web.twilio.get("/readyz").status == 503
            assert web.twilio.get("/healthz").status == 200
            proxy.pass_on()
            wait_for_more(load, 204)
            wait_until(lambda: web.twilio.get("/readyz").status == 200)
        assert set(load.answers) == {204, 503}
    assert_kept(load, offhook.database_url)


@only_postgres
def test_behind_a_pooler_whose_database_is_gone_web_starts_and_answers_503_until_it_is_back(
    through: Offhook, proxy: Proxy
) -> None:
    proxy.only_log_in()
    with through.web(**QUICK) as web, through.worker(**QUICK) as worker:
        assert web.twilio.send(callback(new_sid())).status == 503
        assert web.twilio.get("/readyz").status == 503
        worker.wait_for_log("database_cut_off")
        proxy.pass_on()
        wait_until(lambda: web.twilio.send(callback(new_sid())).status == 204, shows=lambda: web.log[-2000:])
        wait_until(lambda: through.states().get("delivered", 0) >= 1, shows=lambda: worker.log[-2000:])


@contextmanager
def table_locked(url: str) -> Iterator[None]:
    with psycopg.connect(url) as shell:
        shell.execute("LOCK TABLE callbacks IN ACCESS EXCLUSIVE MODE")
        yield
        shell.rollback()


_HOLDER = """
import fcntl, sys, time
file = open(sys.argv[1], "a")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(600)
"""


@contextmanager
def lock_held_by_a_stopped_process(url: str) -> Iterator[None]:
    lock = f"{ledger.sqlite_file(url)}.lock"
    holder = subprocess.Popen([sys.executable, "-c", _HOLDER, lock], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        os.kill(holder.pid, signal.SIGSTOP)
        with open(lock) as file, pytest.raises(BlockingIOError):  # noqa: PTH123
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        with suppress(ProcessLookupError):
            holder.kill()
        holder.wait()
        assert holder.stdout is not None
        holder.stdout.close()


def test_every_callback_is_answered_while_somebody_holds_the_lock(offhook: Offhook) -> None:
    is_sqlite = offhook.database_url.startswith("sqlite")
    held = lock_held_by_a_stopped_process if is_sqlite else table_locked
    with offhook.web(WEB_CONCURRENCY="2", **QUICK) as web, offhook.worker(**QUICK) as worker:
        with Load(web.twilio, threads=8) as load:
            wait_for_more(load, 204)
            with held(offhook.database_url):
                wait_for_more(load, 503, 40)
                ready = web.twilio.get("/readyz")
                assert ready.status == 503 and json.loads(ready.body)["database"] in ("locked", "slow")
                assert web.twilio.get("/healthz").status == 200
                web.wait_for_log("database_slow")
            wait_for_more(load, 204)
        assert set(load.answers) == {204, 503}
        wait_until(lambda: web.twilio.get("/readyz").status == 200)
        ended = {sid for sid, status in load.acknowledged if status == "completed"}
        wait_until(lambda: offhook.states().get("delivered", 0) >= len(ended), shows=lambda: worker.log[-2000:])
    assert_kept(load, offhook.database_url)


def keeps_the_books(offhook: Offhook) -> bool:
    rows = ledger.query(offhook.database_url, "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted")
    return bool(rows)


@only_postgres
def test_a_worker_that_vanishes_with_the_books_in_its_hands_is_followed_by_another(
    offhook: Offhook, through: Offhook, proxy: Proxy
) -> None:
    """Its host is gone without a word: the server hears nothing more from it, not even that it ended."""
    with offhook.web() as web, through.worker(OFFHOOK_DATABASE_IDLE_SECONDS="2") as lost:
        vanish_holding_the_books(offhook, proxy, web.twilio.send, lost)
        with offhook.worker(OFFHOOK_DATABASE_IDLE_SECONDS="2"):
            wait_until(lambda: ledger.count(offhook.database_url, "callbacks", "folded = 0") == 0)


def vanish_holding_the_books(offhook: Offhook, proxy: Proxy, send: object, lost: Process) -> None:
    """Stop it in the middle of a transaction, by a row of the books that somebody else holds."""
    assert callable(send)
    for _ in range(5):
        assert send(callback(new_sid())).status == 204
    wait_until(lambda: offhook.states() == {"delivered": 5}, shows=lambda: lost.log[-2000:])
    with psycopg.connect(offhook.database_url) as shell:
        shell.execute("LOCK TABLE calls IN EXCLUSIVE MODE")
        assert send(callback(new_sid())).status == 204
        wait_until(lambda: keeps_the_books(offhook))
        proxy.swallow()
        lost.kill()
        shell.rollback()
    assert ledger.count(offhook.database_url, "callbacks", "folded = 0") == 1
