"""`flask users ...`: who may use the dashboard. A password comes by standard input and is kept as a hash."""

from __future__ import annotations

import sys
from dataclasses import replace

import click
from flask.cli import with_appcontext

from offhook.adapters.commands.audited import line
from offhook.adapters.commands.context import LedgerGroup, Offhook, fail, offhook
from offhook.adapters.commands.shown import Format, show_done, show_list, shows
from offhook.pipeline.users import AuditLine, NoLink, Role, User, new_link, new_user_id, plain_email, why_no_link
from offhook.pipeline.words import counted

_COLUMNS = ("email", "role", "created_at", "disabled_at", "has_password", "sessions", "single_sign_on", "linked_at")
_WHO = "flask users"


@click.group(cls=LedgerGroup)
def users() -> None:
    """Who may use the dashboard. There is none until there is a user.

    \b
    flask users create --email ann@example.com --role admin --password-stdin
    flask users list
    flask users invite bo@example.com
    flask users password --email ann@example.com --password-stdin
    """


@users.command()
@click.option("--email", required=True, help="By which they sign in.")
@click.option("--role", required=True, type=click.Choice([role.value for role in Role]), help="What they may do.")
@click.option("--password-stdin", is_flag=True, help="The password is the first line of standard input.")
@shows
@with_appcontext
def create(email: str, role: str, password_stdin: bool, shown: Format) -> None:
    """Make a user.

    Without --password-stdin they have no password, and come by `flask users invite` (viewers alone) or by single sign-on.
    With --json it is the user as `flask users list` has them.

    \b
    flask users create --email ann@example.com --role admin --password-stdin
    flask users create --email bo@example.com --role viewer --json
    """
    service, plain = offhook(), _plain(email)
    if not password_stdin and role != Role.VIEWER and not service.settings.oidc_issuer:
        fail("Only a viewer may be without a password: add --password-stdin.", 2)
    kept = _password(service, plain) if password_stdin else None
    made = User(new_user_id(), plain, Role(role), kept, service.ledger.clock())
    if not service.ledger.users.add(made, _line(service, "user added", plain)):
        fail(f"There is a user {plain} already.")
    show_done(f"{plain} may come in as {role}.", _row(service, made), shown)


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
    service = offhook()
    show_list([_row(service, one) for one in service.ledger.users.every()], shown, _COLUMNS)


def _row(service: Offhook, one: User) -> dict[str, object]:
    return {
        "email": one.email,
        "role": one.role.value,
        "created_at": one.created_at,
        "disabled_at": one.disabled_at,
        "has_password": one.password_hash is not None,
        "sessions": len(service.ledger.sessions.of_user(one.id)),
        "single_sign_on": one.identity.issuer if one.identity else None,
        "linked_at": one.linked_at,
    }


@users.command()
@click.argument("email")
@shows
@with_appcontext
def remove(email: str, shown: Format) -> None:
    """Remove a user; the sessions end. What they did stays in `flask audit`.

    \b
    flask users remove bo@example.com
    flask users remove bo@example.com --json
    """
    service = offhook()
    someone = _known(service, email)
    written = _line(service, "user removed", someone.email)
    service.ledger.users.remove(someone.id, written)
    removed = [("email", someone.email), ("removed_at", written.at)]
    show_done(f"{someone.email} is removed.", removed, shown)


@users.command()
@click.argument("email")
@shows
@with_appcontext
def disable(email: str, shown: Format) -> None:
    """Let a user in no more; the sessions end.

    With --json it is the user as `flask users list` has them.

    \b
    flask users disable bo@example.com
    flask users disable bo@example.com --json
    """
    _set_disabled(email, shown, is_disabled=True)


@users.command()
@click.argument("email")
@shows
@with_appcontext
def enable(email: str, shown: Format) -> None:
    """Let a user in again.

    With --json it is the user as `flask users list` has them.

    \b
    flask users enable bo@example.com
    flask users enable bo@example.com --json
    """
    _set_disabled(email, shown, is_disabled=False)


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
    flask users invite bo@example.com --json
    """
    if first == bool(email):
        raise click.UsageError("Name an email, or say --first.")
    service = offhook()
    secret = first_link(service) if first else _viewer_link(service, _plain(email or ""))
    until = service.settings.first_link_seconds if first else service.settings.invite_seconds
    link = f"{service.settings.own_url}/invite/{secret}"
    show_done(link, [("link", link), ("seconds", until)], shown)
    click.echo(f"It works once, within {until:g} s.", err=True)


@users.command()
@click.option("--email", required=True, help="Whose password it is.")
@click.option(
    "--password-stdin",
    is_flag=True,
    required=True,
    expose_value=False,
    help="The password is the first line of standard input.",
)
@shows
@with_appcontext
def password(email: str, shown: Format) -> None:
    """Set the password of a user; the sessions end.

    The open links of that person end as well. It is for who forgot the password, and for who came by a link and may more by now:
    a link lets in viewers alone.
    With --json it is the user as `flask users list` has them.

    \b
    flask users password --email ann@example.com --password-stdin
    flask users password --email ann@example.com --password-stdin --json
    """
    service = offhook()
    someone = _known(service, email)
    kept, ended = _password(service, someone.email), len(service.ledger.sessions.of_user(someone.id))
    if not service.ledger.users.set_password(someone.id, kept, _line(service, "password changed", someone.email)):
        fail(f"{someone.email} was removed meanwhile.")
    sentence = f"{someone.email} has another password; {counted(ended, 'session has', 'sessions have')} ended."
    show_done(sentence, _row(service, replace(someone, password_hash=kept)), shown)


@users.command("revoke-sessions")
@click.argument("email")
@shows
@with_appcontext
def revoke_sessions(email: str, shown: Format) -> None:
    """End every session of a user.

    \b
    flask users revoke-sessions bo@example.com
    flask users revoke-sessions bo@example.com --json
    """
    service = offhook()
    someone = _known(service, email)
    ended = service.ledger.sessions.end_all(someone.id, _line(service, "sessions ended", someone.email))
    record = [("email", someone.email), ("sessions_ended", ended)]
    show_done(
        f"{counted(ended, 'session', 'sessions')} of {someone.email} {'has' if ended == 1 else 'have'} ended.",
        record,
        shown,
    )


def first_link(service: Offhook) -> str:
    """The secret of a link that makes the first admin. Ends the command where there is a user."""
    if service.ledger.users.every():
        fail("There is a user already: `flask users list`.")
    return _link(service, None, service.settings.first_link_seconds)


def _viewer_link(service: Offhook, email: str) -> str:
    known = service.ledger.users.with_email(email)
    refused = why_no_link(known)
    if known is not None and refused is NoLink.MAY_MORE:
        remedy = f"`flask users password --email {email} --password-stdin` sets a password"
        fail(f"{email} is {known.role.value}: a link lets in viewers alone. {remedy}.")
    if refused is NoLink.DISABLED:
        fail(f"{email} is disabled: `flask users enable {email}` first.")
    return _link(service, email, service.settings.invite_seconds)


def _link(service: Offhook, email: str | None, seconds: float) -> str:
    secret, made = new_link(email, service.ledger.clock(), seconds)
    service.ledger.invites.add(made, _line(service, "link made", email or "the first user"))
    return secret


def _set_disabled(email: str, shown: Format, *, is_disabled: bool) -> None:
    service = offhook()
    someone = _known(service, email)
    at, what = (service.ledger.clock(), "user disabled") if is_disabled else (None, "user enabled")
    service.ledger.users.disable(someone.id, at, _line(service, what, someone.email))
    sentence = f"{someone.email} may {'no longer come in' if is_disabled else 'come in again'}."
    show_done(sentence, _row(service, replace(someone, disabled_at=at)), shown)


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
