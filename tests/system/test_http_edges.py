"""What no client of good will sends: refused with the right status and one line, never a 500, a traceback or a number."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.support import ledger
from tests.support.processes import Web, flask, free_port
from tests.support.raw import SIGNED, Raw, ask, chunked, signed_request
from tests.support.twilio import Answer, callback, new_sid
from tests.support.waiting import wait_until
from tests.system.conftest import Offhook

pytestmark = pytest.mark.mostly("sqlite")

GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
CHUNKED = SIGNED + b"Transfer-Encoding: chunked\r\n\r\n"
CHUNKED_BODY = b"Transfer-Encoding: chunked\r\n\r\n" + chunked(b"x" * 70_000, 5_000)
NUMBER = "14155550300"
_CAREFUL = {"x-content-type-options": "nosniff", "cache-control": "no-store"}


@pytest.fixture
def web(offhook: Offhook) -> Iterator[Web]:
    with offhook.web() as running:
        yield running
        assert "Traceback" not in running.log


on_sqlite = pytest.mark.parametrize("empty_database_url", ["sqlite"], indirect=True)


def warnings(web: Web) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in web.log.splitlines()]
    return [line for line in lines if line["level"] != "INFO"]


def assert_careful(answer: Answer) -> None:
    assert {name: answer.headers.get(name) for name in _CAREFUL} == _CAREFUL
    assert "server" not in answer.headers


EDGES: dict[str, tuple[bytes, int]] = {
    "a chunk size that is none": (CHUNKED + b"zz\r\n", 400),
    "a chunk without its end": (CHUNKED + b"2\r\nabXX", 400),
    "a chunk over the limit": (CHUNKED + b"fffff\r\n", 413),
    "many chunks over the limit": (CHUNKED + chunked(b"x" * 70_000, 5_000), 413),
    "a length over the limit": (SIGNED + b"Content-Length: 99999999\r\n\r\nx", 413),
    "a length and chunks": (SIGNED + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "two lengths": (SIGNED + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
    "a length that is none": (SIGNED + b"Content-Length: many\r\n\r\n", 400),
    "a length without end": (SIGNED + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", 400),
    "a coding that nobody knows": (SIGNED + b"Transfer-Encoding: br, chunked\r\n\r\n", 501),
    "an expectation that nobody knows": (SIGNED + b"Expect: 200-ok\r\nContent-Length: 1\r\n\r\nx", 417),
    "a header that is too long": (GET + b"A: " + b"x" * 40_000, 431),
    "too many headers": (GET + b"A: x\r\n" * 101 + b"\r\n", 431),
    "a folded header": (GET + b"A: x\r\n y\r\n\r\n", 400),
    "a header without colon": (GET + b"+" + NUMBER.encode() + b"\r\n\r\n", 400),
    "a blank before the colon": (GET + b"Content-Length : 3\r\n\r\nabc", 400),
    "two hosts": (GET + b"Host: y\r\n\r\n", 400),
    "a method that is none": (b"get /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "a NUL": (GET + b"A: \0\r\n\r\n", 400),
    "a lone CR": (GET + b"A: x\ry\r\n\r\n", 400),
    "a lone LF": (GET + b"A: x\ny: z\r\n\r\n", 400),
    "HTTP/0.9": (b"GET /healthz\r\n", 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "HTTP/1.0 in chunks": (b"POST /twilio/status HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00", 400),
    "a target that is too long": (b"GET /" + b"a" * 9000, 414),
    "a target with a number and a blank": (f"GET /x?From=+{NUMBER} a HTTP/1.1\r\n\r\n".encode(), 400),
    "a target that is no ASCII": (f"GET /twilio/\xff{NUMBER} HTTP/1.1\r\nHost: x\r\n\r\n".encode("latin-1"), 400),
    "a target that is no path": (f"GET {NUMBER}:80 HTTP/1.1\r\nHost: x\r\n\r\n".encode(), 400),
    "a bad IPv6 address": (b"GET http://[x/healthz HTTP/1.1\r\nHost: x\r\n\r\n", 400),
}


@on_sqlite
def test_each_edge_gets_its_status_one_warning_and_no_word_of_the_request(web: Web) -> None:
    for name, (data, status) in EDGES.items():
        before = len(warnings(web))
        answer = ask(web.port, data)
        assert (name, answer.status) == (name, status)
        assert_careful(answer)
        [line] = warnings(web)[before:]
        assert (name, line["level"], line["status"]) == (name, "WARNING", status)
        assert "request_id" not in line, "it is another request's"
    assert NUMBER not in web.log


ASKED = b"PUT /api/v1/customers/+14155550101 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer offhook_x\r\n"
OF_THE_API: dict[str, tuple[bytes, int, str, str]] = {  # what is sent, and the status, word and advice of the answer
    "a body of 66,000 bytes": (ASKED + b"Content-Length: 66000\r\n\r\n", 413, "request-entity-too-large", "Send less"),
    "more in chunks": (ASKED + CHUNKED_BODY, 413, "request-entity-too-large", "Send less"),
    "a query of 9 kB": (b"GET /api/v1/calls?cursor=" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n", 414, "uri-too-long", "less"),
    "an address of 9 kB": (b"GET http://x/api/v1/calls?a=" + b"a" * 9000, 414, "uri-too-long", "Ask for less"),
    "a header of 40 kB": (ASKED + b"A: " + b"x" * 40_000, 431, "header-too-large", "OFFHOOK_MAX_HEADER_BYTES"),
    "a folded header": (ASKED + b"A: x\r\n y\r\n\r\n", 400, "bad-request", "openapi.json"),
    "what gunicorn refuses": (ASKED + b"A : x\r\n\r\n", 400, "bad-request", "openapi.json"),
    "an expectation": (ASKED + b"Expect: 200-ok\r\nContent-Length: 1\r\n\r\nx", 417, "expectation-failed", "Expect"),
    "a coding": (ASKED + b"Transfer-Encoding: br, chunked\r\n\r\n", 501, "not-implemented", "Content-Length"),
}


@on_sqlite
def test_what_never_reaches_the_api_is_a_problem_as_those_of_the_api_are(web: Web) -> None:
    """A program has no page to sign in to, and reads `type`; nobody is asked who is signed in."""
    for name, (data, status, word, advice) in OF_THE_API.items():
        answer = ask(web.port, data)
        assert_careful(answer)
        assert (name, answer.status, answer.headers["content-type"]) == (name, status, "application/problem+json")
        said = json.loads(answer.body)
        assert (name, said["type"], said["status"]) == (name, f"urn:offhook:problem:{word}", status)
        assert said["title"] and advice in said["detail"] and "sign" not in answer.body.decode()
    assert "large_of_nobody" not in web.log


@on_sqlite
def test_what_is_odd_but_sound_is_answered_as_usual(web: Web, offhook: Offhook) -> None:
    for name, data, status in (
        ("absolute form", b"GET http://x/healthz HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        ("an empty line before", b"\r\n" + GET + b"\r\n", 200),
        ("garbage in the target", b"GET /%zz%ff%00?%zz=%00&%=% HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        ("no host", b"GET /healthz HTTP/1.1\r\n\r\n", 200),
        ("HTTP/1.0", b"GET /healthz HTTP/1.0\r\n\r\n", 200),
        ("asterisk form", b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        ("a tunnel", b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        ("forged", SIGNED + b"Transfer-Encoding: chunked\r\n\r\n1;a=b\r\nx\r\n0\r\nTrailer-X: 1\r\n\r\n", 403),
        ("a callback in chunks", signed_request(callback(new_sid()), chunk_bytes=7), 204),
    ):
        answer = ask(web.port, data)
        assert (name, answer.status) == (name, status)
        assert_careful(answer)
    assert ledger.count(offhook.database_url, "callbacks") == 1
    assert {line["event"] for line in warnings(web)} == {"callback_forged"}


@on_sqlite
@pytest.mark.parametrize("half", [SIGNED + b"Content-Length: 10\r\n\r\nhalf", CHUNKED + b"a\r\nhalf", SIGNED])
def test_a_request_that_ends_early_is_a_400_and_one_warning(web: Web, half: bytes) -> None:
    assert ask(web.port, half, then_end=True).status == 400
    wait_until(lambda: warnings(web))  # the answer may be here before the line is
    [line] = warnings(web)
    assert (line["event"], line["check"], line["level"]) == ("request_refused", "ended_early", "WARNING")


@on_sqlite
def test_headers_of_forwarders_are_nobodys(web: Web) -> None:
    for header in ("SCRIPT_NAME: /x", "SCRIPT-NAME: /x", "PATH_INFO: /x", "REMOTE_USER: x"):
        assert ask(web.port, GET + header.encode() + b"\r\n\r\n").status == 200, header
    contradicting = b"X-Forwarded-Proto: https\r\nX-Forwarded-Ssl: off\r\n\r\n"
    assert ask(web.port, GET + contradicting).status == 200
    assert warnings(web) == []


@on_sqlite
def test_a_callback_without_a_signature_is_refused_before_its_body_is_sent(web: Web) -> None:
    for framing in (b"Content-Length: 1000", b"Content-Length: 99999999", b"Transfer-Encoding: chunked"):
        for expect in (b"", b"Expect: 100-continue\r\n"):
            with Raw(web.port) as raw:
                raw.send(b"POST /twilio/status HTTP/1.1\r\nHost: x\r\n" + expect + framing + b"\r\n\r\n")
                answer = raw.answer()
                assert (answer.status, answer.headers["connection"]) == (403, "close")
                assert raw.send(b"what follows is no request").is_closed()
    assert {(line["event"], line["check"]) for line in warnings(web)} == {("callback_forged", "missing_signature")}


@on_sqlite
def test_who_expects_100_gets_it_once_the_header_is_complete(web: Web) -> None:
    request = signed_request(callback(new_sid()), "Expect: 100-continue")
    head, separator, body = request.partition(b"\r\n\r\n")
    with Raw(web.port) as raw:
        raw.send(head + separator)
        assert raw.answer().status == 100
        assert raw.send(body).answer().status == 204
        raw.send(request)
        assert raw.answer().status == 204, "who has sent it all needs no 100"


@on_sqlite
def test_requests_one_after_another_on_one_connection_are_answered_in_order(web: Web, offhook: Offhook) -> None:
    missing = b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n"
    requests = [part for _ in range(20) for part in (signed_request(callback(new_sid())), missing)]
    stream = b"".join(requests)
    with Raw(web.port) as raw:
        raw.send(*(stream[at : at + 997] for at in range(0, len(stream), 997)))
        assert [raw.answer().status for _ in requests] == [204, 404] * 20
        raw.send(GET + b"Connection: close\r\n\r\n")
        assert raw.answer().headers["connection"] == "close"
        assert raw.is_closed()
    assert ledger.count(offhook.database_url, "callbacks") == 20


@on_sqlite
def test_no_answer_carries_the_words_of_the_database(offhook: Offhook) -> None:
    port = free_port()
    with offhook.web(DATABASE_URL=f"postgres://someone:secret@127.0.0.1:{port}/nothing") as web:
        for data in (signed_request(callback(new_sid())), b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"):
            answer = ask(web.port, data)
            assert answer.status == 503
            assert_careful(answer)
            said = answer.body.decode()
            assert not [word for word in (str(port), "127.0.0.1", "someone", "nothing", "secret") if word in said], said


def test_readyz_says_which_offhook_it_is(bare_offhook: Offhook) -> None:
    """Ready or not: here there is no table yet."""
    with bare_offhook.web() as web:
        answer = web.twilio.get("/readyz")
    printed = flask("version", env=bare_offhook.env(), folder=bare_offhook.folder).stdout.splitlines()[0]
    assert (answer.status, ["Offhook", json.loads(answer.body)["version"]]) == (503, printed.split())
