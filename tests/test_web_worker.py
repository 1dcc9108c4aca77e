"""gunicorn's private parts that adapters/web/worker.py stands on are those that it was written for."""

from __future__ import annotations

import hashlib
import inspect
import json
import logging
import os
import selectors
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from gunicorn import arbiter, http
from gunicorn.app import base as application
from gunicorn.config import Config
from gunicorn.http import errors, message, parser, unreader, wsgi
from gunicorn.workers import base, gthread

from offhook.adapters.logs import MaskingJsonFormatter
from offhook.adapters.web import answers
from offhook.adapters.web.framing import Head, Incomplete, Limits, TurnedAway
from offhook.adapters.web.notices import Notices
from offhook.adapters.web.worker import Connection, Patience, WholeRequestWorker, status_of, worker_class
from offhook.pipeline.ports.unavailable import LedgerUnavailable

pytestmark = pytest.mark.unit

READ_FOR: dict[str, tuple[Callable[..., Any], str]] = {
    "a worker's fields": (gthread.ThreadWorker.__init__, "5681b8b542ea"),
    "its loop, which calls murder_pending, murder_keepalived and _cap_keepalive": (
        gthread.ThreadWorker.run,
        "f92c7394d857",
    ),
    "accepting": (gthread.ThreadWorker.set_accept_enabled, "140150ebfd3c"),
    "how a thread serves a connection": (gthread.ThreadWorker.handle, "ca85c9be3df7"),
    "what follows a request": (gthread.ThreadWorker._keepalive_after, "4ebdbbc8bf5a"),
    "the request itself": (gthread.ThreadWorker.handle_request, "6d0de5b91910"),
    "a connection": (gthread.TConn.__init__, "c8763d7c6597"),
    "a connection's parser": (gthread.TConn.init, "5ff3d4ba451c"),
    "closing": (gthread.TConn.close, "6d1c334ed197"),
    "waking the loop": (gthread.PollableMethodQueue, "5b4a78bd3cfb"),
    "answers to errors": (base.Worker.handle_error, "75426448389b"),
    "the start of a worker": (base.Worker.init_process, "114caccd7a0e"),
    "a parser of bytes": (http.get_parser, "b7d8dcde91e2"),
    "a source of bytes": (parser.Parser, "3a9c06e348c7"),
    "bytes that end": (unreader.IterUnreader, "fa4b976b31bd"),
    "who answers": (wsgi.create, "2c35d4a2dc62"),
    "the headers of an answer": (wsgi.Response.default_headers, "cb490cea5d6f"),
    "closing by the request": (message.Message.force_close, "656092cce3c3"),
    "what ends a body": (message.Message.set_body_reader, "e3ba33f5ac7c"),
    "a reload": (arbiter.Arbiter.reload, "fec344d2f774"),
    "the signal for it": (arbiter.Arbiter.handle_hup, "50de80005cd6"),
    "the configuration, read again": (application.BaseApplication.reload, "56122fa19129"),
}


def digest(part: Callable[..., Any]) -> str:
    return hashlib.sha256(inspect.getsource(part).encode()).hexdigest()[:12]


@pytest.mark.parametrize("what", READ_FOR)
def test_gunicorn_is_the_one_that_the_worker_was_written_for(what: str) -> None:
    part, known = READ_FOR[what]
    assert digest(part) == known, (
        f"gunicorn has changed {part.__qualname__} ({what}), on which adapters/web/ stands. Read the new one beside "
        f"adapters/web/worker.py and restart.py, run tests/system/test_slow_clients.py, test_http_edges.py and "
        f"test_restarts.py, and then put {digest(part)!r} here."
    )


@pytest.fixture
def worker() -> Iterator[WholeRequestWorker]:
    """One that has not been started; no thread and no loop runs."""
    kind = worker_class(Limits(32768, 65536), Patience(10.0, 1.0, 60.0))
    made = kind(1, os.getppid(), [], None, 30, Config(), logging.getLogger("gunicorn.error"))
    with closing(selectors.DefaultSelector()) as made.poller:
        yield made
    made.tmp.close()


@pytest.fixture
def gone(worker: WholeRequestWorker) -> Iterator[Connection]:
    """A connection whose socket the system knows no more."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        conn = Connection(worker.cfg, ours, ("127.0.0.1", 1), ("127.0.0.1", 2))
        ours.close()
        yield conn


def test_a_connection_that_is_gone_when_it_is_welcomed_is_dropped(worker: WholeRequestWorker, gone: Connection) -> None:
    worker._welcome(gone)
    assert worker.nr_conns == 0


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_connection_whose_answer_broke_off_is_dropped(
    worker: WholeRequestWorker, gone: Connection, is_kept: bool
) -> None:
    worker.nr_conns = 1
    with ThreadPoolExecutor(1) as worker.tpool:
        done = worker.tpool.submit(lambda: is_kept)
        wait([done])
        worker._finish(gone, done)
    assert (worker.nr_conns, len(worker.idle), len(worker.leaving)) == (0, 0, 0)


def test_a_connection_that_the_system_does_not_watch_is_dropped(worker: WholeRequestWorker, tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:  # epoll takes no files: the refusal is a real one, EPERM
        stays_open, other = socket.socketpair()
        with stays_open, other:
            conn = Connection(worker.cfg, stays_open, ("127.0.0.1", 1), ("127.0.0.1", 2))
            os.dup2(file.fileno(), stays_open.fileno())
            worker.nr_conns = 1
            worker._park(conn, worker.arriving)
    assert (worker.nr_conns, len(worker.arriving)) == (0, 0)


@pytest.mark.parametrize("status", answers._REASONS)
def test_whatever_status_a_program_is_refused_with_is_a_problem_of_the_table(status: int) -> None:
    head, _, body = answers.last_answer_of_api(status).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"Content-Type: application/problem+json\r\n" in head and b"Content-Length: %d" % len(body) in head
    assert json.loads(body).keys() == {"type", "title", "status", "detail"}


@pytest.mark.parametrize(("is_known", "status"), [(True, None), (False, 413), (None, 503)])
def test_who_may_send_more_than_a_callback_is_asked_by_the_cookies_of_the_header(
    worker: WholeRequestWorker, gone: Connection, is_known: bool | None, status: int | None
) -> None:
    """Nobody may, before the web process says who is signed in, and where the database does not say."""
    found = Incomplete(Head(100, b"/customers/uploads", 99_999, cookies=b"offhook=a"), 100)
    assert worker._admitted(found, gone) == TurnedAway(413, "large_of_nobody")

    def knows(cookies: str) -> bool:
        if is_known is None:
            raise LedgerUnavailable("gone")
        return is_known and cookies == "offhook=a"

    worker.knows = knows
    answer = worker._admitted(found, gone)
    assert (answer.status if isinstance(answer, TurnedAway) else None) == status


def test_a_condition_that_lasts_is_logged_at_once_and_then_once_a_minute_with_its_count(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = 0.0
    notices = Notices(60.0, lambda: now)

    def lines() -> list[tuple[str, int]]:
        found = [(record.getMessage(), record.__dict__["count"]) for record in caplog.records]
        caplog.clear()
        return found

    for _ in range(3):
        notices.count("slow")
    notices.tick()
    assert lines() == [("slow", 1)]
    now = 60.0
    notices.tick()
    assert lines() == [("slow", 2)]
    now = 120.0
    notices.tick()
    notices.count("slow")
    assert lines() == [("slow", 1)], "it was over, and begins anew"
    notices.count("slow")
    notices.flush()
    assert lines() == [("slow", 1)]


@pytest.mark.parametrize(
    ("logger", "message", "shown"),
    [
        (
            "gunicorn.error",
            "Invalid HTTP request line: 'GET /?a=14155550300 x'",
            "Invalid HTTP request line: 'GET /?a=*** x'",
        ),
        ("gunicorn.error", "Booting worker with pid: 1234567", "Booting worker with pid: 1234567"),
        ("offhook.web", "CA00000000000000000000000000000001", "CA00000000000000000000000000000001"),
        ("offhook.web", "From +14155550300", "From +1415***0300"),
    ],
)
def test_lines_of_others_hold_no_number_at_all_and_ours_no_phone_number(logger: str, message: str, shown: str) -> None:
    formatter = MaskingJsonFormatter(["name", "message"], rename_fields={"name": "logger", "message": "event"})
    record = logging.LogRecord(logger, logging.WARNING, "", 0, message, (), None)
    assert json.loads(formatter.format(record))["event"] == shown


def test_every_error_of_gunicorns_parser_has_a_status_that_is_the_clients_fault() -> None:
    ours = (errors.InvalidResponseHeader, errors.InvalidResponseHeaderName, errors.ConfigurationProblem)
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, Exception):
            status = status_of(kind.__new__(kind))
            assert (status == 500) == (kind in ours), kind
    assert status_of(RuntimeError("a bug")) == 500
