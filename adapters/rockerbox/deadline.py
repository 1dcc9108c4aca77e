"""Connections that know whether anything of a request was written, and that stop at its deadline, whatever comes.

`requests` bounds each read, never the whole: a server that drips would hold it for ever. Here every wait of one request
(name look-up, connect, TLS, write, head, body) gets what is left until one deadline.
"""

from __future__ import annotations

import errno
import http.client
import io
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util.connection import allowed_gai_family

from adapters.rockerbox.resolver import Resolver

if TYPE_CHECKING:
    from requests import PreparedRequest, Response
    from urllib3 import HTTPResponse

# Common servers close an idle connection after 5 s (Node.js) or more. A connection that is not used so close to that
# limit cannot be closed under a request, which would leave us not knowing whether it arrived.
IDLE_SECONDS = 4.0


@dataclass(slots=True)
class Flight:
    """One request under way. `target` is its path and query on the wire, secret included.

    `ends_at` is on the monotonic clock; `connect_seconds` are for TCP and TLS. `may_read_bytes` bounds head and body
    together. `resolver` looks the name up. `written` turns true with the first byte that the system took from us.
    `trouble` is the first thing that went wrong, in one word.
    """

    target: str
    ends_at: float
    connect_seconds: float
    may_read_bytes: int
    resolver: Resolver
    written: bool = False
    trouble: str = ""

    def remaining(self, until: float | None = None) -> float:
        """Seconds left, more than 0. Raises TimeoutError when there are none."""
        left = min(self.ends_at, until or self.ends_at) - time.monotonic()
        if left <= 0:
            raise TimeoutError("deadline")
        return left

    def note(self, trouble: str) -> None:
        self.trouble = self.trouble or trouble


class _Current(threading.local):
    """The flight of this thread: urllib3 has no way to hand one down to its connections."""

    flight: Flight


_current = _Current()


class _BoundedReader(io.RawIOBase):
    """A socket's reading end; each read waits no longer than until the flight's deadline."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, flight: Flight) -> None:
        super().__init__()
        self._raw, self._sock, self._flight = raw, sock, flight

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
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
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        raw: io.RawIOBase = self.fp.detach()
        self.fp = io.BufferedReader(_BoundedReader(raw, sock, _current.flight))


class BoundedConnection(HTTPConnection):
    """One keep-alive connection. It serves one flight at a time: that of the thread that uses it."""

    response_class = _BoundedAnswer
    _idle_since = 0.0

    @property
    def is_connected(self) -> bool:
        """False makes urllib3 open it anew before it writes anything."""
        return time.monotonic() - self._idle_since < IDLE_SECONDS and super().is_connected

    def _new_conn(self) -> socket.socket:
        """A connected socket, its timeout set to what is left for TLS. Tries each address the name has."""
        flight = _current.flight
        addresses = self._addresses(flight)
        until = time.monotonic() + flight.connect_seconds
        try:
            return self._dial(addresses, lambda: flight.remaining(until))
        except TimeoutError:
            flight.note("connect_timeout")
            raise
        except OSError as error:
            flight.note("connect_refused" if error.errno == errno.ECONNREFUSED else "connect_failed")
            raise

    def _addresses(self, flight: Flight) -> list[Any]:
        try:
            seconds = flight.remaining()
            return flight.resolver.addresses(self._dns_host, self.port, allowed_gai_family(), seconds)
        except TimeoutError:
            flight.note("dns_timeout")
            raise
        except (OSError, UnicodeError):
            flight.note("dns")
            raise

    def _dial(self, addresses: list[Any], remaining: Callable[[], float]) -> socket.socket:
        trouble: OSError = OSError("the name has no address")
        for family, kind, protocol, _, address in addresses:
            sock = socket.socket(family, kind, protocol)
            try:
                for option in self.socket_options or ():
                    sock.setsockopt(*option)
                sock.settimeout(remaining())
                sock.connect(address)
                sock.settimeout(remaining())
            except OSError as error:
                sock.close()
                trouble = error
            else:
                return sock
        raise trouble

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
        self._idle_since = time.monotonic()
        return response


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
        return error
    flight.note("connection_lost")
    return OSError(errno.ECONNABORTED, "the connection was lost before the first byte")


class BoundedTlsConnection(BoundedConnection, HTTPSConnection):
    def connect(self) -> None:
        flight = _current.flight
        try:
            # The socket's timeout bounds the whole handshake, not each of its reads: CPython keeps a deadline there
            # (`_ssl__SSLSocket_do_handshake_impl`).
            super().connect()
        except TimeoutError:
            flight.note("tls_timeout")
            raise
        except (OSError, ValueError):
            flight.note("tls")
            raise


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
        """Send it, and read the head of the answer. Raises whatever happens; `flight` tells how far it came."""
        _current.flight = flight
        return self.send(request, stream=True, timeout=(flight.connect_seconds, flight.remaining()))


def read_body(response: Response, max_bytes: int) -> bytes:
    """What comes of the body until its end, `max_bytes` or the flight's deadline. Never raises.

    The connection goes back into the pool if the body came whole, else it is closed. The bytes are as on the wire, not
    decompressed: a small answer cannot become a large one.
    """
    raw = response.raw
    answer: Any = raw._original_response  # http.client's
    body = bytearray()
    # What goes wrong from here on changes nothing: the status is known.
    with suppress(Exception):
        while len(body) < max_bytes and not answer.isclosed() and answer.length != 0:
            piece = answer.read1(max_bytes - len(body))
            if not piece:
                break
            body += piece
    if answer.length == 0:
        answer.close()
    elif not (answer.isclosed() and answer.chunked and answer.chunk_left is None):
        raw.close()
    raw.release_conn()
    return bytes(body)
