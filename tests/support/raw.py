"""Bytes on a socket and bytes back: requests that no HTTP client would make. Imports nothing of Offhook."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlencode

from tests.support.twilio import AUTH_TOKEN, PATH, PUBLIC_URL, Answer, Pairs, sign_by_hmac
from tests.support.waiting import HANGS_AFTER_SECONDS

SIGNED = b"POST /twilio/status HTTP/1.1\r\nHost: x\r\nX-Twilio-Signature: bm8=\r\n"
"""The beginning of a header that claims to be signed."""


def signed_request(pairs: Pairs, *more: str, chunk_bytes: int = 0) -> bytes:
    """A whole signed callback with more header lines, its body in chunks of `chunk_bytes` if that is not 0."""
    body = urlencode(pairs).encode()
    framing = "Transfer-Encoding: chunked" if chunk_bytes else f"Content-Length: {len(body)}"
    lines = [
        f"POST {PATH} HTTP/1.1",
        "Host: x",
        "Content-Type: application/x-www-form-urlencoded",
        f"X-Twilio-Signature: {sign_by_hmac(PUBLIC_URL + PATH, pairs, AUTH_TOKEN)}",
        framing,
        *more,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + (chunked(body, chunk_bytes) if chunk_bytes else body)


def chunked(body: bytes, chunk_bytes: int) -> bytes:
    pieces = [body[at : at + chunk_bytes] for at in range(0, len(body), chunk_bytes)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


class Raw:
    """One connection to a port of this machine."""

    def __init__(self, port: int, receive_bytes: int = 0) -> None:
        """`receive_bytes`: how little the system may hold for whoever does not read."""
        self._sock = socket.socket()
        if receive_bytes:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self._sock.settimeout(HANGS_AFTER_SECONDS)
        self._sock.connect(("127.0.0.1", port))
        self._read = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sock.close()

    def send(self, *pieces: bytes) -> Self:
        for piece in pieces:
            self._sock.sendall(piece)
        return self

    def send_until_it_is_cut(self, data: bytes) -> None:
        """Again and again, and read nothing. Raises TimeoutError when the other side just stops to read."""
        with suppress(ConnectionError):
            while True:
                self._sock.sendall(data)

    def end(self) -> Self:
        """No more will be sent; answers can still be read."""
        self._sock.shutdown(socket.SHUT_WR)
        return self

    def answer(self) -> Answer:
        """The next answer. Raises EOFError with what was read when the other side closes before it is whole."""
        head = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        status = int(head[0].split()[1])
        length = 0 if status in (100, 204) else int(headers.get("content-length", 0))
        while len(self._read) < length:
            self._receive()
        body, self._read = self._read[:length], self._read[length:]
        return Answer(status, headers, body)

    def is_closed(self) -> bool:
        """Wait until the other side has closed; False when it sends something instead. Raises TimeoutError."""
        try:
            return not self._read and not self._sock.recv(1)
        except ConnectionError:
            return True

    def _until(self, end: bytes) -> bytes:
        while end not in self._read:
            self._receive()
        found, _, self._read = self._read.partition(end)
        return found

    def _receive(self) -> None:
        more = self._sock.recv(65536)
        if not more:
            raise EOFError(self._read)
        self._read += more


def ask(port: int, *pieces: bytes, then_end: bool = False) -> Answer:
    """One request on a connection of its own."""
    with Raw(port) as raw:
        raw.send(*pieces)
        if then_end:
            raw.end()
        return raw.answer()


def many(port: int, count: int, pieces: Iterable[bytes] = ()) -> list[Raw]:
    """Connections that have all sent these bytes and wait."""
    sent = list(pieces)
    return [Raw(port).send(*sent) for _ in range(count)]
