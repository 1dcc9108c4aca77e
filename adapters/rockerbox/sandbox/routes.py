"""The sandbox's side of HTTP: takes webhooks, answers or fails as the script says, shows what was kept. Decides nothing else.

Rockerbox documents no status codes. 400 with reasons for a wrong event, and 200 for one that is ignored, are this
sandbox's own choice.
"""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from offhook.adapters.addresses import LOOPBACK
from offhook.adapters.rockerbox.sandbox.failures import Kind, Player, Script, ScriptError, Step
from offhook.adapters.rockerbox.sandbox.journal import Event, Journal, NotWritten, Verdict
from offhook.adapters.rockerbox.sandbox.page import page

MAX_BODY_BYTES = 65_536
MAX_DISCARDED_BYTES = 1_000_000  # read before a refusal, so that the sender gets to see it
IDLE_SECONDS = 65.0  # a silent connection is closed
_POLL_SECONDS = 0.1
_LINGER_NONE = struct.pack("ii", 1, 0)  # close() sends RST
_LENGTH = re.compile(r"[0-9]{1,18}")
_JSON = "application/json"
_CSP = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"


@dataclass(slots=True)
class Desk:
    """What all requests share. `ending` is set when the server stops; waits end then. Times are seconds."""

    journal: Journal
    player: Player
    seed: int | None
    on_event: Callable[[Event], None] | None
    max_body_bytes: int
    hold_seconds: float
    drip_seconds: float
    local_only: bool
    ending: threading.Event = field(default_factory=threading.Event)
    printing: threading.Lock = field(default_factory=threading.Lock)

    def play(self, script: Script) -> None:
        self.player = Player(script, self.seed)

    def take(self, body: bytes, advertiser: str, answered: str) -> Event:
        event = self.journal.take(body, advertiser, answered)
        if self.on_event is not None:
            with self.printing:  # one at a time, so that nobody's lines are mixed up
                self.on_event(event)
        return event


class Requests(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = IDLE_SECONDS
    server_version = "SandboxRockerbox"
    sys_version = ""

    def __init__(self, desk: Desk, request: socket.socket, client_address: Any, server: Any) -> None:
        self.desk = desk
        super().__init__(request, client_address, server)

    def log_message(self, *_: object) -> None:
        """Nothing: `on_event` gets each event."""

    def _dispatch(self) -> None:
        path = urlsplit(self.path).path
        ways = _ROUTES.get(path)
        if ways is None:
            self._pass_over(
                404, "there is nothing here; POST to /webhook/data?advertiser=ID, look at / or /events.json"
            )
        elif self.command not in ways:
            self._pass_over(405, f"{path} takes {' and '.join(ways)}", Allow=", ".join(ways))
        elif path != "/webhook/data" and self._is_from_elsewhere():
            self._pass_over(403, "only pages of this sandbox may ask for this")
        else:
            ways[self.command](self)
            self.close_connection |= self.command == "GET" and self.headers.get("Content-Length", "0") != "0"

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _dispatch  # noqa: N815  # the names that http.server looks for

    def _is_from_elsewhere(self) -> bool:
        """A page of another site in the user's browser: by its Origin, or, after DNS rebinding, by the name it asks for."""
        host = self.headers.get("Host", "")
        origin = self.headers.get("Origin")
        if origin is not None and origin != f"http://{host}":
            return True
        return self.desk.local_only and urlsplit(f"//{host}").hostname not in (*LOOPBACK, None)

    # -- the webhook

    def _webhook(self) -> None:
        body = self._body()
        if body is None:
            return
        step = self.desk.player.next()
        try:
            event = self._taken(body, step)
        except NotWritten as error:
            self._turn_away(507, str(error))
            return
        self.desk.ending.wait(float(step.latency_seconds))
        self._fail_as(step, event)

    def _taken(self, body: bytes, step: Step) -> Event | None:
        """The event as it was kept; None when the script wants it lost."""
        if not step.keeps:
            self.desk.journal.count_not_kept(step.name)
            return None
        advertiser = parse_qs(urlsplit(self.path).query).get("advertiser", [""])[0]
        return self.desk.take(body, advertiser, "" if step.kind is Kind.OK else step.name)

    def _fail_as(self, step: Step, event: Event | None) -> None:
        match step.kind:
            case Kind.TIMEOUT:
                self._hold()
            case Kind.RESET:
                self._reset()
            case Kind.CLOSE:
                self.close_connection = True
            case Kind.STATUS:
                self._send(step.status, _answer_fields(event, step), **_retry_after(step))
            case _ if event is not None:
                self._answer_kept(step.kind, event)

    def _answer_kept(self, kind: Kind, event: Event) -> None:
        answer = self._answer(400 if event.verdict is Verdict.INVALID else 200, _answer_fields(event))
        if kind is Kind.CLOSE_AFTER_HEADERS:
            self.close_connection = True
            answer = answer[: answer.index(b"\r\n\r\n") + 4]
        if kind is Kind.DRIP:
            self._drip(answer)
        else:
            self.wfile.write(answer)

    def _hold(self) -> None:
        """Say nothing until the sender leaves, the sandbox ends, or the time is over."""
        self.close_connection = True
        self.connection.settimeout(_POLL_SECONDS)
        until = time.monotonic() + self.desk.hold_seconds
        while time.monotonic() < until and not self.desk.ending.is_set():
            try:
                if not self.connection.recv(4096):
                    return
            except TimeoutError:
                continue

    def _reset(self) -> None:
        """Close so that the sender sees a RST; the server's own way of closing would send a FIN first."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
        self.rfile.close()
        self.connection.close()

    def _drip(self, answer: bytes) -> None:
        self.close_connection = True
        for byte in answer:
            self.wfile.write(bytes([byte]))
            if self.desk.ending.wait(self.desk.drip_seconds):
                return

    # -- looking and setting

    def _events_json(self) -> None:
        last = parse_qs(urlsplit(self.path).query).get("last", [""])[0]
        listed = self.desk.journal.events(int(last) if last.isdecimal() and len(last) < 10 else None)
        script = str(self.desk.player.left())
        summary = self.desk.journal.summary().as_json()
        content = summary | {
            "dedupe": str(self.desk.journal.key),
            "script": script,
            "events": [e.as_json() for e in listed],
        }
        self._send(200, content)

    def _page(self) -> None:
        paused = "paused" in parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        html = page(self.desk.journal, str(self.desk.player.left()), paused=paused)
        self._send(200, html, "text/html; charset=utf-8", Content_Security_Policy=_CSP)

    def _reset_all(self) -> None:
        self._discard()
        self.desk.journal.reset()
        if "text/html" in self.headers.get("Accept", ""):  # the page's own button
            self._send(303, "", Location="/")
        else:
            self._send(200, {"reset": True})

    def _show_script(self) -> None:
        self._send(200, {"script": str(self.desk.player.left())})

    def _set_script(self) -> None:
        body = self._body()
        if body is None:
            return
        try:
            self.desk.play(Script.parse(body.decode()))
        except UnicodeDecodeError:
            self._refuse(400, "the script must be text in UTF-8")
        except ScriptError as error:
            self._refuse(400, str(error))
        else:
            self._show_script()

    # -- bytes

    def _body(self) -> bytes | None:
        """The body; None when it was refused or the sender left before its end."""
        length = self.headers.get("Content-Length", "")
        if not _LENGTH.fullmatch(length):
            self._turn_away(411, "give a Content-Length; chunked bodies are not read")
            return None
        if int(length) > self.desk.max_body_bytes:
            self._discard()
            self._turn_away(413, f"the body may have {self.desk.max_body_bytes} bytes at the most")
            return None
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            self.close_connection = True
            return None
        return body

    def _discard(self) -> None:
        """Read a body that nobody wants: closing on it would throw away the answer, leaving it would spoil the next request."""
        length = self.headers.get("Content-Length", "0")
        if not _LENGTH.fullmatch(length) or int(length) > MAX_DISCARDED_BYTES or "Transfer-Encoding" in self.headers:
            self.close_connection = True
        self.rfile.read(min(int(length), MAX_DISCARDED_BYTES) if _LENGTH.fullmatch(length) else 0)

    def _pass_over(self, status: int, reason: str, **headers: str) -> None:
        self._discard()
        self._refuse(status, reason, **headers)

    def _turn_away(self, status: int, reason: str) -> None:
        self.close_connection = True
        self.desk.journal.count_not_kept(str(status))
        self._refuse(status, reason)

    def _refuse(self, status: int, reason: str, **headers: str) -> None:
        self._send(status, {"reasons": [reason]}, **headers)

    def _send(self, status: int, content: object, content_type: str = _JSON, **headers: str) -> None:
        self.wfile.write(self._answer(status, content, content_type, **headers))

    def _answer(self, status: int, content: object, content_type: str = _JSON, **headers: str) -> bytes:
        """Head and body as one write: two would wait for each other's acknowledgement."""
        body = b"" if status in (204, 304) else _encoded(content)
        lines = [f"HTTP/1.1 {status} {_PHRASES.get(status, 'Scripted')}", f"Date: {self.date_time_string()}"]
        if status != 204:
            lines += [f"Content-Type: {content_type}", f"Content-Length: {len(body)}"]
        lines += ["Cache-Control: no-store", "X-Content-Type-Options: nosniff"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        lines += ["Connection: close"] if self.close_connection else []
        return "\r\n".join([*lines, "", ""]).encode("ascii") + body


_PHRASES = {status.value: status.phrase for status in HTTPStatus}


def _encoded(content: object) -> bytes:
    return content.encode("utf-8", "replace") if isinstance(content, str) else json.dumps(content).encode()


def _answer_fields(event: Event | None, step: Step | None = None) -> dict[str, Any]:
    """What the sender reads; a scripted failure says so, lest somebody look for its cause elsewhere."""
    fields: dict[str, Any] = {} if event is None else {"verdict": event.verdict, "reasons": event.reasons}
    return fields if step is None else fields | {"scripted": str(step)}


def _retry_after(step: Step) -> dict[str, str]:
    return {} if step.retry_after_seconds is None else {"Retry_After": str(step.retry_after_seconds)}


_ROUTES: dict[str, dict[str, Callable[[Requests], None]]] = {
    "/webhook/data": {"POST": Requests._webhook},
    "/": {"GET": Requests._page},
    "/events.json": {"GET": Requests._events_json},
    "/events": {"DELETE": Requests._reset_all},
    "/reset": {"POST": Requests._reset_all},
    "/script": {"GET": Requests._show_script, "POST": Requests._set_script},
}
