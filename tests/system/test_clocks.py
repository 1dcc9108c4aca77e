"""Clocks that are wrong: a difference to the database or to the destination is logged once, and on Postgres nothing goes by it."""

from __future__ import annotations

import json
import threading
from email.utils import formatdate
from functools import partial
from time import time
from typing import Any

import pytest

from tests import sinks
from tests.support import ledger
from tests.support.processes import Process, WorkerProcess, wrong_clock
from tests.support.twilio import callback, new_sid
from tests.support.waiting import wait_until
from tests.system.conftest import Offhook

only_postgres = pytest.mark.parametrize("empty_database_url", ["postgres"], indirect=True)


def differs_from_the_database(process: Process, ahead_seconds: float) -> bool:
    """True once its log says so; each of its processes says so once."""
    lines = [json.loads(line) for line in process.log.splitlines() if '"clock_differs"' in line]
    found = [line for line in lines if line["against"] == "database"]
    assert len(found) <= (2 if process.log_path.stem == "web" else 1)  # gunicorn's master looks at its start
    return any(abs(line["ahead_seconds"] - ahead_seconds) < 5 for line in found)


def _are_folded(offhook: Offhook, count: int) -> bool:
    return ledger.count(offhook.database_url, "callbacks", "folded = 1") == count


@only_postgres
def test_a_worker_that_is_ahead_leaves_alone_what_another_is_sending(offhook: Offhook) -> None:
    let_go = threading.Event()
    offhook.sink.behave(sinks.held_until(let_go, sinks.answer()), sinks.answer())
    usual = {"OFFHOOK_LEASE_SECONDS": "600", "OFFHOOK_DEADLINE_SECONDS": "120"}
    with offhook.web() as web, offhook.worker(**usual):
        assert web.twilio.send(callback(new_sid())).status == 204
        [under_way] = offhook.sink.wait_for(1)
        with WorkerProcess(offhook.env(**usual, **wrong_clock(605)), offhook.folder, "ahead") as ahead:
            wait_until(lambda: differs_from_the_database(ahead, 605), shows=lambda: ahead.log[-2000:])
            for delivered in range(1, 6):  # rounds of both workers
                assert web.twilio.send(callback(new_sid())).status == 204
                wait_until(lambda delivered=delivered: offhook.states().get("delivered") == delivered)  # type: ignore[misc]
            assert offhook.states() == {"delivered": 5, "sending": 1}
            let_go.set()
            wait_until(lambda: offhook.states() == {"delivered": 6}, shows=lambda: str(offhook.states()))
    assert [seen.body for seen in offhook.sink.requests].count(under_way.body) == 1
    assert len(offhook.sink.requests) == 6


@only_postgres
@pytest.mark.parametrize("ahead", [-3600, 3600])
def test_with_clocks_an_hour_off_everything_goes_by_the_database_s(offhook: Offhook, ahead: int) -> None:
    wrong = wrong_clock(ahead)
    with offhook.web(**wrong) as web, offhook.worker(**wrong) as worker:
        assert web.twilio.send(callback(new_sid())).status == 204
        wait_until(lambda: offhook.states() == {"delivered": 1}, shows=lambda: worker.log[-2000:])
        wait_until(lambda: differs_from_the_database(worker, ahead))
        ready = web.twilio.get("/readyz")
        facts = json.loads(ready.body)
        assert ready.status == 200 and "clock" in facts.get("warning", ""), facts
        assert abs(facts["clock_ahead_of_database_seconds"] - ahead) < 5
        assert differs_from_the_database(web, ahead)
    off = "abs(received_at / 1000000.0 - extract(epoch FROM clock_timestamp())) > 60"
    assert ledger.count(offhook.database_url, "callbacks", off) == 0


@only_postgres
def test_a_worker_that_is_ahead_waits_for_the_legs_of_a_call(offhook: Offhook) -> None:
    with offhook.web() as web, offhook.worker(OFFHOOK_SETTLE_SECONDS="600", **wrong_clock(605)) as worker:
        for stored in range(1, 6):
            assert web.twilio.send(callback(new_sid())).status == 204
            wait_until(partial(_are_folded, offhook, stored))
        wait_until(lambda: differs_from_the_database(worker, 605))
        assert ledger.count(offhook.database_url, "calls", "state = 'settling'") == 5
        assert ledger.count(offhook.database_url, "decisions") == 0


def dated(ahead_seconds: float) -> sinks.Behaviour:
    """An answer by a clock that is so far ahead of ours."""

    def behave(exchange: sinks.Exchange) -> bool:
        date = formatdate(time() + ahead_seconds, usegmt=True)
        return sinks.answer(headers={"Date": date})(exchange)

    return behave


@pytest.mark.mostly("sqlite")
@pytest.mark.parametrize("ahead", [-65.0, 65.0])
def test_a_clock_that_differs_from_rockerbox_s_is_logged_once_and_so_is_its_end(offhook: Offhook, ahead: float) -> None:
    def send(count: int) -> None:
        for _ in range(count):
            assert web.twilio.send(callback(new_sid())).status == 204
        expected.append(count)
        wait_until(lambda: offhook.states() == {"delivered": sum(expected)}, shows=lambda: str(offhook.states()))

    def lines(name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in worker.log.splitlines() if f'"{name}"' in line]

    expected: list[int] = []
    offhook.sink.behave(dated(ahead))
    with offhook.web() as web, offhook.worker() as worker:
        send(4)
        worker.wait_for_log('"clock_differs"')
        [warning] = lines("clock_differs")
        assert (warning["level"], warning["against"]) == ("WARNING", "destination")
        assert abs(warning["ahead_seconds"] + ahead) < 5
        offhook.sink.behave(dated(0))
        send(6)
        assert [line["level"] for line in lines("clock_agrees_again")] == ["INFO"]
        assert len(lines("clock_differs")) == 1


@pytest.mark.mostly("sqlite")
def test_a_web_process_that_delivers_says_in_readyz_that_rockerbox_has_another_time(offhook: Offhook) -> None:
    offhook.sink.behave(dated(65))
    with offhook.web(OFFHOOK_WORKER="inline") as web:
        assert web.twilio.send(callback(new_sid())).status == 204
        wait_until(lambda: offhook.states() == {"delivered": 1}, shows=lambda: web.log[-2000:])
        wait_until(lambda: b"destination" in web.twilio.get("/readyz").body)
        facts = json.loads(web.twilio.get("/readyz").body)
        assert "destination" in facts["warning"] and abs(facts["clock_ahead_of_destination_seconds"] + 65) < 5
