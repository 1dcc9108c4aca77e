"""The dashboard's Flask app: its blueprints, its headers, its pages for what goes wrong. Templates need no JavaScript."""

from __future__ import annotations

import logging
import secrets
from datetime import timedelta
from typing import Any

from flask import Blueprint, Flask, Response, abort, g, render_template, request
from flask_wtf.csrf import CSRFError, CSRFProtect
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from offhook.adapters.dashboard import (
    audit,
    call,
    calls,
    customers,
    deliveries,
    doors,
    elsewhere,
    exports,
    imports,
    overview,
    reveal,
    rockerbox,
    rules,
    search,
    setup,
    unknown,
    uploads,
    work,
)
from offhook.adapters.dashboard.assets import create_assets
from offhook.adapters.dashboard.code_marks import with_code
from offhook.adapters.dashboard.door import COOKIE
from offhook.adapters.dashboard.nav import nav_of, without_counts
from offhook.adapters.dashboard.parts import Parts, parts
from offhook.adapters.dashboard.times import length_of, local, utc, utc_hour, zone_name, zones
from offhook.adapters.dashboard.uploads import size_of
from offhook.adapters.dashboard.way import answer_in_short
from offhook.adapters.dashboard.who import check_every_view, let_in
from offhook.pipeline.masking import mask_email
from offhook.pipeline.phone import mask
from offhook.pipeline.ports.unavailable import LedgerUnavailable
from offhook.pipeline.repeated import Repeated
from offhook.pipeline.users import Role
from offhook.pipeline.words import reason_in_words

log = logging.getLogger("offhook.dashboard")

BLUEPRINTS: tuple[Blueprint, ...] = (
    overview.blueprint,
    calls.blueprint,
    call.blueprint,
    exports.blueprint,
    search.blueprint,
    deliveries.blueprint,
    rules.blueprint,
    rockerbox.blueprint,
    unknown.blueprint,
    customers.blueprint,
    imports.blueprint,
    uploads.blueprint,
    work.blueprint,
    doors.blueprint,
    elsewhere.blueprint,
    reveal.blueprint,
    setup.blueprint,
    audit.blueprint,
)
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_A_YEAR = 31_536_000
_LEAST_MEMORY = 500_000  # what Werkzeug needs to take files apart: some pieces of a stream


def create_dashboard(known: Parts) -> Flask:
    """The app on these parts. Raises LedgerUnavailable: the key of its cookies is in the ledger."""
    app = Flask("offhook.adapters.dashboard", static_folder=None, template_folder="templates")
    app.extensions["offhook.dashboard"] = known
    app.secret_key = known.ledger.sessions.key()
    app.config.update(
        MAX_CONTENT_LENGTH=known.limits.body_bytes,
        MAX_FORM_MEMORY_SIZE=max(_LEAST_MEMORY, known.limits.body_bytes),
        SESSION_COOKIE_NAME=f"__Host-{COOKIE}" if known.is_https else COOKIE,
        SESSION_COOKIE_SECURE=known.is_https,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_PATH="/",
        SESSION_REFRESH_EACH_REQUEST=False,
        PERMANENT_SESSION_LIFETIME=timedelta(seconds=known.limits.lifetimes.whole_seconds),
        WTF_CSRF_TIME_LIMIT=None,  # it ends with the session
        WTF_CSRF_SSL_STRICT=False,  # `_from_our_own_pages` looks at where a form comes from
    )
    app.before_request(_as_large_as_may_be)
    app.before_request(_from_our_own_pages)
    app.before_request(let_in)
    app.before_request(_forms_are_small)
    CSRFProtect(app)
    app.before_request(_as_can_be_kept)
    assets, names = create_assets()
    for blueprint in (*BLUEPRINTS, assets):
        app.register_blueprint(blueprint)
    app.after_request(_with_care)
    app.register_error_handler(CSRFError, lambda _error: _said(400, "This form is no longer valid", _FORM))
    app.register_error_handler(RequestEntityTooLarge, _too_large)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(LedgerUnavailable, _no_answer)
    app.register_error_handler(Exception, _unexpected())
    _speak(app, known, names)
    check_every_view(app)
    return app


def _speak(app: Flask, known: Parts, names: dict[str, str]) -> None:
    """What templates know."""
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.autoescape = True  # whatever a template's name ends in
    app.jinja_env.filters.update(
        local=local,
        utc=utc,
        utc_hour=utc_hour,
        mask=mask,
        mask_email=mask_email,
        length_of=length_of,
        reason_in_words=reason_in_words,
        in_short=answer_in_short,
        with_code=with_code,
    )
    app.jinja_env.globals.update(
        assets=names,
        nav_of=nav_of,
        zones=zones,
        zone_name=zone_name,
        endpoints=lambda: app.view_functions,
        version=known.version,
        single_sign_on=known.elsewhere.name if known.elsewhere else "",
        upload_size=size_of(known.limits.upload_bytes),
        jobs_seconds=known.limits.jobs_seconds,
        Role=Role,
    )


def _most_of_file() -> int:
    """How large the file of this request's form may be, in bytes; 0 where its page takes none."""
    limits = parts().limits
    return {"uploads.take": limits.upload_bytes, "rules.try_out": limits.rules_bytes}.get(request.endpoint or "", 0)


def _as_large_as_may_be() -> None:
    """A form with a file may be as large as its file may, and the form itself beside."""
    request.max_content_length = _most_of_file() + parts().limits.body_bytes


def _too_large(_error: HTTPException) -> Response:
    most = _most_of_file()
    if request.endpoint == "uploads.take":
        what = f"A file may have {size_of(most)} here. {uploads.TOO_LARGE}"
    elif most:
        what = f"A file may have {size_of(most)} here. Send a smaller one."
    else:
        what = f"A form may have {size_of(parts().limits.body_bytes)}. Pick less at once."
    return _said(413, "That is too large", what)


def _from_our_own_pages() -> None:
    """What changes something comes from a page of ours, as far as the browser says: beside the token in each form.

    https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/Sec-Fetch-Site
    """
    if request.method not in ("GET", "HEAD", "OPTIONS") and request.headers.get("Sec-Fetch-Site", "none") not in (
        "same-origin",
        "none",
    ):
        abort(400)


def _forms_are_small() -> None:
    """Files come from people alone who are signed in; a form is taken apart field by field, which costs far more than its bytes."""
    if g.user is None or request.mimetype != "multipart/form-data":
        request.max_content_length = parts().limits.body_bytes


def _as_can_be_kept() -> None:
    """No database keeps a NUL as text, and no page of ours sends one: https://www.postgresql.org/docs/current/datatype-character.html"""
    lists = ([request.path], *request.args.listvalues(), *request.form.listvalues())
    if any("\0" in text for texts in lists for text in texts):
        abort(400)


def _with_care(response: Response) -> Response:
    response.headers.setdefault("Cache-Control", "no-store")
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    if request.is_secure or _is_https():
        response.headers.setdefault("Strict-Transport-Security", f"max-age={_A_YEAR}")
    return response


def _is_https() -> bool:
    return parts().is_https


_FORM = (
    "You signed in or out since it was opened, or it came from elsewhere. Go back, load the page anew and try again."
)
_WORDS = {
    400: ("This could not be read", "Go back and try again."),
    403: ("You may not see this", "Your role does not allow it. Ask somebody who is an admin here."),
    404: ("There is no such page", "Look for the call, the number or the order in the search above."),
    405: ("This is no page", "Go back and use the button."),
    429: ("Too many attempts", "Wait some minutes and try again."),
}


def _said(status: int, title: str, what: str, **headers: str) -> Response:
    g.setdefault("user", None)
    without_counts()
    page = render_template("said.html.jinja", heading=title, what=what)
    return Response(page, status=status, headers=headers)


def _http_error(error: HTTPException) -> Response | HTTPException:
    code = error.code or 500
    if code < 400:
        return error
    title, what = _WORDS.get(code, (error.name, ""))
    if code == 404 and not g.get("user"):
        what = "Sign in to look for a call, a number or an order."
    is_ours = error.description != type(error).description
    return _said(code, title, error.description or what if is_ours else what)


def _no_answer(error: LedgerUnavailable) -> Response:
    if error.word == "slow":
        what = "It took longer than a page may, so that calls go on being received. Ask for a shorter time or for less."
        return _said(503, "This took too long", what)
    soon = {"Retry-After": str(parts().limits.retry_after_seconds)}
    return _said(503, "The database does not answer now", "Calls are not lost by it. Try again in a moment.", **soon)


def _unexpected() -> Any:
    failed = Repeated(log, "page_failed")

    def answer(error: Exception) -> Response:
        """A bug of ours. The mark is for whoever reads the log."""
        mark = secrets.token_hex(4)
        log.error("page_error", extra={"mark": mark, "endpoint": request.endpoint or ""})
        failed.log_error(error)
        return _said(500, "Something went wrong here", f"It is in the log under the mark {mark}.")

    return answer
