"""What stands in front of Flask says what Flask would have said, asks nobody twice, and answers alone what is kept."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO
from typing import Any
from urllib.parse import urlencode

import pytest
from flask import Flask, Response, request_started
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.datastructures import EnvironHeaders

from offhook.adapters.twilio.keys import Account, Keyring
from offhook.adapters.twilio.receive import receive
from offhook.adapters.twilio.signature import sign
from offhook.adapters.twilio.spelling import presented_urls
from offhook.adapters.web.parts import headers_of, request_id
from offhook.adapters.web.routes import WebLimits, create_web
from offhook.adapters.web.tally import Tally, TallyLimits
from offhook.pipeline.arrival import CALLBACK_PATH, Admitted, Arrived
from offhook.pipeline.callback import RawCallback
from offhook.pipeline.ports.unavailable import LedgerUnavailable
from offhook.pipeline.refusals import IntakeSums, Run

pytestmark = pytest.mark.unit

SID, TOKEN, BASE = f"AC{1:032x}", "a-token", "https://calls.example.test"
KEYS = Keyring({SID: Account(SID, (TOKEN,), {})})
NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)
CALL = (("AccountSid", SID), ("CallSid", "CA1"), ("CallStatus", "completed"))
FORM = "application/x-www-form-urlencoded"
MOST_BYTES = 1000
Answer = tuple[str, list[tuple[str, str]], bytes]


class Kept:
    """An inbox in memory, which may fail."""

    def __init__(self) -> None:
        self.callbacks: list[RawCallback] = []
        self.fails: Exception | None = None

    def append(self, callbacks: Sequence[RawCallback]) -> None:
        if self.fails:
            raise self.fails
        self.callbacks += callbacks


class Counts:
    """What /readyz would show."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def add(self, counts: Mapping[str, int], _runs: Sequence[Run]) -> Sequence[Run]:
        self.counts.update(counts)
        return ()

    def sums(self) -> IntakeSums:
        return IntakeSums(self.counts, ())


class Health:
    def ready(self, _backlog_seconds: float | None = None) -> tuple[bool, Mapping[str, Any]]:
        return True, {}


@dataclass
class Web:
    """The routes over parts that are looked at; `asked` is what was to be admitted, `names` its requests' ids."""

    inbox: Kept = field(default_factory=Kept)
    counts: Counts = field(default_factory=Counts)
    asked: list[Arrived] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tally = Tally(self.counts, TallyLimits(write_seconds=3600))
        limits = WebLimits(MOST_BYTES, 7)
        self.app = create_web(self.inbox, self.admit, urls_of, Health(), limits, self.tally, lambda: NOON)

    def admit(self, arrived: Arrived) -> Admitted:
        self.asked.append(arrived)
        self.names.append(request_id.get())
        return receive(arrived, KEYS)

    def through_front(self, environ: dict[str, Any]) -> Answer:
        return answer_of(self.app, environ)

    def by_flask_alone(self, environ: dict[str, Any]) -> Answer:
        return answer_of(lambda *both: Flask.wsgi_app(self.app, *both), environ)


def urls_of(target: str, _headers: Mapping[str, str], _scheme: str) -> tuple[str, ...]:
    return presented_urls([BASE], target)


def answer_of(app: Callable[..., Any], environ: dict[str, Any]) -> Answer:
    """Of an environ without what is None in it."""
    environ = {name: value for name, value in environ.items() if value is not None}
    said: list[tuple[str, list[tuple[str, str]]]] = []
    body = b"".join(app(environ, lambda status, headers, _error=None: said.append((status, list(headers)))))
    ((status, headers),) = said
    return status, sorted(headers), body


def environ(
    params: Sequence[tuple[str, str]] = CALL,
    method: str = "POST",
    path: str = CALLBACK_PATH,
    signature: str | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A callback as gunicorn hands it over; `more` replaces or, where it is None, takes away."""
    body = urlencode(params).encode() if method == "POST" else b""
    query = "" if method == "POST" else urlencode(params)
    target = f"{path}?{query}" if query else path
    signed = sign(BASE + target, params if method == "POST" else (), TOKEN) if signature is None else signature
    made: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "RAW_URI": target,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_TYPE": FORM,
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_HOST": "calls.example.test",
        "HTTP_X_TWILIO_SIGNATURE": signed,
        "HTTP_X_REQUEST_ID": "abc-1",
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(body),
        "wsgi.input_terminated": True,
    }
    return {**made, **more}


class BrokenOff:
    """What is left of a body whose sender has gone."""

    def __init__(self, kind: type[Exception]) -> None:
        self._kind = kind

    def read(self, *_size: int) -> bytes:
        raise self._kind("gone")

    readinto = read


REQUESTS: dict[str, Callable[[], dict[str, Any]]] = {
    "kept": environ,
    "kept, by GET": lambda: environ(method="GET"),
    "kept, a slash at the end": lambda: environ(path=f"{CALLBACK_PATH}/"),
    "kept, two slashes before": lambda: environ(path=f"/{CALLBACK_PATH}"),
    "kept, in chunks": lambda: environ(HTTP_TRANSFER_ENCODING="chunked", CONTENT_LENGTH=None),
    "kept, no request id": lambda: environ(HTTP_X_REQUEST_ID=None),
    "of another kind": lambda: environ((*CALL[:1], ("MessageSid", "SM1"))),
    "no callback": lambda: environ(CALL[:2]),
    "forged": lambda: environ(signature="x"),
    "not signed": lambda: environ(signature=""),
    "of a stranger": lambda: environ((("AccountSid", f"AC{2:032x}"), *CALL[1:])),
    "too long": lambda: environ((*CALL, ("x", "y" * MOST_BYTES))),
    "a length that is none": lambda: environ(CONTENT_LENGTH="\u00b2"),
    "shorter than it says": lambda: environ(CONTENT_LENGTH="900"),
    "shorter than it says, and nobody ends it": lambda: {
        **environ(CONTENT_LENGTH="900"),
        "wsgi.input_terminated": None,
    },
    "a connection that is lost": lambda: {**environ(), "wsgi.input": BrokenOff(OSError)},
    "broken off": lambda: {**environ(), "wsgi.input": BrokenOff(EOFError)},
    "HEAD": lambda: environ(method="HEAD"),
    "PUT": lambda: environ(method="PUT"),
    "another path": lambda: environ(path="/twilio/stat"),
    "alive": lambda: environ(method="GET", path="/healthz"),
}
FAILURES = (None, LedgerUnavailable("full", "unreachable"), ValueError("a bug"))


@pytest.mark.parametrize("failure", FAILURES, ids=["it works", "no ledger", "a bug"])
@pytest.mark.parametrize("name", REQUESTS)
def test_an_answer_a_line_in_the_log_and_a_count_are_those_of_flask_alone(
    name: str, failure: Exception | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "offhook")
    results = []
    for way in (Web.through_front, Web.by_flask_alone):
        caplog.clear()
        web = Web()
        web.inbox.fails = failure
        answer = way(web, REQUESTS[name]())
        web.tally.write()
        lines = [(line.levelname, line.getMessage(), facts_of(line)) for line in caplog.records]
        results.append((answer, lines, web.counts.counts, web.inbox.callbacks, web.asked))
    assert results[0] == results[1]


def facts_of(line: logging.LogRecord) -> dict[str, Any]:
    usual = vars(logging.makeLogRecord({})).keys() | {"message", "asctime"}  # the last two are a formatter's
    return {name: value for name, value in vars(line).items() if name not in usual}


@pytest.mark.parametrize("name", ["kept", "kept, by GET", "kept, a slash at the end", "of another kind"])
def test_flask_is_not_asked_about_a_callback_that_is_taken(name: str) -> None:
    web, seen = Web(), []
    with request_started.connected_to(lambda _app: seen.append(1), web.app):
        assert web.through_front(REQUESTS[name]())[0] == "204 NO CONTENT"
        assert seen == []
        assert web.through_front(environ(signature="x"))[0] == "403 FORBIDDEN"
    assert seen == [1]


@pytest.mark.parametrize("failure", FAILURES, ids=["it works", "no ledger", "a bug"])
@pytest.mark.parametrize("name", ["kept", "forged", "no callback"])
def test_a_request_that_is_left_to_flask_is_verified_once(name: str, failure: Exception | None) -> None:
    web = Web()
    web.inbox.fails = failure
    web.through_front(REQUESTS[name]())
    assert len(web.asked) == 1


def test_a_request_has_one_name_and_leaves_none_behind() -> None:
    web = Web()
    answered: list[str] = []

    @web.app.after_request
    def see(response: Response) -> Response:
        answered.append(request_id.get())
        return response

    web.through_front(environ(signature="x", HTTP_X_REQUEST_ID="bad name!"))
    assert answered == web.names and len(answered[0]) == 32
    for request in (environ(), environ(signature="x"), environ(method="HEAD")):
        web.through_front(request)
        assert request_id.get() == ""
    assert web.names[1:] == ["abc-1", "abc-1"]


@given(
    st.dictionaries(
        st.sampled_from(["CONTENT_TYPE", "CONTENT_LENGTH", "HTTP_CONTENT_TYPE", "HTTP_", "HTTP__A", "PATH_INFO"])
        | st.from_regex(r"HTTP_[A-Z0-9_]{1,12}", fullmatch=True),
        st.text(max_size=5),
    )
)
def test_headers_are_those_that_flask_reads(given_environ: dict[str, str]) -> None:
    assert headers_of(given_environ) == dict(EnvironHeaders(given_environ))
