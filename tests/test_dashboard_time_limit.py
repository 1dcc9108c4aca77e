"""A page whose statement runs into its time limit says so, and costs no callback."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from offhook.pipeline.users import Role
from tests.support import ledger
from tests.support.dashboard import Site
from tests.support.twilio import callback, new_sid
from tests.support.waiting import wait_until

_ENDLESS = (
    "CREATE VIEW outcomes AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT '' AS account_sid, "
    "'' AS call_sid, i AS at, '' AS number, 'delivered' AS outcome, 'delivered' AS reason, '' AS rule, '' AS rule_state, "
    "'' AS rule_reason FROM n"
)


@contextmanager
def endless(url: str) -> Iterator[None]:
    """Until the block ends, no statement that reads `outcomes` comes to its end."""
    if not url.startswith("sqlite"):
        with psycopg.connect(url) as locking:
            locking.execute("LOCK TABLE outcomes IN ACCESS EXCLUSIVE MODE")
            yield
        return
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        connection.executescript(f"ALTER TABLE outcomes RENAME TO kept; {_ENDLESS};")
        yield
        connection.executescript("DROP VIEW outcomes; ALTER TABLE kept RENAME TO outcomes;")


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Iterator[Site]:
    made = Site(database_url, tmp_path, OFFHOOK_PAGE_STATEMENT_SECONDS="1", OFFHOOK_PAGE_THREADS="2")
    made.web.start()
    yield made
    made.close()


def test_a_page_that_runs_into_its_limit_says_so_and_costs_no_callback(site: Site, database_url: str) -> None:
    viewer, twilio = site.role(Role.VIEWER), replace(site.web.twilio, public_url="http://127.0.0.1")
    assert viewer.get("/calls").status_code == 200
    with endless(database_url), ThreadPoolExecutor(1) as people:
        asked = people.submit(viewer.get, "/calls")
        kept = [twilio.send(callback(new_sid())).status for _ in range(20)]
        while not asked.done():
            kept.append(twilio.send(callback(new_sid())).status)
        answer = asked.result()
    assert answer.status_code == 503
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "<h1>This took too long</h1>" in answer.text
    assert "so that calls go on being received. Ask for a shorter time or for less." in answer.text
    assert set(kept) == {204}
    assert ledger.count(database_url, "callbacks") == len(kept)
    wait_until(lambda: viewer.get("/calls").status_code == 200)  # pages wait while callbacks come in
