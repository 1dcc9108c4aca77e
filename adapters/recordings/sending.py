"""Connections that stay open, and what comes back on them: sends bytes that are whole already and never reads a callback.

One thread and one selector, so that a sender takes little of the processor that it shares with its receiver.
"""

from __future__ import annotations

import selectors
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

_MAX_HEAD_BYTES = 65_536
_READ_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Whom to connect to: one of `addresses`, whatever the name resolves to by now. `tls_name` is empty for plain HTTP."""

    addresses: tuple[str, ...]
    port: int
    host: str
    tls_name: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one request. `status` is None when nothing did; `error` says why in one word.

    `seconds` passed from the request to the end of the answer, and `request` is what was answered. `sent` is False when
    there was no connection to send it on.
    """

    status: int | None
    seconds: float
    error: str = ""
    request: bytes = b""
    sent: bool = True


class SteadyTime:
    """How time passes for a sender."""

    def now(self) -> float:
        """Seconds, of a clock that never goes back."""
        return time.monotonic()

    def wait(self, selector: selectors.BaseSelector, seconds: float) -> Iterable[selectors.SelectorKey]:
        """The connections on which something came, as soon as it did; none after `seconds`."""
        return [key for key, _ in selector.select(seconds)]


STEADY = SteadyTime()


class _BadAnswer(Exception):
    """What came back is no HTTP."""


class _Reader:
    """One answer, byte by byte: how it ends is known once its head is there. Its body is not kept."""

    __slots__ = ("_chunked", "_head", "_left", "_tail", "keep_alive", "status")

    def __init__(self) -> None:
        self._head: bytes | None = b""
        self._left: int | None = None
        self._chunked = False
        self._tail = b""
        self.status = 0
        self.keep_alive = True

    @property
    def is_empty(self) -> bool:
        return self._head == b""

    def feed(self, data: bytes) -> bool:
        """True when the answer is complete. Raises _BadAnswer."""
        if self._head is None:
            return self._feed_body(data)
        self._head += data
        while self._head is not None:
            head, end, rest = self._head.partition(b"\r\n\r\n")
            if not end:
                if len(self._head) > _MAX_HEAD_BYTES:
                    raise _BadAnswer
                return False
            self._read_head(head)
            self._head = rest if 100 <= self.status < 200 else None  # an interim answer: the real one follows
        return self._feed_body(rest)

    def _read_head(self, head: bytes) -> None:
        if not (head.startswith(b"HTTP/1.") and head[9:12].isdigit()):
            raise _BadAnswer
        self.status = int(head[9:12])
        lines = head.lower().split(b"\r\n")[1:]
        headers = {name.strip(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
        self.keep_alive = headers.get(b"connection", b"close" if head[7:8] == b"0" else b"") != b"close"
        self._chunked = headers.get(b"transfer-encoding", b"").endswith(b"chunked")
        length = headers.get(b"content-length", b"")
        if self.status in (204, 304):
            self._left, self._chunked = 0, False
        elif length.isdigit() and not self._chunked:
            self._left = int(length)

    def _feed_body(self, data: bytes) -> bool:
        if self._chunked:
            self._tail = (self._tail + data)[-7:]
            return self._tail.endswith(b"\r\n0\r\n\r\n") or self._tail == b"0\r\n\r\n"
        if self._left is None:
            return False  # it ends with the connection
        self._left -= len(data)
        return self._left <= 0

    def ends_here(self) -> bool:
        """True when an end of the connection is the end of this answer, too."""
        ends = self._head is None and self._left is None and not self._chunked
        self.keep_alive = self.keep_alive and not ends
        return ends


class _Wire:
    """One connection and the request that is under way on it."""

    __slots__ = ("answer", "request", "reused", "sent_at", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.request = b""
        self.answer = _Reader()
        self.sent_at = 0.0
        self.reused = False


class Connections:
    """At most `limit` requests under way, each on a connection of its own that the next request uses again."""

    def __init__(
        self,
        endpoint: Endpoint,
        limit: int,
        timeout_seconds: float,
        on_answer: Callable[[Answer], None],
        time_passes: SteadyTime,
    ) -> None:
        self._endpoint = endpoint
        self._limit = max(1, limit)
        self._timeout_seconds = timeout_seconds
        self._on_answer = on_answer
        self._time = time_passes
        self._selector = selectors.DefaultSelector()
        self._tls = ssl.create_default_context() if endpoint.tls_name else None
        self._idle: list[_Wire] = []
        self._under_way: dict[_Wire, None] = {}  # the oldest first

    def send(self, request: bytes) -> None:
        """Send one request, as soon as one of the connections is free."""
        while len(self._under_way) >= self._limit:
            self._poll(self._timeout_seconds)
        self._start(request, self._time.now())

    def wait(self, until: float) -> None:
        """Take answers until that time of the clock."""
        while (left := until - self._time.now()) > 0:
            self._poll(left)

    def finish(self) -> None:
        """Wait for all answers that are still to come."""
        while self._under_way:
            self._poll(self._timeout_seconds)

    def close(self) -> None:
        for wire in (*self._idle, *self._under_way):
            wire.sock.close()
        self._selector.close()

    def _start(self, request: bytes, sent_at: float, *, again: bool = False) -> None:
        """`again` when it went out before, on a connection that was closed."""
        try:
            wire = self._idle.pop() if self._idle else self._connect()
        except OSError as error:
            self._on_answer(Answer(None, self._time.now() - sent_at, _word(error), sent=again))
            return
        wire.request, wire.sent_at, wire.answer = request, sent_at, _Reader()
        self._under_way[wire] = None
        try:
            self._write(wire.sock, request)
        except OSError as error:
            self._lost(wire, _word(error))

    def _write(self, sock: socket.socket, request: bytes) -> None:
        """A callback fits into the socket's buffer; should it not, the rest may wait."""
        try:
            sent = sock.send(request)
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            sent = 0
        if sent < len(request):
            sock.settimeout(self._timeout_seconds)
            sock.sendall(request[sent:])
            sock.setblocking(False)

    def _connect(self) -> _Wire:
        failure: OSError = ConnectionRefusedError()
        for address in self._endpoint.addresses:
            try:
                sock = socket.create_connection((address, self._endpoint.port), timeout=self._timeout_seconds)
            except OSError as error:
                failure = error
                continue
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls:
                sock = self._tls.wrap_socket(sock, server_hostname=self._endpoint.tls_name)
            sock.setblocking(False)
            wire = _Wire(sock)
            self._selector.register(sock, selectors.EVENT_READ, wire)
            return wire
        raise failure

    def _poll(self, seconds: float) -> None:
        """Wait for one round of answers, or until the oldest request has waited for too long."""
        oldest = next(iter(self._under_way), None)
        if oldest is not None:
            seconds = min(seconds, oldest.sent_at + self._timeout_seconds - self._time.now())
        for key in self._time.wait(self._selector, max(0.0, seconds)):
            self._take(key.data)
        now = self._time.now()
        while (oldest := next(iter(self._under_way), None)) and now - oldest.sent_at >= self._timeout_seconds:
            self._drop(oldest)
            self._on_answer(Answer(None, now - oldest.sent_at, "timeout"))

    def _take(self, wire: _Wire) -> None:
        if wire.sock.fileno() < 0:  # given up in this very round
            return
        try:
            data = wire.sock.recv(_READ_BYTES)
            while isinstance(wire.sock, ssl.SSLSocket) and data and wire.sock.pending():
                data += wire.sock.recv(_READ_BYTES)  # what TLS has read already, no selector shows
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError as error:
            self._lost(wire, _word(error))
            return
        if wire not in self._under_way:  # an idle one: the receiver closed it, or speaks out of turn
            self._drop(wire)
        elif not data:
            self._ended(wire)
        else:
            self._read(wire, data)

    def _read(self, wire: _Wire, data: bytes) -> None:
        try:
            complete = wire.answer.feed(data)
        except _BadAnswer:
            self._lost(wire, "bad_answer")
            return
        if complete:
            self._done(wire)

    def _ended(self, wire: _Wire) -> None:
        if wire.answer.ends_here():
            self._done(wire)
        else:
            self._lost(wire, "closed")

    def _done(self, wire: _Wire) -> None:
        if wire.answer.keep_alive:
            del self._under_way[wire]
            wire.reused = True
            self._idle.append(wire)
        else:
            self._drop(wire)
        self._on_answer(Answer(wire.answer.status, self._time.now() - wire.sent_at, request=wire.request))

    def _lost(self, wire: _Wire, word: str) -> None:
        """A connection that was closed while it lay idle took the request with it: it goes out once more, on a new one."""
        known = wire in self._under_way
        self._drop(wire)
        if known and wire.reused and wire.answer.is_empty and word != "timeout":
            self._idle, stale = [], self._idle
            for each in stale:  # closed with it, most probably
                self._drop(each)
            self._start(wire.request, wire.sent_at, again=True)
        elif known:
            self._on_answer(Answer(None, self._time.now() - wire.sent_at, word))

    def _drop(self, wire: _Wire) -> None:
        self._under_way.pop(wire, None)
        if wire in self._idle:
            self._idle.remove(wire)
        self._selector.unregister(wire.sock)
        wire.sock.close()


def _word(error: OSError) -> str:
    """One word for what went wrong on a connection."""
    words = {
        ConnectionRefusedError: "connection_refused",
        ConnectionResetError: "reset",
        BrokenPipeError: "reset",
        TimeoutError: "timeout",
    }
    if isinstance(error, ssl.SSLError):
        return "tls"
    return words.get(type(error), "connection_failed")
