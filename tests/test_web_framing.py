"""Where a request ends: what the framing says of any bytes, in whatever pieces they come, and what gunicorn's parser says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

import pytest
from gunicorn import http
from gunicorn.config import Config
from hypothesis import example, given
from hypothesis import strategies as st

from offhook.adapters.web.framing import NOTHING, Found, Incomplete, Limits, TurnedAway, Whole, look

pytestmark = pytest.mark.unit

LIMITS = Limits(head_bytes=8192, body_bytes=1024)
FORM = b"POST /twilio/status HTTP/1.1\r\nHost: x\r\nX-Twilio-Signature: s\r\n"
CHUNKED = FORM + b"Transfer-Encoding: chunked\r\n\r\n"


def in_pieces(data: bytes, cuts: list[int], limits: Limits = LIMITS) -> Found:
    """What is found as the pieces come in, one after another."""
    buffer, known = bytearray(), NOTHING
    found: Found = NOTHING
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for begin, end in pairwise(edges):
        buffer += data[begin:end]
        found = look(buffer, known, limits)
        if not isinstance(found, Incomplete):
            return found
        known = found
    return found


def at_once(data: bytes) -> Found:
    return look(data, NOTHING, LIMITS)


def chunks_of(body: bytes, sizes: list[int]) -> Iterator[bytes]:
    while body:
        size = sizes.pop() if sizes else len(body)
        yield b"%x\r\n%s\r\n" % (len(body[:size]), body[:size])
        body = body[size:]


token = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=12).map(str.encode)
value = st.binary(max_size=30).map(lambda raw: re.sub(rb"[\x00-\x1f\x7f]", b"", raw))


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A whole, sound request with a body of either kind."""
    method, target = (
        draw(st.sampled_from([b"POST", b"GET"])),
        draw(st.sampled_from([b"/twilio/status", b"/healthz?a=b"])),
    )
    fields = [b"X-%s: %s" % (draw(token), draw(value)) for _ in range(draw(st.integers(0, 5)))]
    body = draw(st.binary(max_size=300))
    if draw(st.booleans()):
        sizes = draw(st.lists(st.integers(1, 100), max_size=5))
        fields, payload = [*fields, b"Transfer-Encoding: chunked"], b"".join(chunks_of(body, sizes)) + b"0\r\n"
        payload += draw(st.sampled_from([b"\r\n", b"X-Trailer: 1\r\n\r\n"]))
    else:
        fields, payload = [*fields, b"Content-Length: %d" % len(body)], body
    head = [b"%s %s HTTP/1.1" % (method, target), b"X-Twilio-Signature: s", *draw(st.permutations(fields))]
    return b"\r\n".join(head) + b"\r\n\r\n" + payload


WORDS = [
    b"GET / HTTP/1.1\r\n",
    b"POST /twilio/status HTTP/1.1\r\n",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
]
WORDS += [
    b"X-Twilio-Signature: s\r\n",
    b"Expect: 100-continue\r\n",
    b"\r\n",
    b"\n",
    b"\r",
    b"5\r\nabcde\r\n",
    b"0\r\n",
    b"ffff\r\n",
]
WORDS += [
    b"a: b\r\n",
    b" folded\r\n",
    b"x" * 300,
    b"x" * 4000,
    b"\0",
    b"PRI * HTTP/2.0\r\n",
    b"7;a=b\r\n",
    b"\x16\x03\x01",
]
noise = st.lists(st.sampled_from(WORDS) | st.binary(max_size=6), max_size=12).map(b"".join)
cuts = st.lists(st.integers(0, 12_000), max_size=12)


@given(requests(), cuts, st.binary(max_size=40))
def test_a_sound_request_ends_where_it_ends_however_it_is_cut_and_whatever_follows(
    request: bytes, where: list[int], following: bytes
) -> None:
    found = in_pieces(request + following, where)
    assert isinstance(found, Whole), found
    assert found.length == len(request) or found.is_last
    assert isinstance(at_once(request[:-1]), Incomplete) or found.is_last


@given(requests())
def test_gunicorns_parser_reads_a_whole_request_to_its_end_and_no_further(request: bytes) -> None:
    found = at_once(request + b"GET /next")
    assert isinstance(found, Whole)
    config = Config()
    [parser] = [http.get_parser(config, (request[: found.length],), ("127.0.0.1", 1))]
    parsed = next(parser)
    assert parsed.body.read() is not None
    assert parser.unreader.take_buffered() == b""


@given(noise, cuts)
@example(b"GET / HTTP/1.1\r\nA: b\n\r\n\r\n", [25, 26])
@example(FORM + b"A: " + b"x" * 9000, [8191, 8192, 8193])
@example(b"GET /" + b"x" * 9000, [8191, 8192, 8193])
@example(CHUNKED + b"0\r\n" + b"x" * 9000, [8300])
@example(CHUNKED + b"1" * 300, [100, 330])
def test_any_bytes_come_to_the_same_in_any_pieces(data: bytes, where: list[int]) -> None:
    assert in_pieces(data, where) == at_once(data)
    assert in_pieces(data, list(range(len(data)))) == at_once(data) or len(data) > 2000


@given(noise, noise)
def test_what_is_whole_or_refused_stays_so_whatever_follows(data: bytes, following: bytes) -> None:
    found = at_once(data)
    if not isinstance(found, Incomplete):
        assert at_once(data + following) == found


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02", 400),
        (b"GET /\r\n", 400),
        (b"GET / HTTP/1.1\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"GET /" + b"x" * 8190, 414),
        (FORM + b"A: " + b"x" * 8192, 431),
        (FORM + b" folded\r\n\r\n", 400),
        (FORM + b"A: b\nC: d", 400),
        (FORM + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\n", 400),
        (FORM + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (FORM + b"Content-Length: -1\r\n\r\n", 400),
        (FORM + b"Content-Length: 0x5\r\n\r\n", 400),
        (FORM + b"Content-Length: \xb2\r\n\r\n", 400),
        (FORM + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", 400),
        (FORM + b"Content-Length: 1025\r\n\r\n", 413),
        (FORM + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
        (FORM + b"Expect: a-miracle\r\n\r\n", 417),
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (CHUNKED + b"zz\r\n", 400),
        (CHUNKED + b"\r\n", 400),
        (CHUNKED + b"-1\r\n", 400),
        (CHUNKED + b"5\r\nabcdeX", 400),
        (CHUNKED + b"5" + b" " * 300, 400),
        (CHUNKED + b"401\r\n", 413),
        (CHUNKED + b"400\r\n" + b"x" * 1024 + b"\r\n1\r\n", 413),
        (CHUNKED + b"1\r\nx\r\n" * 1024 * 3, 413),
        (CHUNKED + b"0\r\n" + b"x" * 8200, 431),
    ],
)
def test_what_has_no_certain_end_or_too_far_a_one_is_refused(data: bytes, status: int) -> None:
    found = at_once(data)
    assert isinstance(found, TurnedAway)
    assert found.status == status


def test_a_file_may_be_larger_than_a_callback_where_its_length_is_said_and_it_is_not_twilios() -> None:
    limits = Limits(head_bytes=8192, body_bytes=1024, large_bytes=5000)
    signed = b"X-Twilio-Signature: s\r\n"

    def is_waited_for(target: bytes, framing: bytes) -> bool:
        head = b"POST " + target + b" HTTP/1.1\r\n" + framing + b"\r\n\r\n"
        return isinstance(look(head, NOTHING, limits), Incomplete)

    assert is_waited_for(b"/customers/uploads", b"Content-Length: 5000")
    assert not is_waited_for(b"/customers/uploads", b"Content-Length: 5001")
    assert not is_waited_for(b"/customers/uploads", signed + b"Content-Length: 1025")
    for target in (b"/twilio/status", b"//twilio/stat%75s"):
        assert is_waited_for(target, signed + b"Content-Length: 1024")
        assert not is_waited_for(target, signed + b"Content-Length: 1025")
    head = b"POST /customers/uploads HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n401\r\n"
    assert isinstance(look(head, NOTHING, limits), TurnedAway)


@pytest.mark.parametrize("target", [b"/twilio/status", b"/twilio/stat%75s?a=b", b"http://x/twilio/status#f"])
@pytest.mark.parametrize("framing", [b"Content-Length: 1024", b"Content-Length: 99999", b"Transfer-Encoding: chunked"])
def test_the_body_of_a_callback_without_a_signature_is_not_waited_for(target: bytes, framing: bytes) -> None:
    head = b"POST " + target + b" HTTP/1.1\r\nX-Twilio-Signature: \r\n" + framing + b"\r\n\r\n"
    assert at_once(head + b"some of it") == Whole(len(head), b"/twilio/status", is_last=True)
    signed = head.replace(b"Signature: ", b"Signature: s")
    assert not isinstance(at_once(signed), Whole)


def test_a_client_that_waits_for_100_is_recognised_by_the_first_look_at_a_whole_header() -> None:
    head = FORM + b"Expect: 100-Continue\r\nContent-Length: 3\r\n\r\n"
    found = in_pieces(head, [40])
    assert isinstance(found, Incomplete)
    assert found.head is not None and found.head.waits_for_100
    assert look(head + b"abc", found, LIMITS) == Whole(len(head) + 3, b"/twilio/status")
