"""SIGTERM: what was begun is finished, what was not is given back, and nobody waits for what hangs."""

from __future__ import annotations

import json
import socket
import threading

import pytest

from tests import sinks
from tests.support import ledger
from tests.support.load import Load, assert_kept
from tests.support.processes import Process
from tests.support.twilio import Twilio, callback, new_sid
from tests.support.waiting import wait_until
from tests.system.conftest import Offhook

pytestmark = pytest.mark.mostly("sqlite")

_SLOW_SINK = {"OFFHOOK_DEADLINE_SECONDS": "4", "OFFHOOK_LEASE_SECONDS": "30", "OFFHOOK_DELIVERY_THREADS": "2"}


def stop(process: Process) -> None:
    process.terminate()
    assert process.wait() == 0, process.log[-3000:]
    assert "Traceback" not in process.log, process.log[-3000:]


def send_calls(twilio: Twilio, times: int) -> set[str]:
    sids = {new_sid() for _ in range(times)}
    for sid in sids:
        assert twilio.send(callback(sid)).status == 204
    return sids


def test_web_stops_under_load_and_answers_what_it_has_begun(offhook: Offhook) -> None:
    with offhook.web(WEB_CONCURRENCY="2") as web, Load(web.twilio, threads=8, pause_seconds=0.0) as load:
        wait_until(lambda: load.count(204) > 100)
        stop(web)
    # A connection that nobody had taken yet may be refused or cut; one that was taken is answered 204.
    assert set(load.answers) <= {0, 204}
    assert_kept(load, offhook.database_url)


def test_a_worker_stops_at_a_black_hole_and_gives_back_what_it_did_not_send(offhook: Offhook) -> None:
    offhook.sink.behave(sinks.black_hole())
    patient = _SLOW_SINK | {"OFFHOOK_DEADLINE_SECONDS": "10"}
    with offhook.web() as web, offhook.worker(**patient) as worker:
        sids = send_calls(web.twilio, 12)
        offhook.sink.wait_for(2)
        # four are claimed: two are being sent, two wait for a thread
        wait_until(lambda: offhook.states() == {"sending": 4, "pending": 8}, shows=lambda: str(offhook.states()))
        worker.terminate()
        wait_until(lambda: offhook.states() == {"sending": 2, "pending": 10}, shows=lambda: str(offhook.states()))
        assert worker.is_running, "it was to give back before it knows what becomes of the two"
        stop(worker)
    tried = {json.loads(seen.body)["order_id"] for seen in offhook.sink.requests}
    assert len(tried) == 2
    rows = ledger.query(offhook.database_url, "SELECT call_sid, state, attempts, maybe_sent FROM conversions")
    assert {row["call_sid"] for row in rows} == sids
    assert {row["state"] for row in rows} == {"pending"}
    assert {row["call_sid"] for row in rows if row["maybe_sent"]} == tried
    assert {row["call_sid"] for row in rows if row["attempts"]} == tried


def test_a_worker_finishes_a_slow_answer_before_it_stops(offhook: Offhook) -> None:
    offhook.sink.behave(sinks.after(2.0, sinks.answer()))
    with offhook.web() as web, offhook.worker(**_SLOW_SINK) as worker:
        send_calls(web.twilio, 1)
        offhook.sink.wait_for(1)
        stop(worker)
    assert offhook.states() == {"delivered": 1}
    assert len(offhook.sink.requests) == 1


def test_an_inline_worker_delivers_and_stops_with_its_web_process(offhook: Offhook) -> None:
    patient = {"OFFHOOK_DEADLINE_SECONDS": "120", "OFFHOOK_LEASE_SECONDS": "600", "OFFHOOK_DELIVERY_THREADS": "2"}
    with offhook.web(OFFHOOK_WORKER="inline", WEB_CONCURRENCY="2", **patient) as web:
        sent = send_calls(web.twilio, 3)
        offhook.sink.wait_for(3)
        wait_until(lambda: offhook.states() == {"delivered": 3})

        let_go = threading.Event()
        offhook.sink.behave(sinks.held_until(let_go, sinks.answer()))
        sent |= send_calls(web.twilio, 16)
        offhook.sink.wait_for(7)  # each of the two processes sends two, and has two more wait for a thread
        wait_until(
            lambda: offhook.states() == {"delivered": 3, "sending": 8, "pending": 8},
            shows=lambda: f"{offhook.states()} {web.log[-2000:]}",
        )
        web.terminate()
        wait_until(
            lambda: offhook.states() == {"delivered": 3, "sending": 4, "pending": 12},
            shows=lambda: f"{offhook.states()} {web.log[-2000:]}",
        )
        let_go.set()
        stop(web)
    assert offhook.states() == {"delivered": 7, "pending": 12}
    assert len({json.loads(seen.body)["order_id"] for seen in offhook.sink.requests}) == 7

    offhook.sink.behave(sinks.answer())
    with offhook.web(OFFHOOK_WORKER="inline"):
        wait_until(lambda: offhook.states() == {"delivered": len(sent)})
    arrived = [json.loads(seen.body)["order_id"] for seen in offhook.sink.requests]
    assert sorted(arrived) == sorted(sent)


def test_an_inline_worker_finishes_what_it_sends_though_that_takes_longer_than_requests_may(offhook: Offhook) -> None:
    offhook.sink.behave(sinks.after(5.0, sinks.answer()))
    patient = {"OFFHOOK_DEADLINE_SECONDS": "9", "OFFHOOK_LEASE_SECONDS": "30", "OFFHOOK_WEB_STOP_SECONDS": "1"}
    with offhook.web(OFFHOOK_WORKER="inline", **patient) as web:
        send_calls(web.twilio, 1)
        offhook.sink.wait_for(1)
        web.terminate()
        assert web.wait() == 0
    assert offhook.states() == {"delivered": 1}, web.log[-3000:]


def test_an_inline_worker_gives_back_at_once_though_web_and_sink_both_hang(offhook: Offhook) -> None:
    hanging = {"OFFHOOK_DEADLINE_SECONDS": "120", "OFFHOOK_LEASE_SECONDS": "2000", "OFFHOOK_DELIVERY_THREADS": "2"}
    hanging["OFFHOOK_STOP_SECONDS"] = "6"
    offhook.sink.behave(sinks.black_hole())
    with (
        offhook.web(OFFHOOK_WORKER="inline", **hanging) as web,
        socket.create_connection(("127.0.0.1", web.port)) as half,
    ):
        half.sendall(b"POST /twilio/status HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf")
        send_calls(web.twilio, 6)
        wait_until(lambda: offhook.states() == {"sending": 4, "pending": 2}, shows=lambda: str(offhook.states()))
        offhook.sink.wait_for(2)
        web.terminate()
        web.wait()
    sent = {json.loads(seen.body)["order_id"] for seen in offhook.sink.requests}
    rows = ledger.query(offhook.database_url, "SELECT call_sid, state FROM conversions")
    assert {row["call_sid"] for row in rows if row["state"] == "sending"} == sent
    assert [row["state"] for row in rows].count("pending") == 4
