"""A destination that misbehaves on demand: a real TCP server on 127.0.0.1. Imports nothing of the product.

    with Sink(rate_limited("2"), answer(200)) as sink:
        ...                        # the first request is asked to wait, every later one is taken
        sink.wait_for(2)

Each behaviour serves one request; the last one given serves all that follow.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from tests.support.waiting import HANGS_AFTER_SECONDS

_LINGER_NONE = struct.pack("ii", 1, 0)  # close() sends RST


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as it came. Names of headers are in lower case; `connection` counts from 1; `at` is monotonic."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float
    connection: int


@dataclass(slots=True)
class Exchange:
    """One request on its connection, handed to a behaviour. `stop` is set when the sink closes."""

    sock: socket.socket
    seen: Seen
    stop: threading.Event
    sink: Sink

    def write(self, data: bytes) -> None:
        """Raises OSError when the client is gone or the sink closes."""
        if self.stop.is_set():
            raise ConnectionAbortedError("the sink closes")
        self.sock.sendall(data)
        self.sink.count_sent(len(data))

    def drip(self, data: bytes, interval_seconds: float) -> None:
        for byte in data:
            self.write(bytes([byte]))
            self.stop.wait(interval_seconds)

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)


# True keeps the connection open for a next request.
Behaviour = Callable[[Exchange], bool]


def raw(data: bytes, keep: bool = False) -> Behaviour:
    """Exactly these bytes."""

    def behave(exchange: Exchange) -> bool:
        exchange.write(data)
        return keep

    return behave


def answer(status: int = 200, body: bytes = b'{"ok":true}', headers: dict[str, str] | None = None) -> Behaviour:
    """A whole answer; the connection stays open."""
    lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return raw("\r\n".join([*lines, "", ""]).encode("latin-1") + body, keep=True)


def not_json() -> Behaviour:
    return answer(200, b"<html>\xff\0 thanks</html>", {"Content-Type": "text/html"})


def chunked(*pieces: bytes) -> Behaviour:
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))
    return raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body, keep=True)


def rate_limited(retry_after: str) -> Behaviour:
    return answer(429, b"slow down", {"Retry-After": retry_after})


def redirect(to: str, status: int = 307) -> Behaviour:
    return answer(status, b"", {"Location": to})


def black_hole() -> Behaviour:
    """Reads the request and never answers."""

    def behave(exchange: Exchange) -> bool:
        exchange.stop.wait()
        return False

    return behave


def drip_head(interval_seconds: float = 0.2) -> Behaviour:
    def behave(exchange: Exchange) -> bool:
        exchange.drip(b"HTTP/1.1 200 OK\r\nX-Slow: " + b"z" * 1000, interval_seconds)
        return False

    return behave


def drip_body(interval_seconds: float = 0.2, status: int = 200) -> Behaviour:
    def behave(exchange: Exchange) -> bool:
        exchange.write(b"HTTP/1.1 %d Said\r\nContent-Length: 1000\r\n\r\n" % status)
        exchange.drip(b"z" * 1000, interval_seconds)
        return False

    return behave


def endless(head: bytes, repeated: bytes) -> Behaviour:
    """`head`, then `repeated` as fast as it is taken."""

    def behave(exchange: Exchange) -> bool:
        exchange.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
        exchange.write(head)
        while True:
            exchange.write(repeated)

    return behave


def endless_body() -> Behaviour:
    return endless(b"HTTP/1.1 200 OK\r\n\r\n", b"z" * 8192)


def endless_chunks() -> Behaviour:
    return endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1000\r\n" + b"z" * 4096 + b"\r\n")


def endless_head() -> Behaviour:
    return endless(b"HTTP/1.1 200 OK\r\n", b"X-More: " + b"z" * 8000 + b"\r\n")


def endless_continue() -> Behaviour:
    return endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n")


def interim(*statuses: int, then: Behaviour) -> Behaviour:
    """Answers that are not the final one, before it."""

    def behave(exchange: Exchange) -> bool:
        for status in statuses:
            exchange.write(b"HTTP/1.1 %d Soon\r\nLink: </x>; rel=preload\r\n\r\n" % status)
        return then(exchange)

    return behave


def cut_body(status: int = 200) -> Behaviour:
    """Promises more than it sends."""
    return raw(b"HTTP/1.1 %d Said\r\nContent-Length: 1000\r\n\r\nhalf" % status)


def reset() -> Behaviour:
    """RST after the request was read."""

    def behave(exchange: Exchange) -> bool:
        exchange.reset()
        return False

    return behave


def reset_in_body() -> Behaviour:
    def behave(exchange: Exchange) -> bool:
        exchange.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
        exchange.stop.wait(0.1)  # an RST overtakes what was not read yet
        exchange.reset()
        return False

    return behave


def close_before_answer() -> Behaviour:
    return raw(b"")


def close_after_answer() -> Behaviour:
    """A whole answer that promises keep-alive, and a close right behind it."""
    return raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


def reset_after_answer() -> Behaviour:
    """A whole answer that promises keep-alive, and an RST soon after it, when it was read."""

    def behave(exchange: Exchange) -> bool:
        exchange.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        exchange.stop.wait(0.1)
        exchange.reset()
        return False

    return behave


def held_until(let_go: threading.Event, behaviour: Behaviour) -> Behaviour:
    """As `behaviour`, when `let_go` is set."""

    def behave(exchange: Exchange) -> bool:
        let_go.wait(HANGS_AFTER_SECONDS)
        return behaviour(exchange)

    return behave


def after(seconds: float, behaviour: Behaviour) -> Behaviour:
    def behave(exchange: Exchange) -> bool:
        exchange.stop.wait(seconds)
        return behaviour(exchange)

    return behave


class Sink:
    """The server. `tls` makes it speak TLS; `handshake=False` takes the connection and never answers it,
    but for a `greeting`, dripped byte by byte.

    `sent_bytes` counts what it wrote; `requests` what came, in order.
    """

    def __init__(
        self,
        *behaviours: Behaviour,
        tls: ssl.SSLContext | None = None,
        handshake: bool = True,
        greeting: bytes = b"",
        greeting_interval_seconds: float = 0.1,
        port: int = 0,
        host: str = "127.0.0.1",
    ) -> None:
        self._behaviours = list(behaviours) or [answer()]
        self._tls, self._handshake, self._greeting = tls, handshake, greeting
        self._greeting_interval_seconds = greeting_interval_seconds
        self._arrived = threading.Condition()
        self._stop = threading.Event()
        self._seen: list[Seen] = []
        self._open: set[socket.socket] = set()
        self.sent_bytes = 0
        self.connections = 0
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, port), family=family, backlog=128)
        self.port: int = self._listener.getsockname()[1]

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/webhook/data"

    @property
    def requests(self) -> list[Seen]:
        with self._arrived:
            return list(self._seen)

    @property
    def open_connections(self) -> int:
        with self._arrived:
            return len(self._open)

    def behave(self, *behaviours: Behaviour) -> None:
        """From the next request on."""
        with self._arrived:
            self._behaviours = list(behaviours)

    def wait_for(self, count: int) -> list[Seen]:
        """The requests, once there are `count`. Raises TimeoutError."""
        self.wait_until(lambda: len(self._seen) >= count)
        return self.requests

    def wait_until(self, holds: Callable[[], bool]) -> None:
        """Until `holds` after some request or closed connection. Raises TimeoutError."""
        with self._arrived:
            if not self._arrived.wait_for(holds, HANGS_AFTER_SECONDS):
                raise TimeoutError(f"the sink saw {len(self._seen)} requests, {len(self._open)} connections are open")

    def count_sent(self, count: int) -> None:
        with self._arrived:
            self.sent_bytes += count

    def __enter__(self) -> Sink:
        threading.Thread(target=self._accept, name="sink", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening and cut every connection."""
        self._stop.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._arrived:
            for sock in self._open:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with self._arrived:
                self.connections += 1
                self._open.add(sock)
                number = self.connections
            threading.Thread(target=self._serve, args=(sock, number), name=f"sink-{number}", daemon=True).start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        try:
            with contextlib.suppress(OSError, ValueError):
                self._talk(sock, number)
        finally:
            with self._arrived:
                self._open.discard(sock)
                self._arrived.notify_all()

    def _talk(self, sock: socket.socket, number: int) -> None:
        with sock:
            if not self._handshake:
                self._stall(sock)
                return
            if self._tls is None:
                self._answer_all(sock, number)
                return
            with self._tls.wrap_socket(sock, server_side=True) as wrapped:
                with self._arrived:
                    self._open.add(wrapped)
                try:
                    self._answer_all(wrapped, number)
                finally:
                    with self._arrived:
                        self._open.discard(wrapped)

    def _stall(self, sock: socket.socket) -> None:
        for byte in self._greeting:
            sock.sendall(bytes([byte]))
            self._stop.wait(self._greeting_interval_seconds)
        self._stop.wait()

    def _answer_all(self, sock: socket.socket, number: int) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with sock.makefile("rb") as stream:
            while (seen := _read_request(stream, number)) is not None:
                behaviour = self._note(seen)
                if not behaviour(Exchange(sock, seen, self._stop, self)):
                    return

    def _note(self, seen: Seen) -> Behaviour:
        with self._arrived:
            self._seen.append(seen)
            self._arrived.notify_all()
            return self._behaviours.pop(0) if len(self._behaviours) > 1 else self._behaviours[0]


def _read_request(stream: BinaryIO, number: int) -> Seen | None:
    first = stream.readline().decode("latin-1").split()
    if len(first) != 3:
        return None
    headers = {}
    while (line := stream.readline().decode("latin-1").rstrip("\r\n")) != "":
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = stream.read(int(headers.get("content-length", "0")))
    return Seen(first[0], first[1], headers, body, time.monotonic(), number)


def closed_port() -> int:
    """A port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextlib.contextmanager
def full_backlog() -> Iterator[int]:
    """A port that neither takes nor refuses a connection: somebody listens, and the queue is full."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        port = int(server.getsockname()[1])
        for _ in range(3):  # one is queued; of the next, the kernel drops the SYN
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(("127.0.0.1", port))
        yield port


def self_signed(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS for 127.0.0.1 and the certificate to trust, made by the `openssl` command."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context, certificate
