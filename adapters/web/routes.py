"""In: the HTTP routes of Flask, and what it answers. Never folds, decides or delivers."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from flask import Flask, Request, Response, jsonify, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from offhook.adapters.web.front import LEFT, Front
from offhook.adapters.web.intake import Intake, read_body
from offhook.adapters.web.pages import Pages
from offhook.adapters.web.parts import Dashboard, UrlsOf, arrived_of, forget_request, name_request
from offhook.adapters.web.ration import Ration, RationLimits
from offhook.adapters.web.tally import Tally
from offhook.adapters.wsgi import CAREFUL_HEADERS, WsgiApp
from offhook.pipeline.arrival import CALLBACK_PATHS, SIGNATURE_HEADER, Admit, Arrived, Refused
from offhook.pipeline.phone import mask_numbers_in
from offhook.pipeline.ports.inbox import Inbox
from offhook.pipeline.ports.unavailable import LedgerUnavailable
from offhook.pipeline.repeated import EVERY_SECONDS, Repeated

log = logging.getLogger("offhook.web")

_SHOWN_PATH_LENGTH = 200
_SECONDS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,3})?")


class Health(Protocol):
    """What /readyz asks of `LedgerHealth`: a narrow view that one adapter takes of another, and no port of the pipeline."""

    def ready(self, backlog_seconds: float | None = None) -> tuple[bool, Mapping[str, Any]]: ...


@dataclass(frozen=True, slots=True)
class WebLimits:
    """Bytes and seconds, from the settings. `page_seconds` says what its thread has taken so far, for a page."""

    max_callback_bytes: int
    retry_after_seconds: int
    log_repeat_seconds: float = EVERY_SECONDS
    page_threads: int = 4
    ration: RationLimits = field(default_factory=RationLimits)
    page_seconds: Callable[[], float] = time.thread_time


def create_web(
    inbox: Inbox,
    admit: Admit,
    urls_of: UrlsOf,
    health: Health,
    limits: WebLimits,
    tally: Tally,
    clock: Callable[[], datetime],
    version: str = "",
    rooms: Mapping[str, WsgiApp] | None = None,
    dashboard: Callable[[WsgiApp], Dashboard] | None = None,
) -> Flask:
    """The Flask app with its three routes, and in front of it what answers callbacks that are kept.

    `clock` gives the time at which a callback is received; `version` is said by /readyz. `rooms` are
    WSGI apps by how their paths begin, to which pages.py hands on; `dashboard` makes the app for all other pages, which hands on
    to the one it gets what is not its own. `extensions["offhook.knows"]` says whether cookies are of somebody who is signed in.
    """
    app = _without_routes(limits, tally, clock)
    intake = Intake(admit, inbox, tally, limits.log_repeat_seconds)

    def twilio_status() -> Response:
        if request.method == "HEAD":  # Flask adds it to GET by itself
            return _text(405, "use POST or GET")
        left = request.environ[LEFT] if LEFT in request.environ else intake(_arrived(request, urls_of, clock()))
        if isinstance(left, Exception):
            raise left
        return _no_content() if left is None else _refuse(left)

    for path in CALLBACK_PATHS:
        app.add_url_rule(path, view_func=twilio_status, methods=["POST", "GET"], provide_automatic_options=False)
    app.add_url_rule("/healthz", "healthz", lambda: jsonify(status="alive"), methods=["GET"])
    app.add_url_rule("/readyz", "readyz", lambda: _readyz(health, version), methods=["GET"])
    people = dashboard(app.wsgi_app) if dashboard else None
    app.extensions["offhook.knows"] = people.knows if people else lambda _cookies: False
    ration = Ration(limits.ration, used=limits.page_seconds)
    pages = Pages(people or app.wsgi_app, rooms or {}, limits.page_threads, ration, limits.retry_after_seconds)
    front = Front(app.wsgi_app, intake, urls_of, clock, limits.max_callback_bytes, pages, ration.callback_came)
    app.wsgi_app = front  # type: ignore[method-assign]
    return app


def _without_routes(limits: WebLimits, tally: Tally, clock: Callable[[], datetime]) -> Flask:
    app = Flask("offhook", static_folder=None)
    app.url_map.merge_slashes = False  # a redirect would lose a callback without a word; a 404 is counted
    app.config["MAX_CONTENT_LENGTH"] = limits.max_callback_bytes
    app.before_request(_name_request)
    app.after_request(_with_care)
    app.after_request(_watching_paths(tally))
    app.teardown_request(lambda _error: forget_request())
    app.register_error_handler(HTTPException, _http_error(tally, clock))
    app.register_error_handler(LedgerUnavailable, lambda _error: _try_later(limits, "the callback could not be stored"))
    app.register_error_handler(Exception, _unexpected(limits))
    return app


def _arrived(incoming: Request, urls_of: UrlsOf, received_at: datetime) -> Arrived:
    """Of a request that Twilio does not send so: without a signature, in chunks, through a path of two slashes."""
    is_signed = incoming.headers.get(SIGNATURE_HEADER)
    body = read_body(lambda: incoming.get_data(cache=False)) if is_signed else b""
    return arrived_of(incoming.environ, body, urls_of, received_at)


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
    if LEFT not in request.environ:  # else it has its name
        name_request(request.environ)


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
        failed.log_error(error)
        return _try_later(limits, "unexpected error")

    return answer


def _try_later(limits: WebLimits, why: str) -> Response:
    response = _text(503, why)
    response.headers["Retry-After"] = str(limits.retry_after_seconds)
    return response


def _text(status: int, text: str) -> Response:
    return Response(f"{text}\n", status=status, content_type="text/plain; charset=utf-8")


def _no_content() -> Response:
    """204 without a Content-Type: there is no body that could have one."""
    response = Response(status=204)
    del response.headers["Content-Type"]
    return response
