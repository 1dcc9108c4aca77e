"""In: the HTTP routes. Reads the request, has it verified, keeps it, answers. Never folds, decides or delivers."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from flask import Flask, Request, Response, g, jsonify, request
from werkzeug.exceptions import BadRequest, HTTPException, RequestEntityTooLarge

from offhook.adapters.web.answers import CAREFUL_HEADERS
from offhook.adapters.web.framing import CALLBACK_PATHS, SIGNATURE_HEADER
from offhook.adapters.web.tally import Explain, Tally
from offhook.pipeline.callback import RawCallback
from offhook.pipeline.phone import mask_numbers_in
from offhook.pipeline.ports import Inbox, LedgerUnavailable
from offhook.pipeline.repeated import EVERY_SECONDS, Repeated, kind_of

log = logging.getLogger("offhook.web")

request_id: ContextVar[str] = ContextVar("request_id", default="")
_REQUEST_ID_LENGTH = 64
_SHOWN_PATH_LENGTH = 200
_SECONDS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,3})?")


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a request is not kept: the HTTP status (400 or 403), the check that failed, the URL that was hashed.

    `account` is the account that it names, where we have its keys, else "". With `explain` it looks like Twilio's, so that
    many of them in a row mean that a setting is wrong.
    """

    http_status: int
    check: str
    url: str = ""
    account: str = ""
    explain: Explain | None = None


@dataclass(frozen=True, slots=True)
class OtherKind:
    """Twilio's, and about something else than a call's status: there is nothing to keep, and nobody's mistake."""

    kind: str


@dataclass(frozen=True, slots=True)
class Arrived:
    """A request on plain parts. `urls` are what Twilio may have signed, the most probable first."""

    method: str
    target: str
    urls: tuple[str, ...]
    content_type: str
    headers: Mapping[str, str]
    body: bytes
    received_at: datetime


Admit = Callable[[Arrived], "Sequence[RawCallback] | OtherKind | Refused"]
"""Verifies and reads in one go, so that nobody can get at a callback that was not verified."""

UrlsOf = Callable[[str, Mapping[str, str], str], tuple[str, ...]]
"""(raw target, headers, scheme) -> the URLs that Twilio may have signed."""


class Health(Protocol):
    """What /readyz asks."""

    def ready(self, backlog_seconds: float | None = None) -> tuple[bool, Mapping[str, Any]]: ...


@dataclass(frozen=True, slots=True)
class WebLimits:
    """Bytes and seconds, from the settings."""

    max_callback_bytes: int
    retry_after_seconds: int
    log_repeat_seconds: float = EVERY_SECONDS


def utc_now() -> datetime:
    return datetime.now(UTC)


def create_web(
    inbox: Inbox,
    admit: Admit,
    urls_of: UrlsOf,
    health: Health,
    limits: WebLimits,
    tally: Tally,
    clock: Callable[[], datetime] = utc_now,
    version: str = "",
) -> Flask:
    """The Flask app with its three routes. `clock` tells when a callback was received; `version` is said by /readyz."""
    app = Flask("offhook", static_folder=None)
    app.url_map.merge_slashes = False  # a redirect would lose a callback without a word; a 404 is told
    app.config["MAX_CONTENT_LENGTH"] = limits.max_callback_bytes
    app.before_request(_name_request)
    app.after_request(_with_care)
    app.after_request(_watching_paths(tally))
    app.teardown_request(_forget_request)
    app.register_error_handler(HTTPException, _http_error(tally, clock))
    app.register_error_handler(Exception, _unexpected(limits))

    not_stored = Repeated(log, "callback_not_stored", limits.log_repeat_seconds)

    def twilio_status() -> Response:
        if request.method == "HEAD":  # Flask adds it to GET by itself
            return _text(405, "use POST or GET")
        arrived = _arrived(request, urls_of, clock())
        admitted = admit(arrived)
        if isinstance(admitted, Refused):
            tally.refused(admitted.check, admitted.account, arrived.received_at, admitted.explain)
            return _refuse(admitted)
        if isinstance(admitted, OtherKind):
            tally.other(admitted.kind)
            log.info("callback_of_other_kind", extra={"kind": admitted.kind})
            return _no_content()
        return _store(admitted, inbox, limits, tally, not_stored)

    for path in CALLBACK_PATHS:
        app.add_url_rule(path, view_func=twilio_status, methods=["POST", "GET"], provide_automatic_options=False)
    app.add_url_rule("/healthz", "healthz", lambda: jsonify(status="alive"), methods=["GET"])
    app.add_url_rule("/readyz", "readyz", lambda: _readyz(health, version), methods=["GET"])
    return app


def _store(
    admitted: Sequence[RawCallback], inbox: Inbox, limits: WebLimits, tally: Tally, not_stored: Repeated
) -> Response:
    try:
        inbox.append(admitted)
    except LedgerUnavailable as error:
        not_stored.tell(logging.ERROR, kind_of(error), {"call_sid": admitted[0].call_sid, "error": str(error)})
        return _try_later(limits, "the callback could not be stored")
    not_stored.works()
    tally.stored(admitted[0].source)
    log.info("callback_stored", extra={"call_sid": admitted[0].call_sid, "count": len(admitted)})
    return _no_content()


def _arrived(incoming: Request, urls_of: UrlsOf, received_at: datetime) -> Arrived:
    environ = incoming.environ
    target = raw_target(environ)
    headers = dict(incoming.headers)  # WSGI's spelling: Every-Word-Capitalised
    return Arrived(
        method=incoming.method,
        target=target,
        urls=urls_of(target, headers, environ.get("wsgi.url_scheme", "http")),
        content_type=headers.get("Content-Type", ""),
        headers=headers,
        body=_body(incoming) if headers.get(SIGNATURE_HEADER) else b"",
        received_at=received_at,
    )


def _body(incoming: Request) -> bytes:
    """All of it. Raises BadRequest where it breaks off or is framed wrongly, RequestEntityTooLarge over the limit."""
    try:
        return incoming.get_data(cache=False)
    except HTTPException:
        raise
    except Exception as error:  # each WSGI server has its own
        log.warning("callback_broken_off", extra={"check": type(error).__name__})
        raise BadRequest from None


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


def _refuse(refused: Refused) -> Response:
    url = mask_numbers_in(refused.url)
    if refused.http_status == 403:
        log.warning("callback_forged", extra={"check": refused.check, "hashed_url": url})
        return _text(403, "the signature does not verify")
    log.warning("callback_unreadable", extra={"check": refused.check, "hashed_url": url})
    return _text(400, f"signed, but not a call status callback: {refused.check}")


def _readyz(health: Health, version: str) -> Response:
    """`?backlog=N`: 503 as well when something waits for longer than N seconds."""
    try:
        ready, facts = health.ready(_backlog_asked(request.args.getlist("backlog")))
    except ValueError:
        return _text(400, "backlog is a number of seconds, e.g. /readyz?backlog=300")
    response = jsonify({**facts, "version": version})
    response.status_code = 200 if ready else 503
    return response


def _backlog_asked(given: Sequence[str]) -> float | None:
    """The seconds of `?backlog=`; None where it was not asked. Raises ValueError for anything else."""
    if not given:
        return None
    if len(given) > 1 or not _SECONDS.fullmatch(given[0]):
        raise ValueError
    return float(given[0])


def _name_request() -> None:
    """The platform's request id (Heroku sends X-Request-ID), or one of ours; letters, digits and dashes alone."""
    given = request.headers.get("X-Request-ID", "")[:_REQUEST_ID_LENGTH]
    name = given if given and given.replace("-", "").isalnum() and given.isascii() else uuid.uuid4().hex
    g.started = time.perf_counter()
    request_id.set(name)


def _forget_request(_error: BaseException | None) -> None:
    """The thread may next log a request that never gets as far as here."""
    request_id.set("")


def _with_care(response: Response) -> Response:
    response.headers.update(CAREFUL_HEADERS)
    return response


def _watching_paths(tally: Tally) -> Callable[[Response], Response]:
    """Twilio was given an address that is none: each such callback is lost, and the sender alone would know."""

    def watch(response: Response) -> Response:
        if response.status_code in (404, 405) and SIGNATURE_HEADER in request.headers:
            what = f"set the status callback's address to PUBLIC_URL and {CALLBACK_PATHS[0]}, with POST or GET"
            more = {"status": response.status_code, "method": request.method, "path": shown_path(request.path)}
            log.warning("callback_to_wrong_path", extra={**more, "what": what})
            tally.wrong_path(response.status_code)
        return response

    return watch


def shown_path(path: str) -> str:
    """A path for the log: numbers masked, no control characters, not longer than anybody reads."""
    plain = "".join(char if char.isprintable() else "?" for char in mask_numbers_in(path[: 4 * _SHOWN_PATH_LENGTH]))
    return plain if len(plain) <= _SHOWN_PATH_LENGTH else f"{plain[:_SHOWN_PATH_LENGTH]}..."


def _http_error(tally: Tally, clock: Callable[[], datetime]) -> Callable[[HTTPException], Response]:
    def answer(error: HTTPException) -> Response:
        code = error.code or 400
        if isinstance(error, RequestEntityTooLarge):
            log.warning("callback_too_large", extra={"length": request.content_length})
            tally.refused("too_large", "", clock(), None)
        response = _text(code, error.name)
        if getattr(error, "valid_methods", None):
            response.headers["Allow"] = ", ".join(error.valid_methods)  # type: ignore[attr-defined]
        return response

    return answer


def _unexpected(limits: WebLimits) -> Callable[[Exception], Response]:
    failed = Repeated(log, "request_failed", limits.log_repeat_seconds)

    def answer(error: Exception) -> Response:
        """A bug of ours: nothing was stored, so ask for it again."""
        failed.tell_error(error)
        return _try_later(limits, "unexpected error")

    return answer


def _try_later(limits: WebLimits, why: str) -> Response:
    response = _text(503, why)
    response.headers["Retry-After"] = str(limits.retry_after_seconds)
    return response


def _text(status: int, text: str) -> Response:
    return Response(f"{text}\n", status=status, content_type="text/plain; charset=utf-8")


def _no_content() -> Response:
    """204 without a Content-Type: there is nothing whose type could be told."""
    response = Response(status=204)
    del response.headers["Content-Type"]
    return response
