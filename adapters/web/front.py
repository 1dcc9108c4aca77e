"""In front of Flask: answers 204 to a callback that is kept, and leaves to Flask whatever else there is to say.

Flask's dispatch (contexts, routing, request and response objects) costs as much as all that a callback needs, and a callback's
204 needs none of it. What is done here is not done again: Flask's view finds the outcome in the environ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from werkzeug.exceptions import ClientDisconnected

from offhook.adapters.web.intake import Intake, read_body
from offhook.adapters.web.pages import is_page
from offhook.adapters.web.parts import UrlsOf, arrived_of, forget_request, name_request
from offhook.adapters.wsgi import CAREFUL_HEADERS, SIGNATURE, WsgiApp
from offhook.pipeline.arrival import CALLBACK_PATHS, Refused

LEFT = "offhook.left"
"""The environ's key for what is left to Flask: a Refused, or the error that was raised."""


class Front:
    """A WSGI app around Flask's, and around `pages` for what is neither Twilio's nor health.

    `received_at` is asked when a request is there; at most `most_bytes` of a body are read. `callback_came` is called for each.
    """

    def __init__(
        self,
        flask: WsgiApp,
        intake: Intake,
        urls_of: UrlsOf,
        received_at: Callable[[], datetime],
        most_bytes: int,
        pages: WsgiApp | None = None,
        callback_came: Callable[[], None] = lambda: None,
    ) -> None:
        self._flask, self._intake, self._urls_of = flask, intake, urls_of
        self._pages, self._callback_came = pages or flask, callback_came
        self._received_at, self._most_bytes = received_at, most_bytes

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        length = self._plain_length(environ)
        if length is None:
            is_for_pages = is_page(environ.get("PATH_INFO", ""))
            return (self._pages if is_for_pages else self._flask)(environ, start_response)
        self._callback_came()
        name_request(environ)
        left = self._left_of(environ, length)
        if left is not None:
            environ[LEFT] = left
            return self._flask(environ, start_response)
        forget_request()
        start_response("204 NO CONTENT", list(CAREFUL_HEADERS))
        return ()

    def _plain_length(self, environ: Mapping[str, Any]) -> int | None:
        """The body's length where this is a signed request to the one route, framed as Twilio frames it; else None."""
        length = environ.get("CONTENT_LENGTH") or "0"
        is_plain = (
            environ.get("PATH_INFO") in CALLBACK_PATHS
            and environ["REQUEST_METHOD"] in ("POST", "GET")
            and environ.get(SIGNATURE)
            and "HTTP_TRANSFER_ENCODING" not in environ
            and len(length) < 10
            and length.isascii()
            and length.isdigit()
        )
        return int(length) if is_plain and int(length) <= self._most_bytes else None

    def _left_of(self, environ: Mapping[str, Any], length: int) -> Refused | Exception | None:
        try:
            received_at = self._received_at()
            body = read_body(lambda: _body(environ, length))
            return self._intake(arrived_of(environ, body, self._urls_of, received_at))
        except Exception as error:  # Flask's error handlers know what to say
            return error


def _body(environ: Mapping[str, Any], length: int) -> bytes:
    """As Werkzeug reads it: a connection that is lost is a client that has gone; a server that says so ends the input itself."""
    try:
        body: bytes = environ["wsgi.input"].read(length) if length else b""
    except (OSError, ValueError):
        raise ClientDisconnected from None
    if len(body) < length and "wsgi.input_terminated" not in environ:
        raise ClientDisconnected
    return body
