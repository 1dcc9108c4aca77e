"""Connections that know whether anything of a request was written, and that stop at its deadline, whatever comes.

`requests` bounds each read, never the whole: a server that drips would hold it for ever. Here every wait of one request
(name look-up, connect, tunnel, TLS, write, head, body) gets what is left until one deadline. A connection is used again
only when all that belongs to the last request has certainly come, so that no answer can be taken for another request's.
"""

from __future__ import annotations

import errno
import http.client
import io
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util.connection import allowed_gai_family

from offhook.adapters.proxies import Proxy
from offhook.adapters.way_out.dialing import Dialer, SocketOptions
from offhook.adapters.way_out.proxy import open_tunnel
from offhook.adapters.way_out.resolver import Resolver

if TYPE_CHECKING:
    from requests import PreparedRequest, Response
    from urllib3 import HTTPResponse

# Common servers close an idle connection after 5 s (Node.js) or more. A connection that is not used so close to that
# limit cannot be closed under a request, which would leave us not knowing whether it arrived.
IDLE_SECONDS = 4.0

_A_MOMENT = 0.001  # for what must be done although its time is over: it will fail, and say so
_BODILESS = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})
_PLACE_IN_OPENSSL = re.compile(r" ?\(_ssl\.c:[0-9]+\)$")


@dataclass(slots=True)
class Flight:
    """One request under way. `target` is its path and query on the wire, secret included.

    `ends_at` is on the monotonic clock; `connect_seconds` are for TCP and TLS. `may_read_bytes` bounds head and body
    together. `resolver` looks the name up, `dialer` connects, through `proxy` when there is one. `written` turns true with
    the first byte of the request that the system took from us; `is_cut`, when it took no more before it had all.
    `trouble` is the first thing that went wrong, in one word; `detail` is what was said about it. `needs_person` says that
    it will not pass by itself. `steady` counts the seconds for which a connection is idle.
    """

    target: str
    ends_at: float
    connect_seconds: float
    may_read_bytes: int
    resolver: Resolver
    dialer: Dialer = field(default_factory=Dialer)
    proxy: Proxy | None = None
    written: bool = False
    is_cut: bool = False
    trouble: str = ""
    detail: str = ""
    needs_person: bool = False
    steady: Callable[[], float] = time.monotonic

    def remaining(self, until: float | None = None) -> float:
        """Seconds left, more than 0. Raises TimeoutError when there are none."""
        left = min(self.ends_at, until or self.ends_at) - time.monotonic()
        if left <= 0:
            raise TimeoutError("deadline")
        return left

    def note(self, trouble: str, detail: str = "", needs_person: bool = False) -> None:
        if not self.trouble:
            self.trouble, self.detail, self.needs_person = trouble, detail, needs_person


class _Current(threading.local):
    """The flight of this thread: urllib3 has no way to hand one down to its connections."""

    flight: Flight


_current = _Current()


class _BoundedReader(io.RawIOBase):
    """A socket's reading end; each read waits no longer than until the flight's deadline.

    `is_done` is set when the answer has ended: whoever looks for more gets what is in the buffer above, and waits for none.
    """

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, flight: Flight) -> None:
        super().__init__()
        self._raw, self._sock, self._flight = raw, sock, flight
        self.is_done = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        if self.is_done:
            return None
        try:
            self._sock.settimeout(self._flight.remaining())
            count = self._raw.readinto(buffer)
        except TimeoutError:
            self._flight.note("deadline")
            raise
        except OSError:
            self._flight.note("reset")
            raise
        self._flight.may_read_bytes -= count or 0
        if self._flight.may_read_bytes < 0:
            # Only a head, a chunk's frame or a trailer without end comes here: `read_body` stops before.
            self._flight.note("bad_answer")
            raise OSError(errno.EMSGSIZE, "the answer does not end")
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _BoundedAnswer(http.client.HTTPResponse):
    """An answer that is the final one. `has_surplus` is true, once it is closed, where more had come than belongs to it."""

    has_surplus = False

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        raw: io.RawIOBase = self.fp.detach()
        self._reader = _BoundedReader(raw, sock, _current.flight)
        self.fp = io.BufferedReader(self._reader)

    def _read_status(self) -> tuple[str, int, str]:
        """Passes over interim answers: http.client knows 100 alone, and takes any other for the answer.

        https://www.rfc-editor.org/rfc/rfc9110#name-informational-1xx. 101 ends HTTP on this connection: nothing follows.
        """
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]  # typeshed leaves it out
            if not 100 <= status < 200 or status == HTTPStatus.SWITCHING_PROTOCOLS:
                return version, status, reason
            http.client.parse_headers(self.fp)

    def _close_conn(self) -> None:
        if self.fp is not None and not self.fp.closed:
            self._reader.is_done = True
            self.has_surplus = bool(self.fp.peek(1))
        super()._close_conn()  # type: ignore[misc]

    def is_framed(self) -> bool:
        """Whether nobody can read its end otherwise than we do: one length in plain digits or one way of chunks.

        https://www.rfc-editor.org/rfc/rfc9112#name-message-body-length
        """
        lengths = {each.strip() for each in self.headers.get_all("Content-Length", ())}
        codings = self.headers.get_all("Transfer-Encoding", ())
        if self.status in _BODILESS:
            return not codings and lengths <= {"0"}
        is_plain = all(re.fullmatch("[0-9]+", each, re.ASCII) for each in lengths)
        return is_plain and len(lengths) + len(codings) == 1 and (not codings or bool(self.chunked))


class BoundedConnection(HTTPConnection):
    """One keep-alive connection. It serves one flight at a time: that of the thread that uses it."""

    response_class = _BoundedAnswer
    _idle_since = 0.0
    _tunnels = False
    _peer: Any = None

    @property
    def is_connected(self) -> bool:
        """False makes urllib3 open it anew before it writes anything."""
        if _current.flight.steady() - self._idle_since >= IDLE_SECONDS or not super().is_connected:
            return False
        # What TLS has read ahead does not show on the socket, and nobody has asked for it.
        return not (isinstance(self.sock, ssl.SSLSocket) and self.sock.pending())

    def _new_conn(self) -> socket.socket:
        """A socket that leads to the host or, where the proxy forwards, to the proxy. Its timeout is what is left for TLS."""
        flight = _current.flight
        proxy, words = flight.proxy, "proxy_" if flight.proxy else ""
        host, port = (proxy.host, proxy.port) if proxy else (self._dns_host, self.port)
        addresses = _addresses(flight, host, port, words)
        until = time.monotonic() + flight.connect_seconds

        def remaining() -> float:
            return flight.remaining(until)

        sock = _dialed(flight, addresses, remaining, self.socket_options or (), words)
        with suppress(OSError):
            self._peer = None if proxy else sock.getpeername()
        if proxy and self._tunnels:
            _tunnel(flight, sock, self._dns_host, self.port, remaining)
        sock.settimeout(max(_A_MOMENT, min(until, flight.ends_at) - time.monotonic()))
        return sock

    def putrequest(self, method: str, url: str, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Puts the secret part of the target on at the last moment: no exception and no log of urllib3 can hold it."""
        super().putrequest(method, _current.flight.target, *args, **kwargs)

    def send(self, data: Any) -> None:
        """Write `data`, noting the first byte taken. The body of our requests is bytes, always."""
        if self.sock is None:
            self.connect()
        flight, left = _current.flight, memoryview(data)
        while left:
            try:
                self.sock.settimeout(flight.remaining())
                left = left[self.sock.send(left) :]
            except OSError as error:
                raise _write_failure(flight, error) from error
            flight.written = True

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as in urllib3 itself
        flight = _current.flight
        try:
            response = super().getresponse()
        except http.client.RemoteDisconnected:
            flight.note("no_answer")
            raise
        except Exception:
            flight.note("bad_answer")  # unless the reader noted something
            raise
        self._idle_since = flight.steady()
        return response


def _addresses(flight: Flight, host: str, port: int, words: str) -> list[Any]:
    try:
        return flight.resolver.addresses(host, port, allowed_gai_family(), flight.remaining())
    except TimeoutError:
        flight.note(f"{words}dns_timeout")
        raise
    except (OSError, UnicodeError):
        flight.note(f"{words}dns")
        raise


def _dialed(
    flight: Flight, addresses: list[Any], remaining: Callable[[], float], options: SocketOptions, words: str
) -> socket.socket:
    try:
        return flight.dialer.dial(addresses, remaining, options)
    except TimeoutError:
        flight.note(f"{words}connect_timeout")
        raise
    except OSError as error:
        flight.note(f"{words}connect_{'refused' if error.errno == errno.ECONNREFUSED else 'failed'}")
        raise


def _tunnel(flight: Flight, sock: socket.socket, host: str, port: int, remaining: Callable[[], float]) -> None:
    """Through the flight's proxy. The socket is closed if that fails; nothing of the request has been written then."""
    assert flight.proxy is not None
    try:
        open_tunnel(sock, flight.proxy, host, port, remaining)
    except OSError as error:
        sock.close()
        word = "timeout" if isinstance(error, TimeoutError) else getattr(error, "word", "reset")
        detail = f"the proxy {flight.proxy.host}:{flight.proxy.port} opens no tunnel: {word}"
        flight.note(f"proxy_{word}", detail, needs_person=word.startswith("4"))
        raise


def _write_failure(flight: Flight, error: OSError) -> OSError:
    """A failed write as the error to raise, noted.

    When the first write fails, the system took nothing: a plain socket says so, and under TLS the record that holds
    the head is not whole, which nobody can read. urllib3 goes on reading after EPIPE and ECONNRESET, which is right
    only when the server answered what was sent; so the first failure is raised as another one.
    """
    if isinstance(error, TimeoutError):
        flight.note("deadline")
        return TimeoutError("deadline")
    if flight.written:
        flight.is_cut = True
        return error
    flight.note("connection_lost")
    return OSError(errno.ECONNABORTED, "the connection was lost before the first byte")


class BoundedTlsConnection(BoundedConnection, HTTPSConnection):
    _tunnels = True

    def connect(self) -> None:
        flight = _current.flight
        self._peer = None
        try:
            # The socket's timeout bounds the whole handshake, not each of its reads: CPython keeps a deadline there
            # (`_ssl__SSLSocket_do_handshake_impl`).
            super().connect()
        except TimeoutError:
            flight.note("tls_timeout")
            self._distrust(flight)
            raise
        except (OSError, ValueError) as error:
            flight.note("tls", _tls_error(error), needs_person=_is_lasting(error))
            self._distrust(flight)
            raise

    def _distrust(self, flight: Flight) -> None:
        if self._peer is not None:
            flight.dialer.distrust(self._peer)


def _is_lasting(error: Exception) -> bool:
    """Whether both sides spoke and do not agree; a connection that broke may stand the next time."""
    return isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError)


def _tls_error(error: Exception) -> str:
    """What OpenSSL says, for a person."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {error.verify_message}"
    reason = error.strerror if isinstance(error, OSError) else None
    return _PLACE_IN_OPENSSL.sub("", reason or str(error) or type(error).__name__)


class _Pool(HTTPConnectionPool):
    ConnectionCls = BoundedConnection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = BoundedTlsConnection


class BoundedAdapter(HTTPAdapter):
    """requests' adapter over such connections, and without a Session: no cookies, proxies, netrc or redirects.

    Safe to use from many threads; keeps up to `pool_size` connections.
    """

    def __init__(self, pool_size: int, tls: ssl.SSLContext) -> None:
        self._tls = tls
        super().__init__(pool_connections=1, pool_maxsize=pool_size)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:
        super().init_poolmanager(connections, maxsize, block, ssl_context=self._tls, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}

    def cert_verify(self, *args: object, **kwargs: object) -> None:
        """Nothing: the one TLS context verifies. requests would read the bundle of authorities for each connection."""

    def close(self) -> None:
        """Close the idle connections now; urllib3 leaves it to the garbage collector."""
        pools = self.poolmanager.pools
        for key in pools.keys():  # noqa: SIM118  # its container forbids iterating over itself
            if (pool := pools.get(key)) is not None:
                pool.close()
        super().close()

    def fly(self, request: PreparedRequest, flight: Flight) -> Response:
        """Send it, and read the head of the answer. Raises whatever happens; `flight` shows how far it came."""
        _current.flight = flight
        return self.send(request, stream=True, timeout=(flight.connect_seconds, flight.remaining()))


def reason_of(status: int) -> str:
    """The word for an answer that is no 2xx."""
    if 300 <= status <= 399:
        return "redirect"
    return f"http_{status}" if 400 <= status <= 599 else "bad_answer"


def read_body(response: Response, max_bytes: int, keep: bool = True) -> bytes:
    """What comes of the body until its end, `max_bytes` or the flight's deadline. Never raises.

    The connection goes back into the pool if `keep`, and the body came whole with nothing behind it and was framed so that
    nobody can be in doubt about it; else it is closed. The bytes are as on the wire, not decompressed: a small answer
    cannot become a large one.
    """
    raw = response.raw
    answer: Any = raw._original_response  # ours, above
    body = bytearray()
    try:
        while len(body) < max_bytes and not answer.isclosed() and answer.length != 0:
            piece = answer.read1(max_bytes - len(body))
            if not piece:
                break
            body += piece
    except Exception:  # it changes nothing, for the status is known
        keep = False
    if not (keep and not _current.flight.is_cut and _is_whole(answer)):
        raw.close()
    raw.release_conn()
    return bytes(body)


def _is_whole(answer: _BoundedAnswer) -> bool:
    """Whether the answer has ended, by its own account and beyond doubt, and nothing came behind it."""
    has_ended = answer.length == 0 or (answer.isclosed() and bool(answer.chunked) and answer.chunk_left is None)
    answer.close()
    return has_ended and not answer.has_surplus and answer.is_framed()
