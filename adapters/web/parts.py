"""A WSGI environ taken apart: the request's name, target, headers, and where it was sent. Verifies nothing, keeps nothing."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from datetime import datetime
from functools import lru_cache
from typing import Any, Protocol

from offhook.pipeline.arrival import Arrived

request_id: ContextVar[str] = ContextVar("request_id", default="")
_REQUEST_ID_LENGTH = 64

UrlsOf = Callable[[str, Mapping[str, str], str], tuple[str, ...]]
"""(raw target, headers, scheme) -> the URLs that Twilio may have signed."""


class Dashboard(Protocol):
    """The pages for people, as the web process needs them: a WSGI app, and whether cookies are of somebody who is signed in.

    `knows` raises LedgerUnavailable.
    """

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any], /) -> Iterable[bytes]: ...
    def knows(self, cookies: str, /) -> bool: ...


def name_request(environ: Mapping[str, Any]) -> None:
    """The platform's request id (Heroku sends X-Request-ID), or one of ours; letters, digits and dashes alone."""
    given = environ.get("HTTP_X_REQUEST_ID", "")[:_REQUEST_ID_LENGTH]
    name = given if given and given.replace("-", "").isalnum() and given.isascii() else uuid.uuid4().hex
    request_id.set(name)


def forget_request() -> None:
    """The thread may next log a request that never gets as far as to have a name."""
    request_id.set("")


def arrived_of(environ: Mapping[str, Any], body: bytes, urls_of: UrlsOf, received_at: datetime) -> Arrived:
    target = raw_target(environ)
    headers = headers_of(environ)
    return Arrived(
        method=environ["REQUEST_METHOD"],
        target=target,
        urls=urls_of(target, headers, environ.get("wsgi.url_scheme", "http")),
        content_type=headers.get("Content-Type", ""),
        headers=headers,
        body=body,
        received_at=received_at,
    )


def headers_of(environ: Mapping[str, Any]) -> dict[str, str]:
    """Every-Word-Capitalised: what WSGI leaves of how a name was written."""
    headers = {_spelled(key): value for key, value in environ.items() if key.startswith("HTTP_")}
    for name, key in (("Content-Type", "CONTENT_TYPE"), ("Content-Length", "CONTENT_LENGTH")):
        headers.pop(name, None)  # PEP 3333: these two have no HTTP_ before them
        if environ.get(key):
            headers[name] = environ[key]
    return headers


@lru_cache(maxsize=256)  # what a sender makes up pushes out what Twilio sends for one request, no more
def _spelled(key: str) -> str:
    return key.removeprefix("HTTP_").replace("_", "-").title()


def raw_target(environ: Mapping[str, Any]) -> str:
    """The request target byte for byte, as latin-1: Werkzeug's own reconstruction decodes and lower-cases.

    gunicorn gives RAW_URI, Werkzeug's development server REQUEST_URI; otherwise PEP 3333's parts are all there is.
    """
    raw = environ.get("RAW_URI") or environ.get("REQUEST_URI")
    if raw:
        return str(raw)
    query = environ.get("QUERY_STRING", "")
    return f"{environ.get('SCRIPT_NAME', '')}{environ.get('PATH_INFO', '')}{'?' if query else ''}{query}"


def forwarded_base(headers: Mapping[str, str], scheme: str, trusted_proxies: int) -> str:
    """Scheme and host as the outermost trusted proxy saw them; with none trusted, as the request itself says.

    Each proxy appends to X-Forwarded-*, so only the last `trusted_proxies` values are not the sender's own words.
    """
    if trusted_proxies:
        scheme = _nth_last(headers.get("X-Forwarded-Proto", ""), trusted_proxies) or scheme
        host = _nth_last(headers.get("X-Forwarded-Host", ""), trusted_proxies)
        return f"{scheme}://{host or headers.get('Host', '')}"
    return f"{scheme}://{headers.get('Host', '')}"


def _nth_last(value: str, count: int) -> str:
    parts = [part.strip() for part in value.split(",") if part.strip()]
    return parts[max(0, len(parts) - count)] if parts else ""
