"""The way out to Rockerbox, against a server that misbehaves in every way we could think of."""

from __future__ import annotations

import errno
import itertools
import json
import logging
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offhook.adapters.rockerbox import client
from offhook.adapters.rockerbox.client import Rockerbox, outcome_of, retry_after_seconds
from offhook.adapters.rockerbox.dedupe import DedupeKey
from offhook.adapters.way_out import deadline
from offhook.adapters.way_out.dialing import Address, Dialer
from offhook.adapters.way_out.resolver import Resolver
from offhook.pipeline.delivery import Outcome, Result
from tests import sinks
from tests.sinks import Sink
from tests.support.needed import may_lack
from tests.support.waiting import HANGS_AFTER_SECONDS, wait_until

pytestmark = pytest.mark.unit

SECRET = "adv/4711 secret"
QUOTED = "adv%2F4711%20secret"
PAYLOAD = b'{"action":"phone_call"}'
# A busy machine takes seconds for what is quick elsewhere; only what is to meet a deadline is given a short one.
PATIENT = {"connect_timeout_seconds": 60.0, "total_deadline_seconds": 60.0}
IMPATIENT = {"connect_timeout_seconds": 1.0, "total_deadline_seconds": 2.0}
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)

Connect = Callable[..., Rockerbox]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Makes patient clients and closes them."""
    made: list[Rockerbox] = []

    def connect(url: str, **options: object) -> Rockerbox:
        settings = PATIENT | options
        made.append(Rockerbox(url, SECRET, **settings))  # type: ignore[arg-type]
        return made[-1]

    yield connect
    for each in made:
        each.close()


@pytest.fixture(autouse=True)
def no_secret_in_any_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.DEBUG):
        yield
    for record in caplog.records:
        assert SECRET not in record.getMessage() and QUOTED not in record.getMessage()


def patience(reason: str) -> dict[str, float]:
    """Of a client that is to end for this reason."""
    return IMPATIENT if reason in ("deadline", "connect_timeout") else PATIENT


def sent(rockerbox: Rockerbox) -> Outcome:
    """One send, which must end by its deadline, for here a sink hangs for ever, and show no secret."""
    outcome = rockerbox.send(PAYLOAD)
    assert SECRET not in repr(outcome) and QUOTED not in repr(outcome)
    return outcome


# ---- what is sent


def test_one_post_carries_the_bytes_the_id_and_our_name(connect: Connect) -> None:
    with Sink() as sink:
        outcome = sent(connect(sink.url))
        [seen] = sink.requests
    assert outcome == Outcome(Result.DELIVERED, "delivered", 200, '{"ok":true}')
    assert (seen.method, seen.path, seen.body) == ("POST", f"/webhook/data?advertiser={QUOTED}", PAYLOAD)
    assert seen.headers == {
        "host": f"127.0.0.1:{sink.port}",
        "content-type": "application/json",
        "content-length": str(len(PAYLOAD)),
        "user-agent": client.USER_AGENT,
        "accept-encoding": "identity",
    }


@pytest.mark.parametrize(
    ("tail", "path"),
    [
        ("", "/webhook/data?advertiser="),
        ("?a=1&b=%20", "/webhook/data?a=1&b=%20&advertiser="),
        ("?advertiser=old&a=1#top", "/webhook/data?a=1&advertiser="),
    ],
)
def test_a_query_of_the_url_stays_and_the_configured_id_wins(connect: Connect, tail: str, path: str) -> None:
    with Sink() as sink:
        sent(connect(sink.url + tail))
        assert sink.requests[0].path == path + QUOTED


def test_the_user_agent_names_the_version_of_the_project() -> None:
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
    assert f"Offhook/{project['version']}" == client.USER_AGENT


def test_nothing_shows_the_id() -> None:
    assert repr(Rockerbox(f"https://h.example/x?advertiser={QUOTED}", SECRET)) == "Rockerbox(host='h.example')"


@pytest.mark.parametrize("url", ["", "no url", "ftp://h.example/", "http://", "//h.example/x"])
def test_a_url_that_cannot_be_used_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="the url of Rockerbox"):
        Rockerbox(url, SECRET)


def test_an_empty_id_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="is empty"):
        Rockerbox("https://h.example/x", "")


def test_proxies_and_netrc_of_the_environment_are_ignored(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password mine\n")
    with Sink() as proxy, Sink() as sink:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        assert sent(connect(sink.url)).result is Result.DELIVERED
        assert proxy.connections == 0
        assert "authorization" not in sink.requests[0].headers


def test_a_cookie_is_never_sent_back(connect: Connect) -> None:
    with Sink(sinks.answer(200, headers={"Set-Cookie": "a=b"})) as sink:
        rockerbox = connect(sink.url)
        sent(rockerbox), sent(rockerbox)
        assert all("cookie" not in seen.headers for seen in sink.requests)


# ---- what the answers mean


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_every_2xx_is_delivered(connect: Connect, status: int) -> None:
    with Sink(sinks.answer(status, b"")) as sink:
        assert sent(connect(sink.url)) == Outcome(Result.DELIVERED, "delivered", status)


NOT_TAKEN = (425, 429, 500, 503, 521, 522, 523, 525, 526, 530)
MAYBE_SENT = (408, 502, 504, 520, 524, 527)
BLOCKED = (401, 403, 404, 405, 407, 421, 423, 451)
REFUSED = (400, 409, 410, 413, 414, 415, 422, 431)


@pytest.mark.parametrize(
    ("result", "statuses"),
    [
        (Result.RETRY, NOT_TAKEN),
        (Result.MAYBE_SENT, MAYBE_SENT),
        (Result.BLOCKED, BLOCKED),
        (Result.REFUSED, REFUSED),
    ],
)
def test_each_status_is_read_as_the_design_says(connect: Connect, result: Result, statuses: tuple[int, ...]) -> None:
    with Sink(*(sinks.answer(status, b"why") for status in statuses)) as sink:
        rockerbox = connect(sink.url)
        came = [sent(rockerbox) for _ in statuses]
    assert came == [Outcome(result, f"http_{status}", status, "why") for status in statuses]


@pytest.mark.parametrize("status", [402, 406, 411, 418, 426, 428, 499])
def test_a_4xx_that_nobody_foresaw_does_not_kill_a_conversion(status: int) -> None:
    assert outcome_of(status) == Outcome(Result.BLOCKED, f"http_{status}", status)


@pytest.mark.parametrize("status", [512, 529, 561, 598, 599])
def test_a_5xx_that_nobody_knows_says_nothing_about_whether_it_arrived(status: int) -> None:
    assert outcome_of(status) == Outcome(Result.MAYBE_SENT, f"http_{status}", status)


def test_the_list_of_what_a_gateway_says_is_a_setting(connect: Connect) -> None:
    with Sink(sinks.answer(503), sinks.answer(502)) as sink:
        rockerbox = connect(sink.url, maybe_sent_statuses=(503,))
        assert [sent(rockerbox).result for _ in range(2)] == [Result.MAYBE_SENT, Result.RETRY]
    assert [outcome_of(status, maybe_sent=()).result for status in MAYBE_SENT] == [Result.RETRY] * len(MAYBE_SENT)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(connect: Connect, status: int) -> None:
    with Sink() as elsewhere, Sink(sinks.redirect(elsewhere.url, status)) as sink:
        assert sent(connect(sink.url)) == Outcome(Result.BLOCKED, "redirect", status)
        assert elsewhere.connections == 0


@given(st.integers(100, 999))
def test_every_status_has_an_outcome_and_only_2xx_is_delivered(status: int) -> None:
    outcome = outcome_of(status)
    assert (outcome.result is Result.DELIVERED) == (200 <= status <= 299)
    assert (outcome.result is Result.REFUSED) == (status in REFUSED)
    assert status in NOT_TAKEN or status in (501, *range(505, 512)) or outcome.result is not Result.RETRY
    if status < 200 or status > 599:
        assert outcome.result is Result.MAYBE_SENT


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("2", 2.0),
        (" 120 ", 120.0),
        ("0", 0.0),
        ("-5", 0.0),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW - timedelta(days=1), usegmt=True), 0.0),
        ("Sun, 01 Mar 2026 12:00:10 -0000", 10.0),
        ("soon", None),
        ("", None),
        (None, None),
        ("1e9", None),
        ("nan", None),
        ("inf", None),
        ("٣", None),
        ("9" * 30, 1e9),
        ("9" * 400, 1e9),
        ("1.5", 1.5),
        ("2.", 2.0),
        (".5", 0.5),
        ("+3", 3.0),
        ("-0.5", 0.0),
        ("5, 10", 10.0),
        ("10,5", 10.0),
        ("5, soon", 5.0),
        (", ,", None),
        ("120 s", None),
        ("1.2.3", None),
        ("Sun, 01 Mar 2026 12:00:10 GMT, 5", 10.0),
        ("Sun, 01 Mar 2026 12:00:10 GMT, Sunday, 01-Mar-26 12:00:20 GMT", 20.0),
        ("Sunday, 01-Mar-26 12:01:30 GMT", 90.0),
        ("Sun Mar  1 12:01:30 2026", 90.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 1e9),
        ("Sun, 99 Mar 2026 12:00:10 GMT", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(header, NOW) == seconds


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d+ [A-Z][a-z]{2} \d+ \d+:\d+:\d+ \S+"))
def test_no_retry_after_whatever_raises_or_goes_back_in_time(header: str) -> None:
    seconds = retry_after_seconds(header, NOW)
    assert seconds is None or seconds >= 0


@pytest.mark.parametrize(
    ("header", "at"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)),
        ("Sunday, 06-Nov-94 08:49:37 GMT", datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)),
        ("Sun Nov  6 08:49:37 1994", datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)),
        ("Sun, 06 Nov 1994 08:49:37 +0200", datetime(1994, 11, 6, 6, 49, 37, tzinfo=UTC)),
        ("1994-11-06T08:49:37Z", None),
        ("Fri, 31 Dec 9999 23:59:59 -1200", None),
        ("", None),
        (None, None),
    ],
)
def test_the_date_of_an_answer_is_read_in_each_of_http_s_forms(header: str | None, at: datetime | None) -> None:
    assert client.http_date(header) == at


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d+ [A-Z][a-z]{2} \d+ \d+:\d+:\d+ \S+"))
def test_no_date_whatever_raises(header: str) -> None:
    assert client.http_date(header) is None or client.http_date(header).tzinfo is UTC  # type: ignore[union-attr]


@pytest.mark.parametrize("status", [403, 429, 502, 503])
def test_whatever_is_tried_again_carries_the_wait_that_was_asked_for(connect: Connect, status: int) -> None:
    with Sink(
        sinks.raw(b"HTTP/1.1 %d Said\r\nRetry-After: 7\r\nRetry-After: 1.5\r\nContent-Length: 0\r\n\r\n" % status)
    ) as sink:
        assert sent(connect(sink.url)).retry_after_seconds == 7.0


@pytest.mark.parametrize("status", [200, 400, 403, 502])
def test_every_answer_carries_the_destination_s_time(connect: Connect, status: int) -> None:
    with Sink(sinks.answer(status, headers={"Date": "Sun, 01 Mar 2026 12:00:00 GMT"})) as sink:
        assert sent(connect(sink.url)).answered_at == NOW


def test_rate_limited_carries_the_wait(connect: Connect) -> None:
    with Sink(sinks.rate_limited("17")) as sink:
        assert sent(connect(sink.url)) == Outcome(Result.RETRY, "http_429", 429, "slow down", 17.0)


# ---- the body changes nothing


def test_a_body_that_is_not_json_is_kept_readable(connect: Connect) -> None:
    with Sink(sinks.not_json()) as sink:
        outcome = sent(connect(sink.url))
    assert outcome == Outcome(Result.DELIVERED, "delivered", 200, "<html>\ufffd\ufffd thanks</html>")


def test_at_most_two_thousand_characters_are_kept_and_the_id_is_not(connect: Connect) -> None:
    body = f"no {SECRET} and {QUOTED}: ".encode() + b"z" * 5000
    with Sink(sinks.answer(400, body)) as sink:
        answer = sent(connect(sink.url)).answer
    assert answer.startswith("no [advertiser id] and [advertiser id]: zzz")
    assert len(answer) == 2000


@pytest.mark.parametrize("behaviour", [sinks.cut_body(), sinks.reset_in_body(), sinks.drip_body()])
def test_a_2xx_whose_body_never_comes_whole_is_delivered(connect: Connect, behaviour: sinks.Behaviour) -> None:
    with Sink(behaviour, sinks.answer()) as sink:
        rockerbox = connect(sink.url, **IMPATIENT)
        assert sent(rockerbox).result is Result.DELIVERED
        assert sent(rockerbox) == Outcome(Result.DELIVERED, "delivered", 200, '{"ok":true}')
        assert [seen.connection for seen in sink.requests] == [1, 2]


def test_a_refusal_whose_body_drips_is_still_a_refusal(connect: Connect) -> None:
    with Sink(sinks.drip_body(status=400)) as sink:
        outcome = sent(connect(sink.url, **IMPATIENT))
    assert (outcome.result, outcome.reason) == (Result.REFUSED, "http_400")
    assert set(outcome.answer) == {"z"}


@pytest.mark.parametrize("behaviour", [sinks.endless_body(), sinks.endless_chunks()])
def test_an_endless_body_is_cut_after_64_kb_and_hung_up(connect: Connect, behaviour: sinks.Behaviour) -> None:
    with Sink(behaviour) as sink:
        outcome = connect(sink.url, total_deadline_seconds=20.0).send(PAYLOAD)
        assert (outcome.result, outcome.answer) == (Result.DELIVERED, "z" * 2000)
        sink.wait_until(lambda: sink.open_connections == 0)
        # 64 KB and what the buffers of two sockets take.
        assert sink.sent_bytes < 2_000_000


@pytest.mark.parametrize("behaviour", [sinks.chunked(b"ab", b"c" * 70), sinks.answer(200, b""), sinks.answer(204, b"")])
def test_a_body_that_came_whole_keeps_the_connection(connect: Connect, behaviour: sinks.Behaviour) -> None:
    with Sink(behaviour) as sink:
        rockerbox = connect(sink.url)
        for _ in range(5):
            assert sent(rockerbox).result is Result.DELIVERED
        assert {seen.connection for seen in sink.requests} == {1}


# ---- no answer


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (sinks.black_hole(), "deadline"),
        (sinks.drip_head(), "deadline"),
        (sinks.endless_continue(), "bad_answer"),
        (sinks.endless_head(), "bad_answer"),
        (sinks.reset(), "reset"),
        (sinks.close_before_answer(), "no_answer"),
        (sinks.raw(b"SSH-2.0-OpenSSH_9.9\r\n"), "bad_answer"),
        (sinks.raw(b"HTTP/1.1 20"), "bad_answer"),
        (sinks.raw(b"HTTP/1.1 2000 OK\r\n\r\n"), "bad_answer"),
        (sinks.raw(b"HTTP/2 200 OK\r\n\r\n"), "bad_answer"),
        (sinks.raw(b"\0" * 100_000), "bad_answer"),
        (sinks.raw(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 1000 + b"\r\n"), "bad_answer"),
    ],
)
def test_what_was_sent_and_not_answered_may_have_arrived(
    connect: Connect, behaviour: sinks.Behaviour, reason: str
) -> None:
    with Sink(behaviour, sinks.answer()) as sink:
        rockerbox = connect(sink.url, **patience(reason))
        assert sent(rockerbox) == Outcome(Result.MAYBE_SENT, reason)
        assert len(sink.requests) == 1
        assert sent(rockerbox).result is Result.DELIVERED


@pytest.mark.parametrize("statuses", [(100,), (102,), (103,), (100, 102, 103, 103, 199)])
@pytest.mark.parametrize("final", [200, 400, 503])
def test_interim_answers_are_passed_over(connect: Connect, statuses: tuple[int, ...], final: int) -> None:
    with Sink(sinks.interim(*statuses, then=sinks.answer(final, b"mine")), sinks.answer(200, b"next")) as sink:
        rockerbox = connect(sink.url)
        assert sent(rockerbox) == replace(outcome_of(final), answer="mine")
        assert sent(rockerbox) == Outcome(Result.DELIVERED, "delivered", 200, "next")
        assert [seen.connection for seen in sink.requests] == [1, 1]


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (sinks.black_hole(), "deadline"),
        (sinks.close_before_answer(), "no_answer"),
        (sinks.raw(b"HTTP/1.1 1"), "bad_answer"),
    ],
)
def test_an_interim_answer_alone_may_have_arrived_and_closes_the_connection(
    connect: Connect, behaviour: sinks.Behaviour, reason: str
) -> None:
    with Sink(sinks.interim(102, then=behaviour), sinks.answer(200, b"next")) as sink:
        rockerbox = connect(sink.url, **patience(reason))
        assert sent(rockerbox) == Outcome(Result.MAYBE_SENT, reason)
        sink.wait_until(lambda: sink.open_connections == (reason == "deadline"))  # that sink does not look
        assert sent(rockerbox) == Outcome(Result.DELIVERED, "delivered", 200, "next")
        assert [seen.connection for seen in sink.requests] == [1, 2]


MINE = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmine"
TWO_LENGTHS = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 9\r\n\r\nmine"
LENGTH_AND_CHUNKS = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: %b\r\n\r\n"


@pytest.mark.parametrize(
    "answered",
    [
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        MINE + b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother",
        MINE + b"\0",
        TWO_LENGTHS,
        LENGTH_AND_CHUNKS % b"chunked" + b"2\r\nok\r\n0\r\n\r\n",
        LENGTH_AND_CHUNKS % b"gzip, chunked" + b"2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: +4\r\n\r\nmine",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0_4\r\n\r\nmine",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\n\r\nmine",
        b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 599 What\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 700 What\r\nContent-Length: 0\r\n\r\n",
    ],
)
@pytest.mark.parametrize("over_tls", [False, True])
def test_what_ends_unclear_closes_its_connection(
    connect: Connect, tls: tuple[ssl.SSLContext, Path], answered: bytes, over_tls: bool
) -> None:
    keeping = sinks.raw(answered, keep=True)
    with Sink(keeping, sinks.answer(200, b"next"), tls=tls[0] if over_tls else None) as sink:
        rockerbox = connect(sink.url, ca_file=str(tls[1]))
        sent(rockerbox)
        sink.wait_until(lambda: sink.open_connections == 0)
        assert sent(rockerbox) == Outcome(Result.DELIVERED, "delivered", 200, "next")
        assert [seen.connection for seen in sink.requests] == [1, 2]


def test_an_answer_that_comes_while_nobody_asked_is_nobody_s(connect: Connect) -> None:
    """As servers do that close what is idle with a 408."""
    unasked = threading.Event()

    def twice(exchange: sinks.Exchange) -> bool:
        sinks.answer(200, b"mine")(exchange)
        unasked.wait(HANGS_AFTER_SECONDS)
        sinks.answer(200, b"other")(exchange)
        return True

    with Sink(twice, sinks.answer(200, b"next")) as sink:
        rockerbox = connect(sink.url)
        assert sent(rockerbox).answer == "mine"
        before = sink.sent_bytes
        unasked.set()
        wait_until(lambda: sink.sent_bytes > before)
        assert sent(rockerbox).answer == "next"
        assert [seen.connection for seen in sink.requests] == [1, 2]


_interim = st.sampled_from([b"HTTP/1.1 %d Soon\r\n\r\n" % status for status in (100, 102, 103)])
_piece = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n{id}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{id}\r\n0\r\n\r\n",
        b"HTTP/1.1 504 Said\r\nContent-Length: 4\r\n\r\n{id}",
        b"HTTP/1.1 103 Soon\r\n\r\n",
        b"HTTP/1.1 101 Said\r\n\r\n",
        b"HTTP/1.1 204 Said\r\n\r\n",
        b"\r\n",
        b"rubbish\r\n",
    ]
)
# Interim answers, each by itself, and what comes after them in one piece. (What a server says unasked, after a whole
# answer and while the next request is on its way, nobody can distinguish from the next answer.)
_script = st.tuples(st.lists(_interim, max_size=3), st.lists(_piece, max_size=3), st.booleans())


@settings(max_examples=60, deadline=None)
@given(st.lists(_script, min_size=2, max_size=5))
def test_whatever_a_server_says_no_answer_is_taken_for_another_conversion_s(
    connect: Connect, scripts: list[tuple[list[bytes], list[bytes], bool]]
) -> None:
    def scripted(interims: list[bytes], pieces: list[bytes], keep: bool) -> sinks.Behaviour:
        def behave(exchange: sinks.Exchange) -> bool:
            for each in interims:
                exchange.write(each)
                exchange.stop.wait(0.003)
            exchange.write(b"".join(pieces).replace(b"{id}", exchange.seen.body))
            return keep

        return behave

    with Sink(*(scripted(*script) for script in scripts), sinks.answer(200, b"last")) as sink:
        rockerbox = connect(sink.url, total_deadline_seconds=0.1)
        for number, _ in enumerate(scripts):
            outcome = rockerbox.send(b"%04d" % number)
            assert outcome.answer in ("", f"{number:04}")
            assert (outcome.status_code or 504) // 100 != 1 or outcome.result is Result.MAYBE_SENT


def test_a_server_that_does_not_read_meets_the_deadline(connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        rockerbox = connect(f"http://127.0.0.1:{server.getsockname()[1]}/", **IMPATIENT)
        assert rockerbox.send(b"z" * 50_000_000) == Outcome(Result.MAYBE_SENT, "deadline")


# ---- never sent


def test_a_closed_port_was_never_sent_to(connect: Connect) -> None:
    outcome = sent(connect(f"http://127.0.0.1:{sinks.closed_port()}/"))
    assert outcome == Outcome(Result.RETRY, "connect_refused")


def test_a_server_that_takes_no_connection_was_never_sent_to(connect: Connect) -> None:
    with sinks.full_backlog() as port:
        assert sent(connect(f"http://127.0.0.1:{port}/", **IMPATIENT)) == Outcome(Result.RETRY, "connect_timeout")


@pytest.mark.parametrize("host", ["no-such-host.invalid", "x" * 64 + ".invalid"])
def test_a_name_that_is_not_known_was_never_sent_to(connect: Connect, host: str) -> None:
    # A deadline that no honest resolver meets: what it says shall come, not that it took too long.
    rockerbox = connect(f"http://{host}/", total_deadline_seconds=60.0)
    assert rockerbox.send(PAYLOAD) == Outcome(Result.RETRY, "dns")


class Hanging:
    """A resolver that answers no question until it is released; then it knows where the sink is."""

    def __init__(self) -> None:
        self.asked = 0
        self.released = threading.Event()

    def __call__(self, host: str, port: int, family: int, kind: int) -> list[object]:
        self.asked += 1
        self.released.wait()
        return list(socket.getaddrinfo("127.0.0.1", port, family, kind))


def test_a_resolver_that_hangs_keeps_nobody_beyond_the_deadline_and_nothing_was_sent(connect: Connect) -> None:
    hanging = Hanging()
    resolver = Resolver(hanging, max_threads=2, stale_seconds=0.0)
    with Sink() as sink:
        rockerbox = connect(f"http://rockerbox.invalid:{sink.port}/x", resolver=resolver, **IMPATIENT)
        with ThreadPoolExecutor(8) as pool:
            came = [one.result() for one in [pool.submit(rockerbox.send, PAYLOAD) for _ in range(8)]]
        assert came == [Outcome(Result.RETRY, "dns_timeout")] * 8
        assert hanging.asked == 2
        assert sink.connections == 0
        hanging.released.set()
        wait_until(lambda: rockerbox.send(PAYLOAD).result is Result.DELIVERED)


def test_those_who_ask_for_a_name_at_the_same_time_share_one_look_up(connect: Connect) -> None:
    hanging = Hanging()
    with Sink() as sink:
        resolver = Resolver(hanging)
        rockerbox = connect(f"http://rockerbox.invalid:{sink.port}/x", resolver=resolver, total_deadline_seconds=20.0)
        with ThreadPoolExecutor(8) as pool:
            asked = [pool.submit(rockerbox.send, PAYLOAD) for _ in range(8)]
            wait_until(lambda: hanging.asked == 1)
            hanging.released.set()
            assert {one.result().result for one in asked} == {Result.DELIVERED}


_BESIDE_A_SILENT_RESOLVER = """
import socket, sys
from offhook.adapters.rockerbox.client import Rockerbox
silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
silent.bind(("127.0.0.1", 53))
rockerbox = Rockerbox("http://rockerbox.example/", "id", total_deadline_seconds=0.5)
print([(outcome.result.value, outcome.reason) for outcome in (rockerbox.send(b"{}"), rockerbox.send(b"{}"))])
print(len(silent.recv(2000)) > 0)
"""


def test_a_real_resolver_that_never_answers_keeps_nobody_beyond_the_deadline(tmp_path: Path) -> None:
    """In a network and a mount namespace of its own, where the only name server takes every question and says nothing."""
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    (tmp_path / "nsswitch.conf").write_text("hosts: files dns\n")
    mounts = " && ".join(f"mount --bind {tmp_path}/{name} /etc/{name}" for name in ("resolv.conf", "nsswitch.conf"))
    inside = ["unshare", "-rmn", "sh", "-c", f'{mounts} && ip link set lo up && echo ready && exec "$0" -c "$1"']
    command = [*inside, sys.executable, _BESIDE_A_SILENT_RESOLVER]
    may_lack(shutil.which("unshare"), "namespaces", "there is no `unshare`")
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True)
    may_lack(done.stdout.startswith("ready"), "namespaces", done.stderr)
    assert done.stdout.splitlines()[1:] == [str([("retry", "dns_timeout")] * 2), "True"], done.stderr


# ---- several addresses


def place(port: int, host: str = "127.0.0.1", family: int | None = None) -> Address:
    """As `socket.getaddrinfo` gives it."""
    known = socket.AF_INET6 if ":" in host else socket.AF_INET
    return (family or known, socket.SOCK_STREAM, 0, "", (host, port, 0, 0) if ":" in host else (host, port))


def knowing(*places: Address) -> Resolver:
    """A resolver of one answer, whatever is asked."""
    return Resolver(lambda *_: list(places))


def to_each_of(connect: Connect, *places: Address, **options: object) -> Rockerbox:
    known = {"connect_timeout_seconds": 8.0, "total_deadline_seconds": 16.0, "resolver": knowing(*places)}
    return connect("http://rockerbox.invalid:1/x", **(known | options))


@pytest.fixture
def black_hole_port() -> Iterator[int]:
    with sinks.full_backlog() as port:
        yield port


def open_files() -> int:
    """Of this process; 0 where the system does not say."""
    listed = Path("/proc/self/fd")
    return len(list(listed.iterdir())) if listed.exists() else 0


UNKNOWN_FAMILY = 9999


@pytest.mark.parametrize("dead", ["silent", "silent silent silent", "refuses silent", "silent refuses", "unknown"])
def test_a_healthy_address_is_reached_in_the_first_attempt(connect: Connect, black_hole_port: int, dead: str) -> None:
    kinds = {
        "silent": place(black_hole_port),
        "refuses": place(sinks.closed_port(), "::1"),
        "unknown": place(1, family=UNKNOWN_FAMILY),
    }
    before = open_files()
    with Sink() as sink:
        # Two that are the same are asked once: what is silent is given other protocols, which the system takes for one.
        places = [(*kinds[word][:2], (0, 6)[turn % 2], *kinds[word][3:]) for turn, word in enumerate(dead.split())]
        rockerbox = to_each_of(connect, *places, place(sink.port))
        assert rockerbox.send(PAYLOAD).result is Result.DELIVERED
        rockerbox.close()
    wait_until(lambda: open_files() <= before)


@pytest.mark.parametrize("healthy", ["127.0.0.1", "::1"])
def test_a_dead_family_keeps_nothing_back(connect: Connect, black_hole_port: int, healthy: str) -> None:
    with Sink(host=healthy) as sink:
        first = place(black_hole_port) if healthy == "::1" else place(sinks.closed_port(), "::1")
        assert to_each_of(connect, first, place(sink.port, healthy)).send(PAYLOAD).result is Result.DELIVERED


def test_addresses_that_are_all_dead_share_the_connect_time_and_nothing_was_sent(
    connect: Connect, black_hole_port: int
) -> None:
    silent, refusing = place(black_hole_port), place(sinks.closed_port())
    for places, reason in (
        ([silent, refusing], "connect_timeout"),
        ([refusing, silent], "connect_timeout"),
        ([place(1, family=UNKNOWN_FAMILY), refusing], "connect_refused"),
        ([place(1, family=UNKNOWN_FAMILY)], "connect_failed"),
        ([], "connect_failed"),
    ):
        rockerbox = to_each_of(connect, *places, connect_timeout_seconds=0.3)
        assert rockerbox.send(PAYLOAD) == Outcome(Result.RETRY, reason)


def test_an_address_that_takes_connections_and_speaks_no_tls_is_asked_last_the_next_time(
    connect: Connect, tls: tuple[ssl.SSLContext, Path]
) -> None:
    rarely = itertools.count(step=60)  # so that each attempt connects
    with Sink(handshake=False) as silent, Sink(tls=tls[0]) as sink:
        rockerbox = connect(
            f"https://127.0.0.1:{sink.port}/",  # its certificate's name
            ca_file=str(tls[1]),
            connect_timeout_seconds=2.0,
            total_deadline_seconds=8.0,
            resolver=_Fixed(place(silent.port), place(sink.port)),
            steady=lambda: float(next(rarely)),
        )
        came = [rockerbox.send(PAYLOAD).reason for _ in range(4)]
        assert came == ["tls_timeout", *["delivered"] * 3]
        assert (silent.connections, sink.connections) == (1, 3)


class _Fixed(Resolver):
    """Knows other addresses even for what is an address itself."""

    def __init__(self, *places: Address) -> None:
        super().__init__()
        self._places = list(places)

    def addresses(self, *_: object) -> list[Address]:
        return self._places


_places = st.builds(place, st.integers(1, 9), st.sampled_from(["127.0.0.1", "127.0.0.2", "::1"]))


@given(st.lists(_places))
def test_families_take_turns_and_the_first_address_stays_the_first(places: list[Address]) -> None:
    order = Dialer().in_order(places)
    assert sorted(order) == sorted(set(places))
    assert order[:1] == places[:1]
    families = [each[0] for each in order]
    fewest = min(families.count(socket.AF_INET), families.count(socket.AF_INET6))
    mixed = families[: 2 * fewest]
    assert all(one is not two for one, two in itertools.pairwise(mixed))


@given(st.lists(_places, unique=True), st.data())
def test_what_did_not_serve_is_asked_last_and_left_out_by_nobody(places: list[Address], data: st.DataObject) -> None:
    dialer = Dialer()
    bad = data.draw(st.sets(st.sampled_from(places))) if places else set()
    for each in bad:
        dialer.distrust(each[4])
    order = dialer.in_order(places)
    assert sorted(order) == sorted(places)
    assert set(order[len(order) - len(bad) :]) == bad


def test_a_connection_closed_while_idle_is_opened_anew(connect: Connect) -> None:
    with Sink(sinks.close_after_answer(), sinks.answer()) as sink:
        rockerbox = connect(sink.url)
        sent(rockerbox)
        sink.wait_until(lambda: sink.open_connections == 0)
        assert sent(rockerbox).result is Result.DELIVERED
        assert [seen.connection for seen in sink.requests] == [1, 2]


@pytest.mark.parametrize(("idle_seconds", "connections"), [(0.0, [1, 1]), (3.9, [1, 1]), (4.0, [1, 2]), (4.9, [1, 2])])
def test_a_connection_is_not_used_again_when_it_was_idle_for_almost_as_long_as_servers_wait(
    connect: Connect, idle_seconds: float, connections: list[int]
) -> None:
    """Node.js closes what is idle after 5 seconds: https://nodejs.org/api/http.html#serverkeepalivetimeout"""
    passed = [100.0]
    with Sink() as sink:
        rockerbox = connect(sink.url, steady=lambda: passed[0])
        sent(rockerbox)
        passed[0] += idle_seconds
        sent(rockerbox)
        assert [seen.connection for seen in sink.requests] == connections


def test_a_connection_s_idle_time_begins_anew_with_each_answer(connect: Connect) -> None:
    passed = [0.0]
    with Sink() as sink:
        rockerbox = connect(sink.url, steady=lambda: passed[0])
        for _ in range(4):
            sent(rockerbox)
            passed[0] += 3.0
        assert [seen.connection for seen in sink.requests] == [1] * 4


@pytest.mark.parametrize(
    ("behaviour", "outcome"),
    [
        # The first write finds the reset: nothing went out.
        (sinks.reset_after_answer(), Outcome(Result.RETRY, "connection_lost")),
        # Only half closed: the first write is taken, and what became of it cannot be known.
        (sinks.close_after_answer(), Outcome(Result.MAYBE_SENT, "no_answer")),
    ],
)
def test_a_connection_that_dies_just_before_its_use_is_sent_or_not_as_the_first_write_says(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, behaviour: sinks.Behaviour, outcome: Outcome
) -> None:
    with Sink(behaviour, sinks.answer()) as sink:
        rockerbox = connect(sink.url)
        sent(rockerbox)
        sink.wait_until(lambda: sink.open_connections == 0)
        with monkeypatch.context() as race:
            race.setattr(deadline.BoundedConnection, "is_connected", True)  # it was, when urllib3 looked
            assert sent(rockerbox) == outcome
        assert sent(rockerbox).result is Result.DELIVERED
        assert len(sink.requests) == 2


@pytest.mark.parametrize("error", [BrokenPipeError(errno.EPIPE, ""), ConnectionResetError(errno.ECONNRESET, "")])
def test_after_a_first_write_that_fails_no_answer_is_looked_for(error: OSError) -> None:
    flight = deadline.Flight("/", time.monotonic() + 5, 1, 1000, Resolver())
    raised = deadline._write_failure(flight, error)
    # urllib3 reads on after these two: what it found would answer something else.
    assert raised.errno not in (errno.EPIPE, errno.ECONNRESET)
    assert client.unanswered(flight, raised) == Outcome(Result.RETRY, "connection_lost")


# ---- TLS


def test_it_speaks_tls_and_keeps_the_connection(connect: Connect, tls: tuple[ssl.SSLContext, Path]) -> None:
    with Sink(tls=tls[0]) as sink:
        rockerbox = connect(sink.url, ca_file=str(tls[1]))
        assert [rockerbox.send(PAYLOAD).result for _ in range(3)] == [Result.DELIVERED] * 3
        assert sink.connections == 1


@pytest.mark.parametrize(
    ("behaviour", "reasons"),
    [
        (sinks.black_hole(), {"deadline"}),
        (sinks.drip_head(), {"deadline"}),
        (sinks.close_before_answer(), {"no_answer"}),
        (sinks.reset(), {"reset", "no_answer"}),  # OpenSSL may call either an end
    ],
)
def test_over_tls_what_was_sent_and_not_answered_may_have_arrived(
    connect: Connect, tls: tuple[ssl.SSLContext, Path], behaviour: sinks.Behaviour, reasons: set[str]
) -> None:
    with Sink(behaviour, tls=tls[0]) as sink:
        outcome = sent(connect(sink.url, ca_file=str(tls[1]), **patience("deadline" if "deadline" in reasons else "")))
    assert outcome == Outcome(Result.MAYBE_SENT, outcome.reason)
    assert outcome.reason in reasons


def test_a_certificate_that_is_not_trusted_gets_nothing(connect: Connect, tls: tuple[ssl.SSLContext, Path]) -> None:
    with Sink(tls=tls[0]) as sink:
        outcome = sent(connect(sink.url))
        assert (outcome.result, outcome.reason) == (Result.RETRY, "tls")
        assert outcome.answer in ("certificate verify failed: self-signed certificate",)
        assert sink.requests == []


def test_a_server_that_speaks_no_tls_gets_nothing(connect: Connect) -> None:
    with Sink(handshake=False, greeting=b"HTTP/1.1 400 Bad Request\r\n\r\n", greeting_interval_seconds=0) as sink:
        outcome = sent(connect(f"https://127.0.0.1:{sink.port}/"))
        assert outcome == Outcome(Result.RETRY, "tls", answer="[SSL: WRONG_VERSION_NUMBER] wrong version number")


def test_a_silent_tls_handshake_meets_the_connect_timeout(connect: Connect) -> None:
    with Sink(handshake=False) as sink:
        outcome = sent(connect(f"https://127.0.0.1:{sink.port}/", **IMPATIENT))
    assert outcome == Outcome(Result.RETRY, "tls_timeout")


def test_a_dripping_tls_handshake_meets_the_connect_timeout(connect: Connect) -> None:
    with Sink(handshake=False, greeting=b"\x16\x03\x03\x10\x00" + b"\x02" * 4000) as sink:
        outcome = sent(connect(f"https://127.0.0.1:{sink.port}/", **IMPATIENT))
    assert outcome == Outcome(Result.RETRY, "tls_timeout")


# ---- many threads, no leaks


def test_many_threads_share_one_client_without_mixing_answers(connect: Connect) -> None:
    def echo(exchange: sinks.Exchange) -> bool:
        return sinks.answer(200, exchange.seen.body)(exchange)

    wrong: list[str] = []

    def work(number: int) -> None:
        for turn in range(25):
            payload = json.dumps({"n": number, "turn": turn})
            outcome = rockerbox.send(payload.encode())
            if outcome.answer != payload:
                wrong.append(f"{outcome} for {payload}")

    with Sink(echo) as sink:
        rockerbox = connect(sink.url, pool_size=16)
        threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
        assert len(sink.requests) == 400
        assert sink.connections <= 16


def test_no_file_descriptor_and_no_thread_is_left_behind(connect: Connect) -> None:
    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    behaviours = [sinks.cut_body(), sinks.reset(), sinks.raw(b"HTTP/1.1 20"), sinks.close_after_answer()]
    threads = threading.active_count()
    before = open_files()
    with Sink(*behaviours * 10) as sink:
        rockerbox = connect(sink.url)
        for _ in behaviours * 10:
            sent(rockerbox)
        rockerbox.close()
        sink.wait_until(lambda: sink.open_connections == 0)
    for thread in threading.enumerate():
        if thread.name.startswith("sink"):
            thread.join()
    assert open_files() <= before
    assert threading.active_count() <= threads


# The account's deduplication key


@pytest.mark.parametrize(
    ("fields", "lacks"),
    [
        ({"action": "phone_call"}, "email"),
        ({"action": "phone_call", "email": ""}, "email"),
        ({"email": "ann@example.com", "action": None}, "action"),
        ({}, "email"),
    ],
)
def test_what_lacks_a_field_of_the_key_is_held_and_no_request_leaves(
    connect: Connect, fields: dict[str, object], lacks: str
) -> None:
    with Sink() as sink:
        client = connect(sink.url, dedupe_key=DedupeKey.parse("email,date,action"))
        outcome = client.send(json.dumps(fields).encode())
        assert outcome == Outcome(Result.HELD, f"key_lacks_{lacks}")
        assert sink.connections == 0


def test_what_has_every_field_of_the_key_is_sent_and_so_is_everything_where_nobody_has_said_the_key(
    connect: Connect,
) -> None:
    whole = b'{"email":"ann@example.com","action":"phone_call"}'
    with Sink() as sink:
        assert connect(sink.url, dedupe_key=DedupeKey.parse("email,date,action")).send(whole).result is Result.DELIVERED
        assert connect(sink.url).send(PAYLOAD).result is Result.DELIVERED
        assert [seen.body for seen in sink.requests] == [whole, PAYLOAD]
