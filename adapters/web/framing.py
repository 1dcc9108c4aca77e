"""Is the request in these bytes whole? A pure function on bytes: no socket, no clock, and any split of them comes to the same.

It knows where a request ends (RFC 9112, section 6) and refuses what has no certain end. Whatever else may be wrong with a
request is for gunicorn's parser to say, which gets the request once it is whole.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from offhook.adapters.wsgi import API
from offhook.pipeline.arrival import CALLBACK_PATHS, SIGNATURE_HEADER

LONGEST_LINE = 8190
"""Bytes of a request's first line; gunicorn's own limit can be set to this at most, and is."""
_LONGEST_CHUNK_LINE = 256  # hex digits and extensions, which nobody sends
_LONGEST_TRAILERS = LONGEST_LINE
_CHUNKING_COSTS = 2  # a chunked body may be this many times as long as what it carries, and a header more

_CALLBACK_PATHS, _SIGNATURE_HEADER = tuple(map(str.encode, CALLBACK_PATHS)), SIGNATURE_HEADER.lower().encode()
_API = API.encode()
_FIRST_LINE = re.compile(rb"[!-~]+ ([!-~]+) HTTP/1\.([0-9])")
_TARGET = re.compile(rb"(?:\r\n)?[!-~]+ ([!-~]{1,8190})")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;.*)?", re.DOTALL)
_AUTHORITY = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes of a header (first line and all) and of a body, at most. `large_bytes` is the same of a body that says its length
    beforehand and is neither Twilio's nor the API's: a file that somebody uploads who is signed in, which is not for this
    module to know.
    """

    head_bytes: int
    body_bytes: int
    large_bytes: int = 0

    def takes(self, head: Head) -> bool:
        """Whether a body of this length is waited for."""
        has_files = not (head.is_twilios or head.is_for_api)
        return (head.length or 0) <= (max(self.body_bytes, self.large_bytes) if has_files else self.body_bytes)

    def is_large(self, head: Head | None) -> bool:
        """Whether it is larger than what Twilio sends."""
        return head is not None and (head.length or 0) > self.body_bytes


@dataclass(frozen=True, slots=True)
class Head:
    """A header that is complete: where it ends, and how its body is framed. `length` is None of a chunked body, `cookies` is
    the header of that name.
    """

    end: int
    path: bytes
    length: int | None
    waits_for_100: bool = False
    is_unsigned: bool = False
    is_twilios: bool = False
    is_for_api: bool = False
    cookies: bytes = b""


@dataclass(frozen=True, slots=True)
class Incomplete:
    """More has to come. It carries what is known, so that the next look does not begin anew."""

    head: Head | None = None
    seen: int = (
        0  # of an incomplete header: bytes that need no second look; of a chunked body: where the next chunk begins
    )
    body: int = 0  # what the chunks before it carry


@dataclass(frozen=True, slots=True)
class Whole:
    """The first `length` bytes are a request. `is_last`: its body was not waited for, so nothing may be read after it."""

    length: int
    path: bytes
    is_last: bool = False

    @property
    def is_for_api(self) -> bool:
        return self.path.startswith(_API)


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """What no request can begin with: the status of the answer, and one word for the log."""

    status: int
    check: str


Found = Incomplete | Whole | TurnedAway
NOTHING = Incomplete()


def look(data: bytes | bytearray, known: Incomplete, limits: Limits) -> Found:
    """What these bytes are, from the first one on. `known` is what an earlier look at fewer of them found, or NOTHING."""
    head = known.head
    if head is not None:
        return _body(data, head, known, limits)
    found = _head(data, known.seen, limits)
    if not isinstance(found, Head):
        return found
    if found.is_unsigned:
        return Whole(found.end, found.path, is_last=True)
    if not limits.takes(found):
        return TurnedAway(413, "body_too_large")
    return _body(data, found, Incomplete(found, found.end), limits)


def is_for_api(data: bytes | bytearray) -> bool:
    """Whether these bytes, a request's first, ask the API something, however much of the request is here."""
    found = _TARGET.match(data)
    return found is not None and _path_of(found[1]).startswith(_API)


# The header


def _head(data: bytes | bytearray, seen: int, limits: Limits) -> Head | Incomplete | TurnedAway:
    begin = 2 if data.startswith(b"\r\n") else 0  # RFC 9112, section 2.2: one empty line before a request is nothing
    wrong = _first_line(data, begin)
    if wrong:
        return wrong
    end = data.find(b"\r\n\r\n", max(begin, seen - 3), limits.head_bytes)
    until = end if end >= 0 else min(len(data), limits.head_bytes)
    if data.count(b"\n", seen, until) != data.count(b"\r\n", max(0, seen - 1), until):
        return TurnedAway(400, "bare_line_feed")
    if end >= 0:
        return _fields(bytes(data[begin:end]).split(b"\r\n"), end + 4)
    if len(data) >= limits.head_bytes:
        return TurnedAway(431, "header_too_large")
    return Incomplete(seen=until)


def _first_line(data: bytes | bytearray, begin: int) -> TurnedAway | None:
    """What is wrong with the first line, as far as it is here."""
    if len(data) > begin and not 0x21 <= data[begin] <= 0x7E and data != b"\r":  # TLS, or noise
        return TurnedAway(400, "not_http")
    end = data.find(b"\n", begin, begin + LONGEST_LINE + 2)
    if end < 0:
        return TurnedAway(414, "request_line_too_long") if len(data) >= begin + LONGEST_LINE + 2 else None
    if data[end - 1] != 0x0D:
        return TurnedAway(400, "bare_line_feed")
    return None if _FIRST_LINE.fullmatch(data, begin, end - 1) else TurnedAway(400, "request_line")


def _fields(lines: Sequence[bytes], end: int) -> Head | TurnedAway:
    fields: dict[bytes, bytes] = {}
    for line in lines[1:]:
        name, _, value = line.partition(b":")
        name = name.lower()
        if name[:1] in (b" ", b"\t"):
            return TurnedAway(400, "folded_header")
        if name in fields and name in (b"content-length", b"transfer-encoding", b"expect"):
            return TurnedAway(400, name.decode())
        fields[name] = value.strip(b" \t")
    first = _FIRST_LINE.fullmatch(lines[0])
    assert first is not None, "_first_line has seen it"
    length = _body_length(fields, first[2])
    if isinstance(length, TurnedAway):
        return length
    expects = fields.get(b"expect", b"").lower()
    if expects not in (b"", b"100-continue"):
        return TurnedAway(417, "expect")
    path = _path_of(first[1])
    is_twilios = b"/" + path.lstrip(b"/") in _CALLBACK_PATHS
    unsigned = length != 0 and is_twilios and not fields.get(_SIGNATURE_HEADER)
    return Head(
        end,
        path,
        length,
        bool(expects) and first[2] != b"0",
        unsigned,
        is_twilios or _SIGNATURE_HEADER in fields,
        path.startswith(_API),
        fields.get(b"cookie", b""),
    )


def _body_length(fields: dict[bytes, bytes], minor: bytes) -> int | TurnedAway | None:
    """Bytes of the body, None of a chunked one. RFC 9112, sections 6.1 and 6.3: what could be read in two ways is refused."""
    length, coding = fields.get(b"content-length"), fields.get(b"transfer-encoding")
    if coding is None:
        if length is None:
            return 0
        return int(length) if length.isdigit() and len(length) <= 18 else TurnedAway(400, "content-length")
    if length is not None or minor == b"0":
        return TurnedAway(400, "transfer-encoding")
    return None if coding.lower() == b"chunked" else TurnedAway(501, "transfer-encoding")


def _path_of(target: bytes) -> bytes:
    """The path of a request target as a router sees it: unescaped, without scheme, host and query."""
    absolute = _AUTHORITY.match(target)
    return unquote_to_bytes(re.split(rb"[?#]", target[absolute.end() :] if absolute else target, maxsplit=1)[0])


# The body


def _body(data: bytes | bytearray, head: Head, known: Incomplete, limits: Limits) -> Found:
    if head.length is None:
        return _chunks(data, head, known, limits)
    end = head.end + head.length
    return Whole(end, head.path) if len(data) >= end else Incomplete(head, head.end)


def _chunks(data: bytes | bytearray, head: Head, known: Incomplete, limits: Limits) -> Found:
    at, carried = known.seen, known.body
    while at - head.end <= limits.body_bytes * _CHUNKING_COSTS + limits.head_bytes:
        size = _chunk_size(data, at)
        if size is None:
            return Incomplete(head, at, carried)
        if isinstance(size, TurnedAway):
            return size
        begin, length = size
        if not length:
            return _trailers(data, head, Incomplete(head, at, carried), begin)
        carried_then = carried + length
        if carried_then > limits.body_bytes:
            break
        end = begin + length
        if not b"\r\n".startswith(bytes(data[end : end + 2])):
            return TurnedAway(400, "chunk_end")
        if len(data) < end + 2:
            return Incomplete(head, at, carried)
        at, carried = end + 2, carried_then
    return TurnedAway(413, "body_too_large")


def _chunk_size(data: bytes | bytearray, at: int) -> tuple[int, int] | TurnedAway | None:
    """Where the chunk's bytes begin and how many there are; None while its line is not complete."""
    end = data.find(b"\r\n", at, at + _LONGEST_CHUNK_LINE)
    if end < 0:
        return TurnedAway(400, "chunk_size") if len(data) - at >= _LONGEST_CHUNK_LINE else None
    found = _CHUNK_SIZE.fullmatch(data, at, end)
    return (end + 2, int(found[1], 16)) if found else TurnedAway(400, "chunk_size")


def _trailers(data: bytes | bytearray, head: Head, known: Incomplete, begin: int) -> Found:
    if data.startswith(b"\r\n", begin):
        return Whole(begin + 2, head.path)
    end = data.find(b"\r\n\r\n", begin, begin + _LONGEST_TRAILERS)
    if end >= 0:
        return Whole(end + 4, head.path)
    return TurnedAway(431, "trailers_too_large") if len(data) - begin >= _LONGEST_TRAILERS else known
