"""A TCP proxy before a database that can fall silent, as a network does that forgot a connection. Imports nothing of Offhook."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

_PIECE = 65536
_READY = b"Z\x00\x00\x00\x05I"  # ReadyForQuery: https://www.postgresql.org/docs/current/protocol-message-formats.html


class _Pair:
    """A client's connection and ours to the server. `flows` is cleared when neither hears of the other any more."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client, self.server = client, server
        self.flows = threading.Event()
        self.flows.set()

    def close(self) -> None:
        for end in (self.client, self.server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self.flows.set()


class Proxy:
    """Listens on a port of this machine and passes everything on to what `connect` connects to.

    `fall_silent()`: what is connected now stays open, and nothing is passed on any more, not even that one side ended.
    `swallow()`: the same for connections that come from now on. `only_log_in()`: these fall silent once they are logged in, as
    behind a pooler whose database is gone. `pass_on()`: new connections are served as at first; those
    that fell silent never come back.
    """

    def __init__(self, connect: Callable[[], socket.socket]) -> None:
        self._connect = connect
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._pairs: list[_Pair] = []
        self._held: list[socket.socket] = []
        self._swallows = self._only_log_in = False
        self._guard = threading.Lock()
        self.accepted = 0

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
            for pair in self._pairs:
                pair.close()
            for client in self._held:
                client.close()

    def fall_silent(self) -> None:
        with self._guard:
            for pair in self._pairs:
                pair.flows.clear()

    def swallow(self) -> None:
        with self._guard:
            self._swallows = True
        self.fall_silent()

    def only_log_in(self) -> None:
        with self._guard:
            self._only_log_in = True

    def pass_on(self) -> None:
        with self._guard:
            self._swallows = self._only_log_in = False

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._guard:
                self.accepted += 1
                if self._swallows:
                    self._held.append(client)
                    continue
            self._join(client)

    def _join(self, client: socket.socket) -> None:
        try:
            server = self._connect()
        except OSError:
            client.close()
            return
        pair = _Pair(client, server)
        with self._guard:
            self._pairs.append(pair)
        for source, target in ((client, server), (server, client)):
            threading.Thread(target=self._pump, args=(pair, source, target), daemon=True).start()

    def _pump(self, pair: _Pair, source: socket.socket, target: socket.socket) -> None:
        while True:
            try:
                piece = source.recv(_PIECE)
                if not pair.flows.is_set():
                    return  # neither what came nor the end is passed on, and both ends stay open
                if not piece:
                    break
                target.sendall(piece)
                if self._only_log_in and _READY in piece:
                    pair.flows.clear()
            except OSError:
                break
        pair.close()
