"""A client that signs as Twilio does, for tests of any receiver: a WSGI or ASGI app in this process, or a URL.

Sends the very bytes that were signed: no redirect is followed, no URL is spelled anew.
"""

from __future__ import annotations

import asyncio
import http.client
import sys
from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from typing import Any, Self
from urllib.parse import unquote_to_bytes, urlsplit

from werkzeug.test import run_wsgi_app

from offhook.adapters.recordings.asgi import Answered, AsgiApp, RunningApp, is_asgi
from offhook.adapters.recordings.format import Record, encoded, parameters
from offhook.adapters.recordings.replay import Replay, Request, Tape, Target, plan, signed_request, target
from offhook.adapters.recordings.sending import Endpoint
from offhook.adapters.twilio.signature import Signer
from offhook.adapters.twilio.spelling import Pairs

WsgiApp = Callable[..., Iterable[bytes]]
_TIMEOUT_SECONDS = 15.0  # as Twilio


@dataclass(frozen=True, slots=True)
class Reply:
    """What the receiver answered to one callback. `call_sid` is the callback's, empty for a JSON body."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    call_sid: str = ""

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def __await__(self) -> Generator[None, None, Self]:
        """So that an async test may await any client, whatever it calls."""
        yield from ()
        return self

    def __repr__(self) -> str:
        return f"<{self.status} for {self.call_sid or 'a callback'}: {self.text[:200]!r}>"


@dataclass(frozen=True, slots=True)
class Played:
    """The answers to a recording, in the order in which it was sent."""

    replies: tuple[Reply, ...]

    @property
    def refused(self) -> list[Reply]:
        """Answers that were no 2xx."""
        return [reply for reply in self.replies if not 200 <= reply.status < 300]

    @property
    def statuses(self) -> list[int]:
        return [reply.status for reply in self.replies]

    def __len__(self) -> int:
        return len(self.replies)

    def __await__(self) -> Generator[None, None, Self]:
        yield from ()
        return self


Exchange = Callable[[Request], Answered]
"""Sends a request and gives (status, headers by lower-case name, body) of the answer."""


class SignedClient:
    """Sends callbacks, signed for their receiver, one after the other.

    In an async test, where a loop runs, `await` what `send`, `post`, `get` and `play` give: an ASGI app is called on that
    very loop, and a URL is asked without holding it up.
    """

    def __init__(
        self,
        to: Target,
        sign: Signer,
        exchange: Exchange,
        later: Callable[[Request], Awaitable[Answered]] | None = None,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self._to = to
        self._sign = sign
        self._exchange = exchange
        self._later = later
        self.close = close

    def send(self, record: Record) -> Reply:
        """One recorded callback. Raises OSError when there is no answer."""
        if self._later is not None and _is_to_be_awaited():
            return self._send_later(record, self._later)  # type: ignore[return-value]  # to be awaited
        return _reply(record, self._exchange(signed_request(record, self._to, self._sign)))

    async def _send_later(self, record: Record, exchange: Callable[[Request], Awaitable[Answered]]) -> Reply:
        return _reply(record, await exchange(signed_request(record, self._to, self._sign)))

    def post(self, path: str, form: Mapping[str, str] | Iterable[tuple[str, str]]) -> Reply:
        """A form of your own, as Twilio would post it."""
        pairs: Pairs = tuple(form.items() if isinstance(form, Mapping) else form)
        return self.send(Record(datetime.now(UTC), "POST", path, form=pairs))

    def get(self, path: str, params: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> Reply:
        """The same where the URL's method is set to GET."""
        query = encoded(tuple(params.items() if isinstance(params, Mapping) else params))
        return self.send(Record(datetime.now(UTC), "GET", f"{path}?{query}" if query else path))

    def play(self, recording: Iterable[Record], **options: Any) -> Played:
        """A recording, at once. `options` are those of Replay: shuffle, duplicate, drop, new_sids, account_sid, ..."""
        sending = played(recording, **options)
        if self._later is not None and _is_to_be_awaited():
            return self._play_later(sending)  # type: ignore[return-value]  # to be awaited
        return Played(tuple(map(self.send, sending)))

    async def _play_later(self, sending: Iterator[Record]) -> Played:
        return Played(tuple([await self.send(record) for record in sending]))


def _is_to_be_awaited() -> bool:
    """Whether a coroutine asks. A loop alone says nothing: one runs beside plain tests where Playwright drives a browser."""
    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False


def _reply(record: Record, answered: Answered) -> Reply:
    return Reply(*answered, dict(parameters(record)).get("CallSid", ""))


def played(recording: Iterable[Record], **options: Any) -> Iterator[Record]:
    """What a replay without gaps sends, in order. Raises ValueError for an option that is wrong."""
    return (planned.record for planned in plan(Tape.of_records(recording), Replay(**{"speed": None, **options})))


def of_url(url: str, sign: Signer, *, yes_remote: bool = False, signed_for: str = "") -> SignedClient:
    """A client for a server that runs. Raises RemoteTarget for another machine, unless `yes_remote`."""
    to = target(url, yes_remote=yes_remote, signed_for=signed_for)

    async def later(request: Request) -> Answered:
        return await asyncio.to_thread(over_http, to.endpoint, request)

    return SignedClient(to, sign, lambda request: over_http(to.endpoint, request), later)


def of_app(app: WsgiApp | AsgiApp, sign: Signer, *, base_url: str = "http://localhost") -> SignedClient:
    """A client for a WSGI or ASGI app in this process, which is called as if it were at `base_url`.

    An ASGI app is started (its lifespan) before its first request, and stopped by `close`.

    A path in `base_url` goes before the recorded one. Exceptions of the app pass through.
    """
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{base_url!r} is no URL; write it as https://calls.example.com")
    base = f"{parts.scheme}://{parts.netloc}"
    to = Target(Endpoint((), 0, parts.netloc), base, parts.path.rstrip("/"), parts.query)
    if is_asgi(app):
        running = RunningApp(app, base)  # type: ignore[arg-type]  # is_asgi says so
        return SignedClient(to, sign, running.exchange_now, running.exchange, running.close)
    return SignedClient(to, sign, lambda request: _in_process(app, base, request))  # type: ignore[arg-type]  # it is WSGI


def over_http(endpoint: Endpoint, request: Request) -> Answered:
    """One request on a connection of its own: (status, headers by lower-case name, body). Raises OSError."""
    kind = http.client.HTTPSConnection if endpoint.tls_name else http.client.HTTPConnection
    host = endpoint.tls_name or endpoint.addresses[0]
    connection = kind(host, endpoint.port, timeout=_TIMEOUT_SECONDS)
    try:
        connection.putrequest(request.method, request.target, skip_host=True, skip_accept_encoding=True)
        for name, value in (("Host", endpoint.host), *request.headers):
            connection.putheader(name, value.encode("latin-1", "replace"))
        connection.endheaders(request.body or None)
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    finally:
        connection.close()


def _in_process(app: WsgiApp, base: str, request: Request) -> Answered:
    parts, status, headers = run_wsgi_app(app, _environ(base, request), buffered=True)
    return int(status.split()[0]), {name.lower(): value for name, value in headers}, b"".join(parts)


def _environ(base: str, request: Request) -> dict[str, Any]:
    """PEP 3333, with the raw target beside it as gunicorn and Werkzeug give it."""
    parts, (path, _, query) = urlsplit(base), request.target.partition("?")
    headers = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in request.headers}
    content = {name: headers.pop(f"HTTP_{name}") for name in _CONTENT if f"HTTP_{name}" in headers}
    return {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "RAW_URI": request.target,
        "REQUEST_URI": request.target,
        "SERVER_NAME": parts.hostname or "localhost",
        "SERVER_PORT": str(parts.port or (443 if parts.scheme == "https" else 80)),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": parts.netloc,
        **headers,
        **content,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": parts.scheme,
        "wsgi.input": BytesIO(request.body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }


_CONTENT = ("CONTENT_TYPE", "CONTENT_LENGTH")
