"""A company's proxy: opens tunnels (CONNECT) and forwards what is plain, on a port of this machine. Imports nothing of Offhook."""

from __future__ import annotations

import base64
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

_PIECE = 65536


@dataclass(frozen=True, slots=True)
class Asked:
    """One request to the proxy itself. Names of headers are in lower case."""

    line: str
    headers: dict[str, str]


class EgressProxy:
    """Leads everything to `to` (a port of this machine), whatever host was asked for.

    `login` is "user:password" and answered 407 when it is missing or wrong. `says` is answered to CONNECT in place of a
    tunnel, as it stands; b"" closes without a word. `forwards=False` answers plain requests with 502, as when a host is
    not reached.
    """

    def __init__(self, to: int, *, login: str = "", says: bytes | None = None, forwards: bool = True) -> None:
        self._to, self._says, self._forwards = to, says, forwards
        self._expected = f"Basic {base64.b64encode(login.encode()).decode()}" if login else ""
        self._guard = threading.Lock()
        self._open: list[socket.socket] = []
        self._asked: list[Asked] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])

    @property
    def asked(self) -> list[Asked]:
        with self._guard:
            return list(self._asked)

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._guard:
            for sock in self._open:
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
                sock.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._keep(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _keep(self, sock: socket.socket) -> None:
        with self._guard:
            self._open.append(sock)

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client.makefile("rb", buffering=0) as stream:
            while (asked := _read_head(stream)) is not None:
                with self._guard:
                    self._asked.append(asked)
                if not self._answer(client, stream, asked):
                    break
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)

    def _answer(self, client: socket.socket, stream: socket.SocketIO, asked: Asked) -> bool:
        """True when another request may follow on this connection."""
        method, target, _ = asked.line.split(" ")
        if self._expected and asked.headers.get("proxy-authorization") != self._expected:
            client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 4\r\n\r\nwho?")
            return False
        if method == "CONNECT":
            self._connect(client)
            return False
        body = stream.read(int(asked.headers.get("content-length", "0")))
        if not self._forwards:
            client.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            return True
        self._forward(client, method, target, asked.headers, body)
        return False

    def _connect(self, client: socket.socket) -> None:
        if self._says is not None:
            client.sendall(self._says)
            return
        server = socket.create_connection(("127.0.0.1", self._to))
        self._keep(server)
        client.sendall(b"HTTP/1.1 200 Connection established\r\nVia: 1.1 here\r\n\r\n")
        back = threading.Thread(target=_pump, args=(server, client), daemon=True)
        back.start()
        _pump(client, server)
        back.join()

    def _forward(self, client: socket.socket, method: str, target: str, headers: dict[str, str], body: bytes) -> None:
        parts = urlsplit(target)
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        kept = {name: value for name, value in headers.items() if not name.startswith("proxy-")}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in kept.items())]
        lines.append("Connection: close")
        with socket.create_connection(("127.0.0.1", self._to)) as server:
            server.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
            server.settimeout(0.2)  # a sink keeps its connection open
            with suppress(TimeoutError):
                while piece := server.recv(_PIECE):
                    client.sendall(piece)


def _read_head(stream: socket.SocketIO) -> Asked | None:
    line = stream.readline().decode("latin-1").strip()
    headers = {}
    while (each := stream.readline().decode("latin-1").strip()) != "":
        name, _, value = each.partition(":")
        headers[name.lower()] = value.strip()
    return Asked(line, headers) if line.count(" ") == 2 else None


def _pump(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while piece := one.recv(_PIECE):
            other.sendall(piece)
    with suppress(OSError):
        other.shutdown(socket.SHUT_WR)
