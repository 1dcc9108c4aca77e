"""Calls an ASGI app in this process as a server would: its lifespan first, then a request at a time, and the shutdown at the end.

The protocol is https://asgi.readthedocs.io/en/latest/specs/main.html; FastAPI, Starlette, Django and Quart all speak it.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import unquote_to_bytes, urlsplit

from offhook.adapters.recordings.replay import Request

Message = MutableMapping[str, Any]
AsgiApp = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]
Answered = tuple[int, Mapping[str, str], bytes]
_T = TypeVar("_T")

_VERSIONS = {"version": "3.0", "spec_version": "2.4"}


class AsgiError(Exception):
    """The app does not keep to the protocol, or said that it cannot start. The text says which."""


def is_asgi(app: object) -> bool:
    """True for what is called with scope, receive and send; false for what WSGI calls with two arguments."""
    call = getattr(app, "__call__", None)  # noqa: B004 (what it is, not whether it is there)
    if inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(call):
        return True
    try:
        needed = [
            each
            for each in inspect.signature(app).parameters.values()  # type: ignore[arg-type]  # asked for its errors, too
            if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD) and each.default is each.empty
        ]
    except (TypeError, ValueError):
        return False
    return len(needed) == 3


class RunningApp:
    """An app and its lifespan on each loop that it is asked on: the caller's, or one of its own where none runs."""

    def __init__(self, app: AsgiApp, base: str) -> None:
        self._app = app
        self._base = base
        self._own: asyncio.AbstractEventLoop | None = None
        self._lifespans: dict[asyncio.AbstractEventLoop, _Lifespan] = {}

    def exchange_now(self, request: Request) -> Answered:
        """One request for somebody who does not await. Exceptions of the app pass through. Raises AsgiError."""
        self._own = self._own or asyncio.new_event_loop()
        return _finished(self._own, self.exchange(request))

    async def exchange(self, request: Request) -> Answered:
        """One request on the loop that runs."""
        loop = asyncio.get_running_loop()
        lifespan = self._lifespans.get(loop)
        if lifespan is None:
            self._lifespans[loop] = lifespan = _Lifespan(self._app)
            await lifespan.start()
        exchange = _Exchange(request)
        await self._app(_scope(self._base, request, lifespan.state), exchange.receive, exchange.send)
        return exchange.answer()

    def close(self) -> None:
        """End what was begun: the lifespans, on their loops where these still are, and the own loop."""
        for loop, lifespan in self._lifespans.items():
            if not (loop.is_closed() or loop.is_running()):
                _finished(loop, lifespan.stop())
        self._lifespans = {}
        if self._own is not None:
            self._own.close()
            self._own = None


def _finished(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, _T]) -> _T:
    """In a thread beside where another loop runs in this one, as Playwright's does in plain tests."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return loop.run_until_complete(work)
    with ThreadPoolExecutor(1) as beside:
        return beside.submit(loop.run_until_complete, work).result()


class _Exchange:
    """One request's two channels."""

    def __init__(self, request: Request) -> None:
        self._body: bytes | None = request.body
        self._over = asyncio.Event()
        self._start: Message | None = None
        self._parts: list[bytes] = []

    async def receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._over.wait()  # as a client that waits for its answer
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
        elif message["type"] == "http.response.body" and self._start is not None:
            self._parts.append(bytes(message.get("body", b"")))
            if not message.get("more_body", False):
                self._over.set()
        else:
            raise AsgiError(f"the app sent {message['type']!r} out of turn")

    def answer(self) -> Answered:
        if self._start is None or not self._over.is_set():
            raise AsgiError("the app returned without a whole answer")
        listed = self._start.get("headers", ())
        decoded = ((bytes(name).decode("latin-1"), bytes(value).decode("latin-1")) for name, value in listed)
        headers = {name.lower(): value for name, value in decoded}
        return int(self._start["status"]), headers, b"".join(self._parts)


def _scope(base: str, request: Request, state: Mapping[str, Any]) -> Message:
    parts, (path, _, query) = urlsplit(base), request.target.partition("?")
    headers = [("Host", parts.netloc), *request.headers]
    return {
        "type": "http",
        "asgi": dict(_VERSIONS),
        "http_version": "1.1",
        "method": request.method,
        "scheme": parts.scheme,
        "path": unquote_to_bytes(path).decode("utf-8", "replace"),
        "raw_path": path.encode("ascii"),
        "query_string": query.encode("ascii"),
        "root_path": "",
        "headers": [(name.lower().encode("ascii"), value.encode("latin-1", "replace")) for name, value in headers],
        "client": ("127.0.0.1", 1),
        "server": (parts.hostname or "localhost", parts.port or (443 if parts.scheme == "https" else 80)),
        "state": dict(state),
        "extensions": {},
    }


class _Lifespan:
    """What an app does before its first request and after its last; apps without one are none the worse."""

    def __init__(self, app: AsgiApp) -> None:
        self.state: dict[str, Any] = {}
        self._app = app
        self._to_app: asyncio.Queue[Message] = asyncio.Queue()
        self._from_app: asyncio.Queue[Message] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns when the app is ready. Raises AsgiError when it says that it cannot be."""
        scope = {"type": "lifespan", "asgi": dict(_VERSIONS), "state": self.state}
        self._task = asyncio.ensure_future(self._app(scope, self._to_app.get, self._from_app.put))
        answered = await self._ask("lifespan.startup")
        if answered == "lifespan.startup.failed":
            raise AsgiError(f"the app did not start: {self._why}")

    async def stop(self) -> None:
        if self._task is not None and not self._task.done():
            await self._ask("lifespan.shutdown")
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _ask(self, what: str) -> str:
        """What the app answers; empty when it knows nothing of lifespans, which an exception says, too."""
        assert self._task is not None
        await self._to_app.put({"type": what})
        waiting = asyncio.ensure_future(self._from_app.get())
        await asyncio.wait({waiting, self._task}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.sleep(0)  # who says a last word and ends has said it
        if not waiting.done():
            waiting.cancel()
            with suppress(Exception):
                self._task.result()
            return ""
        message = waiting.result()
        self._why = str(message.get("message", "")).strip()
        if message["type"].endswith(".failed"):
            with suppress(Exception):
                await self._task  # it raises what the message says
        return str(message["type"])
