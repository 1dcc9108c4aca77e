"""What cannot write any more is thrown away: sessions of a node that became read-only, sessions that were ended or are old."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from tests import sinks
from tests.support import ledger
from tests.support.load import Load, assert_kept
from tests.support.postgres import PostgresServer
from tests.support.proxy import Proxy
from tests.support.twilio import callback, new_sid
from tests.support.waiting import wait_until
from tests.system.conftest import Offhook

only_postgres = pytest.mark.parametrize("empty_database_url", ["postgres"], indirect=True)


def administer(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as shell:
        for statement in statements:
            shell.execute(statement.encode())


@only_postgres
def test_sessions_of_a_node_that_was_read_only_are_thrown_away(offhook: Offhook, postgres: PostgresServer) -> None:
    name = conninfo_to_dict(offhook.database_url)["dbname"]
    administer(postgres.url("postgres"), f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    with offhook.web() as web, offhook.worker() as worker:
        assert web.twilio.send(callback(new_sid())).status == 503
        assert web.twilio.get("/readyz").status == 503
        administer(postgres.url("postgres"), f"ALTER DATABASE {name} RESET default_transaction_read_only")
        assert web.twilio.send(callback(new_sid())).status == 204
        assert web.twilio.get("/readyz").status == 200
        wait_until(lambda: offhook.states() == {"delivered": 1}, shows=lambda: worker.log[-2000:])


@only_postgres
def test_sessions_that_an_administrator_ends_cost_no_callback(offhook: Offhook) -> None:
    kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    with offhook.web(WEB_CONCURRENCY="2") as web:
        with Load(web.twilio) as load:
            for _ in range(5):
                before = load.count(204)
                administer(offhook.database_url, kill)
                wait_until(lambda before=before: load.count(204) >= before + 20, shows=lambda: str(load.answers))  # type: ignore[misc]
        assert set(load.answers) == {204}
    assert_kept(load, offhook.database_url)


def read_only(server: PostgresServer, value: str) -> None:
    """Returns when it is so: the server reads its settings after it has said that it would."""
    url, setting = server.url("postgres"), "default_transaction_read_only"
    administer(url, f"ALTER SYSTEM SET {setting} = {value}", "SELECT pg_reload_conf()")
    wait_until(lambda: ledger.query(url, f"SHOW {setting}") == [{setting: value}])


@pytest.fixture
def stand_by(own_postgres: PostgresServer) -> Iterator[PostgresServer]:
    """A second one beside `own_postgres`, whose databases have the same names."""
    server = PostgresServer()
    yield server
    server.remove()


def test_a_url_of_two_hosts_follows_the_one_that_takes_writes(
    own_postgres: PostgresServer, stand_by: PostgresServer, tmp_path: Path, sink: sinks.Sink
) -> None:
    first, second = own_postgres.fresh_database(), stand_by.fresh_database()
    for url in (first, second):
        Offhook(url, tmp_path, sink).upgrade()
    hosts, name = f"{own_postgres.socket_folder},{stand_by.socket_folder}", conninfo_to_dict(first)["dbname"]
    both = Offhook(f"postgresql://postgres@/{name}?host={hosts}&target_session_attrs=read-write", tmp_path, sink)
    read_only(stand_by, "on")
    with both.web() as web:
        assert web.twilio.send(callback(new_sid())).status == 204
        assert (ledger.count(first, "callbacks"), ledger.count(second, "callbacks")) == (1, 0)
        read_only(own_postgres, "on")
        read_only(stand_by, "off")
        wait_until(lambda: web.twilio.get("/readyz").status == 200, shows=lambda: web.log[-2000:])
        assert web.twilio.send(callback(new_sid())).status == 204
        assert (ledger.count(first, "callbacks"), ledger.count(second, "callbacks")) == (1, 1)


@only_postgres
def test_connections_are_renewed_when_they_are_old(offhook: Offhook, postgres: PostgresServer) -> None:
    with Proxy(postgres.connect) as proxy:
        through = Offhook(postgres.url_through(proxy.port, offhook.database_url), offhook.folder, offhook.sink)
        with through.web(OFFHOOK_DATABASE_RENEW_SECONDS="0.2") as web, Load(web.twilio) as load:
            wait_until(lambda: load.count(204) >= 5)
            before = proxy.accepted
            wait_until(lambda: proxy.accepted >= before + 5)
        assert set(load.answers) == {204}
