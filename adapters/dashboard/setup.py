"""`/setup`: health, versions and settings for everybody; users and tokens for admins. Shows no secret, but a new one, once."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, abort, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from offhook.adapters.dashboard.parts import parts
from offhook.adapters.dashboard.who import line, needs, user
from offhook.pipeline.health import fact_lines
from offhook.pipeline.tokens import Scope, Token, new_token
from offhook.pipeline.users import AuditFilter, NoLink, Role, User, comes_back, new_link, plain_email, why_no_link
from offhook.pipeline.words import counted

blueprint = Blueprint("setup", __name__)
_LONGEST_NAME = 100
_AFTER = ("users-after", "tokens-after")


@dataclass(frozen=True, slots=True)
class Turned:
    """A page of a list; the addresses of the next one and of the first, None where this is that."""

    rows: Sequence[User | Token]
    more: str | None
    first: str | None


@blueprint.get("/setup")
@needs(Role.VIEWER)
def shown() -> str:
    """`?users-after=` and `?tokens-after=` are the ids behind which these lists begin: one that is none begins at the top."""
    return _page()


def _turned(every: Sequence[User | Token], name: str) -> Turned:
    """There are few, and signing in reads all of them: turned over here, so that a page stays short."""
    limit, key = parts().limits.page_rows, f"{name}-after"
    ids, after = [one.id for one in every], request.args.get(key, "")
    begins = ids.index(after) + 1 if after in ids else 0
    rows = every[begins : begins + limit]
    asked = {other: value for other, value in request.args.items() if other in _AFTER and other != key}
    more = _address(name, {**asked, key: rows[-1].id}) if len(every) > begins + limit else None
    return Turned(rows, more, _address(name, asked) if begins else None)


def _address(name: str, asked: Mapping[str, str]) -> str:
    return url_for("setup.shown", _anchor=name, **dict[str, Any](asked))


def _page(link: str = "", token: str = "", no_link_for: User | None = None) -> str:
    known = parts()
    is_ready, facts = known.ready()
    is_admin = user().role.may(Role.ADMIN)
    versions = {"Offhook": known.version, "Python": platform.python_version(), "Database": known.reads.database.program}
    return render_template(
        "setup.html.jinja",
        is_ready=is_ready,
        facts=fact_lines(facts),
        versions=versions,
        settings=known.settings(),
        users=_turned(known.reads.users.every() if is_admin else (), "users"),
        tokens=_turned(known.reads.tokens.every()[::-1] if is_admin else (), "tokens"),
        done=known.reads.audit.lines(AuditFilter(), None, known.limits.short_rows) if is_admin else (),
        scopes=[one.value for one in Scope],
        link=link,
        token=token,
        no_link_for=no_link_for,
        comes_back=comes_back,
    )


@blueprint.post("/setup/users/invite")
@needs(Role.ADMIN)
def invite() -> AnyResponse:
    """A link of one use, which lets a viewer in without a password."""
    email = plain_email(request.form.get("email", ""))
    if email is None:
        flash("That is no email address.", "bad")
        return redirect(url_for("setup.shown"), 303)
    known = parts().reads.users.with_email(email)
    refused = why_no_link(known)
    if refused is NoLink.MAY_MORE:
        return Response(_page(no_link_for=known), status=409)
    if refused is NoLink.DISABLED:
        flash(f"{email} is disabled: enable them first.", "bad")
        return redirect(url_for("setup.shown", _anchor="users"), 303)
    secret, made = new_link(email, parts().clock(), parts().limits.invite_seconds)
    parts().ledger.invites.add(made, line("link made", email))
    return Response(_page(link=f"{parts().home}{url_for('doors.invite', secret=secret)}"))


@blueprint.post("/setup/users/<user_id>/role")
@needs(Role.ADMIN)
def set_role(user_id: str) -> AnyResponse:
    someone, role = _other(user_id), request.form.get("role", "")
    if role not in list(Role):
        abort(400)
    parts().ledger.users.set_role(user_id, Role(role), line(f"role {role}", someone.email))
    return _done(f"{someone.email} is {role} now.")


@blueprint.post("/setup/users/<user_id>/disable")
@needs(Role.ADMIN)
def disable(user_id: str) -> AnyResponse:
    someone = _other(user_id)
    parts().ledger.users.disable(user_id, parts().clock(), line("user disabled", someone.email))
    return _done(f"{someone.email} may no longer come in.")


@blueprint.post("/setup/users/<user_id>/enable")
@needs(Role.ADMIN)
def enable(user_id: str) -> AnyResponse:
    someone = _other(user_id)
    parts().ledger.users.disable(user_id, None, line("user enabled", someone.email))
    return _done(f"{someone.email} may come in again.")


@blueprint.post("/setup/users/<user_id>/sign-out")
@needs(Role.ADMIN)
def end_sessions(user_id: str) -> AnyResponse:
    someone = _other(user_id)
    ended = parts().ledger.sessions.end_all(user_id, line("sessions ended", someone.email))
    return _done(f"{counted(ended, f'session of {someone.email} has', f'sessions of {someone.email} have')} ended.")


@blueprint.post("/setup/users/<user_id>/remove")
@needs(Role.ADMIN)
def remove(user_id: str) -> AnyResponse:
    someone = _other(user_id)
    parts().ledger.users.remove(user_id, line("user removed", someone.email))
    return _done(f"{someone.email} is removed.")


@blueprint.post("/setup/tokens")
@needs(Role.ADMIN)
def create_token() -> AnyResponse:
    name, scopes = request.form.get("name", "").strip(), request.form.getlist("scope")
    if not name or len(name) > _LONGEST_NAME or not name.isprintable() or not scopes or set(scopes) - set(Scope):
        return _done("A token needs a name and at least one thing that it may do.", "bad")
    token, text = new_token(name, scopes, parts().clock())
    if not parts().ledger.tokens.add(token, line("token made", name)):
        return _done(f'There is a token "{name}" already: take another name, or revoke that one first.', "bad")
    return Response(_page(token=text))


@blueprint.post("/setup/tokens/revoke")
@needs(Role.ADMIN)
def revoke_token() -> AnyResponse:
    name = request.form.get("name", "")
    if not parts().ledger.tokens.revoke(name, parts().clock(), line("token revoked", name)):
        return _done("There is no such token.", "bad")
    return _done(f'The token "{name}" is revoked.')


def _other(user_id: str) -> User:
    """Another user. Nobody takes their own rights away by mistake: the last admin would lock everybody out."""
    someone = parts().reads.users.with_id(user_id) or abort(404)
    if someone.id == user().id:
        abort(400)
    return someone


def _done(what: str, kind: str = "message") -> AnyResponse:
    flash(what, kind)
    return redirect(url_for("setup.shown"), 303)
