"""Clients that send nothing, half a request, or a byte now and then hold no thread, no place and no callback of others."""

from __future__ import annotations

import json
import resource
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from tests.support import ledger
from tests.support.load import Load, assert_kept
from tests.support.processes import Web
from tests.support.raw import SIGNED, Raw, ask, many, signed_request
from tests.support.twilio import callback, new_sid
from tests.support.waiting import wait_until
from tests.system.conftest import Offhook

HEALTHZ = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
HALF_A_HEADER = SIGNED[:40]
HALF_A_BODY = SIGNED + b"Content-Length: 60000\r\n\r\nhalf"
HALF_A_CHUNK = SIGNED + b"Transfer-Encoding: chunked\r\n\r\nf000\r\nhalf"
HALVES = {"nothing": b"", "half a header": HALF_A_HEADER, "half a body": HALF_A_BODY, "half a chunk": HALF_A_CHUNK}
pytestmark = pytest.mark.parametrize("empty_database_url", ["sqlite"], indirect=True)


@pytest.fixture
def held() -> Iterator[ExitStack]:
    """Connections that are held open until the test ends."""
    with ExitStack() as stack:
        yield stack


def counted(web: Web, event: str) -> int:
    lines = [json.loads(line) for line in web.log.splitlines()]
    return sum(line["count"] for line in lines if line["event"] == event)


def test_callbacks_are_answered_while_hundreds_of_connections_are_half_open(offhook: Offhook, held: ExitStack) -> None:
    with offhook.web(OFFHOOK_REQUEST_SECONDS="300") as web:
        slow = [held.enter_context(raw) for half in HALVES.values() for raw in many(web.port, 100, [half])]
        dripping = [raw for raw in slow if raw not in slow[:200]]
        with Load(web.twilio, threads=4, pause_seconds=0.0) as load:
            while load.count(204) < 300:
                for raw in dripping:
                    raw.send(b"0")
        assert ask(web.port, HEALTHZ).status == 200
        assert set(load.answers) == {204}
        assert_kept(load, offhook.database_url)
        assert "no_thread_free" not in web.log
        for raw in slow:
            raw.send(b"x")  # none of them was closed


def test_a_request_that_is_not_whole_in_time_is_answered_408_and_closed_and_counted(
    offhook: Offhook, held: ExitStack
) -> None:
    with offhook.web(OFFHOOK_REQUEST_SECONDS="1", OFFHOOK_NOTICE_SECONDS="2") as web:
        silent = [held.enter_context(raw) for raw in many(web.port, 5)]
        halves = [held.enter_context(raw) for half in HALVES.values() if half for raw in many(web.port, 5, [half])]
        kept_alive = held.enter_context(Raw(web.port))
        assert kept_alive.send(HEALTHZ).answer().status == 200
        assert all(raw.is_closed() for raw in silent), "nothing came, so nothing is answered"
        assert Counter(raw.answer().status for raw in halves) == {408: 15}
        assert all(raw.is_closed() for raw in halves)
        assert kept_alive.send(HEALTHZ).answer().status == 200, "an idle connection has another limit"
        assert kept_alive.send(HALF_A_BODY).answer().status == 408, "but a request on it has begun"
        wait_until(lambda: counted(web, "request_not_whole_in_time") == 16)
        wait_until(lambda: counted(web, "connection_without_request") == 5)
        assert web.log.count("request_not_whole_in_time") <= 3
    assert ledger.count(offhook.database_url, "callbacks") == 0


def test_an_idle_connection_is_closed_without_a_word(offhook: Offhook) -> None:
    with offhook.web(OFFHOOK_KEEPALIVE_SECONDS="1") as web, Raw(web.port) as raw:
        assert raw.send(HEALTHZ).answer().status == 200
        assert raw.is_closed()
        assert "WARNING" not in web.log


def test_over_the_most_connections_the_oldest_unfinished_one_makes_room(offhook: Offhook, held: ExitStack) -> None:
    with offhook.web(OFFHOOK_WEB_CONNECTIONS="40", OFFHOOK_REQUEST_SECONDS="300") as web:
        served = held.enter_context(Raw(web.port))
        assert served.send(HEALTHZ).answer().status == 200
        old, new = ([held.enter_context(raw) for raw in many(web.port, 30, [HALF_A_BODY])] for _ in range(2))
        for _ in range(50):
            assert web.twilio.send(callback(new_sid())).status == 204
        assert all(raw.is_closed() for raw in old[:20])
        body = b"x" * (60_000 - len(b"half"))
        assert {raw.send(body).answer().status for raw in new[-5:]} == {403}, "the newest have kept their place"
        assert served.send(HEALTHZ).answer().status == 200, "who has been served goes last"
        wait_until(lambda: "connection_closed_for_a_new_one" in web.log)
    assert ledger.count(offhook.database_url, "callbacks") == 50


@pytest.mark.parametrize("threads", ["1", "16"])
def test_idle_connections_in_all_places_shut_nobody_out(offhook: Offhook, held: ExitStack, threads: str) -> None:
    places = {"OFFHOOK_WEB_CONNECTIONS": "40", "OFFHOOK_WEB_THREADS": threads, "OFFHOOK_FIRST_BYTES_SECONDS": "300"}
    with offhook.web(**places) as web:
        idle = [held.enter_context(raw) for raw in many(web.port, 60, [HEALTHZ])]
        assert idle[-1].answer().status == 200
        for _ in range(4):  # of their places, too, the late ones take some
            late = [held.enter_context(raw) for raw in many(web.port, 10)]
            assert ask(web.port, HEALTHZ).status == 200, "and so the others, who came before, have been let in"
            assert [raw.send(signed_request(callback(new_sid()))).answer().status for raw in late] == [204] * 10
        assert idle[0].answer().status == 200
        assert idle[0].is_closed()
    assert ledger.count(offhook.database_url, "callbacks") == 40


def test_where_the_system_gives_no_more_files_fewer_connections_are_held(offhook: Offhook, held: ExitStack) -> None:
    with offhook.web(OFFHOOK_REQUEST_SECONDS="300") as web:
        assert web.twilio.send(callback(new_sid())).status == 204
        for pid in web.children:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (200, 200))
        slow = [held.enter_context(raw) for raw in many(web.port, 300, [HALF_A_BODY])]
        for _ in range(20):
            assert web.twilio.send(callback(new_sid())).status == 204
        assert slow[0].is_closed()
        assert "Traceback" not in web.log


def test_when_there_are_files_again_as_many_connections_are_held_as_before(offhook: Offhook) -> None:
    def all_are_held() -> bool:
        with ExitStack() as stack:
            slow = [stack.enter_context(raw) for raw in many(web.port, 150, [HALF_A_BODY])]
            assert ask(web.port, HEALTHZ).status == 200
            try:
                return slow[0].send(b"x" * (60_000 - len(b"half"))).answer().status == 403
            except (ConnectionError, EOFError):
                return False

    with offhook.web(OFFHOOK_REQUEST_SECONDS="300", OFFHOOK_NOTICE_SECONDS="0.5") as web:
        (pid,) = web.children
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (100, hard))
        assert not all_are_held()
        wait_until(lambda: "no_more_files" in web.log)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
        wait_until(all_are_held)


def test_a_client_that_reads_no_answers_is_cut_and_gives_its_thread_back(offhook: Offhook, held: ExitStack) -> None:
    with offhook.web(OFFHOOK_WEB_THREADS="1", OFFHOOK_REQUEST_SECONDS="300") as web:
        deaf = held.enter_context(Raw(web.port, receive_bytes=2048))
        deaf.send_until_it_is_cut(HEALTHZ * 100)
        assert web.twilio.send(callback(new_sid())).status == 204
        assert "Traceback" not in web.log


def test_when_every_thread_is_busy_it_is_said_once_and_healthz_answers(offhook: Offhook, held: ExitStack) -> None:
    with offhook.web(OFFHOOK_WEB_THREADS="2", OFFHOOK_STORE_TIMEOUT_SECONDS="15") as web:
        with closing(ledger.connect_sqlite(offhook.database_url)) as somebody:
            somebody.execute("BEGIN IMMEDIATE")
            waiting = [held.enter_context(Raw(web.port).send(signed_request(callback(new_sid())))) for _ in range(6)]
            wait_until(lambda: "no_thread_free" in web.log)
            assert [ask(web.port, HEALTHZ).status for _ in range(3)] == [200] * 3
        assert [raw.answer().status for raw in waiting] == [204] * 6
        assert web.log.count("no_thread_free") == 1
