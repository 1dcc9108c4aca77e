"""`flask users ...`: who may use the dashboard. A password comes by standard input and is kept as a hash."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta

import click
from flask.cli import with_appcontext

from offhook.adapters.commands.audited import line
from offhook.adapters.commands.context import LedgerGroup, Offhook, fail, offhook
from offhook.adapters.commands.shown import Format, show_list, show_record, shows
from offhook.pipeline.users import AuditLine, Invite, Role, User, new_secret, new_user_id, plain_email

_COLUMNS = ("email", "role", "created_at", "disabled_at", "has_password", "sessions", "single_sign_on", "linked_at")
_WHO = "flask users"


@click.group(cls=LedgerGroup)
def users() -> None:
    """Who may use the dashboard. There is none until there is a user.

    \b
    flask users create --email ann@example.com --role admin --password-stdin
    flask users list
    flask users invite bo@example.com
    """


@users.command()
@click.option("--email", required=True, help="By which they sign in.")
@click.option("--role", required=True, type=click.Choice([role.value for role in Role]), help="What they may do.")
@click.option("--password-stdin", is_flag=True, help="The password is the first line of standard input.")
@with_appcontext
def create(email: str, role: str, password_stdin: bool) -> None:
    """Make a user.

    Without --password-stdin they have no password, and come by `flask users invite` (viewers alone) or by single sign-on.

    \b
    flask users create --email ann@example.com --role admin --password-stdin
    """
    service, plain = offhook(), _plain(email)
    if not password_stdin and role != Role.VIEWER and not service.settings.oidc_issuer:
        fail("Only a viewer may be without a password: add --password-stdin.", 2)
    kept = _password(service, plain) if password_stdin else None
    made = User(new_user_id(), plain, Role(role), kept, service.ledger.clock())
    if not service.ledger.users.add(made, _line(service, "user added", plain)):
        fail(f"There is a user {plain} already.")
    click.echo(f"{plain} may come in as {role}.")


@users.command("list")
@shows
@with_appcontext
def list_(shown: Format) -> None:
    """List the users, with the number of their sessions.

    `single_sign_on` is the provider that knows the user, `linked_at` since when, as far as it is known.

    \b
    flask users list
    flask users list --json
    """
    ledger = offhook().ledger
    rows = [
        {
            "email": one.email,
            "role": one.role.value,
            "created_at": one.created_at,
            "disabled_at": one.disabled_at,
            "has_password": one.password_hash is not None,
            "sessions": len(ledger.sessions.of_user(one.id)),
            "single_sign_on": one.identity.issuer if one.identity else None,
            "linked_at": one.linked_at,
        }
        for one in ledger.users.every()
    ]
    show_list(rows, shown, _COLUMNS)


@users.command()
@click.argument("email")
@with_appcontext
def remove(email: str) -> None:
    """Remove a user; the sessions end. What they did stays in `flask audit`.

    \b
    flask users remove bo@example.com
    """
    service = offhook()
    someone = _known(service, email)
    service.ledger.users.remove(someone.id, _line(service, "user removed", someone.email))
    click.echo(f"{someone.email} is removed.")


@users.command()
@click.argument("email")
@with_appcontext
def disable(email: str) -> None:
    """Let a user in no more; the sessions end.

    \b
    flask users disable bo@example.com
    """
    _set_disabled(email, is_disabled=True)


@users.command()
@click.argument("email")
@with_appcontext
def enable(email: str) -> None:
    """Let a user in again.

    \b
    flask users enable bo@example.com
    """
    _set_disabled(email, is_disabled=False)


@users.command()
@click.argument("email", required=False)
@click.option("--first", is_flag=True, help="For the first user, an admin, while there is none.")
@shows
@with_appcontext
def invite(email: str | None, first: bool, shown: Format) -> None:
    """Make a link of one use, by which a viewer comes in.

    \b
    flask users invite bo@example.com
    flask users invite --first
    """
    if first == bool(email):
        raise click.UsageError("Name an email, or say --first.")
    service = offhook()
    secret = first_link(service) if first else _viewer_link(service, _plain(email or ""))
    until = service.settings.first_link_seconds if first else service.settings.invite_seconds
    link = f"{service.settings.own_url}/invite/{secret}"
    if shown is not Format.TABLE:
        show_record([("link", link), ("seconds", until)], shown)
        return
    click.echo(link)
    click.echo(f"It works once, within {until:g} s.", err=True)


@users.command("revoke-sessions")
@click.argument("email")
@with_appcontext
def revoke_sessions(email: str) -> None:
    """End every session of a user.

    \b
    flask users revoke-sessions bo@example.com
    """
    service = offhook()
    someone = _known(service, email)
    ended = service.ledger.sessions.end_all(someone.id, _line(service, "sessions ended", someone.email))
    click.echo(f"{ended} sessions of {someone.email} have ended.")


def first_link(service: Offhook) -> str:
    """The secret of a link that makes the first admin. Ends the command where there is a user."""
    if service.ledger.users.every():
        fail("There is a user already: `flask users list`.")
    return _link(service, None, Role.ADMIN, service.settings.first_link_seconds)


def _viewer_link(service: Offhook, email: str) -> str:
    known = service.ledger.users.with_email(email)
    if known is not None and known.role is not Role.VIEWER:
        fail(f"{email} is {known.role.value}: a link lets in viewers alone.")
    if known is not None and known.disabled_at is not None:
        fail(f"{email} is disabled: `flask users enable {email}` first.")
    return _link(service, email, Role.VIEWER, service.settings.invite_seconds)


def _link(service: Offhook, email: str | None, role: Role, seconds: float) -> str:
    secret, kept = new_secret()
    now: datetime = service.ledger.clock()
    made = Invite(kept, email, role, now, now + timedelta(seconds=seconds))
    service.ledger.invites.add(made, _line(service, "link made", email or "the first user"))
    return secret


def _set_disabled(email: str, *, is_disabled: bool) -> None:
    service = offhook()
    someone = _known(service, email)
    at, what = (service.ledger.clock(), "user disabled") if is_disabled else (None, "user enabled")
    service.ledger.users.disable(someone.id, at, _line(service, what, someone.email))
    click.echo(f"{someone.email} may {'no longer come in' if is_disabled else 'come in again'}.")


def _plain(email: str) -> str:
    plain = plain_email(email)
    if plain is None:
        fail(f"{email!r} is no email address.", 2)
    return plain


def _known(service: Offhook, email: str) -> User:
    someone = service.ledger.users.with_email(_plain(email))
    if someone is None:
        fail(f"There is no user {email}; `flask users list` lists them.")
    return someone


def _password(service: Offhook, email: str) -> str:
    from offhook.adapters.passwords import hash_of, why_not

    password, known = sys.stdin.readline().rstrip("\r\n"), service.settings
    wrong = why_not(password, email, least=known.password_least_characters, most=known.password_most_characters)
    if wrong:
        fail(wrong, 2)
    return hash_of(password)


def _line(service: Offhook, what: str, of_what: str) -> AuditLine:
    return line(service, _WHO, what, of_what)
