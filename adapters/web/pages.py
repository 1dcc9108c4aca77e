"""What is neither Twilio's nor health: at most so many threads of a process serve it, so that intake always has the others,
and for no longer than its ration says.

Whoever comes when all of these are taken, or would wait too long for his turn, is answered at once, and asked to come again:
a program of one of the rooms by a problem, a person by a page.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from werkzeug.wsgi import ClosingIterator

from offhook.adapters.problem_details import CONTENT_TYPE, problem
from offhook.adapters.web.ration import Page, Ration
from offhook.adapters.wsgi import CAREFUL_HEADERS, WsgiApp
from offhook.pipeline.arrival import CALLBACK_PATHS
from offhook.pipeline.reasons import OF_PROBLEMS

_ALWAYS = frozenset({*CALLBACK_PATHS, "/healthz", "/readyz"})
_NO_THREAD, _NO_TIME = range(2)  # sentences of `busy`
_SHUT = (  # nothing of the dashboard is asked for it: neither its style nor who is signed in
    ("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "same-origin"),
)
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Busy · Offhook</title>
</head>
<body>
<main>
<h1>Busy, try again in a moment</h1>
<p>{why}. No call is lost by it. Load this page again {when}.</p>
</main>
</body>
</html>
"""


def is_page(path: str) -> bool:
    """Whether a path is neither Twilio's, however many slashes it begins with, nor health."""
    return path not in _ALWAYS and f"/{path.lstrip('/')}" not in CALLBACK_PATHS


class Pages:
    """A WSGI app that hands on to one of `rooms`, by how a path begins, else to `otherwise`: to `threads` at once."""

    def __init__(
        self, otherwise: WsgiApp, rooms: Mapping[str, WsgiApp], threads: int, ration: Ration, retry_after_seconds: int
    ) -> None:
        self._otherwise, self._rooms = otherwise, rooms
        self._free = threading.BoundedSemaphore(threads)
        self._ration, self._retry_after_seconds = ration, retry_after_seconds

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        room = self._room(environ.get("PATH_INFO", ""))
        come_again = _page_again if room is None else _come_again
        if not self._free.acquire(blocking=False):
            return come_again(_NO_THREAD, self._retry_after_seconds, start_response)
        page = self._ration.begin()
        if not isinstance(page, Page):
            self._free.release()
            return come_again(_NO_TIME, math.ceil(page), start_response)
        after = (page.end, self._free.release)
        try:
            answer = (room or self._otherwise)(environ, start_response)
        except BaseException:
            for call in after:
                call()
            raise
        return ClosingIterator(answer, after)

    def _room(self, path: str) -> WsgiApp | None:
        return next((app for begins, app in self._rooms.items() if path.startswith(begins)), None)


def _come_again(why: int, seconds: int, start_response: Callable[..., Any]) -> Iterable[bytes]:
    """For a program."""
    headers = [("Content-Type", CONTENT_TYPE), ("Retry-After", str(seconds))]
    start_response("503 SERVICE UNAVAILABLE", [*headers, *CAREFUL_HEADERS])
    return (problem(503, "busy", which=why).body().encode(),)


def _page_again(why: int, seconds: int, start_response: Callable[..., Any]) -> Iterable[bytes]:
    """For a person."""
    headers = [("Content-Type", "text/html; charset=utf-8"), ("Retry-After", str(seconds))]
    start_response("503 SERVICE UNAVAILABLE", [*headers, *_SHUT, *CAREFUL_HEADERS])
    when = "in a second" if seconds <= 1 else f"in {seconds} seconds"
    return (_PAGE.format(why=OF_PROBLEMS["busy"].sentences[why], when=when).encode(),)
