"""Beside a busy API every callback is taken: pages have a few threads and a small share of the time; beyond that they are refused."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support import ledger
from tests.support.processes import Web, environment, flask
from tests.support.twilio import Answer, callback, new_sid
from tests.support.waiting import HANGS_AFTER_SECONDS, wait_until

QUICK = {"OFFHOOK_API_REQUESTS_PER_SECOND": "100000", "OFFHOOK_API_BURST": "100000"}
PHONE = "+14155550101"


class Api:
    """What a token may ask of a web process."""

    def __init__(self, web: Web, token: str) -> None:
        self.web, self._token = web, token

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        said = {name.replace("_", "-"): value for name, value in headers.items()}
        said |= {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        connection = http.client.HTTPConnection("127.0.0.1", self.web.port, timeout=HANGS_AFTER_SECONDS)
        try:
            connection.request(method, f"/api/v1/{path}", None if body is None else json.dumps(body), said)
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def call_comes(self) -> int:
        return self.web.twilio.send(callback(new_sid())).status


@contextmanager
def api_of(url: str, folder: Path, **changes: str) -> Iterator[Api]:
    env = environment(url, **QUICK, **changes)
    scopes = ["calls:read", "customers:write", "customers:read"]
    words = [word for scope in scopes for word in ("--scope", scope)]
    made = flask("tokens", "create", "--name", "busy", *words, "--json", env=env, folder=folder)
    with Web(env, folder) as web:
        yield Api(web, json.loads(made.stdout)["token"])


def title(answer: Answer) -> str:
    assert answer.headers["content-type"] == "application/problem+json"
    return str(json.loads(answer.body)["title"])


@pytest.mark.mostly("sqlite")
def test_while_callbacks_come_pages_have_their_share_and_afterwards_all_that_they_like(
    database_url: str, tmp_path: Path
) -> None:
    little = {"OFFHOOK_PAGE_SHARE": "0.000001", "OFFHOOK_PAGE_BUSY_CALLBACKS": "1", "OFFHOOK_PAGE_WAIT_SECONDS": "0"}
    with api_of(database_url, tmp_path, **little) as api:
        kept, asked = list[int](), list[Answer]()

        def is_sent_away() -> bool:
            kept.append(api.call_comes())
            asked.append(api.ask("GET", "calls"))
            return asked[-1].status == 503

        wait_until(is_sent_away)
        assert title(asked[-1]).startswith("Callbacks come first")
        assert int(asked[-1].headers["retry-after"]) >= 1
        assert {answer.status for answer in asked[:-1]} == {200}
        assert set(kept) == {204}
        wait_until(lambda: api.ask("GET", "calls").status == 200)  # no callback came for a while
        assert ledger.count(database_url, "callbacks") == len(kept)


def test_pages_that_hang_leave_callbacks_their_threads(database_url: str, tmp_path: Path) -> None:
    if database_url.startswith("sqlite"):
        pytest.skip("nobody can lock a reader out of a WAL database")
    limits = {"OFFHOOK_WEB_THREADS": "3", "OFFHOOK_PAGE_THREADS": "2", "OFFHOOK_PAGE_STATEMENT_SECONDS": "60"}
    with (
        api_of(database_url, tmp_path, **limits) as api,
        ThreadPoolExecutor(2) as clients,
        psycopg.connect(database_url, autocommit=True) as watching,
        psycopg.connect(database_url) as locking,
    ):
        assert api.ask("GET", "calls").status == 200
        locking.execute("LOCK TABLE outcomes IN ACCESS EXCLUSIVE MODE")
        hang = [clients.submit(api.ask, "GET", "calls") for _ in range(2)]
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        wait_until(lambda: (watching.execute(waiting).fetchone() or (0,))[0] == 2)
        refused = api.ask("GET", "calls")
        assert (refused.status, title(refused)) == (503, "Others are served just now, and callbacks come first")
        assert int(refused.headers["retry-after"]) >= 1
        assert [api.call_comes() for _ in range(5)] == [204] * 5
        assert not any(one.done() for one in hang)
        locking.rollback()
        assert [one.result().status for one in hang] == [200, 200]
        assert api.ask("GET", "calls").status == 200


def test_two_writes_at_once_with_one_idempotency_key_are_done_once(database_url: str, tmp_path: Path) -> None:
    with api_of(database_url, tmp_path) as api, ThreadPoolExecutor(2) as clients:
        for number in range(15):
            said = {"customer_id": f"C{number}"}

            def put(key: str = f"k{number}", body: Any = said) -> Answer:
                return api.ask("PUT", f"customers/{PHONE}", body, Idempotency_Key=key)

            both = [one.result() for one in [clients.submit(put), clients.submit(put)]]
            done = [one.body for one in both if one.status == 200]
            assert done
            assert set(done) == {put().body}
            assert all(b"/under-way" in one.body or b":under-way" in one.body for one in both if one.status != 200)
            assert {one.status for one in both} <= {200, 409}
        assert ledger.count(database_url, "customer_rows") == 15
