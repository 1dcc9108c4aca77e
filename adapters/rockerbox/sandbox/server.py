"""The sandbox itself: starts, stops, and what a test or a command asks of it. Listens on loopback unless `host` is another."""

from __future__ import annotations

import ipaddress
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

from offhook.adapters.rockerbox.dedupe import MAX_KEYS, Day, DedupeKey
from offhook.adapters.rockerbox.sandbox.failures import Player, Script
from offhook.adapters.rockerbox.sandbox.journal import KEEP_EVENTS, Event, Journal, Summary, Verdict
from offhook.adapters.rockerbox.sandbox.routes import MAX_BODY_BYTES, Desk, Requests
from offhook.pipeline.machine import machine_time

MAX_CONNECTIONS = 1000  # one thread each; those beyond are closed at once
HOLD_SECONDS = 60.0
DRIP_SECONDS = 0.2
_POLL_SECONDS = 0.05  # how soon it notices that it shall end
_STOP_SECONDS = 2.0


class NotLoopback(ValueError):
    """The address can be reached from other machines, and nobody said that it may be."""


class Sandbox:
    """The server; a context manager, ready to be asked within.

    `dedupe` names the fields of the key, `date` for the day; `cross_day` and `day` as in DedupeKey. `script` and `seed`:
    see failures.py. `keep` bounds the events in memory, `persist` is a file for all of them. `on_event` is called with
    each event before its answer, one at a time; `clock` (UTC) says when it arrived. Port 0 is any free one; an address
    other than loopback needs `allow_remote`. Raises ValueError (ScriptError, NotLoopback) for wrong arguments, OSError
    when the port is taken.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        allow_remote: bool = False,
        dedupe: Sequence[str] = ("order_id",),
        cross_day: bool = False,
        day: Day = Day.TIMESTAMP,
        script: str = "",
        seed: int | None = None,
        keep: int = KEEP_EVENTS,
        max_keys: int = MAX_KEYS,
        persist: Path | None = None,
        on_event: Callable[[Event], None] | None = None,
        max_body_bytes: int = MAX_BODY_BYTES,
        hold_seconds: float = HOLD_SECONDS,
        drip_seconds: float = DRIP_SECONDS,
        clock: Callable[[], datetime] = machine_time,
    ) -> None:
        loopback = is_loopback(host)
        if not loopback and not allow_remote:
            raise NotLoopback(f"{host} can be reached from other machines; say that it may, or use 127.0.0.1")
        key = DedupeKey.parse(",".join(dedupe), cross_day=cross_day, day=day)
        player = Player(Script.parse(script), seed)
        self._journal = Journal(key, keep=keep, max_keys=max_keys, persist=persist, clock=clock)
        self._desk = Desk(
            self._journal, player, seed, on_event, max_body_bytes, hold_seconds, drip_seconds, local_only=loopback
        )
        try:
            self._server = _Server(host, port, self._desk)
        except OSError:
            self._journal.close()
            raise
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_POLL_SECONDS,), daemon=True)

    @property
    def url(self) -> str:
        """Its address without a path; webhooks go to `{url}/webhook/data`."""
        host, port = self._server.server_address[:2]
        name = f"[{host!s}]" if ":" in str(host) else str(host)
        return f"http://{name}:{port}"

    def __enter__(self) -> Sandbox:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._desk.ending.set()
        self._server.shutdown()
        self._server.server_close()
        self._server.end_connections()
        self._journal.close()

    def events(self) -> list[Event]:
        """The last events, oldest first."""
        return self._journal.events()

    def counts(self) -> dict[Verdict, int]:
        """How many of each verdict, since the start or the last reset."""
        return dict(self._journal.summary().counts)

    def summary(self) -> Summary:
        """All counters."""
        return self._journal.summary()

    def wait_for(self, count: int, timeout: float = 10.0, verdict: Verdict | None = None) -> list[Event]:
        """The events, as soon as `count` were kept (of a verdict, if given). Raises TimeoutError after `timeout` seconds."""
        self._journal.wait_for(count, timeout, verdict)
        return self.events()

    def play(self, script: str) -> None:
        """Another script from now on, its random numbers from the seed anew. Raises ScriptError."""
        self._desk.play(Script.parse(script))

    def reset(self) -> None:
        """Forget events, counters and keys; the script goes on, the file stays."""
        self._journal.reset()


def is_loopback(host: str) -> bool:
    """True for an address that only this machine can reach."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # a worker opens as many connections at once as it has threads

    def __init__(self, host: str, port: int, desk: Desk) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__((host, port), partial(Requests, desk))

    def server_bind(self) -> None:
        """Without the base class's look-up of the host's name, which can take seconds."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002
        with self._lock:
            if len(self._open) >= MAX_CONNECTIONS:
                return False
            self._open.add(request)
        return True

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def end_connections(self) -> None:
        """A connection that was kept alive must not be answered by a sandbox that has ended."""
        with self._lock:
            still_open = list(self._open)
        for connection in still_open:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # gone by itself
        until = time.monotonic() + _STOP_SECONDS
        while self._open and time.monotonic() < until:
            time.sleep(0.005)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A sender that goes away in the middle is what a sandbox sees every day."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)
