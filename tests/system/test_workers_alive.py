"""Whether a worker is alive stands in the ledger, and /readyz says so: a dead one is noticed before the calls are missed."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest

from tests.support import ledger
from tests.support.processes import Web, flask, wrong_clock
from tests.support.twilio import callback, new_sid
from tests.support.waiting import wait_until
from tests.system.conftest import Offhook

pytestmark = pytest.mark.mostly("postgres")

QUICK = {"OFFHOOK_HEARTBEAT_SECONDS": "1", "OFFHOOK_WORKER_LOST_SECONDS": "3"}


def ready(web: Web, query: str = "") -> tuple[int, dict[str, Any]]:
    answer = web.twilio.get(f"/readyz{query}")
    return answer.status, json.loads(answer.body)


def signs(offhook: Offhook) -> int:
    return ledger.count(offhook.database_url, "workers")


def test_a_killed_worker_is_missed_and_what_waits_for_it_is_503_where_that_was_asked(offhook: Offhook) -> None:
    with offhook.web(**QUICK) as web:
        with offhook.worker(**QUICK):
            wait_until(lambda: ready(web)[1].get("workers_alive") == 1)
            assert web.twilio.send(callback(new_sid())).status == 204
            offhook.sink.wait_for(1)
            assert ready(web, "?backlog=300")[0] == 200
        wait_until(lambda: ready(web)[1]["workers_alive"] == 0)  # it was killed at the end of the block
        assert ready(web, "?backlog=300")[0] == 200  # nothing waits for it
        assert web.twilio.send(callback(new_sid())).status == 204
        wait_until(lambda: ready(web, "?backlog=0.2")[0] == 503)
        status, facts = ready(web, "?backlog=0.2")
        assert (status, facts["status"], facts["database"]) == (503, "behind", "writable")
        assert "a callback waits to be folded" in facts["what"] and "start `flask worker`" in facts["what"]
        assert (ready(web)[0], ready(web, "?backlog=300")[0]) == (200, 200)  # callbacks can be kept all the same
    with offhook.web(**QUICK, OFFHOOK_READY_BACKLOG_SECONDS="0.2") as web:
        assert (ready(web)[0], ready(web, "?backlog=3000")[0]) == (503, 200)
        with offhook.worker(**QUICK):
            wait_until(lambda: ready(web)[0] == 200)


def test_a_worker_that_ends_takes_its_sign_back(offhook: Offhook) -> None:
    with offhook.worker() as worker:
        wait_until(lambda: signs(offhook) == 1)
        worker.terminate()
        assert worker.wait() == 0
        assert signs(offhook) == 0


def test_an_inline_worker_is_a_worker(offhook: Offhook) -> None:
    with offhook.web(OFFHOOK_WORKER="inline") as web:
        wait_until(lambda: ready(web)[1]["workers_alive"] == 1)
        web.terminate()
        assert web.wait() == 0
        assert signs(offhook) == 0


def test_rules_check_says_by_which_rules_each_running_worker_decides(offhook: Offhook) -> None:
    rules = offhook.folder / "offhook.toml"

    def printed() -> str:
        done = flask("rules", "check", env=offhook.env(), folder=offhook.folder)
        assert "Traceback" not in done.stderr
        return done.stdout

    assert "No worker is running." in printed()
    with offhook.worker(OFFHOOK_RULES_SETTLE_SECONDS="0.2") as worker:
        wait_until(lambda: signs(offhook) == 1)
        assert re.search(rf" {worker.pid}  .* these$", printed(), re.M) and "NOT these" not in printed()
        [before] = ledger.query(offhook.database_url, "SELECT rules_version FROM workers")
        rules.write_text("min_duration_seconds = 5\n")
        wait_until(lambda: " these\n" in printed() and "NOT these" not in printed())
        assert ledger.query(offhook.database_url, "SELECT rules_version FROM workers") != [before]
        rules.write_text("min_duration_second = 5\n")
        worker.wait_for_log("rules_not_changed")
        assert "NOT these" in printed()
        rules.write_text("")
        wait_until(lambda: worker.log.count("rules_not_changed") == 2)
        assert "NOT these" in printed()  # an emptied file is an accident


def test_the_sign_of_a_worker_that_vanished_is_removed_some_day(offhook: Offhook) -> None:
    columns = "id, host, pid, version, rules_version, started_at, seen_at"
    kept = {"old": 100, "new": 5}  # seconds since they were seen
    for name, ago in kept.items():
        seen = int((time.time() - ago) * 1_000_000)
        ledger.change(
            offhook.database_url, f"INSERT INTO workers ({columns}) VALUES ('{name}', '', 1, '', '', 1, {seen})"
        )
    with offhook.worker(OFFHOOK_WORKER_KEPT_SECONDS="60"):
        wait_until(lambda: ledger.count(offhook.database_url, "workers", "id = 'old'") == 0)
        assert ledger.count(offhook.database_url, "workers", "id = 'new'") == 1


def test_a_worker_on_a_machine_an_hour_behind_is_as_alive_as_any(offhook: Offhook) -> None:
    if offhook.database_url.startswith("sqlite"):
        pytest.skip("one machine, one clock")
    with offhook.web(**QUICK) as web, offhook.worker(**QUICK, **wrong_clock(-3600)):
        wait_until(lambda: ready(web)[1]["workers_alive"] == 1)


def test_what_a_killed_worker_was_sending_waits_too(offhook: Offhook) -> None:
    with offhook.web() as web:
        with offhook.worker(OFFHOOK_DEADLINE_SECONDS="30", OFFHOOK_LEASE_SECONDS="60"):
            assert web.twilio.send(callback(new_sid())).status == 204
            offhook.sink.wait_for(1)
            wait_until(lambda: offhook.states() == {"delivered": 1})
        # As it stands when it was killed between the claim and the answer, and the lease is over.
        lost = "UPDATE conversions SET state = 'sending', delivered_at = NULL, lease_until = 1"
        ledger.change(offhook.database_url, lost)
        status, facts = ready(web, "?backlog=300")
        assert (status, "a conversion waits to be sent" in facts["what"]) == (503, True)


def test_a_backlog_that_is_no_number_of_seconds_is_400(offhook: Offhook) -> None:
    with offhook.web() as web:
        for wrong in ("", "soon", "-1", "nan", "1&backlog=2"):
            answer = web.twilio.get(f"/readyz?backlog={wrong}")
            assert (answer.status, b"/readyz?backlog=300" in answer.body) == (400, True), wrong
