"""Coming in and going out: sign-in, links of one use, sign-out, one's own password and time zone. Limited by account and address."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from flask import Blueprint, Response, abort, flash, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from offhook.adapters.addresses import whose
from offhook.adapters.dashboard.leaving import leave
from offhook.adapters.dashboard.parts import parts
from offhook.adapters.dashboard.times import zones
from offhook.adapters.dashboard.who import (
    address,
    audit,
    line,
    local_path,
    needs,
    sign_in,
    sign_out,
    sign_out_everywhere,
    user,
)
from offhook.adapters.passwords import hash_of, is_right, why_not
from offhook.pipeline.tokens import hashed
from offhook.pipeline.users import Invite, Role, User, lets_in, new_user_id, plain_email

blueprint = Blueprint("doors", __name__)
_WRONG = "That email and password do not go together."
_GONE = "This link was used already, or its time is over. Ask whoever made it for another."


@blueprint.get("/login")
@needs(None)
def login() -> AnyResponse | str:
    goes_to = local_path(request.args.get("next"))
    if g.user is not None:
        return redirect(goes_to, 303)
    return render_template("login.html.jinja", next=goes_to, email="", wrong="")


@blueprint.post("/login")
@needs(None)
def log_in() -> AnyResponse:
    typed, password = request.form.get("email", ""), request.form.get("password", "")
    goes_to, email = local_path(request.form.get("next")), plain_email(typed) or ""
    window = _window()
    if _is_too_often(email, window):
        return not_in(429, goes_to, typed, "Too many attempts. Wait some minutes and try again.")
    someone = parts().ledger.users.with_email(email)
    is_theirs = is_right(someone.password_hash if someone else None, password[: parts().limits.password_most + 1])
    if someone is None or not is_theirs or someone.disabled_at is not None:
        audit("sign-in refused", "password", someone.email if someone else "unknown")
        return not_in(401, goes_to, typed, _WRONG)
    parts().ledger.tries.forget(_account(email), window)
    sign_in(someone, "password")
    return redirect(goes_to, 303)


def not_in(status: int, goes_to: str, typed: str, wrong: str) -> Response:
    """The sign-in page again, which says what is wrong."""
    page = render_template("login.html.jinja", next=goes_to, email=typed[:254], wrong=wrong)
    return Response(page, status=status)


def _account(email: str) -> str:
    return f"account {hashed(email)}"


def _window() -> datetime:
    """When the window of now began."""
    seconds = parts().limits.window_seconds
    return datetime.fromtimestamp(parts().clock().timestamp() // seconds * seconds, UTC)


def _is_too_often(email: str, window: datetime) -> bool:
    """Counts this attempt, for the account, whether there is one or not, and for where it comes from."""
    if is_too_often_from_here():
        return True
    over = window - timedelta(seconds=parts().limits.window_seconds)
    return parts().ledger.tries.count(_account(email), window, over) > parts().limits.tries_of_account


def is_too_often_from_here() -> bool:
    """Counts this attempt for where it comes from, whoever makes it."""
    limits, window = parts().limits, _window()
    over = window - timedelta(seconds=limits.window_seconds)
    return parts().ledger.tries.count(f"address {whose(address())}", window, over) > limits.tries_of_address


@blueprint.post("/logout")
@needs(None)
def logout() -> AnyResponse:
    return leave(sign_out())


@blueprint.get("/invite/<secret>")
@needs(None)
def invite(secret: str) -> str:
    """Shows what the link is for. It is followed by the button: whoever only looks (a mail's scanner) does not use it up."""
    return render_template("invite.html.jinja", invite=_open(secret), email="", wrong="", least=_least())


@blueprint.post("/invite/<secret>")
@needs(None)
def follow(secret: str) -> AnyResponse | str:
    found = _open(secret)
    if found.email is not None:
        _take(found)
        sign_in(_invited(found, found.email, None), "link")
        return redirect(url_for("overview.shown"), 303)
    email, password = plain_email(request.form.get("email", "")), request.form.get("password", "")
    wrong = _why_not(password, email or "") if email else "That is no email address."
    if email is None or wrong:
        typed = request.form.get("email", "")[:254]
        return Response(
            render_template("invite.html.jinja", invite=found, email=typed, wrong=wrong, least=_least()), status=400
        )
    _take(found)
    sign_in(_invited(found, email, hash_of(password)), "link")
    return redirect(url_for("overview.shown"), 303)


def _open(secret: str) -> Invite:
    reads = parts().reads
    found = reads.invites.open(hashed(secret), parts().clock())
    if found is None or (found.email is None and reads.users.every()):
        abort(404, _GONE)  # who comes when there is a user is not the first
    return found


def _take(found: Invite) -> None:
    if not parts().ledger.invites.take(found.id, parts().clock()):
        abort(404, _GONE)


def _invited(found: Invite, email: str, password_hash: str | None) -> User:
    """The user whom the link lets in, made where there is none."""
    users = parts().ledger.users
    known = users.with_email(email)
    if known is None:
        made = User(new_user_id(), email, found.role, password_hash, parts().clock())
        if users.add(made, line("user added by link", email, email)):
            return made
        known = users.with_email(email)
    if known is None or not lets_in(found, known):
        audit("sign-in refused", f"link of {email}", "unknown")
        abort(403)
    return known


@blueprint.get("/account")
@needs(Role.VIEWER)
def account() -> str:
    sessions = parts().reads.sessions.of_user(user().id)
    return render_template("account.html.jinja", sessions=sessions, wrong="", least=_least())


@blueprint.post("/account/zone")
@needs(Role.VIEWER)
def choose_zone() -> AnyResponse:
    wished = request.form.get("zone", "")
    if wished and wished not in zones():
        abort(400)
    parts().ledger.users.set_zone(user().id, wished, line("time zone chosen", wished or "the service's"))
    flash(f"Times are of {wished or 'the zone of the service'} now.")
    return redirect(local_path(request.form.get("back")), 303)


@blueprint.post("/account/password")
@needs(Role.VIEWER)
def change_password() -> AnyResponse:
    old, new = request.form.get("old", ""), request.form.get("new", "")
    if _is_too_often(user().email, _window()):
        abort(429)
    wrong = _why_not(new, user().email)
    if not is_right(user().password_hash, old[: parts().limits.password_most + 1]):
        wrong = "The password of now is another one."
        audit("password change refused", user().email)
    if wrong:
        sessions = parts().reads.sessions.of_user(user().id)
        return Response(
            render_template("account.html.jinja", sessions=sessions, wrong=wrong, least=_least()), status=400
        )
    parts().ledger.users.set_password(user().id, hash_of(new), line("password changed", user().email))
    sign_in(user(), "password changed", came_by=g.session.came_by)
    flash("The password is changed, and every other session has ended.")
    return redirect(url_for("doors.account"), 303)


@blueprint.post("/account/sign-out-everywhere")
@needs(Role.VIEWER)
def everywhere() -> AnyResponse:
    came_by = sign_out_everywhere()
    flash("You are signed out everywhere.")
    return leave(came_by)


def _least() -> int:
    return parts().limits.password_least


def _why_not(password: str, email: str) -> str:
    limits = parts().limits
    return why_not(password, email, least=limits.password_least, most=limits.password_most)
