"""A sandbox Rockerbox: a real HTTP server on loopback that takes conversions as its documentation says, and shows them.

It checks what it gets, counts the first of each deduplication key as Rockerbox does, and forwards nothing to anybody.
The real answers to bad requests are not documented; 400 with a reason is this sandbox's own choice.
"""

from __future__ import annotations

import html
import json
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

MAX_BODY_BYTES = 65_536
_MAX_DISCARDED_BYTES = 1_000_000  # read before a refusal, so that the sender gets to see it
_POLL_SECONDS = 0.05  # how soon it notices that it shall end
_SOURCES = ("in_store", "salesforce", "phone")


@dataclass(frozen=True, slots=True)
class Event:
    """One POST: when it came, its exact text, what became of it (`counted`, `duplicate`, `not_counted`, `invalid`), why."""

    arrived_at: datetime
    body: str
    verdict: str
    reasons: tuple[str, ...]

    @property
    def fields(self) -> Mapping[str, Any]:
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


def problems_of(body: bytes) -> list[str]:
    """What is wrong with a webhook's body, by https://help.rockerbox.com ("Webhooks"); empty when nothing is."""
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        return ["the body is not JSON"]
    if not isinstance(event, dict):
        return ["exactly one event a POST: the body must be a JSON object"]
    problems = [f"{name} must be text" for name in _TEXTS if name in event and not isinstance(event[name], str)]
    if not event.get("action"):
        problems.append("action is missing")
    if not event.get("email") and not event.get("customer_id"):
        problems.append("email or customer_id must be there")
    if not str(event.get("timestamp", "")).isdigit():
        problems.append("timestamp must be epoch seconds")
    if event.get("conversion_source", "phone") not in _SOURCES:
        problems.append(f"conversion_source must be one of {', '.join(_SOURCES)}")
    return problems


_TEXTS = ("email", "customer_id", "action", "timestamp", "order_id", "conversion_source")


class Sandbox:
    """The server; a context manager. `dedupe` names the fields of the key; `date` is the UTC day of the timestamp."""

    def __init__(
        self,
        *,
        port: int = 0,
        dedupe: Sequence[str] = ("order_id",),
        cross_day: bool = False,
        keep: int = 10_000,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        self._dedupe = tuple(dedupe) if cross_day or "date" in dedupe else (*dedupe, "date")
        self._events: deque[Event] = deque(maxlen=keep)
        self._counts: dict[str, int] = {}
        self._seen: set[tuple[str, ...]] = set()
        self._lock = threading.Lock()
        self._on_event = on_event
        self._server = _server(self, port)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_POLL_SECONDS,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Sandbox:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def events(self) -> list[Event]:
        """The last events, oldest first."""
        with self._lock:
            return list(self._events)

    def counts(self) -> dict[str, int]:
        """How many of each verdict, since the start."""
        with self._lock:
            return dict(self._counts)

    def take(self, body: bytes, problems: Sequence[str]) -> Event:
        """Judge one POST, keep it, and say what became of it."""
        with self._lock:
            event = self._judged(body, list(problems) + problems_of(body))
            self._events.append(event)
            self._counts[event.verdict] = self._counts.get(event.verdict, 0) + 1
        if self._on_event is not None:
            self._on_event(event)
        return event

    def _judged(self, body: bytes, problems: list[str]) -> Event:
        now, text = datetime.now(UTC), body.decode("utf-8", "replace")
        if problems:
            return Event(now, text, "invalid", tuple(problems))
        fields = json.loads(body)
        day = datetime.fromtimestamp(min(int(fields["timestamp"]), 253_402_300_799), UTC).date().isoformat()
        parts = {**fields, "date": day}
        missing = [name for name in self._dedupe if name not in parts]
        if missing:
            return Event(now, text, "not_counted", tuple(f"the key needs {name}" for name in missing))
        key = tuple(str(parts[name]) for name in self._dedupe)
        if key in self._seen:
            return Event(now, text, "duplicate", (f"the first one of this {', '.join(self._dedupe)} won",))
        self._seen.add(key)
        return Event(now, text, "counted", ())


def _server(sandbox: Sandbox, port: int) -> ThreadingHTTPServer:
    class Requests(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "")
            if not length.isdigit() or int(length) > MAX_BODY_BYTES:
                self.close_connection = True
                self.rfile.read(min(int(length), _MAX_DISCARDED_BYTES) if length.isdigit() else 0)
                self._answer(413, "application/json", b'{"error":"give a Content-Length of 64 KB at the most"}')
                return
            parts = urlsplit(self.path)
            wrong = [] if parts.path == "/webhook/data" else ["the path must be /webhook/data"]
            wrong += [] if parse_qs(parts.query).get("advertiser") else ["the query must name the advertiser"]
            event = sandbox.take(self.rfile.read(int(length)), wrong)
            told = {"verdict": event.verdict, "reasons": event.reasons}
            self._answer(400 if event.verdict == "invalid" else 200, "application/json", json.dumps(told).encode())

        def do_GET(self) -> None:
            if self.path == "/events.json":
                self._answer(200, "application/json", _as_json(sandbox))
            elif self.path == "/":
                self._answer(200, "text/html; charset=utf-8", _page(sandbox).encode())
            else:
                self._answer(404, "text/plain", b"try / or /events.json\n")

        def _answer(self, status: int, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing: the caller is told of each event."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128  # a worker opens as many connections at once as it has threads

    return Server(("127.0.0.1", port), Requests)


def _as_json(sandbox: Sandbox) -> bytes:
    listed = [
        {"arrived_at": e.arrived_at.isoformat(), "verdict": e.verdict, "reasons": e.reasons, "body": e.body}
        for e in sandbox.events()
    ]
    return json.dumps({"counts": sandbox.counts(), "events": listed}, ensure_ascii=False).encode("utf-8", "replace")


_HEAD = """<!doctype html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="3">
<meta name="viewport" content="width=device-width"><title>Sandbox Rockerbox</title><style>
:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.4rem .8rem;border-bottom:1px solid #8884}
code{overflow-wrap:anywhere;font-size:.85em}.counts{display:flex;gap:2rem;margin:1rem 0}.counts b{font-size:1.6em;display:block}
</style></head><body><main><h1>Sandbox Rockerbox</h1><p>What Offhook has told, the newest first. Nothing leaves this machine.</p>"""


def _page(sandbox: Sandbox) -> str:
    counts = "".join(f"<div><b>{count}</b>{html.escape(verdict)}</div>" for verdict, count in sandbox.counts().items())
    rows = "".join(_row(event) for event in reversed(sandbox.events()[-200:]))
    columns = "".join(
        f'<th scope="col">{name}</th>' for name in ("Arrived (UTC)", "Verdict", "Action", "Customer", "Body")
    )
    table = f"<table><thead><tr>{columns}</tr></thead><tbody>{rows}</tbody></table>"
    return f'{_HEAD}<div class="counts">{counts or "nothing yet"}</div>{table}</main></body></html>'


def _row(event: Event) -> str:
    fields = event.fields
    customer = fields.get("email") or fields.get("customer_id") or ""
    verdict = f"{event.verdict}: {'; '.join(event.reasons)}" if event.reasons else event.verdict
    cells = (f"{event.arrived_at:%H:%M:%S}", verdict, str(fields.get("action", "")), str(customer))
    plain = "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
    return f"<tr>{plain}<td><code>{html.escape(event.body)}</code></td></tr>"
