"""An outage fills no log: each trouble is logged at once, then now and then with a count, and once when it is over."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from tests.support import ledger
from tests.support.load import Load
from tests.support.postgres import PostgresServer
from tests.support.processes import Process
from tests.support.twilio import CALLER, callback, new_sid
from tests.support.waiting import wait_until
from tests.system.conftest import Offhook

pytestmark = pytest.mark.mostly("sqlite")

TROUBLES = ("callback_not_stored", "ledger_unavailable", "not_ready", "database_slow", "database_cut_off")


def lines(process: Process, *events: str) -> list[dict[str, Any]]:
    whole = process.log.rpartition("\n")[0]  # the last line may be half written
    found = [json.loads(line) for line in whole.splitlines() if line.startswith("{")]
    return [line for line in found if line["event"] in events]


def counted(process: Process, event: str) -> int:
    """How often it happened, as the log says: all of it once it is over."""
    logged = lines(process, event)
    return len(logged) + sum(int(line.get("left_out", 0)) for line in (*logged, *lines(process, f"{event}_over")))


def test_a_database_without_tables_says_so_once_with_the_remedy(bare_offhook: Offhook) -> None:
    """The worker's two threads look once a second each; that is one line in two seconds here, with the count of four."""
    web_only = {"OFFHOOK_LOG_REPEAT_SECONDS": "60"}
    with bare_offhook.web(**web_only) as web, bare_offhook.worker(OFFHOOK_LOG_REPEAT_SECONDS="2") as worker:
        for _ in range(30):
            assert web.twilio.send(callback(new_sid())).status == 503
            assert web.twilio.get("/readyz").status == 503
        wait_until(lambda: len(lines(worker, "ledger_unavailable")) >= 2, shows=lambda: worker.log)
        first, second = lines(worker, "ledger_unavailable")[:2]
        assert ("left_out" in first, second["left_out"] >= 2) == (False, True)
        assert Counter(line["event"] for line in lines(web, *TROUBLES)) == {"callback_not_stored": 1, "not_ready": 1}
        for line in (*lines(web, *TROUBLES), *lines(worker, *TROUBLES)):
            assert "flask db upgrade" in line["error"]
        bare_offhook.upgrade()
        ledger.add_customer(bare_offhook.database_url, CALLER, "caller@example.test")
        assert web.twilio.send(callback(new_sid())).status == 204
        bare_offhook.sink.wait_for(1)
        worker.wait_for_log("ledger_unavailable_over")
    assert not lines(worker, "books_failed", "dispatch_failed")


def test_an_outage_under_load_is_a_few_lines_and_one_when_it_is_over(
    lone_offhook: Offhook, own_postgres: PostgresServer
) -> None:
    often = {"OFFHOOK_LOG_REPEAT_SECONDS": "2"}
    with lone_offhook.web(**often) as web, lone_offhook.worker(**often) as worker:
        with Load(web.twilio, threads=8, pause_seconds=0.0) as load:
            wait_until(lambda: load.count(204) >= 50)
            own_postgres.stop()
            try:
                wait_until(lambda: load.count(503) >= 300, shows=lambda: str(load.answers))
            finally:
                own_postgres.start()
            # A line within the outage may have counted all of it so far: that it is over has a line of its own.
            web.wait_for_log("callback_not_stored_over")
            worker.wait_for_log("ledger_unavailable_over")
            wait_until(lambda: counted(web, "callback_not_stored") == load.count(503), shows=lambda: web.log[-2000:])
        refused = load.count(503)
    logged, over = (lines(web, f"callback_not_stored{ending}") for ending in ("", "_over"))
    assert refused >= 300
    assert 1 <= len(over) <= len(logged) < refused / 5, [line["error"] for line in logged]
    assert len(lines(worker, "ledger_unavailable_over")) <= len(lines(worker, "ledger_unavailable"))
    assert not lines(worker, "books_failed", "dispatch_failed")
