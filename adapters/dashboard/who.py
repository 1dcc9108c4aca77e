"""Who is asking: the session behind the cookie, what a view needs, and the audit's lines. Every view says what it `needs`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TypeVar, cast
from urllib.parse import urlsplit

from flask import Flask, Response, abort, current_app, g, redirect, request, session, url_for
from werkzeug.wrappers import Response as AnyResponse

from offhook.adapters.addresses import outermost
from offhook.adapters.dashboard.parts import Parts, parts
from offhook.pipeline.ports.unavailable import LedgerUnavailable
from offhook.pipeline.tokens import hashed
from offhook.pipeline.users import AuditLine, Role, Session, User, new_secret

View = TypeVar("View", bound=Callable[..., object])
_NEEDS, _BY_ITSELF = "offhook_needs", "offhook_by_itself"
_SECRET = "sid"
_LONGEST_PATH = 2000


def needs(role: Role | None) -> Callable[[View], View]:
    """Says of a view who may call it; None: anybody, signed in or not."""

    def marked(view: View) -> View:
        setattr(view, _NEEDS, role)
        return view

    return marked


def asked_by_itself(view: View) -> View:
    """Says of a view that a page asks for it now and then: no sign of a person, so that an idle session ends all the same."""
    setattr(view, _BY_ITSELF, True)
    return view


def check_every_view(app: Flask) -> None:
    """Raises RuntimeError for a view that does not say what it needs."""
    silent = [name for name, view in app.view_functions.items() if not hasattr(view, _NEEDS)]
    if silent:
        raise RuntimeError(f"views without needs(...): {', '.join(sorted(silent))}")


def let_in() -> AnyResponse | None:
    """Before each request: find out who asks, and turn away who may not."""
    g.user, g.session = None, None
    if request.endpoint != "assets.file":
        _find_out()
    if request.endpoint is None:
        return None  # there is no such page, whoever asks; it has the search for who is signed in
    needed = cast("Role | None", getattr(current_app.view_functions[request.endpoint], _NEEDS))
    if needed is None:
        return None
    if g.user is None:
        return _to_sign_in()
    if not g.user.role.may(needed):
        abort(403)
    return None


def is_signed_in(app: Flask, cookies: str) -> bool:
    """Whether a request with these cookies is somebody's who is signed in: asked before its body is read. What is not signed by
    our key asks nothing of the ledger. Raises LedgerUnavailable.
    """
    carried = app.session_interface.open_session(app, app.request_class({"HTTP_COOKIE": cookies}))
    known = cast(Parts, app.extensions["offhook.dashboard"])
    return carried is not None and _signed_in(known, carried.get(_SECRET), known.clock()) is not None


def user() -> User:
    """Who asks. For views that need a role."""
    return cast(User, g.user)


def address() -> str:
    """Where the request came from, as far as it is known."""
    said = request.headers.get("X-Forwarded-For", "")
    return outermost(said, parts().limits.proxies) or request.remote_addr or "unknown"


def line(what: str, of_what: str = "", who: str | None = None) -> AuditLine:
    """The audit's line of this request, not yet kept: for what writes it in its own transaction."""
    name = who if who is not None else (g.user.email if g.user else "")
    return AuditLine(parts().clock(), name, what, of_what, address())


def audit(what: str, of_what: str = "", who: str | None = None) -> None:
    """Keep a line of who does what, to what, from where. Before the action: an action without its line never happens.

    Raises LedgerUnavailable. `of_what` is a CallSid, a name, a count; never a number or an email of a caller in clear.
    """
    parts().ledger.audit.write(line(what, of_what, who))


def audit_taken(name: str, filters: Iterable[str] = ()) -> None:
    """The line of a list that leaves in a file, by GET: reading it changes nothing, but whoever has it took it along. Asking for
    its head alone takes nothing. Raises LedgerUnavailable.
    """
    if request.method != "HEAD":
        audit("file taken", f"{name}; {named_filters(filters)}")


def named_filters(given: Iterable[str]) -> str:
    """Which filters a list was narrowed by, without what they ask for: that may name somebody."""
    return f"filters: {', '.join(sorted(given)) or 'none'}"


def sign_in(someone: User, how: str, came_by: str = "") -> None:
    """A new session for this browser: whatever it carried before is none. `came_by` is the issuer of single sign-on.

    Raises LedgerUnavailable.
    """
    before = session.get(_SECRET)
    session.clear()  # the CSRF token, too
    if before:
        parts().ledger.sessions.end(hashed(before), line("sign out", someone.email, someone.email))
    secret, kept = new_secret()
    now = parts().clock()
    over = now - timedelta(seconds=parts().limits.lifetimes.whole_seconds)
    parts().ledger.sessions.add(
        Session(kept, someone.id, now, now, address(), came_by), over, line("sign in", how, someone.email)
    )
    session[_SECRET] = secret
    session.permanent = True


def sign_out() -> str:
    """End this browser's session; nobody asks from now on. The issuer that it came by, "" for none. Raises LedgerUnavailable."""
    if g.session is not None:
        parts().ledger.sessions.end(g.session.id, line("sign out"))
    return _forget_who_asks()


def sign_out_everywhere() -> str:
    """The same with all sessions of who asks."""
    parts().ledger.sessions.end_all(user().id, line("sign out everywhere"))
    return _forget_who_asks()


def _forget_who_asks() -> str:
    came_by = g.session.came_by if g.session else ""
    session.clear()
    g.user, g.session = None, None
    return came_by


def local_path(given: str | None) -> str:
    """Where to go next: a path of ours, else the first page. Anything that could lead elsewhere is not taken."""
    path = given or ""
    is_local = path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    parsed = urlsplit(path) if is_local else None
    if parsed is None or parsed.scheme or parsed.netloc or len(path) > _LONGEST_PATH:
        return url_for("overview.shown")
    return path


def _find_out() -> None:
    if _SECRET not in session:
        return
    known, now = parts(), parts().clock()
    signed_in = _signed_in(known, session[_SECRET], now)
    if signed_in is None:
        session.clear()
        return
    someone, found = signed_in
    g.user, g.session = someone, found
    view = current_app.view_functions.get(request.endpoint or "")
    is_person = view is not None and not hasattr(view, _BY_ITSELF)
    if is_person and (now - found.seen_at).total_seconds() >= known.limits.seen_seconds:
        with suppress(LedgerUnavailable):
            known.ledger.sessions.seen(found.id, now)


def _signed_in(known: Parts, secret: object, now: datetime) -> tuple[User, Session] | None:
    """Whose session it is whose secret a cookie holds; None where it is nobody's, or over."""
    found = known.reads.sessions.with_id(hashed(secret)) if isinstance(secret, str) else None
    if found is None or not known.limits.lifetimes.holds(found, now):
        return None
    someone = known.reads.users.with_id(found.user_id)
    return None if someone is None or someone.disabled_at is not None else (someone, found)


def _to_sign_in() -> AnyResponse:
    if request.headers.get("HX-Request"):  # a fragment: the whole page goes to sign in
        return Response(status=401, headers={"HX-Redirect": url_for("doors.login")})
    back = request.full_path.rstrip("?") if request.method in ("GET", "HEAD") else None
    return redirect(url_for("doors.login", next=back), 303)
