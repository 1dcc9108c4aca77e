"""What is neither Twilio's nor health: at most so many threads of a process serve it, so that intake always has the others.

Whoever comes when all of these are taken is answered at once, and asked to come again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from werkzeug.wsgi import ClosingIterator

from offhook.adapters.web.answers import CAREFUL_HEADERS
from offhook.pipeline.arrival import CALLBACK_PATHS

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

_ALWAYS = frozenset({*CALLBACK_PATHS, "/healthz", "/readyz"})
_BUSY = b'{"type":"urn:offhook:problem:busy","title":"All threads for this are taken","status":503}\n'


def is_page(path: str) -> bool:
    """Whether a path is neither Twilio's, however many slashes it begins with, nor health."""
    return path not in _ALWAYS and f"/{path.lstrip('/')}" not in CALLBACK_PATHS


class Pages:
    """A WSGI app that hands on to one of `rooms`, by how a path begins, else to `otherwise`: to `threads` at once."""

    def __init__(
        self, otherwise: WsgiApp, rooms: Mapping[str, WsgiApp], threads: int, retry_after_seconds: int
    ) -> None:
        self._otherwise, self._rooms = otherwise, rooms
        self._free = threading.BoundedSemaphore(threads)
        self._retry_after = str(retry_after_seconds)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if not self._free.acquire(blocking=False):
            headers = [("Content-Type", "application/problem+json"), ("Retry-After", self._retry_after)]
            start_response("503 SERVICE UNAVAILABLE", [*headers, *CAREFUL_HEADERS])
            return (_BUSY,)
        try:
            answer = self._room(environ.get("PATH_INFO", ""))(environ, start_response)
        except BaseException:
            self._free.release()
            raise
        return ClosingIterator(answer, [self._free.release])

    def _room(self, path: str) -> WsgiApp:
        return next((app for begins, app in self._rooms.items() if path.startswith(begins)), self._otherwise)
